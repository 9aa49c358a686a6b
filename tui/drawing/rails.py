"""A graph as rails: one row a node, lanes on the left that show what reads what, as a history of commits is drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rich.cells import cell_len

from vflow.engine.outline import NodeView, Outline
from vflow.tui.drawing.canvas import Canvas, Drawing, Role, Spot, role_of
from vflow.tui.drawing.lanes import Lane, Row, rows_of
from vflow.tui.drawing.says import PortLine, mark_of, notes_of, port_lines
from vflow.tui.glyphs import Glyphs, Mark

_LONGEST = 32  #: cells of a name
_LEAST = 10  #: cells of a name where there is hardly any room
_BAR = 8
_kept: list[tuple[Outline, dict[str, Row]]] = []


def rails(
    outline: Outline,
    marks: Mapping[str, Mark],
    selected: str | None,
    glyphs: Glyphs,
    width: int,
    opened: bool = True,
    bright: Collection[str] | None = None,
) -> Drawing:
    """Draw a graph as rails, in `width` columns where that is possible.

    `opened`: the ports of the selected node are listed below its row. `bright` are the nodes that match a filter, the
    others are dim.
    """
    rows = _rows(outline)
    shown = outline.nodes.get(selected or "")
    ports = port_lines(outline, shown, glyphs) if opened and shown is not None else []
    plan = _Plan(outline, rows, marks, glyphs, width)
    lost = plan.notes.get("", [])
    drawing = Drawing(Canvas(plan.width, max(1, len(rows) + len(ports) + len(lost))))
    chosen = _Chosen(outline, selected)
    y = 0
    for name, row in rows.items():
        view, mark = outline.nodes[name], marks.get(name) or mark_of(outline.nodes[name])
        on = name == selected
        _rail(drawing.canvas, y, name, row, chosen, plan)
        _label(drawing.canvas, y, view, mark, plan, on, bright is not None and name not in bright)
        drawing.nodes[name] = Spot(name, 0, y, plan.width)
        y += 1
        if on:
            drawing.canvas.put(plan.text, y - 1, glyphs.opened if ports else glyphs.folded, Role.NAME_ON)
            drawing.band = range(y - 1, y + len(ports))
            drawing.chosen = Spot(name, plan.text, y - 1, 4 + plan.name_width, 1 + len(ports))
            for _ in ports:
                _passing(drawing.canvas, y, row, name, chosen, plan)
                y += 1
            _ports(drawing, name, y - len(ports), ports, plan)
    for row_of_note, (note, role) in enumerate(lost, start=y):
        drawing.canvas.put(plan.text, row_of_note, glyphs.cut(glyphs.text(note), plan.width - plan.text), role)
    return drawing


def _rows(outline: Outline) -> dict[str, Row]:
    for known, rows in _kept:
        if known is outline or known == outline:
            return rows
    _kept.append((outline, rows := rows_of(outline)))
    del _kept[:-4]
    return rows


class _Plan:
    """The columns of cells: lanes, then cursor, state, name, progress, and the rest of a row."""

    def __init__(
        self, outline: Outline, rows: Mapping[str, Row], marks: Mapping[str, Mark], glyphs: Glyphs, width: int
    ) -> None:
        self.glyphs = glyphs
        lanes = max((row.columns() for row in rows.values()), default=0)
        self.step = 2 if 2 * lanes <= max(12, width * 2 // 5) else 1
        self.text = self.step * lanes + (self.step == 1)
        self.name = self.text + 4
        longest = min(_LONGEST, max((cell_len(glyphs.text(name)) for name in outline.nodes), default=0))
        self.name_width = max(min(longest, width - self.name), min(longest, _LEAST))
        self.width = max(width, self.name + self.name_width)
        shown = [mark for name, mark in marks.items() if name in outline.nodes]
        self.mark = self.name + self.name_width + 2
        self.mark_width = min(16, max((cell_len(glyphs.text(mark.text)) for mark in shown), default=0))
        kinds = (cell_len(glyphs.text(view.type)) for view in outline.nodes.values())
        self.kind_width = min(_LONGEST, max(kinds, default=0))
        room = self.width - self.mark - self.mark_width - 2 - self.kind_width
        self.bar_width = _BAR if room > 2 * _BAR and any(mark.share is not None for mark in shown) else 0
        self.rest = self.mark + sum(one + 2 for one in (self.mark_width, self.bar_width) if one)
        self.notes = notes_of(outline, glyphs)


class _Chosen:
    """Which lanes lead from or to the selected node, and where."""

    def __init__(self, outline: Outline, selected: str | None) -> None:
        self.selected = selected
        self.place = place = {name: index for index, name in enumerate(outline.nodes)}
        self.at = place.get(selected or "", -1)
        self.lanes = {
            Lane(wire.source, place[wire.source] > place[wire.target])
            for wire in outline.wires
            if wire.source in place and selected in (wire.source, wire.target)
        }

    def above(self, lane: Lane, row: int) -> bool:
        """Tell whether the piece of a lane that comes to a row from above is of a wire of the selected node."""
        return lane in self.lanes and (lane.source == self.selected or (row > self.at) == lane.up)

    def below(self, lane: Lane, row: int) -> bool:
        """Tell whether the piece that goes on below a row is."""
        return self.above(lane, row + 1)

    def tap(self, lane: Lane, name: str) -> bool:
        """Tell whether the line that joins a node to a lane is."""
        return lane in self.lanes and self.selected in (name, lane.source)


# --- lines -----------------------------------------------------------------------------------------------------------


def _rail(canvas: Canvas, y: int, name: str, row: Row, chosen: _Chosen, plan: _Plan) -> None:
    """Draw the lanes of a node's row, the dot, and the lines that join them."""
    arms = {
        column: _upright(column, lane, chosen.place[name], row, chosen)
        for column, lane in {**row.passing, **row.taps}.items()
    }
    for column, lane in row.passing.items():
        canvas.put(column * plan.step, y, plan.glyphs.line(*arms[column]), _role(lane, 2 in arms[column]))
    for side in (-1, 1):
        _joined(canvas, y, name, row, side, arms, chosen, plan)
    read = Lane(name) in row.below.values() or Lane(name, up=True) in row.taps.values()
    dot = plan.glyphs.node if read else plan.glyphs.end
    canvas.put(row.dot * plan.step, y, dot, Role.WIRE_ON if name == chosen.selected else Role.WIRE)


def _joined(
    canvas: Canvas,
    y: int,
    name: str,
    row: Row,
    side: int,
    arms: Mapping[int, tuple[int, int]],
    chosen: _Chosen,
    plan: _Plan,
) -> None:
    """Draw the lines from a node's dot to the lanes on one side of it: -1 left, 1 right."""
    taps = sorted((column for column in row.taps if (column - row.dot) * side > 0), key=lambda column: column * side)
    strong = [2 if chosen.tap(row.taps[column], name) else 1 for column in taps]
    for index, column in enumerate(taps):
        lane, near, far = row.taps[column], max(strong[index:]), max(strong[index + 1 :], default=0)
        begin = (taps[index - 1] if index else row.dot) * plan.step + side
        for x in range(begin, column * plan.step, side):
            under = x // plan.step
            crossed = x % plan.step == 0 and under in row.passing
            # what passes under is interrupted, but never a wire of the selected node
            if not crossed or (near == 2 and 2 not in arms[under]):
                canvas.put(x, y, plan.glyphs.line(left=near, right=near), _role(lane, near == 2))
        if lane.up and plan.step > 1:
            head = plan.glyphs.into if (side > 0) == (lane.source == name) else plan.glyphs.out_of
            canvas.put(column * plan.step - side, y, head, _role(lane, False))
        left, right = (near, far) if side > 0 else (far, near)
        glyph = plan.glyphs.line(*arms[column], left, right)
        canvas.put(column * plan.step, y, glyph, _role(lane, 2 in (*arms[column], near)))


def _upright(column: int, lane: Lane, index: int, row: Row, chosen: _Chosen) -> tuple[int, int]:
    """Return how strongly a lane comes to a row from above, and leaves it below."""
    up = 0 if column in row.starts else 2 if chosen.above(lane, index) else 1
    return up, 0 if column in row.ends else 2 if chosen.below(lane, index) else 1


def _passing(canvas: Canvas, y: int, row: Row, name: str, chosen: _Chosen, plan: _Plan) -> None:
    """Draw the lanes that go on between a node's row and the next one."""
    for column, lane in row.below.items():
        strong = chosen.below(lane, chosen.place[name])
        weight = 2 if strong else 1
        canvas.put(column * plan.step, y, plan.glyphs.line(up=weight, down=weight), _role(lane, strong))


def _role(lane: Lane, strong: bool) -> Role:
    return Role.WIRE_BROKEN if lane.up else Role.WIRE_ON if strong else Role.WIRE


# --- words -----------------------------------------------------------------------------------------------------------


def _label(canvas: Canvas, y: int, view: NodeView, mark: Mark, plan: _Plan, on: bool, dim: bool) -> None:
    """Write state, name, progress, type and notes of a node into its row."""
    glyphs, quiet = plan.glyphs, dim or mark.state in ("disabled", "not needed")
    canvas.put(plan.text + 2, y, glyphs.state(mark.state), Role.DIM if dim else role_of(mark.state))
    name = glyphs.cut(glyphs.text(view.name), plan.name_width)
    canvas.put(plan.name, y, name, Role.NAME_ON if on else Role.DIM if quiet else Role.NAME)
    x = plan.mark
    text = glyphs.cut(glyphs.text(mark.text), min(plan.mark_width, plan.width - x))
    canvas.put(x, y, text, Role.DIM if dim else Role.TEXT)
    if plan.bar_width and mark.share is not None:
        canvas.put(plan.rest - plan.bar_width - 2, y, glyphs.progress(mark.share, plan.bar_width), Role.BAR)
    x, notes = plan.rest, plan.notes.get(view.name, [])
    taken = sum(cell_len(glyphs.text(note)) + 2 for note, _ in notes)
    # what leads nowhere is said before the type where there is no room for both
    kind = glyphs.cut(glyphs.text(view.type), min(plan.kind_width, plan.width - x - taken))
    canvas.put(x, y, kind, Role.DIM if dim else Role.TYPE)
    x += min(plan.kind_width, max(0, plan.width - x - taken)) + 2
    for note, role in notes:
        shown = glyphs.cut(glyphs.text(note), plan.width - x)
        canvas.put(x, y, shown, Role.DIM if dim else role)
        x += cell_len(shown) + 2


def _ports(drawing: Drawing, node: str, y: int, lines: list[PortLine], plan: _Plan) -> None:
    """Write the lines about the ports of the selected node, from row `y` on."""
    glyphs, x, put = plan.glyphs, plan.name, drawing.canvas.put
    room = plan.width - x - 2
    names = min(max((cell_len(glyphs.text(line.port)) for line in lines), default=0), max(4, room // 2))
    words = max((cell_len(glyphs.text(line.words)) for line in lines), default=0)
    linked = max((cell_len(glyphs.text(line.linked)) for line in lines), default=0)
    linked = max(min(linked, room - names - 2), 0)
    words = min(words, room - names - linked - 4)
    for row, line in enumerate(lines, start=y):
        drawing.ports.append(Spot(node, x, row, plan.width - x, 1, line.port, line.side))
        side = glyphs.out_of if line.side == "in" else glyphs.into
        put(x, row, side, Role.WIRE_ON if line.role is Role.PORT else line.role)
        put(x + 2, row, glyphs.cut(glyphs.text(line.port), names), Role.PORT)
        put(x + 4 + names, row, glyphs.cut(glyphs.text(line.linked), linked), line.role)
        put(x + 6 + names + linked, row, glyphs.cut(glyphs.text(line.words), words), Role.WORDS)
