"""Curves as text: `plot` turns series into rows of (text, role), drawn in braille or in plain characters.

Pure: no terminal, no clock. Several curves are told apart by their mark and by their role (which becomes a colour);
with smoothing the raw curve stands faintly behind the smooth one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from vflow.tui.glyphs import UNICODE, Glyphs
from vflow.tui.run import legend as words
from vflow.tui.run import scales
from vflow.tui.run.canvas import Canvas, Run
from vflow.tui.run.curves import KINDS, PLAIN_MARKS, Curve, Line, View, lines_of, window_of
from vflow.tui.run.scales import Point

#: the smallest plot with axes, in cells
_LEAST_COLUMNS, _LEAST_ROWS = 16, 4
#: columns between two marks of a curve
_MARKS_APART = 14
#: what is left free above and below the curves, as a share of what they span
_EDGE = 0.04
_WHOLE = View()


@dataclass(frozen=True)
class Sheet:
    """What `draw` made: `rows` of (text, role), and where in them the steps `first` to `last` lie: `columns` cells
    from cell `start` on; no cells where there is no plot."""

    rows: list[list[Run]]
    start: int = 0
    columns: int = 0
    first: float = 0.0
    last: float = 0.0

    def step_at(self, column: int) -> float | None:
        """Return the step below a cell of a row; None beside the plot."""
        if not self.start <= column < self.start + self.columns:
            return None
        return self.first + (self.last - self.first) * (column - self.start) / max(1, self.columns - 1)


def plot(
    curves: Sequence[Curve], width: int, height: int, glyphs: Glyphs = UNICODE, view: View = _WHOLE
) -> list[list[Run]]:
    """Draw curves into `height` rows of `width` cells; returns each row as runs of (text, role).

    Roles: `curve0` to `curve5` and `raw0` to `raw5` (faint), `axis`, `label`, `cursor`, `bad` (values that cannot be
    drawn), `word` (text), and "" for blanks. Whatever the series hold, something readable comes out.
    """
    return draw(curves, width, height, glyphs, view).rows


def draw(curves: Sequence[Curve], width: int, height: int, glyphs: Glyphs = UNICODE, view: View = _WHOLE) -> Sheet:
    """Draw curves as `plot`, and tell where the steps lie."""
    if width < 1 or height < 1:
        return Sheet([])
    window = window_of(curves, view)
    lines = lines_of(curves, width, view, plain=glyphs.ascii)
    visible = [line for line in lines if line.inside(window)] if window else []
    above = words.legend(lines, width, max(1, height // 4), view, window, glyphs)
    if window is None or not visible:
        above = above[: height - 1]
        why = _middle(words.why_empty(lines, window, view), width, height - len(above), glyphs)
        return Sheet(_filled([*above, *why], width, height))
    if width < _LEAST_COLUMNS or height - len(above) < _LEAST_ROWS:
        return Sheet(_filled(words.values(lines, width, height, view, glyphs), width, height))
    rows, columns = _axes(visible, width, height - len(above), window, view, glyphs.ascii)
    return Sheet(_filled([*above, *rows], width, height), width - columns, columns, *window)


def _axes(
    lines: Sequence[Line], width: int, height: int, window: tuple[float, float], view: View, plain: bool
) -> tuple[list[list[Run]], int]:
    """Return the rows of the plot with its axes, and how many cells wide the plot itself is."""
    low, high = _range(lines, window, view.log)
    rows = height - 2  # the axis of steps and its labels
    most = max(2, rows // 3 + 1)
    ticks = scales.log_ticks(low, high, most) if view.log else scales.ticks(low, high, most)
    texts = [scales.short(scales.power_of(tick), 3) for tick in ticks] if view.log else scales.labels(ticks)
    beside = min(max(len(text) for text in texts), width // 2)
    columns = width - beside - 2
    canvas = Canvas(columns, rows, plain)
    wide, high_dots = canvas.dots
    place = _Place(window, (low, high), wide, high_dots)
    for line in reversed(lines):  # the first curve is on top
        _draw(canvas, line, place, alone=len(lines) == 1)
    if view.cursor is not None:
        _draw_cursor(canvas, place.across(view.cursor), "|" if plain else "│")
    pens = {f"curve{kind}": mark for kind, mark in enumerate(PLAIN_MARKS)}
    at_row = {place.down(tick) * rows // high_dots: text for tick, text in zip(ticks, texts, strict=True)}
    stroke, tick_mark = ("|", "+") if plain else ("│", "┤")
    sheet = []
    for number in range(rows):
        text = at_row.get(number, "")
        axis = (f"{text[:beside]:>{beside}} {tick_mark if text else stroke}", "axis")
        sheet.append([axis, *canvas.row(number, pens)])
    return [*sheet, *_steps(window, columns, beside, plain)], columns


@dataclass(frozen=True)
class _Place:
    """Where steps and values lie among the dots."""

    steps: tuple[float, float]
    values: tuple[float, float]
    wide: int
    high: int

    def across(self, step: float) -> int:
        first, last = self.steps
        return round((step - first) / (last - first) * (self.wide - 1))

    def down(self, value: float) -> int:
        low, high = self.values
        return round((high - value) / (high - low) * (self.high - 1))


def _range(lines: Sequence[Line], window: tuple[float, float], log: bool) -> tuple[float, float]:
    """Return what the axis of values spans: all that are visible, but no outliers of raw ones behind a smooth curve."""
    values: list[float] = []
    for line in lines:
        raw = sorted(scales.seen(line.raw, window))
        cut = len(raw) // 50 if line.smooth else 0
        values += raw[cut : len(raw) - cut]
        values += scales.seen(line.smooth, window)
    low, high = min(values), max(values)
    edge = (high - low) * _EDGE or abs(high) * 0.1 or 1.0
    return max(0.0, low - edge) if low > 0 and not log else low - edge, high + edge


def _draw(canvas: Canvas, line: Line, place: _Place, *, alone: bool) -> None:
    if line.smooth:
        _stroke(canvas, line.raw, place, f"raw{line.kind}", faint=True)
    shown = line.smooth or line.raw
    inside = _stroke(canvas, shown, place, line.role, faint=False)
    _mark(canvas, inside, line, place, alone)
    bottom = place.high - 1
    for step, value in line.logged:
        if not scales.finite(value) and place.steps[0] <= step <= place.steps[1]:
            canvas.mark(place.across(step), bottom, "!", "bad")


def _stroke(canvas: Canvas, points: Sequence[Point], place: _Place, role: str, *, faint: bool) -> list[Point]:
    """Join points by lines as far as the window goes, with gaps where they are not finite; return those inside."""
    inside = []
    before: Point | None = None
    for point in points:
        if not math.isfinite(point[1]):
            before = None
            continue
        if place.steps[0] <= point[0] <= place.steps[1]:
            inside.append(point)
            here = place.across(point[0]), place.down(point[1])
            canvas.line(here, here, role, faint=faint)
        if before is not None and (ends := scales.cut_to(before, point, place.steps)):
            (start, low), (end, high) = ends
            canvas.line(
                (place.across(start), place.down(low)), (place.across(end), place.down(high)), role, faint=faint
            )
        before = point
    return inside


def _mark(canvas: Canvas, inside: Sequence[Point], line: Line, place: _Place, alone: bool) -> None:
    """Put the curve's mark on single points, and along a line where there are several curves."""
    if not inside:
        return
    few = len(inside) * 6 <= canvas.columns
    if few:
        chosen: Iterable[Point] = inside
    elif alone:
        return
    else:
        chosen = _spread(inside, place, line.kind, canvas.columns)
    for step, value in chosen:
        canvas.mark(place.across(step), place.down(value), line.mark, line.role)


def _spread(inside: Sequence[Point], place: _Place, kind: int, columns: int) -> Iterator[Point]:
    """Yield a point every few columns, those of several curves in different ones."""
    apart = _MARKS_APART * place.wide / columns
    due = apart * (0.5 + kind / KINDS) / 1.5
    for point in inside:
        across = place.across(point[0])
        if across >= due:
            yield point
            due += apart * max(1, math.ceil((across - due + 1) / apart))


def _draw_cursor(canvas: Canvas, across: int, stroke: str) -> None:
    in_row = canvas.dots[1] // canvas.rows
    for row in range(canvas.rows):
        canvas.mark(across, row * in_row, stroke, "cursor")


def _steps(window: tuple[float, float], columns: int, beside: int, plain: bool) -> list[list[Run]]:
    """Return the axis of steps and its labels."""
    first, last = window
    ticks = scales.ticks(first, last, max(2, columns // 10), whole=last - first >= 1)
    corner, stroke, down = ("+", "-", "+") if plain else ("└", "─", "┬")
    axis, under = [stroke] * columns, [" "] * (beside + 2 + columns)
    free = 0
    for tick, text in zip(ticks, scales.labels(ticks), strict=True):
        at = round((tick - first) / (last - first) * (columns - 1))
        if not 0 <= at < columns:
            continue
        axis[at] = down
        start = min(max(free, beside + 2 + at - len(text) // 2), len(under) - len(text))
        if start >= free:
            under[start : start + len(text)] = text
            free = start + len(text) + 1
    return [[(" " * (beside + 1) + corner + "".join(axis), "axis")], [("".join(under).rstrip(), "label")]]


def _middle(text: str, width: int, height: int, glyphs: Glyphs) -> list[list[Run]]:
    return [*([[]] * max(0, (height - 1) // 2)), [(glyphs.cut(text, width).center(width).rstrip(), "label")]]


def _filled(rows: Sequence[Sequence[Run]], width: int, height: int) -> list[list[Run]]:
    """Make every row as wide, and as many as there is room for."""
    found = []
    for row in rows[:height]:
        room, kept = width, []
        for text, role in row:
            if room <= 0:
                break
            piece = text if cell_len(text) <= room else set_cell_size(text, room)
            kept.append((piece, role))
            room -= cell_len(piece)
        found.append([*kept, (" " * room, "")] if room > 0 else kept)
    return found + [[(" " * width, "")] for _ in range(height - len(found))]
