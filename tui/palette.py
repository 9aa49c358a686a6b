"""The command palette: everything that can be done on the screen, made from the bindings of what lies on it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.screen import Screen


class Command(NamedTuple):
    """Something to do: its name, what it does, its keys, and where its action is."""

    name: str
    about: str
    keys: tuple[str, ...]
    action: str
    owner: DOMNode


class Commands(Provider):
    """Finds commands by name and by what they do."""

    async def discover(self) -> Hits:
        """Show everything."""
        for one in commands_of(self.screen):
            yield DiscoveryHit(_shown(one), partial(self._call, one), help=one.about)

    async def search(self, query: str) -> Hits:
        """Show what fits the words."""
        matcher = self.matcher(query)
        for one in commands_of(self.screen):
            name, about = matcher.match(_shown(one)), matcher.match(one.about)
            if score := max(name, about * 0.8):
                yield Hit(score, matcher.highlight(_shown(one)), partial(self._call, one), help=one.about)

    async def _call(self, command: Command) -> None:
        if getattr(command.owner, "can_focus", False):
            command.owner.focus()  # type: ignore[attr-defined]  # what can be focused is a widget
        await self.app.run_action(command.action, command.owner)


def commands_of(screen: Screen[object]) -> list[Command]:
    """Return every named action of what has the focus, of the screen, of what lies on it, and of the app.

    Of a dialog, which is answered before anything else, only its own.
    """
    found: dict[str, Command] = {}
    for owner in _owners(screen):
        keys: dict[str, list[str]] = {}
        bindings: dict[str, Binding] = {}
        for _, binding in owner._bindings:
            if binding.id and binding.tooltip and not binding.system:
                keys.setdefault(binding.id, []).append(screen.app.get_key_display(binding))
                bindings.setdefault(binding.id, binding)
        for name, binding in bindings.items():
            if name not in found and screen.app._check_action_state(binding.action, owner) is not False:
                title = binding.description or binding.tooltip
                found[name] = Command(title, binding.tooltip, tuple(keys[name]), binding.action, owner)
    return list(found.values())


def _owners(screen: Screen[object]) -> Iterator[DOMNode]:
    yield from (
        node for node in (screen.focused.ancestors_with_self if screen.focused else ()) if node is not screen.app
    )
    yield screen
    yield from (widget for widget in screen.walk_children() if widget.display)
    if not screen.is_modal:  # a dialog is answered before anything else
        yield screen.app


def _shown(command: Command) -> str:
    return f"{command.name}  {' '.join(command.keys)}"
