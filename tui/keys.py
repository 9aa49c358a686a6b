"""Keys: what the user's configuration maps actions to, and what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from vflow.engine.problems import Problem, suggest

if TYPE_CHECKING:
    from textual.binding import Binding

_MODIFIERS = ("ctrl", "shift", "alt", "meta", "super", "hyper")
#: the same bytes as other keys in many terminals
_TAKEN = {"ctrl+m": "enter", "ctrl+i": "tab", "ctrl+h": "backspace"}


def configured() -> tuple[dict[str, str], list[Problem]]:
    """Return the user's keys, action to key, as far as they are keys, and what is wrong with the others."""
    from vflow.engine import config
    from vflow.engine.problems import GraphError, VflowError

    try:
        written = config.load().keys
    except GraphError as error:
        return {}, list(error.problems)
    except VflowError as error:
        return {}, [Problem(str(error))]
    good: dict[str, str] = {}
    problems: list[Problem] = []
    for action, keys in written.items():
        wrong = [told for key in keys.split(",") if (told := _wrong(key.strip()))]
        problems += [
            Problem(told, remedy, f"keys.{action}", "warning", str(config.config_file())) for told, remedy in wrong
        ]
        if not wrong:
            good[action] = ",".join(key.strip() for key in keys.split(","))
    return good, problems


def unknown(actions: Iterable[str], known: Iterable[str]) -> list[Problem]:
    """Return a problem for each action that nothing in the UI is called."""
    from vflow.engine.config import config_file

    known = set(known)
    return [
        Problem(
            f"no action is called {one!r}",
            suggest(one, known, "the help (?) shows their names"),
            "keys",
            "warning",
            str(config_file()),
        )
        for one in actions
        if one not in known
    ]


def clashes(keymap: Mapping[str, str]) -> list[Problem]:
    """Return a problem for each action that loses a key to one of the user's. It imports every view, too."""
    from vflow.engine.config import config_file

    found: dict[str, Problem] = {}
    for owner in _owners():
        bound: dict[str, dict[str, None]] = {}  # key -> actions
        for binding in owner._merge_bindings() if hasattr(owner, "_merge_bindings") else ():
            key, one = binding
            for taken in keymap[one.id].split(",") if one.id in keymap else [key]:
                bound.setdefault(taken, {}).setdefault(one.id or "")
        for key, actions in bound.items():
            winners, losers = [one for one in actions if one in keymap], [one for one in actions if one]
            for loser in losers if winners else ():
                if loser != winners[-1]:
                    told = f"{key} is {winners[-1]} now, so that {loser} has lost it"
                    found[told] = Problem(told, "give it a key too", "keys", "warning", str(config_file()))
    return list(found.values())


def known_actions() -> set[str]:
    """Return the names of all actions of the UI. It imports every view: not for the start."""
    return {binding.id for owner in _owners() for binding in _bindings(owner) if binding.id}


def _owners() -> Iterator[type]:
    """Yield every class of the UI that has bindings."""
    import importlib
    import pkgutil

    from textual.dom import DOMNode

    import vflow.tui

    for found in pkgutil.walk_packages(vflow.tui.__path__, "vflow.tui."):
        module = importlib.import_module(found.name)
        for one in vars(module).values():
            if isinstance(one, type) and issubclass(one, DOMNode) and one.__module__ == found.name:
                yield one


def _bindings(owner: type) -> Iterator[Binding]:
    from textual.binding import Binding

    for one in vars(owner).get("BINDINGS", ()):
        if isinstance(one, Binding):
            yield one


def _wrong(key: str) -> tuple[str, str] | None:
    """Return what is wrong with a key's name, and what to do."""
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys

    if not key:
        return "a key is missing here", "write one, as in f6 or ctrl+g; several with commas between them"
    if key in _TAKEN:
        return f"{key} is {_TAKEN[key]} in many terminals", "choose another"
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if strange := [one for one in modifiers if one not in _MODIFIERS]:
        return f"{strange[0]!r} in {key!r} is no modifier", suggest(strange[0], _MODIFIERS)
    names = {one.value for one in Keys} | set(KEY_NAME_REPLACEMENTS.values())
    if len(name) == 1 or name in names or re.fullmatch(r"f([1-9]|1[0-9]|2[0-4])", name):
        return None
    if _is_character(name):
        return None
    return f"{key!r} is no key", suggest(
        name, {one for one in names if "+" not in one}, "as in f6, ctrl+g, n or question_mark"
    )


def _is_character(name: str) -> bool:
    """Tell whether this is how a character is called: `question_mark`."""
    import unicodedata

    try:
        unicodedata.lookup(name.replace("_", " ").upper())
    except KeyError:
        return False
    return True
