"""The line at the top of the graph screen: the file, whether it is saved, what is chosen, what is wrong."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class Titlebar(Widget):
    """One line. It is cut from the middle, so that the counts of problems stay."""

    DEFAULT_CSS = """
    Titlebar { height: 1; background: $panel; color: $foreground; padding: 0 1; }
    """
    left: reactive[Content] = reactive(Content(""), layout=False)
    right: reactive[Content] = reactive(Content(""), layout=False)

    def render(self) -> Content:
        """Draw the line."""
        room = self.content_size.width - self.right.cell_length
        if room < 4:
            return self.right if self.right.cell_length else self.left
        left = self.left.truncate(room - 1, ellipsis=True) if self.left.cell_length > room - 1 else self.left
        return Content.assemble(left, " " * (room - left.cell_length), self.right)
