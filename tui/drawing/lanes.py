"""Lanes for rails: one row a node, and for each node that others read a lane from its row down to its last reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from vflow.engine.outline import Outline


class Lane(NamedTuple):
    """The lane of a node that others read. One that goes `up` leads to readers above it, which closes a cycle."""

    source: str
    up: bool = False


@dataclass
class Row:
    """What a node's row has: the column of its dot, and the lanes there, by their columns.

    `straight` leads from above into the dot, and ends. `taps` are joined to the dot by a line; of these, `ends` go no
    further down, and `starts` come from nowhere above: that is how the lane of a cycle begins. `passing` are not
    joined. `below` are those that go on under the row.
    """

    dot: int
    straight: Lane | None = None
    taps: dict[int, Lane] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    starts: set[int] = field(default_factory=set)
    passing: dict[int, Lane] = field(default_factory=dict)
    below: dict[int, Lane] = field(default_factory=dict)

    def columns(self) -> int:
        """Return how many columns it needs."""
        return max((self.dot, *self.taps, *self.passing, *self.below)) + 1


def rows_of(outline: Outline) -> dict[str, Row]:
    """Return the row of each node, in the order of the outline.

    Wires that hang, or lead from a node to itself, have no lane: the row says them in words.
    """
    place = {name: index for index, name in enumerate(outline.nodes)}
    reads: dict[str, list[Lane]] = {name: [] for name in place}
    until: dict[Lane, str] = {}  # the last row of a lane
    for wire in outline.wires:
        source, target = place.get(wire.source), place[wire.target]
        if source is None or source == target:
            continue
        lane = Lane(wire.source, source > target)
        if lane not in reads[wire.target]:
            reads[wire.target].append(lane)
        if lane.up:
            until[lane] = wire.source
        elif place[until.get(lane, wire.target)] <= target:
            until[lane] = wire.target
    lanes = _Lanes()
    return {name: _row(name, reads[name], until, lanes) for name in outline.nodes}


def _row(name: str, reads: list[Lane], until: dict[Lane, str], lanes: _Lanes) -> Row:
    above = dict(lanes.taken())
    ends = {lanes.columns.index(lane) for lane in reads if not lane.up and until[lane] == name}
    straight = min(ends, default=None)
    dot = lanes.free() if straight is None else straight
    lanes.reach(dot)
    for lane in reads:
        if lane.up and lane not in lanes.columns:
            lanes.take(len(lanes.columns), lane)
    joined = {lanes.columns.index(lane): lane for lane in reads}
    if (own := Lane(name, up=True)) in lanes.columns:
        joined[lanes.columns.index(own)] = own
    ending = {column for column, lane in joined.items() if until[lane] == name}
    row = Row(dot, joined.pop(dot, None), joined, ending - {dot})
    row.starts = {column for column in joined if column not in above}
    row.passing = {column: lane for column, lane in above.items() if column != dot and column not in joined}
    for column in ending:
        lanes.columns[column] = None
    if Lane(name) in until:
        lanes.take(dot, Lane(name))
    row.below = dict(lanes.taken())
    return row


class _Lanes:
    """The columns, each with the lane that is in it."""

    def __init__(self) -> None:
        self.columns: list[Lane | None] = []

    def free(self) -> int:
        return next((index for index, lane in enumerate(self.columns) if lane is None), len(self.columns))

    def reach(self, column: int) -> None:
        self.columns += [None] * (column + 1 - len(self.columns))

    def take(self, column: int, lane: Lane) -> None:
        self.reach(column)
        self.columns[column] = lane

    def taken(self) -> list[tuple[int, Lane]]:
        return [(index, lane) for index, lane in enumerate(self.columns) if lane is not None]
