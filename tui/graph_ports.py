"""The ports of the selected node, one of which can be chosen by keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual.reactive import reactive

from vflow.engine.outline import Outline
from vflow.tui.drawing import Drawing, Role
from vflow.tui.graph_moves import GraphMoves

#: A port's name, and its side.
Port = tuple[str, Literal["in", "out"]]


def next_port(ports: Sequence[Port], now: Port | None, by: int) -> Port | None:
    """Return the port that many places further; between the last one and the first is none."""
    stops: list[Port | None] = [None, *ports]
    return stops[(stops.index(now) + by) % len(stops)] if now in stops else None


def mark_port(drawing: Drawing, node: str, port: Port) -> None:
    """Lay the mark of what is chosen over a port; what is to be seen is the port then."""
    for spot in drawing.ports:
        if (spot.node, spot.port, spot.side) == (node, *port):
            text = "".join(drawing.canvas.text[spot.y][max(0, spot.x) : spot.x + spot.width])
            drawing.lay(max(0, spot.x), spot.y, text, Role.PORT_ON)
            drawing.chosen = spot


def port_said(outline: Outline, node: str, port: Port) -> str:
    """Return a port in words: what it takes or gives, and what it reads or feeds; "" where there is no such port."""
    view, (name, side) = outline.nodes.get(node), port
    found = (
        next((one for one in (view.inputs if side == "in" else view.outputs) if one.name == name), None)
        if view
        else None
    )
    if found is None:
        return ""
    if side == "in":
        linked = f"reads {', '.join(found.links)}" if found.links else "optional" if found.optional else "needs a link"
    else:
        wires = [wire for wire in outline.out_of(node) if wire.output == name or not wire.output]
        linked = f"feeds {', '.join(f'{wire.target}.{wire.port}' for wire in wires)}" if wires else "feeds nothing"
    kind = "input" if side == "in" else "output"
    return f"{kind} {name}: {', '.join(filter(None, [found.words, linked]))}"


class GraphPorts(GraphMoves):
    """A graph of which a node is selected, and one of its ports, where one was chosen (`port`)."""

    port: reactive[Port | None] = reactive(None)

    @property
    def ports(self) -> list[Port]:
        """The ports of the selected node."""
        view = self.outline.nodes.get(self.selected or "")
        return (
            [(port.name, "in") for port in view.inputs] + [(port.name, "out") for port in view.outputs] if view else []
        )

    def action_port(self, by: int) -> None:
        """Choose the next port of the selected node, or the one before; past the last there is none."""
        self.port = next_port(self.ports, self.port, by)
