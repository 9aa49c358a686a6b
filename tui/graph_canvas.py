"""Shows a drawing: gives its roles their colours, scrolls it, and says what is clicked on."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vflow.tui.drawing import Canvas, Drawing, Role, Spot, role_of
from vflow.tui.glyphs import STATE_COLOURS

_COLOURS = {
    Role.WIRE: "color: $text-disabled;",
    Role.WIRE_ON: "color: $text-accent;",
    Role.WIRE_BROKEN: "color: $text-error;",
    Role.BORDER: "color: $text-muted;",
    Role.BORDER_ON: "color: $text-accent;",
    Role.NAME_ON: "text-style: bold;",
    Role.TYPE: "color: $text-muted;",
    Role.PORT_FREE: "color: $text-disabled;",
    Role.PORT_ON: "color: $text-accent; text-style: bold reverse;",
    Role.PORT_MISSING: "color: $text-error;",
    Role.WORDS: "color: $text-muted;",
    Role.TEXT: "color: $text-accent;",
    Role.BAR: "color: $text-accent;",
    Role.OUTPUT: "color: $text-secondary;",
    Role.DIM: "color: $text-disabled;",
    **{role_of(state): f"color: {colour};" for state, colour in STATE_COLOURS.items()},
}
_MARGIN = 2  #: rows and columns that stay in sight around the selection


def _name(role: Role) -> str:
    return f"graph--{role.name.lower().replace('_', '-')}"


class GraphCanvas(ScrollView, can_focus=False):
    """A drawing in a window that scrolls. It knows nothing of graphs but where nodes and ports lie."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"graph--band", *map(_name, Role)}
    DEFAULT_CSS = (
        "GraphCanvas { width: 1fr; height: 1fr; scrollbar-size: 1 1; background: transparent; }\n"
        "GraphCanvas > .graph--band { background: $foreground 8%; }\n"
        + "\n".join(f"GraphCanvas > .{_name(role)} {{ {colour} }}" for role, colour in _COLOURS.items())
    )

    class Pressed(Message):
        """A node or a port was clicked on; `twice` in a row."""

        def __init__(self, spot: Spot, twice: bool) -> None:
            super().__init__()
            self.spot = spot
            self.twice = twice

    class Resized(Message):
        """There is more room, or less."""

    def __init__(self) -> None:
        super().__init__()
        self.drawing = Drawing(Canvas(0, 0))
        self._drawn_for = Size()

    @property
    def room(self) -> Size:
        """The columns and rows that there are, scroll bars taken off."""
        return self.scrollable_content_region.size

    def show(self, drawing: Drawing) -> None:
        """Show a drawing; where it was scrolled to stays."""
        self.drawing, self._drawn_for = drawing, self.room
        self.virtual_size = Size(drawing.width, drawing.height)
        self.refresh()

    def reveal(self, spot: Spot) -> None:
        """Scroll just as far as is needed to see a place, and a little around it; its top left where it is large."""
        room = self.room
        if room.width and room.height:
            x = _scrolled(round(self.scroll_x), room.width, spot.x, spot.width, self.virtual_size.width)
            y = _scrolled(round(self.scroll_y), room.height, spot.y, spot.height, self.virtual_size.height)
            self.scroll_to(x, y, animate=False, force=True)

    def pan(self, columns: int, rows: int) -> None:
        """Scroll by so many columns and rows."""
        self.scroll_to(self.scroll_x + columns, self.scroll_y + rows, animate=False, force=True)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return rows of the window. What was drawn while there was no window is told of: it fits none."""
        if self.room != self._drawn_for:
            self._drawn_for = self.room
            self.post_message(self.Resized())
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return a row of the window."""
        left, row = round(self.scroll_x), y + round(self.scroll_y)
        width = self.size.width
        band = Style()
        if row in self.drawing.band:
            band = Style(bgcolor=self.get_component_rich_style("graph--band").bgcolor)
        runs = self.drawing.row(row, left, left + width)
        strip = Strip([Segment(text, self._style(role) + band) for text, role in runs])
        return strip.adjust_cell_length(width, self._style(Role.BLANK) + band)

    def _style(self, role: Role) -> Style:
        return self.get_component_rich_style(_name(role))

    def on_resize(self) -> None:
        """Tell the view: what is drawn depends on the room."""
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        """Say what lies under the pointer."""
        offset = event.get_content_offset(self)
        if offset is not None:
            spot = self.drawing.at(offset.x + round(self.scroll_x), offset.y + round(self.scroll_y))
            if spot is not None:
                self.post_message(self.Pressed(spot, event.chain > 1))


def _scrolled(now: int, room: int, start: int, length: int, whole: int) -> int:
    """Return where a window of `room` cells has to begin to show a stretch of something `whole` cells long."""
    margin = min(_MARGIN, max(0, (room - length) // 2))
    first, last = max(0, start - margin), min(whole, start + length + margin)
    if length > room or first < now:
        return start if length > room else first
    return max(now, last - room)
