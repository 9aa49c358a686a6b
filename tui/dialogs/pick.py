"""One of many things, found by typing a part of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from vflow.tui.dialogs.dialog import Dialog

Value = TypeVar("Value")


@dataclass(frozen=True)
class Choice(Generic[Value]):
    """Something to choose. `detail` stands beside it, with `about` below the list; equal `group`s stand together."""

    value: Value
    label: str
    detail: str = ""
    about: str = ""
    group: str = ""


class Pick(Dialog[Value]):
    """Choose by arrows, typing or mouse; dismissed with the value of the choice."""

    DEFAULT_CSS = """
    Pick {
        & > #box { height: 80%; max-height: 30; width: 90; }
        OptionList { height: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
        #about { height: 3; color: $text-muted; }
        Input { margin: 0 0 1 0; }
        &.-low #about, &.-low Input { display: none; }
        &.-low > #box { height: 100%; }
    }
    """
    HELP: ClassVar[str] = (
        "Type a part of a name, or words of what stands beside it; the arrows move, enter or a click takes the choice. "
        "Escape leaves; then nothing is changed."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
    ]

    def __init__(
        self, heading: str, choices: Sequence[Choice[Value]], *, placeholder: str = "type to filter", nothing: str = ""
    ) -> None:
        """`nothing` is said where there is nothing to choose from."""
        super().__init__(heading, "enter: choose   esc: cancel")
        self.choices, self.placeholder, self.nothing = list(choices), placeholder, nothing
        self.found: list[Choice[Value]] = []

    def body(self) -> ComposeResult:
        """Show the filter, the list, and what the highlighted choice is."""
        yield Input(placeholder=self.placeholder, compact=True)
        yield OptionList(id="choices")
        yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        """Show everything; what is typed goes into the filter."""
        self._list("")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what fits."""
        event.stop()
        self._list(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the highlighted choice."""
        event.stop()
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self._take(at)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was clicked."""
        event.stop()
        self._take(event.option_index)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what it is."""
        event.stop()
        choice = self._at(event.option_index)
        about = [line for line in (choice.detail, choice.about) if line] if choice else []
        self.query_one("#about", Static).update("\n".join(dict.fromkeys(about)))

    def on_key(self, event: events.Key) -> None:
        """What is typed on the list belongs into the filter."""
        filter_, character = self.query_one(Input), event.character
        if not filter_.has_focus and event.is_printable and character and filter_.display:
            event.stop()
            filter_.focus()
            filter_.insert_text_at_cursor(character)

    def action_move(self, how: str) -> None:
        """Move through the list while the filter keeps the focus."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def _take(self, index: int) -> None:
        if (choice := self._at(index)) is not None:
            self.dismiss(choice.value)

    def _at(self, index: int) -> Choice[Value] | None:
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def _list(self, typed: str) -> None:
        self.found = _fitting(self.choices, typed)
        options = self.query_one(OptionList)
        options.clear_options()
        self._rows: list[Choice[Value] | None] = []
        width = max((len(choice.label) for choice in self.found), default=0)
        group = ""
        for choice in self.found:
            if choice.group != group:
                group = choice.group
                self._rows.append(None)
                options.add_option(Option(Content.styled(group, "bold $text-muted"), disabled=True))
            self._rows.append(choice)
            label = choice.label.ljust(min(width, 28)) if choice.detail else choice.label
            options.add_option(Option(Content.assemble(label, "  ", (choice.detail, "$text-muted")), None))
        about = ""
        if not self.found:
            about = f"nothing fits {typed!r}" if self.choices else self.nothing
        self.query_one("#about", Static).update(about)
        options.highlighted = next((at for at, row in enumerate(self._rows) if row is not None), None)


def _fitting(choices: Sequence[Choice[Value]], typed: str) -> list[Choice[Value]]:
    """Return the choices that have every typed word; those whose label begins with what was typed come first."""
    words = typed.lower().split()
    if not words:
        return list(choices)
    found = [one for one in choices if all(word in f"{one.label} {one.detail}".lower() for word in words)]
    groups = list(dict.fromkeys(one.group for one in choices))
    return sorted(found, key=lambda one: (groups.index(one.group), not one.label.lower().startswith(words[0])))
