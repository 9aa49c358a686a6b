"""The rows of a plan, of one or more lines each: only the lines in sight are made, so a long plan costs nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from vflow.tui.plan_rows import Row


class PlanList(ScrollView, can_focus=True):
    """Shows rows; the cursor goes from one that leads somewhere to the next."""

    DEFAULT_CSS = """
    PlanList {
        height: 1fr; background: $background; overflow-x: hidden;
        scrollbar-gutter: stable; scrollbar-size-vertical: 1;
        & > .plan-list--cursor { background: $surface-lighten-1; text-style: bold; }
        &:focus > .plan-list--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"plan-list--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "choose",
            "Go there",
            show=False,
            id="plan.choose",
            tooltip="Go to the node or the problem of this row",
        ),
        Binding("down,j", "move(1)", "Next", show=False, id="plan.next", tooltip="The next row"),
        Binding("up,k", "move(-1)", "Previous", show=False, id="plan.previous", tooltip="The row before"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="plan.page_down", tooltip="A page further"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="plan.page_up", tooltip="A page back"),
        Binding("home", "edge(0)", "First", show=False, id="plan.first", tooltip="To the beginning"),
        Binding("end", "edge(1)", "Last", show=False, id="plan.last", tooltip="To the end"),
    ]
    #: the row under the cursor, by its place; -1 for none
    cursor: reactive[int] = reactive(-1)

    class Chosen(Message):
        """A row that leads somewhere was chosen."""

        def __init__(self, row: Row) -> None:
            self.row = row
            super().__init__()

    class Fitted(Message):
        """The list has another width now."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._starts: list[int] = []  # the line at which each row begins
        self._width = 0

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    @property
    def room(self) -> int:
        """How many cells a line of a row may have."""
        return max(self.scrollable_content_region.width - 2, 0)

    def show(self, rows: Sequence[Row]) -> None:
        """Show rows; the cursor stays on what leads to the same place, and what was in sight stays there."""
        if list(rows) == self.rows:
            return
        at = self.row
        self.rows, self._starts, line = list(rows), [], 0
        for row in self.rows:
            self._starts.append(line)
            line += len(row.lines)
        same = (index for index, row in enumerate(self.rows) if at is not None and row.leads and row.leads == at.leads)
        self.set_reactive(PlanList.cursor, next(same, -1))
        self.virtual_size = Size(self.size.width, line)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw a line of a row."""
        y += round(self.scroll_y)
        width, base = self.size.width, self.visual_style
        if not 0 <= y < self.virtual_size.height or not self.rows:
            return Strip.blank(width, base.rich_style)
        index = bisect_right(self._starts, y) - 1
        if index == self.cursor:
            base += self.get_visual_style("plan-list--cursor")
        line = Content.assemble(" ", *self.rows[index].lines[y - self._starts[index]])
        drawn = Visual.to_strips(self, line, width, 1, base)
        return drawn[0].adjust_cell_length(width, base.rich_style)

    def watch_cursor(self) -> None:
        """Bring the row into sight, with the heading above it where there is room."""
        self.refresh()
        if self.row is None:
            return
        first, height = self._starts[self.cursor], self.size.height
        if not any(row.leads for row in self.rows[: self.cursor]):
            first = 0
        last = self._starts[self.cursor] + len(self.row.lines)
        top = round(self.scroll_y)
        if first < top or last > top + height:
            self.scroll_to(y=first if first < top else last - height, animate=False, immediate=True)

    def on_resize(self) -> None:
        """Say that the rows have to be fitted anew, where the width is another."""
        self.virtual_size = Size(self.size.width, self.virtual_size.height)
        if self._width != self.size.width:
            self._width = self.size.width
            self.post_message(self.Fitted())

    # --- keys and mouse --------------------------------------------------------------------------------------------

    def _leading(self) -> list[int]:
        return [index for index, row in enumerate(self.rows) if row.leads]

    def action_move(self, by: int) -> None:
        """Go to the next row that leads somewhere; where there is none that way, scroll."""
        found = [index for index in self._leading() if (index > self.cursor if by > 0 else 0 <= index < self.cursor)]
        if found:
            self.cursor = found[0 if by > 0 else -1]
        else:
            self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Go a page further."""
        line = (self._starts[self.cursor] if self.row is not None else 0) + by * max(self.size.height - 1, 1)
        found = self._leading()
        if found:
            wanted = [index for index in found if self._starts[index] <= line]
            self.cursor = wanted[-1] if wanted else found[0]

    def action_edge(self, end: int) -> None:
        """Go to the beginning or the end."""
        if found := self._leading():
            self.cursor = found[-1 if end else 0]
        self.scroll_to(y=self.max_scroll_y if end else 0, animate=False)

    def action_choose(self) -> None:
        """Say which row is chosen."""
        if self.row is not None and self.row.leads:
            self.post_message(self.Chosen(self.row))

    def on_click(self, event: events.Click) -> None:
        """A click goes where the row leads."""
        offset = event.get_content_offset(self)
        y = -1 if offset is None else offset.y + round(self.scroll_y)
        if 0 <= y < self.virtual_size.height and self.rows:
            index = bisect_right(self._starts, y) - 1
            if self.rows[index].leads:
                self.cursor = index
                self.action_choose()
