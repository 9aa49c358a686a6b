"""Wires on a canvas: lines, the corners and junctions where they meet, arrows at their ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from vflow.tui.drawing.canvas import Canvas, Drawing, Role
from vflow.tui.drawing.items import Strand
from vflow.tui.drawing.layout import Routed
from vflow.tui.drawing.nets import Point
from vflow.tui.glyphs import Glyphs

#: A piece of a wire, its smaller end first.
Segment = tuple[Point, Point]
Arms = tuple[int, int, int, int]  # up, down, left, right


def paint(canvas: Canvas, nets: Sequence[Routed], glyphs: Glyphs) -> None:
    """Draw all wires. Where two nets cross, the horizontal one is interrupted: it passes under."""
    pieces = [_pieces(net) for net in nets]
    across, down = glyphs.line(left=1, right=1), glyphs.line(up=1, down=1)
    for segments in pieces:
        for ((x, y), (other, below)), role in segments.items():
            if y == below:
                canvas.across(y, x, other, across, role)
    for segments in pieces:
        for ((x, y), (_, below)), role in segments.items():
            for row in range(y, below + 1 if y != below else y):
                canvas.text[row][x] = down
                canvas.roles[row][x] = role
    for net, segments in zip(nets, pieces, strict=True):
        points = {point for _, way in net.ways for point in way}
        for (x, y), arms in arms_at(points, segments).items():
            canvas.text[y][x] = glyphs.line(*arms)
        for strand, way in net.ways:
            canvas.put(*way[-1], arrow(strand, glyphs), _role(strand, way))


def highlight(drawing: Drawing, net: Routed, chosen: Sequence[tuple[Strand, list[Point]]], glyphs: Glyphs) -> None:
    """Lay some wires of a net over a drawing, heavy, on top of what they cross."""
    across, down = glyphs.line(left=2, right=2), glyphs.line(up=2, down=2)
    roles = {_role(strand, way) for strand, way in chosen}
    role = Role.WIRE_BROKEN if roles == {Role.WIRE_BROKEN} else Role.WIRE_ON
    heavy = {piece for _, way in chosen for piece in _segments(way)}
    for (x, y), (other, below) in heavy:
        if y == below:
            drawing.lay(x, y, across * (other - x + 1), role)
    for (x, y), (_, below) in heavy:
        for row in range(y, below + 1 if y != below else y):
            drawing.lay(x, row, down, role)
    points = {point for _, way in net.ways for point in way}
    light = arms_at(points, _pieces(net))
    for (x, y), arms in arms_at(points, heavy).items():
        if any(arms):
            both = [max(2 * strong, weak) for strong, weak in zip(arms, light[x, y], strict=True)]
            drawing.lay(x, y, glyphs.line(*both), role)
    for strand, way in chosen:
        drawing.lay(*way[-1], arrow(strand, glyphs), role)


def arrow(strand: Strand, glyphs: Glyphs) -> str:
    """Return what a wire ends with."""
    return glyphs.broken if strand.broken and strand.source.kind == "node" else glyphs.into


def arms_at(points: Iterable[Point], segments: Iterable[Segment]) -> dict[Point, Arms]:
    """Return for each point in which directions lines leave it."""
    arms = {point: [0, 0, 0, 0] for point in points}
    columns: dict[int, list[Point]] = {}
    rows: dict[int, list[Point]] = {}
    for point in arms:
        columns.setdefault(point[0], []).append(point)
        rows.setdefault(point[1], []).append(point)
    for (x, y), (other, below) in segments:
        flat = y == below
        for point in rows.get(y, ()) if flat else columns.get(x, ()):
            at, first, last = (point[0], x, other) if flat else (point[1], y, below)
            if first <= at <= last:
                before, after = (2, 3) if flat else (0, 1)
                arms[point][before] |= at > first
                arms[point][after] |= at < last
    return {point: (up, down, left, right) for point, (up, down, left, right) in arms.items()}


def _pieces(net: Routed) -> dict[Segment, Role]:
    """Return the pieces of a net's wires, each once; what also leads somewhere is not broken."""
    found: dict[Segment, Role] = {}
    for strand, way in net.ways:
        role = _role(strand, way)
        for piece in _segments(way):
            if found.get(piece) is not Role.WIRE:
                found.pop(piece, None)  # sound pieces are drawn over broken ones
                found[piece] = role
    return found


def _segments(way: Sequence[Point]) -> list[Segment]:
    return [(min(a, b), max(a, b)) for a, b in pairwise(way)]


def _role(strand: Strand, way: Sequence[Point]) -> Role:
    # what goes back closes a cycle
    return Role.WIRE_BROKEN if strand.broken or way[-1][0] < way[0][0] else Role.WIRE
