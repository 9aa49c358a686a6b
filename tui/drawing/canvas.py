"""What is drawn: cells of text with roles, kept apart from colours, and the places where nodes and ports lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum, auto
from itertools import groupby
from operator import itemgetter
from typing import Literal

from rich.cells import cell_len, get_character_cell_size

from vflow.tui.glyphs import STATES, State

Side = Literal["", "in", "out"]


class Role(IntEnum):
    """What a piece of a drawing is; themes give it a colour."""

    BLANK = 0
    WIRE = auto()
    WIRE_ON = auto()  #: of the selected node
    WIRE_BROKEN = auto()  #: leads nowhere, or closes a cycle
    BORDER = auto()
    BORDER_ON = auto()
    NAME = auto()
    NAME_ON = auto()
    TYPE = auto()
    PORT = auto()
    PORT_FREE = auto()  #: nothing is linked to it, and nothing has to be
    PORT_ON = auto()  #: chosen by keys
    PORT_MISSING = auto()  #: something has to be linked to it
    WORDS = auto()  #: the type of a port, what feeds it
    TEXT = auto()  #: of a mark
    BAR = auto()
    OUTPUT = auto()  #: an output of the graph
    DIM = auto()  #: does not match the filter
    KEPT = auto()
    TO_RUN = auto()
    RUNNING = auto()
    WAITING = auto()
    FAILED = auto()
    ERROR = auto()
    DISABLED = auto()
    DONE = auto()
    LIGHT = auto()
    DECIDED_LATER = auto()
    NOT_NEEDED = auto()
    UNKNOWN = auto()


_OF_STATES = {state: Role[state.upper().replace(" ", "_")] for state in STATES}
Run = tuple[str, Role]


def role_of(state: State) -> Role:
    """Return the role of a node's state."""
    return _OF_STATES[state]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a node lies (`port` and `side` empty), or one of its ports: columns and rows of the drawing."""

    node: str
    x: int
    y: int
    width: int
    height: int = 1
    port: str = ""
    side: Side = ""

    def holds(self, x: int, y: int) -> bool:
        """Tell whether a cell belongs to it."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


def cells(text: str) -> list[str]:
    """Return a text cell by cell: the cell after a wide character is empty."""
    if text.isascii() or cell_len(text) == len(text):
        return list(text)
    found: list[str] = []
    for character in text:
        found.append(character)
        found += [""] * (get_character_cell_size(character) - 1)
    return found


class Canvas:
    """A grid of cells that is written on. What lies outside is left out."""

    def __init__(self, width: int, height: int) -> None:
        """Begin with blank cells."""
        self.width, self.height = width, height
        self.text = [[" "] * width for _ in range(height)]
        self.roles = [bytearray(width) for _ in range(height)]

    def put(self, x: int, y: int, text: str, role: Role) -> None:
        """Write a text in a row, from column `x` on."""
        new = cells(text)
        if 0 <= y < self.height and x >= 0 and x + len(new) <= self.width:
            self.text[y][x : x + len(new)] = new
            self.roles[y][x : x + len(new)] = bytes([role]) * len(new)

    def across(self, y: int, first: int, last: int, glyph: str, role: Role) -> None:
        """Write a glyph into each cell of a row between two columns, both included."""
        if (count := last - first + 1) > 0:
            self.text[y][first : last + 1] = [glyph] * count
            self.roles[y][first : last + 1] = bytes([role]) * count


@dataclass
class Drawing:
    """A canvas with what is laid over it: the states of nodes and the selection, which change while the canvas stays.

    `nodes` and `ports` say where they lie. `band` are the rows of the selected node where it is a row of a list,
    `chosen` is what of it is to be seen.
    """

    canvas: Canvas
    nodes: dict[str, Spot] = field(default_factory=dict)
    ports: list[Spot] = field(default_factory=list)
    band: range = range(0)
    chosen: Spot | None = None
    over: dict[int, list[tuple[int, list[str], Role]]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Columns."""
        return self.canvas.width

    @property
    def height(self) -> int:
        """Rows."""
        return self.canvas.height

    def lay(self, x: int, y: int, text: str, role: Role) -> None:
        """Lay a text over the canvas."""
        self.over.setdefault(y, []).append((x, cells(text), role))

    def row(self, y: int, start: int = 0, stop: int | None = None) -> list[Run]:
        """Return a row between two columns as runs of one role; empty below the drawing.

        A wide character of which one half lies outside is left blank.
        """
        if not 0 <= y < self.height:
            return []
        text, roles = self.canvas.text[y], self.canvas.roles[y]
        if y in self.over:
            text, roles = text.copy(), roles.copy()
            for x, new, role in self.over[y]:
                text[x : x + len(new)] = new
                roles[x : x + len(new)] = bytes([role]) * len(new)
        stop = len(text) if stop is None else min(stop, len(text))
        shown = text[start:stop]
        if shown and shown[0] == "":
            shown[0] = " "
        if shown and stop < len(text) and text[stop] == "":
            shown[-1] = " "
        pairs = zip(roles[start:stop], shown, strict=True)
        return [("".join(one for _, one in run), Role(role)) for role, run in groupby(pairs, itemgetter(0))]

    @property
    def rows(self) -> Iterator[list[Run]]:
        """Each row, from the top."""
        return (self.row(y) for y in range(self.height))

    def lines(self) -> list[str]:
        """Return the drawing as plain text, without blanks at the ends of its rows."""
        return ["".join(text for text, _ in row).rstrip() for row in self.rows]

    def at(self, x: int, y: int) -> Spot | None:
        """Return the port at a cell, else the node, else nothing."""
        return _first(self.ports, x, y) or _first(self.nodes.values(), x, y)


def _first(spots: Iterable[Spot], x: int, y: int) -> Spot | None:
    return next((spot for spot in spots if spot.holds(x, y)), None)
