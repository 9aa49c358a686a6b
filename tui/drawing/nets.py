"""Wires between boxes in columns. Wires of one output are a net: they share a trunk. Nets never touch, they only cross.

Between two columns lies a gap with vertical lanes. A net that goes on beyond the next column keeps one row, its bus,
through all the columns that it passes. So all that can meet are verticals and horizontals, and a horizontal can run
into a foreign trunk's end only where both use the same row from opposite sides: there the one from the left turns
first. Where such demands form a circle, one trunk is split in two that are joined in a row of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class End:
    """Where a wire ends: the row of a port of a box in a column. Columns count from 0."""

    column: int
    row: int


@dataclass
class Net:
    """The wires of one output. `ahead` and `back` are the rows of its buses, to the right and to the left."""

    source: End
    targets: list[End]
    ahead: int = 0
    back: int = 0

    @property
    def last(self) -> int:
        """The last column that it reaches to the right."""
        return max((end.column for end in self.targets), default=self.source.column)

    @property
    def first(self) -> int:
        """The first column that it reaches to the left, its own or further right where it does not go back."""
        return min((end.column for end in self.targets), default=self.source.column + 1)

    def runs_ahead(self) -> bool:
        """Tell whether it passes a column to the right."""
        return self.last > self.source.column + 1

    def runs_back(self) -> bool:
        """Tell whether it goes back, as in a cycle."""
        return self.first <= self.source.column

    def shift(self, rows: Sequence[int] | dict[int, int]) -> None:
        """Move it to other rows: `rows` maps old to new."""
        self.source = End(self.source.column, rows[self.source.row])
        self.targets = [End(end.column, rows[end.row]) for end in self.targets]
        self.ahead = rows[self.ahead] if self.runs_ahead() else 0
        self.back = rows[self.back] if self.runs_back() else 0


def choose_buses(nets: Iterable[Net], taken: list[int], margin: int) -> None:
    """Give each long wire a row of its own: the nearest one that nothing uses in the columns it passes.

    `taken` holds the rows in use as bits, a column each; row 0 is bit `margin`, which leaves room above. It is
    changed.
    """
    spans: list[tuple[int, int, int, Net, bool]] = []
    for index, net in enumerate(nets):
        if net.runs_ahead():
            spans.append((net.last - net.source.column, index, 0, net, True))
        if net.runs_back():
            spans.append((net.source.column - net.first + 1, index, 1, net, False))
    for _, _, _, net, ahead in sorted(spans, key=lambda span: span[:3]):
        if ahead:
            passed = range(net.source.column + 1, net.last)
            ends = [end.row for end in net.targets if end.column > net.source.column + 1]
        else:
            passed = range(net.first, net.source.column + 1)
            ends = [end.row for end in net.targets if end.column <= net.source.column]
        used = 0
        for column in passed:
            used |= taken[column]
        row = _nearest(used, net.source.row, ends, margin)
        for column in passed:
            taken[column] |= 1 << (row + margin)
        if ahead:
            net.ahead = row
        else:
            net.back = row


def _nearest(used: int, source: int, ends: list[int], margin: int) -> int:
    """Return the free row from which the ways to all ends are shortest; straight ways are preferred."""
    rows = sorted([source, *ends])
    anchors = {source, rows[len(rows) // 2], *ends[:4]}
    candidates: set[int] = set()
    for anchor in anchors:
        above = below = anchor + margin
        while used >> below & 1:
            below += 1
        while above >= 0 and used >> above & 1:
            above -= 1
        candidates.add(below - margin)
        if above >= 0:
            candidates.add(above - margin)
    bends = {row: (row != source) + sum(row != end for end in ends) for row in candidates}
    return min(candidates, key=lambda row: (sum(abs(row - one) for one in rows) + 2 * bends[row], row))
