"""The frame of every dialog: a box over the screen, left with escape or a click beside it."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None]):
    """Base of dialogs. A subclass yields the inside of the box in `body`; `heading` is its title."""

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
        & > #box {
            width: 76; max-width: 100%;
            height: auto; max-height: 100%;
            border: round $primary;
            border-title-color: $foreground;
            border-title-style: bold;
            border-subtitle-color: $text-muted;
            background: $surface;
            padding: 0 1;
        }
        &.-low > #box { border: none; }
        .note { color: $text-muted; height: auto; }
        .problem { color: $text-error; height: auto; }
        Input { width: 1fr; }
        OptionList, OptionList:focus { border: none; background: $surface; padding: 0; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (120, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (10, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "app.help", "Help", show=False, id="dialog.help", tooltip="Help for this dialog, with its keys"),
        Binding(
            "ctrl+p",
            "app.command_palette",
            "All",
            show=False,
            id="dialog.palette",
            tooltip="Find anything that can be done in this dialog",
        ),
        Binding("escape", "cancel", "Cancel", id="dialog.cancel", tooltip="Leave this dialog; nothing is changed"),
    ]

    HELP: ClassVar[str] = "Escape, or a click beside the box, leaves it; then nothing is changed."

    def help_text(self) -> str:
        """Return help, as markdown."""
        return f"# {self.heading or 'Dialog'}\n\n{self.HELP}"

    def __init__(self, heading: str, hint: str = "") -> None:
        super().__init__()
        self.heading, self.hint = heading, hint

    def compose(self) -> ComposeResult:
        """Put the body into the box."""
        with Vertical(id="box") as box:
            box.border_title = Content(self.heading)  # type: ignore[assignment]  # any content may be a title
            box.border_subtitle = Content(self.hint)  # type: ignore[assignment]
            yield from self.body()

    def body(self) -> ComposeResult:
        """Yield what is in the box."""
        yield from ()

    def on_click(self, event: events.Click) -> None:
        """A click beside the box leaves it."""
        if event.widget is self:
            self.action_cancel()

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
