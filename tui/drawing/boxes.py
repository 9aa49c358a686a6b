"""A graph as boxes from left to right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from rich.cells import cell_len

from vflow.engine.outline import NodeView, Outline
from vflow.tui.drawing.canvas import Canvas, Drawing, Role, Side, Spot, role_of
from vflow.tui.drawing.items import LONGEST, Item, Slot, Zoom, words_of
from vflow.tui.drawing.layout import Layout, kept_layout
from vflow.tui.drawing.says import mark_of
from vflow.tui.drawing.wires import highlight, paint
from vflow.tui.glyphs import Glyphs, Mark, State

Put = Callable[[int, int, str, Role], None]

#: the states that are told by the border, too
_BORDERS: set[State] = {"kept", "done", "to run", "running", "failed", "error"}
_canvases: list[tuple[Layout, Glyphs, Drawing]] = []


def boxes(
    outline: Outline,
    marks: Mapping[str, Mark],
    selected: str | None,
    glyphs: Glyphs,
    zoom: Zoom = Zoom.NAMES,
    bright: Collection[str] | None = None,
) -> Drawing:
    """Draw a graph as boxes; `bright` are the nodes that match a filter, the others are dim.

    What does not depend on states and selection is kept from one call to the next.
    """
    layout = kept_layout(outline, zoom)
    plain = _plain(layout, glyphs)
    drawing = Drawing(plain.canvas, plain.nodes, plain.ports, chosen=plain.nodes.get(selected or ""))
    for item in layout.items:
        if item.view is not None:
            on, dim = item.name == selected, bright is not None and item.name not in bright
            _face(drawing, layout, item, item.view, marks.get(item.name) or mark_of(item.view), glyphs, on, dim)
    for net in layout.nets:
        if chosen := [one for one in net.ways if one[0].joins(selected)]:
            highlight(drawing, net, chosen, glyphs)
    return drawing


def _plain(layout: Layout, glyphs: Glyphs) -> Drawing:
    for known, of, drawing in _canvases:
        if known is layout and of is glyphs:
            return drawing
    drawing = Drawing(Canvas(layout.width, layout.height))
    for item in layout.items:
        _outside(drawing, layout, item, glyphs)
    paint(drawing.canvas, layout.nets, glyphs)
    _canvases.append((layout, glyphs, drawing))
    del _canvases[:-6]
    return drawing


def _outside(drawing: Drawing, layout: Layout, item: Item, glyphs: Glyphs) -> None:
    """Draw what stays the same of an item: its border, or its text, and its ports."""
    canvas, x, y = drawing.canvas, layout.x[item], layout.y[item]
    text = glyphs.text(item.name)
    if item.kind == "hanging":
        shown = glyphs.cut(f"{glyphs.broken} {text}", item.width)
        canvas.put(x + item.width - cell_len(shown), y, shown, Role.ERROR)
        return
    if item.kind == "output":
        canvas.put(x, y, glyphs.cut(f"{glyphs.output} {text}", item.width), Role.OUTPUT)
        return
    _border(canvas.put, item, x, y, glyphs, Role.BORDER)
    drawing.nodes[item.name] = Spot(item.name, x, y, item.width, item.height)
    for slot in item.ins:
        _port(drawing, layout, item, slot, "in", glyphs)
    for slot in item.outs:
        _port(drawing, layout, item, slot, "out", glyphs)


def _border(put: Put, item: Item, x: int, y: int, glyphs: Glyphs, role: Role) -> None:
    weight = 2 if role is Role.BORDER_ON else 1
    corners = glyphs.heavy_corners if weight == 2 else glyphs.light_corners
    flat = glyphs.line(left=weight, right=weight) * (item.width - 2)
    upright = glyphs.line(up=weight, down=weight)
    put(x, y, corners[0] + flat + corners[1], role)
    put(x, y + item.height - 1, corners[2] + flat + corners[3], role)
    for row in range(y + 1, y + item.height - 1):
        put(x, row, upright, role)
        put(x + item.width - 1, row, upright, role)


def _port(drawing: Drawing, layout: Layout, item: Item, slot: Slot, side: Side, glyphs: Glyphs) -> None:
    """Name a port inside its box, and say where it can be clicked on."""
    x, y = layout.x[item], layout.y[item] + slot.row
    edge = x if side == "in" else x + item.width - 1
    if layout.zoom is not Zoom.PORTS:
        drawing.ports.append(Spot(item.name, edge - (side == "in"), y, 2, 1, slot.port, side))
        return
    name = glyphs.cut(glyphs.text(slot.port or "?"), LONGEST)
    words = glyphs.text(words_of(slot.view))
    width = cell_len(name) + (cell_len(words) + 1 if words else 0)
    start = x + 2 if side == "in" else edge - 1 - width
    role = Role.PORT
    if not slot.wired:
        needed = side == "in" and slot.view is not None and not slot.view.optional
        role = Role.PORT_MISSING if needed else Role.PORT_FREE
        if needed:
            drawing.canvas.put(start, y, glyphs.state("error"), Role.ERROR)
            start += 2
    elif slot.view is None and item.view is not None and item.view.known:
        role = Role.PORT_MISSING
    if slot.first:
        drawing.canvas.put(start, y, name, role)
        drawing.canvas.put(start + cell_len(name) + 1, y, words, Role.WORDS)
    reach = (edge - 1, width + 3) if side == "in" else (start, width + 3)
    drawing.ports.append(Spot(item.name, *(reach[0], y, reach[1]), 1, slot.port, side))


def _face(
    drawing: Drawing, layout: Layout, item: Item, view: NodeView, mark: Mark, glyphs: Glyphs, on: bool, dim: bool
) -> None:
    """Lay over a box what changes: its state, its name, its progress, the selection."""
    x, y, inside = layout.x[item], layout.y[item], item.width - 4
    if on or dim or mark.state in _BORDERS:
        edge = Role.BORDER_ON if on else Role.DIM if dim else role_of(mark.state)
        _border(drawing.lay, item, x, y, glyphs, edge)
    quiet = dim or mark.state in ("disabled", "not needed")
    role = Role.NAME_ON if on else Role.DIM if quiet else Role.NAME
    name = glyphs.cut(glyphs.text(item.name), min(LONGEST, inside - 2))
    drawing.lay(x + 2, y + 1, glyphs.state(mark.state), Role.DIM if dim else role_of(mark.state))
    drawing.lay(x + 4, y + 1, name, role)
    if layout.zoom is not Zoom.NAMES:
        below = layout.zoom is Zoom.TYPES
        start = x + 4 if below else x + 6 + cell_len(name)
        kind = glyphs.cut(glyphs.text(view.type), min(LONGEST, x + 2 + inside - start))
        drawing.lay(start, y + 2 if below else y + 1, kind, Role.DIM if dim else Role.TYPE)
    bottom = y + item.height - 1
    if mark.share is not None:
        drawing.lay(x + 1, bottom, glyphs.filled * round(min(1.0, max(0.0, mark.share)) * (item.width - 2)), Role.BAR)
    if mark.text:
        text = f" {glyphs.cut(glyphs.text(mark.text), inside)} "
        end = x + item.width - (2 if cell_len(text) < item.width - 2 else 1)
        drawing.lay(end - cell_len(text), bottom, text, Role.DIM if dim else Role.TEXT)
