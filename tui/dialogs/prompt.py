"""A question that is answered by typing; what is wrong with the answer stands below it while one types."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, Static

from vflow.tui.dialogs.dialog import Dialog


class Prompt(Dialog[str]):
    """Ask for a line of text; dismissed with it once `check` returns no complaint."""

    DEFAULT_CSS = """
    Prompt #wrong { color: $text-error; min-height: 1; }
    """

    def __init__(
        self, heading: str, value: str = "", *, about: str = "", check: Callable[[str], str] = lambda _: ""
    ) -> None:
        """`about` stands above the field. `check` returns what is wrong with a text, "" if it is fine."""
        super().__init__(heading, "enter: ok   esc: cancel")
        self.value, self.about, self.check = value, about, check

    def body(self) -> ComposeResult:
        """Show the field."""
        if self.about:
            yield Static(Content(self.about), classes="note")
        yield Input(self.value, compact=True, id="answer")
        yield Static("", id="wrong", markup=False)

    def on_mount(self) -> None:
        """Begin to type at once."""
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is wrong; nothing while the field is as it was."""
        event.stop()
        told = self.check(event.value) if event.value != self.value else ""
        self.query_one("#wrong", Static).update(told)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the answer, if it will do."""
        event.stop()
        if told := self.check(event.value):
            self.query_one("#wrong", Static).update(told)
        else:
            self.dismiss(event.value)
