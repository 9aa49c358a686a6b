"""A sheet of dots in a terminal: braille, eight dots to a cell, or plain characters where there is no braille."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

Run = tuple[str, str]  # text, role

_BRAILLE = 0x2800
#: the bits of a braille cell for four dots of its left column, from the top one on, and of its right one
_LEFT = tuple(sum(bit for row, bit in enumerate((0x01, 0x02, 0x04, 0x40)) if dots >> row & 1) for dots in range(16))
_RIGHT = tuple(sum(bit for row, bit in enumerate((0x08, 0x10, 0x20, 0x80)) if dots >> row & 1) for dots in range(16))
#: upper dot, lower dot, both
_FAINT_PLAIN = " '.:"

#: of one role: the dots of each column as bits, the topmost first; so that a line down takes one step however long
_Columns = list[int]


@dataclass
class Canvas:
    """Dots in `columns` x `rows` cells. Dots are counted from the left and from the top.

    Each dot has a role. Faint ones give way to others in the same cell. Of roles in one cell the one drawn last holds;
    the dots of all lines stay. A mark takes the whole of its cell.
    """

    columns: int
    rows: int
    plain: bool = False
    _faint: dict[str, _Columns] = field(default_factory=dict)
    _lines: dict[str, _Columns] = field(default_factory=dict)
    _marks: dict[tuple[int, int], Run] = field(default_factory=dict)

    @cached_property
    def in_cell(self) -> tuple[int, int]:
        """How many dots a cell has across and down."""
        return (1, 2) if self.plain else (2, 4)

    @cached_property
    def dots(self) -> tuple[int, int]:
        """How many dots there are across and down."""
        return self.in_cell[0] * self.columns, self.in_cell[1] * self.rows

    def line(self, start: tuple[int, int], end: tuple[int, int], role: str, *, faint: bool = False) -> None:
        """Set the dots from one place to another; those outside are passed over."""
        wide, high = self.dots
        layer = (self._faint if faint else self._lines).setdefault(role, [0] * wide)
        (left, first), (right, last) = (start, end) if start[0] <= end[0] else (end, start)
        across, down = right - left, last - first
        for column in range(max(left, 0), min(right, wide - 1) + 1):
            done = column - left
            if abs(down) <= across:  # one dot in each column
                low = high_dot = first + (2 * down * done + across) // (2 * across) if across else first
            else:  # from half a column before to half a column behind
                ends = first, last
                if across:
                    ends = (
                        first + (down * max(2 * done - 1, 0)) // (2 * across),
                        first + (down * min(2 * done + 1, 2 * across)) // (2 * across),
                    )
                low, high_dot = min(ends), max(ends)
            low, high_dot = max(low, 0), min(high_dot, high - 1)
            if low <= high_dot:
                layer[column] |= ((1 << (high_dot - low + 1)) - 1) << low

    def mark(self, across: int, down: int, text: str, role: str) -> None:
        """Put a character into the cell of a dot."""
        wide, high = self.dots
        if 0 <= across < wide and 0 <= down < high:
            self._marks[down // self.in_cell[1], across // self.in_cell[0]] = (text, role)

    def row(self, number: int, pens: Mapping[str, str]) -> list[Run]:
        """Return a row of cells. `pens`: the character of each role's lines, where there is no braille."""
        cells: list[Run] = [(" ", "")] * self.columns
        self._put(cells, number, self._faint, None)
        over: list[Run] = [(" ", "")] * self.columns
        self._put(over, number, self._lines, pens)
        cells = [upper if upper[1] else lower for upper, lower in zip(over, cells, strict=True)]
        for (row, column), mark in self._marks.items():
            if row == number:
                cells[column] = mark
        return joined(cells)

    def _put(self, cells: list[Run], row: int, layers: Mapping[str, _Columns], pens: Mapping[str, str] | None) -> None:
        """Put the dots of layers into a row of cells."""
        shift = row * self.in_cell[1]
        for role, columns in layers.items():
            for cell in range(self.columns):
                if self.plain:
                    if bits := columns[cell] >> shift & 3:
                        cells[cell] = (_FAINT_PLAIN[bits] if pens is None else pens.get(role, "*"), role)
                elif (left := columns[2 * cell] >> shift & 15) | (right := columns[2 * cell + 1] >> shift & 15):
                    before = cells[cell]
                    bits = _LEFT[left] | _RIGHT[right] | (ord(before[0]) - _BRAILLE if before[1] else 0)
                    cells[cell] = (chr(_BRAILLE + bits), role)


def joined(runs: Iterable[Run]) -> list[Run]:
    """Put neighbours of one role together; blanks belong to either."""
    found: list[Run] = []
    for text, role in runs:
        if found and (found[-1][1] == role or not text.strip()):
            found[-1] = (found[-1][0] + text, found[-1][1])
        else:
            found.append((text, role))
    return found
