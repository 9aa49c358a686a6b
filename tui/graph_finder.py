"""The line below a graph in which a filter, or the name of a node to go to, is typed."""

from __future__ import annotations

from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class GraphFinder(Horizontal):
    """Takes a filter or a name; it stays in sight as long as a filter is in force."""

    DEFAULT_CSS = """
    GraphFinder { height: 1; display: none; background: $surface; }
    GraphFinder .sign { width: auto; color: $text-accent; text-style: bold; }
    GraphFinder Input { width: 1fr; }
    GraphFinder .found { width: auto; padding: 0 1; color: $text-muted; }
    """

    class Typed(Message):
        """Something was typed, of which `kind` says what it is for."""

        def __init__(self, kind: Literal["filter", "jump"], text: str) -> None:
            super().__init__()
            self.kind = kind
            self.text = text

    class Done(Typed):
        """It was typed to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.kind: Literal["filter", "jump"] = "filter"

    def compose(self) -> ComposeResult:
        """Show what it is for, what is typed, and what was found."""
        yield Static(classes="sign")
        yield Input(compact=True, select_on_focus=False)
        yield Static(classes="found", markup=False)

    @property
    def field(self) -> Input:
        """Where one types."""
        return self.query_one(Input)

    @property
    def typing(self) -> bool:
        """Whether something is being typed."""
        return bool(self.display) and self.field.has_focus

    def open(self, kind: Literal["filter", "jump"], text: str = "") -> None:
        """Begin to ask."""
        self.kind = kind
        self.query_one(".sign", Static).update("/" if kind == "filter" else ":")
        self.tell("")
        self.display = True
        self.field.placeholder = "part of a name, a type or a state" if kind == "filter" else "name of a node"
        with self.prevent(Input.Changed):
            self.field.value = text
        self.field.cursor_position = len(text)
        self.field.focus()

    def close(self) -> None:
        """Go out of sight."""
        self.display = False

    def tell(self, found: str) -> None:
        """Say what was found."""
        self.query_one(".found", Static).update(found)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Hand on what is typed."""
        event.stop()
        self.post_message(self.Typed(self.kind, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand on what was typed."""
        event.stop()
        self.post_message(self.Done(self.kind, event.value))
