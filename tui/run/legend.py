"""The words of a chart: the names of its curves with their marks and values. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from vflow.tui.glyphs import Glyphs
from vflow.tui.run import scales
from vflow.tui.run.canvas import Run, joined
from vflow.tui.run.curves import Line, View

_GAP = "   "


def legend(
    lines: Sequence[Line], width: int, rows: int, view: View, window: tuple[float, float] | None, glyphs: Glyphs
) -> list[list[Run]]:
    """Name each curve with its mark and its value, at the cursor or the last one, in as few rows as it takes."""
    found: list[list[Run]] = [[]]
    room = width
    for number, line in enumerate(lines):
        entry = _entry(line, width, view, window, glyphs)
        size = cell_len("".join(text for text, _ in entry)) + len(_GAP)
        if found[-1] and size > room + len(_GAP):
            if len(found) == rows:
                more = f"+{len(lines) - number} more"
                if room >= len(more):
                    found[-1].append((more, "label"))
                    room -= len(more) + len(_GAP)
                break
            found.append([])
            room = width
        found[-1] += [*entry, (_GAP, "")]
        room -= size
    if view.cursor is not None and found[-1]:
        place = f"at {scales.short(round(view.cursor), 6)}"
        if room >= len(place):
            found[-1].append((place, "label"))
            room -= len(place)
    if found[-1] and room >= len(view.words):  # at the right end
        found[-1].append((" " * (room - len(view.words)) + view.words, "label"))
    return [joined(row) for row in found if row]


def values(lines: Sequence[Line], width: int, height: int, view: View, glyphs: Glyphs) -> list[list[Run]]:
    """Return a row for each curve with its value: what there is room for where no plot fits."""
    rows: list[list[Run]] = []
    for line in lines[:height]:
        value = read(line, view)
        name = glyphs.cut(glyphs.text(line.name), width - len(value) - 3) if width - len(value) > 4 else ""
        text = f"{name} {value}" if name else value
        rows.append([(f"{line.mark} "[:width], line.role), (text[: max(0, width - 2)], "word")])
    return rows


def read(line: Line, view: View) -> str:
    """Return the value that is shown in words: at the cursor, else the last one; `~` before an average."""
    points = line.averaged or line.logged
    if view.cursor is not None:
        value = scales.at(points, view.cursor)
    else:
        end = math.inf if view.last is None else view.last
        inside = [value for step, value in points if step <= end]
        value = next((one for one in reversed(inside) if scales.finite(one)), inside[-1] if inside else None)
    return "" if value is None else f"{'~' if line.averaged else ''}{scales.short(value)}"


def why_empty(lines: Sequence[Line], window: tuple[float, float] | None, view: View) -> str:
    """Say why there is nothing to draw."""
    if window is None:
        return view.nothing
    if view.log and any(scales.finite(value) for line in lines for _, value in line.logged):
        return "no value above zero here: no logarithm"
    if any(window[0] <= step <= window[1] for line in lines for step, _ in line.logged):
        return "no finite value here"
    return "no values between these steps"


def _entry(line: Line, width: int, view: View, window: tuple[float, float] | None, glyphs: Glyphs) -> list[Run]:
    value = read(line, view)
    inside = [value for step, value in line.logged if window and window[0] <= step <= window[1]]
    bad = sum(not scales.finite(one) for one in inside)
    warning = f" ! {bad} not finite" if bad else ""
    name = glyphs.cut(glyphs.text(line.name), max(4, width - len(value) - len(warning) - 3))
    runs = [(f"{line.mark} ", line.role), (f"{name} ", "word"), (value, line.role), (warning, "bad")]
    return [run for run in runs if run[0]]
