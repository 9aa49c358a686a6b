"""The gap between two columns of boxes: which nets turn there, and the vertical lane that each gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vflow.tui.drawing.nets import End, Net, Point

_MANY = 12  #: trunks in a gap, up to which it is looked at what each order costs


@dataclass
class Trunk:
    """A net in one gap: rows where it comes from or goes to the column on the left, and on the right.

    Once split, the lanes of the two parts differ and `joined` is the row that joins them.
    """

    lefts: set[int] = field(default_factory=set)
    rights: set[int] = field(default_factory=set)
    left_lane: int = -1
    right_lane: int = -1
    joined: int | None = None

    def is_straight(self) -> bool:
        """Tell whether it needs no lane."""
        return len(self.lefts) == 1 and self.lefts == self.rights


def trunks(nets: Sequence[Net], gaps: int) -> list[dict[int, Trunk]]:
    """Return what each net does in each gap, by its index. Gap `n` lies left of column `n`."""
    found: list[dict[int, Trunk]] = [{} for _ in range(gaps)]
    for index, net in enumerate(nets):
        start = net.source.column

        def at(gap: int, index: int = index) -> Trunk:
            return found[gap].setdefault(index, Trunk())

        for end in net.targets:
            at(end.column).rights.add(end.row)
        at(start + 1).lefts.add(net.source.row)
        for gap in range(start + 1, net.last):
            at(gap).rights.add(net.ahead)
            at(gap + 1).lefts.add(net.ahead)
        if net.runs_back():
            for gap in range(net.first, start + 1):
                at(gap).rights.add(net.back)
                at(gap + 1).lefts.add(net.back)
    return found


def choose_lanes(gap: dict[int, Trunk]) -> int:
    """Give the trunks of a gap their lanes; return how many lanes there are."""
    bent = {net: trunk for net, trunk in gap.items() if not trunk.is_straight()}
    used = {row for trunk in gap.values() for row in trunk.lefts | trunk.rights}
    while True:
        parts = [part for net, trunk in bent.items() for part in _parts(net, trunk)]
        order, stuck = _sorted(parts)
        if not stuck:
            break
        # those that wait for each other; the parts of a split one never do
        chosen = min(stuck, key=lambda part: (len(part.lefts) + len(part.rights), part.net))
        trunk = bent[chosen.net]
        trunk.joined = _free_row(used, chosen.low, chosen.high)
        used.add(trunk.joined)
    lanes: list[list[_Part]] = []
    for part in order:
        # what has to stand right of another shares a row with it, so it never comes to stand in its lane, or before
        below = [n for n, lane in enumerate(lanes) if any(one.touches(part) for one in lane)]
        lane = below[-1] + 1 if below else 0
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(part)
        if part.is_left:
            bent[part.net].left_lane = lane
        if part.is_right:
            bent[part.net].right_lane = lane
    return len(lanes)


@dataclass
class _Part:
    """A trunk, or one of the two parts of a split one."""

    net: int
    lefts: set[int]
    rights: set[int]
    joined: int | None = None
    is_left: bool = True
    is_right: bool = True
    low: int = field(init=False)
    high: int = field(init=False)

    def __post_init__(self) -> None:
        rows = [*self.lefts, *self.rights, *(() if self.joined is None else (self.joined,))]
        self.low, self.high = min(rows), max(rows)

    def touches(self, other: _Part) -> bool:
        """Tell whether they cannot share a lane: a row is left between two."""
        return self.low - 1 <= other.high and other.low - 1 <= self.high

    def crossed(self, other: _Part) -> int:
        """Return how often they cross where this one stands left of the other."""
        passed = [row for row in self.rights if other.low < row < other.high]
        return len(passed) + len([row for row in other.lefts if self.low < row < self.high])

    def wish(self) -> tuple[float, int]:
        """Where it would like to stand: of those that go down, the lowest first, of those that go up, the highest."""
        start = sum(self.lefts) / len(self.lefts) if self.lefts else float(self.high)
        rows = self.rights or {self.low}
        down = sum(rows) / len(rows) > start
        return (-start if down else start, self.net)


def _parts(net: int, trunk: Trunk) -> list[_Part]:
    if trunk.joined is None:
        return [_Part(net, trunk.lefts, trunk.rights)]
    left = _Part(net, trunk.lefts, set(), trunk.joined, is_right=False)
    return [left, _Part(net, set(), trunk.rights, trunk.joined, is_left=False)]


def _sorted(parts: list[_Part]) -> tuple[list[_Part], list[_Part]]:
    """Return the parts from left to right, and those on a circle of demands, or behind one, that could be split."""
    left_at = {row: index for index, part in enumerate(parts) for row in part.lefts}
    halves = {part.net: index for index, part in enumerate(parts) if not part.is_right}
    waits = [{left_at[row] for row in part.rights if row in left_at} - {index} for index, part in enumerate(parts)]
    for index, part in enumerate(parts):
        if not part.is_left:
            waits[index].add(halves[part.net])
    after: dict[int, list[int]] = {}
    for index, waited in enumerate(waits):
        for one in waited:
            after.setdefault(one, []).append(index)
    cost = _costs(parts) if len(parts) <= _MANY else None
    order: list[int] = []
    left = dict.fromkeys(range(len(parts)))
    ready = [index for index, waited in enumerate(waits) if not waited]
    while ready:
        first = min(
            ready, key=lambda index: (sum(cost[index][one] for one in left) if cost else 0, parts[index].wish())
        )
        ready.remove(first)
        order.append(first)
        del left[first]
        for one in after.get(first, ()):
            waits[one].discard(first)
            if not waits[one]:
                ready.append(one)
    stuck = [part for index, part in enumerate(parts) if index in left and part.is_left and part.is_right]
    return [parts[index] for index in order], stuck


def _costs(parts: list[_Part]) -> list[list[int]]:
    """Return how many more crossings there are with one part left of another than the other way round."""
    return [[one.crossed(other) - other.crossed(one) for other in parts] for one in parts]


def _free_row(used: set[int], low: int, high: int) -> int:
    """Return the row nearest to the middle of a span that no wire of the gap uses; rows below the span are free."""
    middle = (low + high) // 2
    free: list[int] = [row for row in range(low, high + len(used) + 1) if row not in used]
    # a row outside makes the wire longer, so those inside come first
    return min(free, key=lambda row: (row > high, abs(row - middle)))


def way(
    net: Net, end: End, gaps: Sequence[dict[int, Trunk]], index: int, starts: Sequence[int], stops: Sequence[int]
) -> list[Point]:
    """Return the corners of the wire from a net's output to one of its ends, as (column of cells, row).

    `starts` and `stops` are the first and the last column of cells of each gap; lanes lie two cells apart.
    """
    source = net.source
    points: list[Point] = [(starts[source.column + 1], source.row)]
    row, side = source.row, "left"
    if end.column > source.column:
        route = range(source.column + 1, end.column + 1)
    else:
        route = range(source.column + 1, end.column - 1, -1)
    for gap in route:
        back = end.column <= source.column
        to_row = end.row if gap == end.column else net.back if back else net.ahead
        to_side = "right" if gap == end.column or not back else "left"
        trunk = gaps[gap][index]
        if trunk.left_lane >= 0:
            xs = {
                "left": starts[gap] + 1 + 2 * trunk.left_lane,
                "right": starts[gap] + 1 + 2 * trunk.right_lane,
            }
            points.append((xs[side], row))
            if trunk.joined is not None and side != to_side:
                points += [(xs[side], trunk.joined), (xs[to_side], trunk.joined)]
            points.append((xs[to_side], to_row))
        row = to_row
        side = "right" if back else "left"
    points.append((stops[end.column], end.row))
    return [point for index, point in enumerate(points) if not index or point != points[index - 1]]


def gap_width(lanes: int) -> int:
    """Return how many cells a gap takes: the stub of an output, its lanes with a cell between two, an arrow."""
    return 2 * lanes + 2 if lanes else 3
