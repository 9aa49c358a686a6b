"""A question with a few answers, each a button with a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from vflow.tui.dialogs.dialog import Dialog


class Reply(NamedTuple):
    """An answer that may be given: `key` is pressed for it, `kind` says whether it is what most want, or dangerous."""

    id: str
    label: str
    key: str
    kind: str = "default"  #: default, primary or error


class Ask(Dialog[str]):
    """Ask; dismissed with the `id` of the reply, None for escape. The first reply has the focus."""

    DEFAULT_CSS = """
    Ask {
        #said { height: auto; max-height: 12; padding: 0 0 1 0; }
        #replies { height: auto; width: 1fr; layout: grid; grid-gutter: 0 1; grid-rows: auto; grid-size: 3; }
        &.-tiny #replies { grid-size: 1; }
        &.-low #said { max-height: 2; padding: 0; }
        Button { width: 1fr; min-width: 8; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", "Previous", show=False),
        Binding("right,down", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, heading: str, said: str, replies: Sequence[Reply], lines: Sequence[str] = ()) -> None:
        """`said` is the question; `lines` are shown below it, one each."""
        super().__init__(heading, "esc: cancel")
        self.said, self.lines, self.replies = said, lines, tuple(replies)

    def body(self) -> ComposeResult:
        """Show the question and a button for each reply."""
        with VerticalScroll(id="said", can_focus=False):
            yield Static(Content("\n".join([self.said, *(f"  {line}" for line in self.lines)])))
        with Horizontal(id="replies") as row:
            row.styles.grid_size_columns = min(len(self.replies), 3)
            for reply in self.replies:
                label = Content.assemble((reply.key, "underline"), f"  {reply.label}")
                yield Button(label, id=f"reply-{reply.id}", variant=reply.kind, compact=True)  # type: ignore[arg-type]

    def on_mount(self) -> None:
        """The first reply is what enter gives."""
        self.query(Button).first().focus()

    def on_key(self, event: events.Key) -> None:
        """Take the key of a reply."""
        for reply in self.replies:
            if event.key == reply.key:
                event.stop()
                self.dismiss(reply.id)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the reply."""
        event.stop()
        self.dismiss((event.button.id or "").removeprefix("reply-"))
