"""What a graph consists of once it is drawn as boxes: the nodes, links that hang, and the outputs of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from rich.cells import cell_len

from vflow.engine.outline import NodeView, Outline, PortView, Wire
from vflow.tui.glyphs import UNICODE

LONGEST = 32  #: cells of a name or a type; longer ones are cut
LONGEST_WORDS = 26  #: of a port's type
_LEAST = 8  #: inside of a box: room for a mark's text in its border
_BESIDE = 46  #: inputs and outputs stand beside each other in a box that is no wider


class Zoom(IntEnum):
    """How much a box says."""

    NAMES = 0
    TYPES = 1
    PORTS = 2


@dataclass(eq=False)
class Slot:
    """A row of an item where a wire ends, or where those of one output begin. `row` counts from the item's top."""

    port: str
    view: PortView | None = None
    first: bool = True  #: of the rows of its port
    row: int = 0
    wired: bool = False


@dataclass(eq=False)
class Item:
    """A box, or a text without a border: a link that hangs, or an output of the graph."""

    name: str
    kind: Literal["node", "hanging", "output"]
    view: NodeView | None = None
    width: int = 0
    height: int = 1
    ins: list[Slot] = field(default_factory=list)
    outs: list[Slot] = field(default_factory=list)

    def port_width(self) -> tuple[int, int]:
        """Return the cells that the texts of its inputs and of its outputs take."""
        return max(map(port_width, self.ins), default=0), max(map(port_width, self.outs), default=0)


@dataclass(eq=False)
class Strand:
    """A wire between two slots."""

    source: Item
    out: Slot
    target: Item
    into: Slot
    broken: bool = False

    def joins(self, node: str | None) -> bool:
        """Tell whether it begins or ends at a node."""
        return any(item.kind == "node" and item.name == node for item in (self.source, self.target))


def words_of(view: PortView | None) -> str:
    """Return the type of a port in few words."""
    if view is None:
        return ""
    return UNICODE.cut(UNICODE.text(view.words), LONGEST_WORDS)


def port_width(slot: Slot) -> int:
    """Return the cells of a port's text: a mark, its name, its type."""
    words = cell_len(words_of(slot.view))
    return 2 + min(cell_len(UNICODE.text(slot.port)), LONGEST) + (words + 1 if words else 0)


class Gathered:
    """The items of an outline, sources first, and the strands between them."""

    def __init__(self, outline: Outline, zoom: Zoom) -> None:
        """Gather what is there, at a zoom; items have their sizes, their slots no rows yet."""
        self.zoom = zoom
        self.strands: list[Strand] = []
        self.nodes = {name: Item(name, "node", view) for name, view in outline.nodes.items()}
        self._hanging: dict[str, Item] = {}
        self._outs: dict[tuple[Item, str], Slot] = {}
        self._outputs: list[Item] = []
        if zoom is Zoom.PORTS:
            for item in self.nodes.values():
                self._all_ports(item)
        for wire in outline.wires:
            self._add(wire)
        for name, link in outline.outputs.items():
            self._add_output(name, link)
        self.items = [*self._hanging.values(), *self.nodes.values(), *self._outputs]
        for item in self.items:
            self.arrange(item)

    def arrange(self, item: Item) -> None:
        """Give the slots of an item their rows, in the order they stand in, and the item its size."""
        if item.kind != "node" or item.view is None:
            item.width = min(cell_len(UNICODE.text(item.name)), 2 * LONGEST) + 2
            return
        name, kind = (min(cell_len(UNICODE.text(text)), LONGEST) for text in (item.name, item.view.type))
        top, inside, rows = 1, name + 2, max(len(item.ins), len(item.outs), 1)
        if self.zoom is Zoom.TYPES:
            inside, rows = max(name, kind) + 2, max(rows, 2)
        below = 0
        if self.zoom is Zoom.PORTS:
            left, right = item.port_width()
            beside = left + right + 2 <= _BESIDE
            below = 0 if beside else len(item.ins)
            top, inside = 2, max(name + kind + 4, left + right + 2 if beside else max(left, right))
            rows = 1 + max(len(item.ins), below + len(item.outs))
        for index, slot in enumerate(item.ins):
            slot.row = top + index
        for index, slot in enumerate(item.outs):
            slot.row = top + below + index
        item.width, item.height = max(inside, _LEAST) + 4, rows + 2

    def _all_ports(self, item: Item) -> None:
        assert item.view is not None
        for port in item.view.inputs:
            item.ins += [Slot(port.name, port, first=not n) for n in range(max(1, len(port.links)))]
        for port in item.view.outputs:
            self._out(item, port.name)

    def _out(self, item: Item, output: str) -> Slot:
        if (item, output) not in self._outs:
            views = item.view.outputs if item.view else ()
            view = next((port for port in views if port.name == output), None)
            self._outs[item, output] = slot = Slot(output, view)
            item.outs.append(slot)
        return self._outs[item, output]

    def _source(self, node: str, output: str) -> tuple[Item, Slot]:
        item = self.nodes.get(node)
        if item is None:
            link = f"{node}.{output}" if output else node
            item = self._hanging.setdefault(link, Item(link, "hanging"))
        slot = self._out(item, output)
        slot.wired = True
        return item, slot

    def _add(self, wire: Wire) -> None:
        source, out = self._source(wire.source, wire.output)
        target = self.nodes[wire.target]
        free = (slot for slot in target.ins if slot.port == wire.port and not slot.wired)
        if (into := next(free, None)) is None:
            views = target.view.inputs if target.view else ()
            into = Slot(wire.port, next((port for port in views if port.name == wire.port), None))
            target.ins.append(into)
        into.wired = True
        self.strands.append(Strand(source, out, target, into, wire.broken or source.kind == "hanging"))

    def _add_output(self, name: str, link: str) -> None:
        node, _, output = link.partition(".")
        item = self.nodes.get(node)
        if item is not None and item.view is not None and not output and len(item.view.outputs) == 1:
            output = item.view.outputs[0].name
        source, out = self._source(node, output)
        missing = item is None or (item.view is not None and item.view.known and out.view is None)
        target = Item(name, "output", ins=[into := Slot("", wired=True)])
        self._outputs.append(target)
        self.strands.append(Strand(source, out, target, into, missing))
