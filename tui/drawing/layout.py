"""Where everything lies once a graph is drawn as boxes. It depends on neither states nor selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vflow.engine.outline import Outline
from vflow.tui.drawing.gaps import choose_lanes, gap_width, trunks, way
from vflow.tui.drawing.items import Gathered, Item, Slot, Strand, Zoom
from vflow.tui.drawing.layers import columns
from vflow.tui.drawing.nets import End, Net, Point, choose_buses
from vflow.tui.drawing.placing import tops

_BETWEEN = 1  #: rows between two boxes of a column


@dataclass
class Routed:
    """The wires of one output: the corners of each, from the output to an arrow."""

    source: Item
    out: Slot
    ways: list[tuple[Strand, list[Point]]] = field(default_factory=list)


@dataclass
class Layout:
    """Items with the column of cells and the row where each begins, and the ways of the wires."""

    zoom: Zoom
    items: list[Item]
    x: dict[Item, int]
    y: dict[Item, int]
    nets: list[Routed]
    width: int
    height: int


def lay_out(outline: Outline, zoom: Zoom) -> Layout:
    """Place the boxes of a graph and lead its wires."""
    return _Arranging(outline, zoom).layout()


_kept: list[tuple[Outline, Zoom, Layout]] = []


def kept_layout(outline: Outline, zoom: Zoom) -> Layout:
    """Return the layout of an outline; the last few are kept, and an equal outline needs no new one."""
    for index, (known, at, layout) in enumerate(_kept):
        if at is zoom and (known is outline or known == outline):
            _kept.append(_kept.pop(index))
            return layout
    layout = lay_out(outline, zoom)
    _kept.append((outline, zoom, layout))
    del _kept[:-6]
    return layout


def forget() -> None:
    """Drop the layouts that are kept."""
    _kept.clear()


class _Arranging:
    def __init__(self, outline: Outline, zoom: Zoom) -> None:
        self.gathered = Gathered(outline, zoom)
        self.items, self.strands = self.gathered.items, self.gathered.strands
        self.into: dict[Item, list[Strand]] = {item: [] for item in self.items}
        self.from_slot: dict[Slot, list[Strand]] = {}
        for strand in self.strands:
            self.into[strand.target].append(strand)
            self.from_slot.setdefault(strand.out, []).append(strand)
        sources = {item: [strand.source for strand in strands] for item, strands in self.into.items()}
        self.columns = columns(self.items, sources)
        self.column = {item: index for index, column in enumerate(self.columns) for item in column}
        self.top: dict[Item, int] = {}

    def layout(self) -> Layout:
        order = {item: (n + 0.5) / len(column) for column in self.columns for n, item in enumerate(column)}
        self._sort_slots(lambda strand: order[strand.source], lambda strand: order[strand.target])
        self._place()
        self._sort_slots(self._leaves, self._arrives)
        self._place()
        nets = self._nets()
        margin = 2 * len(nets) + 4
        taken = [0] * len(self.columns)
        for item, top in self.top.items():
            taken[self.column[item]] |= ((1 << item.height) - 1) << (top + margin)
        choose_buses(nets.values(), taken, margin)
        self._sort_slots(lambda strand: self._comes(strand, nets[strand.out]), None)
        for slot, net in self._nets().items():
            nets[slot].targets = net.targets
        self._compact(nets)
        return self._routed(nets)

    # --- rows

    def _row(self, item: Item, slot: Slot) -> int:
        return self.top[item] + slot.row

    def _leaves(self, strand: Strand) -> float:
        return self._row(strand.source, strand.out)

    def _arrives(self, strand: Strand) -> float:
        return self._row(strand.target, strand.into)

    def _comes(self, strand: Strand, net: Net) -> float:
        """Return the row in which a wire comes to the column of its target."""
        start, end = self.column[strand.source], self.column[strand.target]
        return net.back if end <= start else net.ahead if end > start + 1 else net.source.row

    def _sort_slots(self, start: Callable[[Strand], float], stop: Callable[[Strand], float] | None) -> None:
        """Put ports without names in the order of where their wires come from and go to."""
        if self.gathered.zoom is Zoom.PORTS:
            for item in self.items:
                self.gathered.arrange(item)
            return
        comes = {strand.into: start(strand) for strand in self.strands}
        goes = {slot: sum(map(stop, ones)) / len(ones) for slot, ones in self.from_slot.items()} if stop else {}
        for item in self.items:
            item.ins.sort(key=comes.__getitem__)
            if stop:
                item.outs.sort(key=goes.__getitem__)
            self.gathered.arrange(item)

    def _place(self) -> None:
        column, pulls = self.column, []
        for strand in self.strands:
            if column[strand.source] < column[strand.target]:
                pulls.append((strand.source, strand.out.row, strand.target, strand.into.row))
        self.top = tops(self.columns, {item: item.height for item in self.items}, pulls, _BETWEEN)

    def _nets(self) -> dict[Slot, Net]:
        nets = {}
        for slot, strands in self.from_slot.items():
            source = strands[0].source
            ends = [End(self.column[one.target], self._row(one.target, one.into)) for one in strands]
            nets[slot] = Net(End(self.column[source], self._row(source, slot)), ends)
        return nets

    def _compact(self, nets: dict[Slot, Net]) -> None:
        """Drop the rows in which nothing lies, and begin with row 0."""
        used = {row for item, top in self.top.items() for row in range(top, top + item.height)}
        used |= {net.ahead for net in nets.values() if net.runs_ahead()}
        used |= {net.back for net in nets.values() if net.runs_back()}
        new = {row: index for index, row in enumerate(sorted(used))}
        self.top = {item: new[top] for item, top in self.top.items()}
        for net in nets.values():
            net.shift(new)

    # --- columns of cells

    def _routed(self, nets: dict[Slot, Net]) -> Layout:
        gaps = trunks(list(nets.values()), len(self.columns) + 1)
        lanes = [choose_lanes(gap) for gap in gaps]
        x, starts, stops, lefts = 0, [], [], []
        for index, gap in enumerate(gaps):
            starts.append(x)
            x += gap_width(lanes[index]) if gap else 0 if index in (0, len(self.columns)) else 2
            stops.append(x - 1)
            lefts.append(x)
            x += max((item.width for item in self.columns[index]), default=0) if index < len(self.columns) else 0
        routed = []
        for index, (slot, net) in enumerate(nets.items()):
            strands = self.from_slot[slot]
            ways = [
                (strand, way(net, end, gaps, index, starts, stops))
                for strand, end in zip(strands, net.targets, strict=True)
            ]
            routed.append(Routed(strands[0].source, slot, ways))
        for column in self.columns:
            width = max((item.width for item in column), default=0)
            for item in column:
                item.width = width
        rows = [top + item.height for item, top in self.top.items()]
        rows += [point[1] + 1 for net in routed for _, points in net.ways for point in points]
        left = {item: lefts[self.column[item]] for item in self.items}
        return Layout(self.gathered.zoom, self.items, left, self.top, routed, x, max(rows, default=0))
