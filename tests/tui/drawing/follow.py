"""Reads a drawing as a person does: follows its lines cell by cell, knowing nothing of how it was made."""

from collections import Counter

from vflow.tui.glyphs import UNICODE

UP, DOWN, LEFT, RIGHT = range(4)
_STEPS = {UP: (0, -1), DOWN: (0, 1), LEFT: (-1, 0), RIGHT: (1, 0)}
_OPPOSITE = {UP: DOWN, DOWN: UP, LEFT: RIGHT, RIGHT: LEFT}
_ARMS = {glyph: {side: arms[side] for side in range(4) if arms[side]} for arms, glyph in UNICODE.lines.items()}
_HEADS = {UNICODE.into, UNICODE.broken}
_DOTS = {UNICODE.node, UNICODE.end}


class Sheet:
    """A drawing's text, cell by cell."""

    def __init__(self, drawing):
        self.rows = [[cell for text, _ in row for cell in text] for row in drawing.rows]

    def at(self, x, y):
        """Return what stands in a cell; a space outside."""
        return self.rows[y][x] if 0 <= y < len(self.rows) and 0 <= x < len(self.rows[y]) else " "

    def follow(self, x, y, least=1):
        """Return the cells of the line that begins at a cell, and those of the arrow heads that it leads to.

        With `least` 2 only heavy lines are followed.
        """
        line, reached, todo = {(x, y)}, set(), [(x, y)]
        while todo:
            cell = todo.pop()
            for side, weight in _ARMS[self.at(*cell)].items():
                if weight < least:
                    continue
                other = self.beyond(cell, side)
                if self.at(*other) in _HEADS and side == RIGHT:
                    reached.add(other)
                    continue
                arms = _ARMS.get(self.at(*other), {})
                assert _OPPOSITE[side] in arms, f"the line at {cell} leads into {self.at(*other)!r} at {other}"
                if other not in line:
                    line.add(other)
                    todo.append(other)
        return line, reached

    def beyond(self, cell, side):
        """Return the next cell of a line; where it passes under another one, the cell behind that."""
        dx, dy = _STEPS[side]
        crossing = {LEFT, RIGHT} if dy else {UP, DOWN}
        x, y = cell[0] + dx, cell[1] + dy
        while set(_ARMS.get(self.at(x, y), ())) == crossing:
            x, y = x + dx, y + dy
        return x, y

    def read_by(self, x, y):
        """Return the rows of the dots from which lines lead to a dot on rails."""
        found = set()
        for side in (LEFT, RIGHT):
            todo = [(x, y)]
            while todo:
                cell = self.beyond(todo.pop(), side)
                arms = _ARMS.get(self.at(*cell), {})
                if _OPPOSITE[side] not in arms:
                    continue
                if UP in arms:
                    found.add(self._up(cell))
                if side in arms:
                    todo.append(cell)
        if self._leads_down(self.beyond((x, y), UP)):
            found.add(self._up((x, y)))
        return found

    def _leads_down(self, cell):
        return DOWN in _ARMS.get(self.at(*cell), ()) or self.at(*cell) == UNICODE.node

    def _up(self, cell):
        while True:
            cell = self.beyond(cell, UP)
            assert self._leads_down(cell), f"a lane ends in {self.at(*cell)!r} at {cell}"
            if self.at(*cell) in _DOTS:
                return cell[1]


def wires_of(drawing, least=1):
    """Return the wires that can be read off boxes, (source, output, target, port), and how often each.

    An output of the graph counts as a target without a port, by the first letter of its name. With `least` 2 only
    heavy wires are read.
    """
    sheet = Sheet(drawing)
    ends = {(drawing.nodes[port.node].x - 1, port.y): port for port in drawing.ports if port.side == "in"}
    found, owner = Counter(), {}
    for port in drawing.ports:
        start = (drawing.nodes[port.node].x + drawing.nodes[port.node].width, port.y)
        arms = _ARMS.get(sheet.at(*start), {})
        if port.side != "out" or arms.get(RIGHT, 0) < least:
            continue
        line, reached = sheet.follow(*start, least)
        for cell in line | reached:
            assert owner.setdefault(cell, port) is port, f"the wires of two outputs meet at {cell}"
        for cell in reached:
            target = (ends[cell].node, ends[cell].port) if cell in ends else (sheet.at(cell[0] + 3, cell[1]), "")
            found[port.node, port.port, *target] += 1
    return found
