"""The lines of a form on the screen, all drawn by one widget: a form of a hundred lines comes and goes in a moment."""

from __future__ import annotations

from typing import ClassVar

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vflow.engine.forms import Form
from vflow.tui.glyphs import UNICODE, Glyphs
from vflow.tui.inspector.page import Key, Page, Run, Typing, page

_ROLES = ("title", "heading", "label", "value", "default", "hint", "origin", "link", "error", "warning")
_NOTHING = "Select a node to see its settings."


class Sheet(Widget):
    """Draws a form. The widget that holds it moves the cursor and lays editors over values."""

    DEFAULT_CSS = """
    Sheet {
        height: auto; width: 1fr; layout: vertical;
        & > .sheet--title { color: $text-primary; text-style: bold; }
        & > .sheet--heading { color: $text-muted; text-style: bold; }
        & > .sheet--label { color: $foreground; }
        & > .sheet--value { color: $foreground; background: $surface-lighten-1; text-style: bold; }
        & > .sheet--default { color: $text-muted; background: $surface-lighten-1; }
        & > .sheet--hint { color: $text-muted; }
        & > .sheet--origin { color: $text-accent; }
        & > .sheet--link { color: $text-primary; }
        & > .sheet--error { color: $text-error; }
        & > .sheet--warning { color: $text-warning; }
        & > .sheet--cursor { background: $surface; }
        & > .sheet--focused { color: $block-cursor-foreground; background: $block-cursor-background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet--cursor",
        "sheet--focused",
        *(f"sheet--{role}" for role in _ROLES),
    }

    class Pressed(Message):
        """A row was clicked: on its value, or beside it."""

        def __init__(self, key: Key, on_value: bool) -> None:
            self.key, self.on_value = key, on_value
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self.cursor: Key | None = None
        self.typing: Typing | None = None
        self.focused = False
        self._page: Page | None = None
        self._looks: dict[str, Style] = {}

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        found = getattr(self.app, "glyphs", UNICODE)
        return found if isinstance(found, Glyphs) else UNICODE

    def redraw(self) -> None:
        """Draw anew what has changed."""
        self._page = None
        self.refresh(layout=True)

    def drawn(self, width: int = 0) -> Page:
        """Return the page at a width, by default the present one."""
        width = width or self.size.width or 40
        if self._page is None or self._page.width != max(width, 20):
            if self.form is None:
                self._page = Page(max(width, 20), [[Run("")], [Run(f" {_NOTHING}", "hint")]])
            else:
                self._page = page(self.form, width, self.glyphs, self.cursor, self.typing)
        return self._page

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return how many lines there are; the editor lies over them."""
        return len(self.drawn(width).lines)

    def notify_style_update(self) -> None:
        """Forget how things look: another theme, perhaps."""
        self._looks.clear()
        super().notify_style_update()

    def _look(self, name: str) -> Style:
        if name not in self._looks:
            self._looks[name] = self.rich_style if name == "plain" else self.get_component_rich_style(f"sheet--{name}")
        return self._looks[name]

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        drawn, base = self.drawn(), self._look("plain")
        if y >= len(drawn.lines):
            return Strip.blank(self.size.width, base)
        row = drawn.row(self.cursor)
        is_current = row is not None and row.top <= y < row.top + row.height
        behind = self._look("cursor").bgcolor if is_current else base.bgcolor
        is_head = is_current and row is not None and y == row.top and self.focused
        segments = [Segment(run.text, self._style(run, behind, is_head)) for run in drawn.lines[y]]
        return Strip(segments).adjust_cell_length(self.size.width, Style(bgcolor=behind))

    def _style(self, run: Run, behind: Color | None, is_head: bool) -> Style:
        if is_head and run.role in ("title", "label"):
            return self._look("focused")
        style = self._look(run.role)
        return style if run.role in ("value", "default") else style + Style(bgcolor=behind)

    def on_click(self, event: events.Click) -> None:
        """Say which row was clicked."""
        offset = event.get_content_offset(self)
        row = self.drawn().at(offset.y) if offset is not None else None
        if offset is None or row is None:
            return
        event.stop()
        on_value = row.x <= offset.x < row.x + row.width and row.top <= offset.y < row.top + row.lines
        self.post_message(self.Pressed(row.key, on_value))
