"""A piece of YAML as text, with what the engine says of it below."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static, TextArea

from vflow.engine.problems import VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.dialog import Dialog

_SOON = 0.15  # seconds after the last key until the text is checked
_MOST_SHOWN = 4


class EditText(Dialog[str]):
    """Edit a text; dismissed with it. `told` returns what is wrong with a text, in words, or raises EditError."""

    DEFAULT_CSS = """
    EditText {
        & > #box { width: 110; height: 95%; }
        TextArea { height: 1fr; border: none; padding: 0; }
        #told { height: auto; max-height: 5; min-height: 1; border-top: solid $panel; }
        &.-low #told { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "keep", "Keep", id="text.keep", tooltip="Put the text into the graph", priority=True),
        # before the text area, which would only give the focus away
        Binding("escape", "cancel", "Cancel", id="text.cancel", tooltip="Leave; asks if changed", priority=True),
    ]

    def __init__(self, heading: str, text: str, told: Callable[[str], list[str]], *, line: int = 0) -> None:
        """`line`, from 1, is where the cursor begins."""
        super().__init__(heading, "ctrl+s: keep   esc: cancel")
        self.text, self.told, self.line = text, told, line
        self._soon: Timer | None = None

    def body(self) -> ComposeResult:
        """Show the text and what is said of it."""
        yield TextArea(self.text, show_line_numbers=True, tab_behavior="indent", compact=True)
        yield Static("", id="told")

    def on_mount(self) -> None:
        """Go to the line."""
        area = self.query_one(TextArea)
        area.indent_width = 2
        area.focus()
        if self.line:
            area.move_cursor((self.line - 1, 0), center=True)
        self._check()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Check the text, once typing pauses."""
        event.stop()
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_SOON, self._check)

    def _check(self) -> None:
        try:
            said, style = self.told(self.query_one(TextArea).text), "$text-warning"
        except VflowError as error:
            said, style = [str(error)], "$text-error"
        lines = [Content.styled(one, style) for one in said[:_MOST_SHOWN]]
        if len(said) > _MOST_SHOWN:
            lines.append(Content.styled(f"and {len(said) - _MOST_SHOWN} more", style))
        self.query_one("#told", Static).update(
            Content("\n").join(lines or [Content.styled("no problems", "$text-muted")])
        )

    def action_keep(self) -> None:
        """Take the text, unless it cannot be put into the graph at all."""
        text = self.query_one(TextArea).text
        try:
            self.told(text)
        except VflowError:
            self._check()
            self.app.bell()
            return
        self.dismiss(text)

    def action_cancel(self) -> None:
        """Leave, and ask before what was typed is lost."""
        if self.query_one(TextArea).text == self.text:
            self.dismiss(None)
        else:
            self.run_worker(self._ask(), exclusive=True)

    async def _ask(self) -> None:
        replies = [Reply("keep", "keep", "k", "primary"), Reply("drop", "drop", "d", "error")]
        answer = await self.app.push_screen_wait(Ask("keep the changes?", "The text was changed.", replies))
        if answer == "keep":
            self.action_keep()
        elif answer == "drop":
            self.dismiss(None)
