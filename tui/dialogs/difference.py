"""What differs between two texts, line by line."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vflow.tui.dialogs.dialog import Dialog


class Difference(Dialog[None]):
    """Shows the lines that were taken out (-) and put in (+), with some around them."""

    DEFAULT_CSS = """
    Difference {
        & > #box { width: 100; height: 90%; }
        VerticalScroll { height: 1fr; }
        Static { width: auto; min-width: 100%; }
    }
    """

    def __init__(self, heading: str, before: str, after: str) -> None:
        super().__init__(heading, "esc: back")
        self.before, self.after = before, after

    def body(self) -> ComposeResult:
        """Show the lines."""
        with VerticalScroll() as scroll:
            scroll.styles.overflow_x = "auto"
            lines = list(_lines(self.before, self.after)) or [Content("Nothing differs.")]
            yield Static(Content("\n").join(lines))

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()


def _lines(before: str, after: str) -> Iterator[Content]:
    from difflib import unified_diff

    styles = {"+": "$text-success", "-": "$text-error", "@": "bold $text-muted"}
    found = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    for line in list(found)[2:]:  # the first two name the files
        yield Content.styled(line, styles.get(line[:1], ""))
