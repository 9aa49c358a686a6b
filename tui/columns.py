"""The columns of a table: how wide each is in the room that there is, and which vanish where there is little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: How a cell may look; each is a component class `table--ROLE`.
ROLES = ("muted", "success", "warning", "error", "accent", "strong")
#: Cells between two columns.
GAP = 1


@dataclass(frozen=True)
class Column:
    """A column of `width` cells; one that grows takes what the others leave.

    Where there is no room for all, columns of the highest `rank` vanish first; those of rank 0 never do.
    """

    name: str
    head: str
    width: int
    right: bool = False
    grow: bool = False
    rank: int = 0
    sortable: bool = True


class Cell(NamedTuple):
    """A text, and how it looks: one of `ROLES`, or ""."""

    text: str
    role: str = ""


def layout(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that are shown in so many cells, each with its width."""
    shown = list(columns)

    def needed() -> int:
        return sum(column.width + GAP for column in shown) - GAP

    while needed() > width and (spare := [column for column in shown if column.rank]):
        shown.remove(max(spare, key=lambda column: column.rank))
    growing = [column for column in shown if column.grow]
    rest, widths = width - needed(), {column.name: column.width for column in shown}
    for number, column in enumerate(growing):
        part = rest // (len(growing) - number)
        widths[column.name] = max(1, column.width + part)
        rest -= part
    return [(column, widths[column.name]) for column in shown]


def column_at(columns: Sequence[Column], width: int, x: int) -> tuple[Column, int]:
    """Return the column at a cell of a table of so many, and where that column begins."""
    left, shown = 0, layout(columns, width)
    for column, room in shown[:-1]:
        if x < left + room + GAP:
            return column, left
        left += room + GAP
    return shown[-1][0], left
