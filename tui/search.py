"""A line to search in: typed into, left with enter or an arrow, cleared with escape."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class Search(Horizontal):
    """A search of one line. Its `Input.Changed` tells what is typed, `Left` when it is left for what was found."""

    DEFAULT_CSS = """
    Search {
        height: 1;
        padding: 0 1;
        & > Static { width: auto; color: $text-muted; }
        & > Input { width: 1fr; background: $background; }
        & > Input:focus { background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,enter", "leave", "To the list", show=False, id="search.leave", tooltip="Go to what was found"),
        Binding("escape", "clear", "Clear", show=False, id="search.clear", tooltip="Clear the search and leave it"),
    ]

    class Left(Message):
        """The search was left."""

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Show the field."""
        yield Static("/ ")
        yield Input(placeholder=self._placeholder, compact=True, select_on_focus=False)

    @property
    def text(self) -> str:
        """What is searched for."""
        return self.query_one(Input).value.strip()

    def begin(self) -> None:
        """Begin to type."""
        self.query_one(Input).focus()

    def clear(self) -> None:
        """Search for nothing."""
        self.query_one(Input).value = ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to what was found."""
        event.stop()
        self.action_leave()

    def action_leave(self) -> None:
        """Go to what was found."""
        self.post_message(self.Left())

    def action_clear(self) -> None:
        """Clear it and leave."""
        self.clear()
        self.action_leave()
