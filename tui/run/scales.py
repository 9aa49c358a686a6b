"""Axes and numbers of a chart: nice ticks, their labels, smoothing. Pure functions over (step, value) points."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

Point = tuple[float, float]

_NICE = (1, 2, 2.5, 5, 10)
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_HUGE = 1e13


def finite(value: float) -> bool:
    """Tell whether a value can be drawn: a number, and not so large that sums of a few overflow."""
    return abs(value) < 1e300


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return at most `most` round numbers from `low` to `high`, evenly apart; `whole`: no fractions (steps)."""
    span = high - low
    if most < 1 or not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    for factor in (*_NICE, 20, 50, 100):
        apart = factor * power
        if whole:
            apart = max(1.0, math.ceil(apart))
        first, last = math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9)
        if last - first + 1 <= most:
            return [number * apart for number in range(first, last + 1)]
    return [low]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` exponents of ten from `low` to `high`: decades, and round numbers between where few are.

    `low` and `high` are exponents themselves (decimal logarithms of what is shown).
    """
    first, last = math.floor(low), math.floor(high)
    decades = [float(power) for power in range(first, last + 1) if low <= power <= high]
    if len(decades) > most:
        return decades[:: math.ceil(len(decades) / max(1, most))]
    found, apart = decades, (high - low) / most
    for part in (5, 2, 3, 7, 4, 6, 8, 9):
        for power in range(first, last + 1):
            tick = power + math.log10(part)
            if low <= tick <= high and all(abs(tick - other) >= apart for other in found):
                found.append(tick)
    if len(found) > 1:
        return sorted(found)
    # less than a factor of two: round numbers, as on a plain axis
    return [math.log10(one) for one in ticks(power_of(low), power_of(high), most) if one > 0] or found


def power_of(exponent: float) -> float:
    """Return ten to an exponent, the largest number there is beyond it."""
    return math.pow(10.0, max(-300.0, min(exponent, 308.0)))


def labels(numbers: Sequence[float]) -> list[str]:
    """Write ticks with equally many decimals: `0.05`, `1.5k`, `2e-5`."""
    largest = max((abs(number) for number in numbers), default=0.0)
    if largest == 0:
        return ["0" for _ in numbers]
    if largest < 1e-3 or largest >= _HUGE:
        return [short(number, 3) for number in numbers]
    unit, suffix = next(((unit, suffix) for unit, suffix in _SUFFIXES if largest >= 10 * unit), (1.0, ""))
    scaled = [number / unit for number in numbers]
    decimals = next((d for d in range(6) if all(abs(round(one, d) - one) < 1e-6 * largest / unit for one in scaled)), 6)
    return [f"{one:.{decimals}f}{suffix if one else ''}" for one in scaled]


def short(value: float, digits: int = 4) -> str:
    """Write a value in few characters: `0.07415`, `12.4`, `4e-5`, `1.2M`, `nan`."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    for unit, suffix in _SUFFIXES:
        if 10 * unit <= size < _HUGE:
            return f"{value / unit:.{digits}g}{suffix}"
    if 1e-4 <= size < _HUGE:
        return f"{value:.{digits}g}" if size < 10**digits else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def apart(points: Sequence[Point]) -> float | None:
    """Return the distance of the closest two points in steps; None of fewer than two."""
    gaps = (later[0] - earlier[0] for earlier, later in pairwise(points))
    return min((gap for gap in gaps if gap > 0), default=None)


def smoothed(points: Iterable[Point], weight: float, unit: float = 1.0) -> list[Point]:
    """Return the exponential moving average of points, corrected for its bias at the beginning.

    `weight` (0 up to 1, exclusive) is that of the past over `unit` steps, as in TensorBoard where points lie so far
    apart. Over longer distances it is taken to their power: points that were thinned out give about the same curve,
    and rare ones (an evaluation) are averaged no further back than frequent ones beside them. Values that are not
    finite stay as they are and do not enter.
    """
    total = share = 0.0
    before: float | None = None
    found = []
    for step, value in points:
        if not finite(value):
            found.append((step, value))
            continue
        past = weight if before is None else weight ** max(1.0, (step - before) / unit)
        before = step
        total, share = past * total + (1 - past) * value, past * share + (1 - past)
        found.append((step, total / share if share else value))
    return found


def at(points: Sequence[Point], step: float) -> float | None:
    """Return the value at a step: that of the last point up to it; None before the first."""
    place = bisect_right(points, step, key=lambda point: point[0])
    return points[place - 1][1] if place else None


def seen(points: Iterable[Point], window: tuple[float, float]) -> list[float]:
    """Return the finite values between two steps, and those where the lines between points cross them."""
    found = []
    before: Point | None = None
    for point in points:
        if not math.isfinite(point[1]):
            before = None
            continue
        if window[0] <= point[0] <= window[1]:
            found.append(point[1])
        if before is not None and (ends := cut_to(before, point, window)):
            found += [value for _, value in ends]
        before = point
    return found


def cut_to(start: Point, end: Point, window: tuple[float, float]) -> tuple[Point, Point] | None:
    """Return the part of a line that lies between two steps."""
    if end[0] < window[0] or start[0] > window[1]:
        return None

    def on(step: float) -> Point:
        share = (step - start[0]) / (end[0] - start[0])
        return step, start[1] + share * (end[1] - start[1])

    return start if start[0] >= window[0] else on(window[0]), end if end[0] <= window[1] else on(window[1])
