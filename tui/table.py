"""A table of any length: only the lines in sight are made. Its cursor and its place stay while rows come and go."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vflow.tui.columns import GAP, ROLES, Cell, Column, column_at, layout
from vflow.tui.glyphs import Glyphs, glyphs_for

__all__ = ["Cell", "Column", "Table"]

_NEAR = 50  # rows around its old place in which a row is looked for first


class Table(ScrollView, can_focus=True):
    """Rows under a head. Rows are known by their keys; `cells` makes the texts of a row when it is drawn."""

    DEFAULT_CSS = """
    Table {
        height: 1fr;
        background: $background;
        overflow-x: hidden;
        scrollbar-gutter: auto;
        & > .table--head { color: $foreground; background: $panel; text-style: bold; }
        & > .table--cursor { background: $surface-lighten-1; text-style: bold; }
        &:focus > .table--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
        & > .table--muted { color: $text-muted; }
        & > .table--success { color: $text-success; }
        & > .table--warning { color: $text-warning; }
        & > .table--error { color: $text-error; }
        & > .table--accent { color: $text-accent; }
        & > .table--strong { text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--cursor", *(f"table--{role}" for role in ROLES)}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down", tooltip="The next row"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up", tooltip="The row before"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down", tooltip="A page down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up", tooltip="A page up"),
        Binding("home", "edge(0)", "First", show=False, id="table.first", tooltip="The first row"),
        Binding("end", "edge(-1)", "Last", show=False, id="table.last", tooltip="The last row"),
        Binding("enter", "open", "Open", id="table.open", tooltip="Open the row"),
        Binding("s", "sort(1)", "Sort", show=False, id="table.sort", tooltip="Sort by the next column"),
        Binding("S", "turn", "Turn", show=False, id="table.turn", tooltip="Sort the other way round"),
    ]

    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, key: Any) -> None:
            self.key = key
            super().__init__()

    class Opened(Message):
        """A row was opened: by enter, or by two clicks."""

        def __init__(self, key: Any) -> None:
            self.key = key
            super().__init__()

    class Clicked(Message):
        """A row was clicked: in which column, and how many cells from that one's left edge."""

        def __init__(self, key: Any, column: str, at: int) -> None:
            self.key, self.column, self.at = key, column, at
            super().__init__()

    class Sorted(Message):
        """Rows are to be in the order of a column; `reverse`: the other way round."""

        def __init__(self, column: str, reverse: bool) -> None:
            self.column, self.reverse = column, reverse
            super().__init__()

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[Any], Sequence[Cell]],
        *,
        by: str = "",
        reverse: bool = False,
        opens: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        """`by` is the column by which the rows are sorted, of which the head tells; `opens`: rows can be opened."""
        super().__init__(id=id)
        self._opens = opens
        self.columns, self._cells = tuple(columns), cells
        self.by, self.reverse = by, reverse
        self.keys: Sequence[Hashable] = ()
        self.nothing = ""  #: said where there are no rows

    # --- what is shown ----------------------------------------------------------------------------------------------

    def show(self, keys: Sequence[Hashable], nothing: str = "") -> None:
        """Show these rows. The cursor stays on its row, and the rows in sight where they are, as far as they stay."""
        key, before, top = self.key, self.cursor, round(self.scroll_y)
        anchor = self.keys[top] if 0 < top < len(self.keys) else None
        self.keys, self.nothing = keys, nothing
        self.virtual_size = Size(self._room, len(keys) + 1)
        at = _find(keys, key, before)
        self.set_reactive(Table.cursor, max(0, min(before if at < 0 else at, len(keys) - 1)))
        if anchor is not None and (at := _find(keys, anchor, top)) >= 0 and at != top:
            self.scroll_to(y=at, animate=False, immediate=True)
        if key != self.key:
            self._tell()
        self.refresh()

    @property
    def key(self) -> Any:
        """The key of the row under the cursor; None where there are no rows."""
        return self.keys[self.cursor] if 0 <= self.cursor < len(self.keys) else None

    def go_to(self, key: Hashable) -> None:
        """Put the cursor on a row, if it is there."""
        if (at := _find(self.keys, key, self.cursor)) >= 0:
            self.cursor = at

    def redraw(self) -> None:
        """Draw again: what the cells say has changed."""
        self.refresh()

    # --- drawing ----------------------------------------------------------------------------------------------------

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return getattr(self.app, "glyphs", None) or glyphs_for()

    @property
    def _room(self) -> int:
        """The cells across that are seen: those of a scroll bar are not."""
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        """Draw a line: the head, a row, or nothing."""
        width = self._room
        if y == 0:
            return self._line([Cell(self._head(column)) for column in self.columns], width, "head")
        at = y - 1 + round(self.scroll_y)
        if at < len(self.keys):
            return self._line(self._cells(self.keys[at]), width, "cursor" if at == self.cursor else "")
        return self._say(y, width)

    def _head(self, column: Column) -> str:
        if column.name != self.by:
            return column.head
        return f"{column.head}{self.glyphs.up if self.reverse else self.glyphs.down}"

    def _line(self, cells: Sequence[Cell], width: int, role: str) -> Strip:
        line = self._style(role, self.rich_style)
        plain = role == "head" or (role == "cursor" and self.has_focus)  # colours of its own: others are not readable
        segments, glyphs = [], self.glyphs
        of = dict(zip(self.columns, cells, strict=True))
        for column, room in layout(self.columns, width):
            cell, gap = of[column], " " * GAP
            text = glyphs.cut(glyphs.text(cell.text), room)
            blank = " " * (room - cell_len(text))
            style = line if plain or not cell.role else self._style(cell.role, line)
            segments += [Segment(blank + text if column.right else text + blank, style), Segment(gap, line)]
        return Strip(segments).adjust_cell_length(width, line)

    def _say(self, y: int, width: int) -> Strip:
        from textwrap import wrap

        lines = [] if self.keys else wrap(self.glyphs.text(self.nothing), max(10, width - 2))
        text = f" {lines[y - 2]}" if 2 <= y < len(lines) + 2 else ""
        style = self._style("muted", self.rich_style)
        return Strip([Segment(text, style)]).adjust_cell_length(width, self.rich_style)

    def _style(self, role: str, base: Style) -> Style:
        if not role:
            return base
        own = self.get_component_rich_style(f"table--{role}", partial=True)
        if role in ROLES and own.color is not None:  # a muted colour is one that is mixed with what lies below it
            own += Style(color=self.get_component_rich_style(f"table--{role}").color)
        return base + own

    def watch_cursor(self, before: int, now: int) -> None:
        """Bring the row into sight, and tell."""
        if before != now:
            self._scroll_to_cursor()
            self.refresh()
            self._tell()

    def _tell(self) -> None:
        self.post_message(self.Moved(self.key))

    def _scroll_to_cursor(self) -> None:
        room, top = max(1, self.size.height - 1), round(self.scroll_y)
        if not top <= self.cursor < top + room:
            y = self.cursor if self.cursor < top else self.cursor - room + 1
            self.scroll_to(y=y, animate=False, immediate=True)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self._room, len(self.keys) + 1)
        self._scroll_to_cursor()

    # --- keys and mouse ---------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Go to the row so many further."""
        self.cursor = max(0, min(self.cursor + by, len(self.keys) - 1))

    def action_page(self, by: int) -> None:
        """Go a page further."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_edge(self, end: int) -> None:
        """Go to the first or the last row."""
        self.cursor = 0 if end == 0 else max(0, len(self.keys) - 1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done."""
        if action in ("sort", "turn"):
            return any(column.sortable for column in self.columns)
        return self._opens if action == "open" else True

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.key is not None and self._opens:
            self.post_message(self.Opened(self.key))

    def action_sort(self, by: int) -> None:
        """Sort by the next column."""
        names = [column.name for column in self.columns if column.sortable]
        at = (names.index(self.by) + by) % len(names) if self.by in names else 0
        self.sort(names[at], False)

    def action_turn(self) -> None:
        """Sort the other way round."""
        self.sort(self.by, not self.reverse)

    def sort(self, column: str, reverse: bool) -> None:
        """Say that rows are to be in this order; whoever shows them sorts them."""
        self.by, self.reverse = column, reverse
        self.refresh()
        self.post_message(self.Sorted(column, reverse))

    def on_click(self, event: events.Click) -> None:
        """A click on the head sorts, one on a row selects it, two open it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        column, left = column_at(self.columns, self._room, offset.x)
        at = offset.y - 1 + round(self.scroll_y)
        if offset.y == 0:
            if column.sortable:
                self.sort(column.name, not self.reverse if column.name == self.by else False)
        elif at < len(self.keys):
            self.cursor = at
            self.post_message(self.Clicked(self.key, column.name, offset.x - left))
            if event.chain == 2:
                self.action_open()

    def region_of(self, key: Hashable) -> Region | None:
        """Return where a row is in the widget; None where it is out of sight."""
        at = _find(self.keys, key, self.cursor) - round(self.scroll_y)
        return Region(0, at + 1, self._room, 1) if 0 <= at < self.size.height - 1 else None


def _find(keys: Sequence[Hashable], key: Hashable, near: int) -> int:
    """Return where a key is, looked for around a place first; -1 where it is not."""
    if key is None:
        return -1
    for at in range(max(0, near - _NEAR), min(len(keys), near + _NEAR + 1)):
        if keys[at] == key:
            return at
    try:
        return keys.index(key)
    except ValueError:
        return -1
