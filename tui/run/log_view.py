"""The lines of a log as a list of any length: only those in sight are read and drawn."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vflow.engine.following import Level, LogFilter, LogIndex, LogLine, Selection
from vflow.tui.glyphs import Glyphs, State, glyphs_for

_MARKS: dict[Level, State | None] = {"detail": None, "info": None, "warning": "error", "error": "failed"}
_NODE = (4, 10, 24)  # cells for a node's name: at least, at most, and at most where there is room
_SECONDS = 55  # cells from which on there is room for the seconds
_WIDE = 70  # cells from which on there is room
_SHIFT = 10  # cells that a long line is moved by
_APART = 0.5  # seconds between two portions of older lines


class LogView(ScrollView, can_focus=True):
    """Shows a selection of a log. At the end it follows what comes; moved away from it, it stays where it is."""

    DEFAULT_CSS = """
    LogView {
        height: 1fr; background: $background; overflow-x: hidden;
        & > .log--cursor { background: $surface-lighten-1; text-style: bold; }
        &:focus > .log--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
        & > .log--muted { color: $text-muted; }
        & > .log--node { color: $text-primary; }
        & > .log--warning { color: $text-warning; }
        & > .log--error { color: $text-error; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--cursor", "log--muted", "log--node", "log--warning", "log--error"
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="log.down", tooltip="The next line"),
        Binding("up,k", "move(-1)", "Up", show=False, id="log.up", tooltip="The line before"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="log.page_down", tooltip="A page down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="log.page_up", tooltip="A page up"),
        Binding("home", "first", "First", show=False, id="log.first", tooltip="The oldest line"),
        Binding("f", "follow", "Follow", id="log.follow", tooltip="Go to the newest line, and along with what comes"),
        Binding(
            "end", "follow", "Last", show=False, id="log.last", tooltip="The newest line, and along with what comes"
        ),
        Binding("left", "shift(-1)", "Left", show=False, id="log.left", tooltip="Show the beginning of long lines"),
        Binding("right", "shift(1)", "Right", show=False, id="log.right", tooltip="Show the end of long lines"),
    ]

    follow: reactive[bool] = reactive(True)

    class Moved(Message):
        """The cursor stands on another line."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.selection = Selection(LogIndex(), LogFilter())
        self.nothing = ""  #: said where there is no line
        self.longest = 0  #: cells of the longest name of a node
        self._first = self._end = self._cursor = 0
        self._shift, self._changed = 0, 0.0

    # --- what is shown ----------------------------------------------------------------------------------------------

    def use(self, selection: Selection) -> None:
        """Show another selection, from its end."""
        self.selection = selection
        self._first, self._end, self._shift = 0, 0, 0
        self.follow = True
        self.update_lines()

    def update_lines(self) -> None:
        """Take what the selection has by now; what is in sight stays there, unless the end is followed."""
        first, end = self.selection.first, self.selection.end
        now = time.monotonic()
        if end == self._end and end > first and (first == self._first or now - self._changed < _APART):
            return  # another length makes the whole screen be laid out again: older lines come in portions
        self._changed = now
        before, self._first, self._end = self._first, first, end
        self.virtual_size = Size(self.scrollable_content_region.width, end - first)
        if self.follow:
            self._cursor = max(first, end - 1)
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)
            self.post_message(self.Moved())
        elif first != before:
            self.scroll_to(y=self.scroll_y + before - first, animate=False, immediate=True)
        self.refresh()

    @property
    def line(self) -> LogLine | None:
        """The line under the cursor."""
        return self._line(self._cursor)

    @property
    def below(self) -> int:
        """How many lines there are below the cursor."""
        return max(0, self._end - 1 - self._cursor)

    @property
    def count(self) -> int:
        """How many lines are shown."""
        return self._end - self._first

    def is_cut(self) -> bool:
        """Tell whether the line under the cursor says more than is seen of it."""
        line = self.line
        room = self.scrollable_content_region.width - self._head_width()
        return line is not None and ("\n" in line.message or cell_len(line.message) > room)

    def _line(self, number: int) -> LogLine | None:
        if not self._first <= number < self._end:
            return None
        try:
            return self.selection.log.at(self.selection.position(number))
        except IndexError:
            return None

    # --- drawing ----------------------------------------------------------------------------------------------------

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return getattr(self.app, "glyphs", None) or glyphs_for()

    def render_line(self, y: int) -> Strip:
        """Draw a line of the log."""
        width, number = self.scrollable_content_region.width, self._first + y + round(self.scroll_y)
        line = self._line(number)
        if line is None:
            said = f" {self.nothing}" if not y and not self.count else ""
            style = self._style("muted", self.rich_style)
            return Strip([Segment(self.glyphs.cut(said, width), style)]).adjust_cell_length(width, self.rich_style)
        chosen = number == self._cursor
        base = self._style("cursor", self.rich_style) if chosen else self.rich_style
        return Strip(self._parts(line, base, plain=chosen and self.has_focus)).adjust_cell_length(width, base)

    def _parts(self, line: LogLine, base: Style, *, plain: bool) -> list[Segment]:
        glyphs = self.glyphs

        def style(role: str) -> Style:
            return base if plain or not role else self._style(role, base)

        state = _MARKS[line.level]
        role = line.level if line.level in ("warning", "error") else "muted" if line.level == "detail" else ""
        message = glyphs.text(line.message.replace("\n", " "))[self._shift :]
        room = max(0, self.scrollable_content_region.width - self._head_width())
        return [
            Segment(clock(line.time)[: self._clock], style("muted")),
            Segment(f" {glyphs.state(state) if state else ' '} ", style(role)),
            Segment(glyphs.fit(glyphs.text(line.node), self._node_width()) + " ", style("node")),
            Segment(glyphs.cut(message, room), style(role)),
        ]

    def _node_width(self) -> int:
        least, most, wide = _NODE
        return max(least, min(self.longest, wide if self.scrollable_content_region.width >= _WIDE else most))

    @property
    def _clock(self) -> int:
        """How many characters of the time are shown: without seconds where there is little room."""
        return 8 if self.scrollable_content_region.width >= _SECONDS else 5

    def _head_width(self) -> int:
        return self._clock + 3 + self._node_width() + 1

    def _style(self, role: str, base: Style) -> Style:
        return base + self.get_component_rich_style(f"log--{role}", partial=True)

    def on_resize(self) -> None:
        """Keep the end, or the cursor, in sight."""
        self.virtual_size = Size(self.scrollable_content_region.width, self.count)
        if self.follow:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)
        else:
            self._bring_into_sight()

    def watch_scroll_y(self, old: float, new: float) -> None:
        """The wheel and the scroll bar take the cursor along: away from the end, and back to it."""
        super().watch_scroll_y(old, new)
        top, room = self._first + round(new), max(1, self.size.height)
        at_end = new > old and new >= self.max_scroll_y
        cursor = self._end - 1 if at_end else max(top, min(self._cursor, top + room - 1))
        if self.count and cursor != self._cursor:
            self._go(cursor)

    def _bring_into_sight(self) -> None:
        top, room = self._first + round(self.scroll_y), max(1, self.size.height)
        if self._cursor < top:
            self.scroll_to(y=self._cursor - self._first, animate=False, immediate=True)
        elif self._cursor >= top + room:
            self.scroll_to(y=self._cursor - self._first - room + 1, animate=False, immediate=True)

    # --- keys and mouse ---------------------------------------------------------------------------------------------

    def _go(self, number: int) -> None:
        if self.count:
            self._cursor = max(self._first, min(number, self._end - 1))
            self.follow = self._cursor == self._end - 1
            self.post_message(self.Moved())
            self.refresh()

    def action_move(self, by: int) -> None:
        """Go to the line so many further."""
        self._go(self._cursor + by)
        self._bring_into_sight()

    def action_page(self, by: int) -> None:
        """Go a page further."""
        self.action_move(by * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Go to the oldest line that is known."""
        self.action_move(-self.count)

    def action_follow(self) -> None:
        """Go to the newest line, and along with what comes."""
        self.action_move(self.count)

    def action_shift(self, by: int) -> None:
        """Move long lines to the side."""
        self._shift = max(0, self._shift + by * _SHIFT)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor on a line."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self._go(self._first + offset.y + round(self.scroll_y))


def clock(when: float) -> str:
    """Return a time of the day, `HH:MM:SS`, in local time; blank where it is not known."""
    return time.strftime("%H:%M:%S", time.localtime(when)) if when else " " * 8
