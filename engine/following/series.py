"""A metric over the steps of a run: as many points as one can look at, however many were written."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

Point = tuple[int, float]

_MOST = 8192  # points that are kept of each half


class Series:
    """The points of one metric, by step. Memory is bounded: where there are many, neighbours give their extremes.

    New points come at the end, older ones are put before the first while a long log is read backwards. Where a run was
    gone on with from an earlier step, the newer points count. Safe to read while another thread adds.
    """

    def __init__(self, name: str, node: str) -> None:
        self.name, self.node = name, node
        self.newest: Point | None = None
        self._older, self._newer = _Thinned(), _Thinned()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of points that are kept."""
        with self._lock:
            return len(self._older) + len(self._newer)

    def add(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Add points after the last, in rising order of their steps; what was there from the first of them on goes."""
        if not steps:
            return
        with self._lock:
            if self.newest is not None and steps[0] <= self.newest[0]:
                self._newer.drop(lambda step: step >= steps[0])
                self._older.drop_first(lambda step: step >= steps[0])
            self._newer.extend(steps, values)
            self.newest = (steps[-1], values[-1])

    def add_older(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Put points, in falling order of their steps, before the first; those that are not before it are left out."""
        with self._lock:
            first = self._first()
            start = 0
            while first is not None and start < len(steps) and steps[start] >= first:
                start += 1
            if start < len(steps):
                self._older.extend(steps[start:], values[start:])
                self.newest = self.newest or (steps[start], values[start])

    @property
    def first(self) -> int | None:
        """The first step; None while there is no point."""
        with self._lock:
            return self._first()

    @property
    def last(self) -> int | None:
        """The last step; None while there is no point."""
        return self.newest[0] if self.newest is not None else None

    def between(self, first: float | None = None, last: float | None = None, most: int = _MOST) -> list[Point]:
        """Return the points from step `first` to `last`, at most `most` of them (>= 4), with their extremes."""
        with self._lock:
            steps, values = self._all()
        start = 0 if first is None else bisect_left(steps, first)
        end = len(steps) if last is None else bisect_right(steps, last)
        while end - start > most:
            group = 2 * -(-(end - start) // most)
            steps, values = _extremes(steps[start:end], values[start:end], group)
            start, end = 0, len(steps)
        return list(zip(steps[start:end], values[start:end], strict=True))

    def _first(self) -> int | None:
        found = self._older.outermost()
        return self._newer.innermost() if found is None else found

    def _all(self) -> tuple[array[int], array[float]]:
        (before, earlier), (after, later) = self._older.points(), self._newer.points()
        before.reverse()
        earlier.reverse()
        return before + after, earlier + later


class _Thinned:
    """Points in one direction. Each `_width` of them became two, the lowest and the highest; those over wait."""

    def __init__(self) -> None:
        self._steps, self._values = array("q"), array("d")
        self._open_steps, self._open_values = array("q"), array("d")
        self._width = 1

    def __len__(self) -> int:
        return len(self._steps) + len(self._open_steps)

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        self._open_steps.extend(steps)
        self._open_values.extend(values)
        self._close()
        while len(self._steps) > _MOST:
            # what was closed is two points for each _width; from now on for twice as many
            even = len(self._steps) - len(self._steps) % 4
            rest = self._steps[even:], self._values[even:]
            self._steps, self._values = _extremes(self._steps[:even], self._values[:even], 4)
            self._steps.extend(rest[0])
            self._values.extend(rest[1])
            self._width = 4 if self._width == 1 else 2 * self._width
            self._close()

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Drop the last points of which `gone(step)` is true."""
        for steps, values in ((self._open_steps, self._open_values), (self._steps, self._values)):
            while steps and gone(steps[-1]):
                steps.pop()
                values.pop()

    def drop_first(self, gone: Callable[[int], bool]) -> None:
        """Drop the first points of which `gone(step)` is true."""
        for steps, values in ((self._steps, self._values), (self._open_steps, self._open_values)):
            count = 0
            while count < len(steps) and gone(steps[count]):
                count += 1
            del steps[:count], values[:count]

    def innermost(self) -> int | None:
        """Return the step of the first point, none where there is none."""
        steps = self._steps or self._open_steps
        return steps[0] if steps else None

    def outermost(self) -> int | None:
        """Return the step of the last point, none where there is none."""
        steps = self._open_steps or self._steps
        return steps[-1] if steps else None

    def points(self) -> tuple[array[int], array[float]]:
        """Return copies of steps and values."""
        return self._steps + self._open_steps, self._values + self._open_values

    def _close(self) -> None:
        if self._width == 1:
            whole = len(self._open_steps)
            steps, values = self._open_steps, self._open_values
        else:
            whole = len(self._open_steps) - len(self._open_steps) % self._width
            steps, values = _extremes(self._open_steps[:whole], self._open_values[:whole], self._width)
        self._steps.extend(steps)
        self._values.extend(values)
        self._open_steps, self._open_values = self._open_steps[whole:], self._open_values[whole:]


def _extremes(steps: array[int], values: array[float], group: int) -> tuple[array[int], array[float]]:
    """Return the lowest and the highest point of each `group` neighbours, in their order."""
    if group <= 2:
        return steps, values
    out_steps, out_values = array("q"), array("d")
    for start in range(0, len(steps), group):
        some = values[start : start + group]
        low, high = some.index(min(some)), some.index(max(some))
        for at in sorted({low, high}):
            out_steps.append(steps[start + at])
            out_values.append(some[at])
    return out_steps, out_values
