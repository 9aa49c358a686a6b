"""What a chart shows: curves, how they are looked at, and the points that are drawn of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vflow.tui.run import scales
from vflow.tui.run.scales import Point

#: how many curves have a colour and a mark of their own; those after them begin again
KINDS = 6
MARKS, PLAIN_MARKS = "●▲■◆○△", "*+xo#%"
#: points asked for, for each cell across: two dots, twice (extremes), and as much on either side
_FINE = 12


class SeriesLike(Protocol):
    """A metric as it is kept: see `vflow.engine.following`."""

    @property
    def first(self) -> float | None:
        """The first step; None where there are no values."""

    @property
    def last(self) -> float | None:
        """The last step; None where there are no values."""

    def between(self, first: float | None, last: float | None, most: int) -> Iterable[Point]:
        """Return about `most` (step, value) points, extremes among them; None: from the first, to the last."""


@dataclass(frozen=True)
class Curve:
    """A series and what it is called in the legend."""

    name: str
    series: SeriesLike


@dataclass(frozen=True)
class View:
    """How curves are looked at. `first`, `last` bound the steps (None: all); `cursor` is a step whose values are read.

    `smoothing` is the weight of the past, 0 (none) up to 1; `log` has a logarithmic axis of values. `nothing` is said
    where there are no curves.
    """

    first: float | None = None
    last: float | None = None
    log: bool = False
    smoothing: float = 0.0
    cursor: float | None = None
    nothing: str = "no values yet"

    @property
    def words(self) -> str:
        """What is not as it is usually: `smooth 0.9, log`."""
        return ", ".join([f"smooth {self.smoothing:g}"] * bool(self.smoothing) + ["log"] * self.log)


@dataclass(frozen=True)
class Line:
    """A curve ready to be drawn; `kind` counts colours and marks.

    `logged` and `averaged` are values; `raw` and `smooth` are the same on the axis: exponents of ten where that is
    logarithmic, NaN where a value cannot be shown. `averaged` and `smooth` are empty without smoothing.
    """

    kind: int
    name: str
    mark: str
    logged: list[Point]
    raw: list[Point]
    averaged: list[Point]
    smooth: list[Point]

    @property
    def role(self) -> str:
        """The role of what is drawn of it."""
        return f"curve{self.kind}"

    def inside(self, window: tuple[float, float]) -> bool:
        """Tell whether there is something to draw between two steps."""
        return bool(scales.seen(self.raw, window))


def extent(curves: Iterable[Curve]) -> tuple[float, float] | None:
    """Return the first and the last step of all curves; None where none has a value."""
    ends = [(curve.series.first, curve.series.last) for curve in curves]
    known = [(first, last) for first, last in ends if first is not None and last is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None


def window_of(curves: Iterable[Curve], view: View) -> tuple[float, float] | None:
    """Return the steps that the plot spans; None where there is no value at all."""
    known = extent(curves)
    if known is None:
        return None
    first = known[0] if view.first is None else view.first
    last = known[1] if view.last is None else view.last
    return (first, last) if last > first else (first - 1, first + 1)


def lines_of(curves: Sequence[Curve], width: int, view: View, *, plain: bool) -> list[Line]:
    """Read the points that a plot of so many cells needs, and smooth them."""
    marks = PLAIN_MARKS if plain else MARKS
    logged = [[(float(x), float(y)) for x, y in _points(curve.series, width, view)] for curve in curves]
    apart = min((gap for points in logged if (gap := scales.apart(points))), default=1.0)
    lines = []
    for number, (curve, points) in enumerate(zip(curves, logged, strict=True)):
        kind = number % KINDS
        smooth = scales.smoothed(points, view.smoothing, apart) if view.smoothing > 0 else []
        raw = _on_axis(points, view.log)
        lines.append(Line(kind, curve.name, marks[kind], points, raw, smooth, _on_axis(smooth, view.log)))
    return lines


def _points(series: SeriesLike, width: int, view: View) -> list[Point]:
    """Return what is to be drawn, and what lies beside: smoothing begins there, and lines leave the plot."""
    most = _FINE * width
    if view.first is None or view.last is None:
        return list(series.between(view.first, view.last, most))
    span = view.last - view.first
    found = list(series.between(view.first - span, view.last + span, most))
    if len(found) < width and len(whole := list(series.between(None, None, most))) < most:
        return whole  # of a rare series the points beside may lie far away
    return found


def _on_axis(points: Iterable[Point], log: bool) -> list[Point]:
    if not log:
        return [(step, value if scales.finite(value) else math.nan) for step, value in points]
    return [(step, math.log10(value) if scales.finite(value) and value > 0 else math.nan) for step, value in points]
