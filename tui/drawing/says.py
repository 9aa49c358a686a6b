"""What drawings say of a node in words: its state where nothing else is known, its ports, what leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vflow.engine.outline import NodeView, Outline, PortView, Wire
from vflow.tui.drawing.canvas import Role, Run, Side
from vflow.tui.glyphs import Glyphs, Mark


@dataclass(frozen=True)
class PortLine:
    """A line about a port: what feeds it, or whom it feeds."""

    port: str
    side: Side
    linked: str
    words: str
    role: Role  #: of `linked`


def mark_of(view: NodeView) -> Mark:
    """Return the mark of a node of which nothing is known but what the file says."""
    return Mark("disabled" if view.disabled else "unknown" if view.known else "error")


def port_lines(outline: Outline, view: NodeView, glyphs: Glyphs) -> list[PortLine]:
    """Return the ports of a node, inputs first."""
    into = outline.into(view.name)
    return [
        *(_input(port, [wire for wire in into if wire.port == port.name], glyphs) for port in view.inputs),
        *_outputs(outline, view, glyphs),
    ]


def _input(port: PortView, wires: list[Wire], glyphs: Glyphs) -> PortLine:
    if not port.links:
        role = Role.PORT_FREE if port.optional else Role.PORT_MISSING
        return PortLine(port.name, "in", glyphs.dash if port.optional else "needs a link", port.words, role)
    lost = {one for wire in wires if wire.broken for one in (wire.source, _link(wire))}
    text = ", ".join(f"{glyphs.broken} {link}" if link in lost else link for link in port.links)
    return PortLine(port.name, "in", text, port.words, Role.ERROR if lost else Role.PORT)


def _link(wire: Wire) -> str:
    return f"{wire.source}.{wire.output}" if wire.output else wire.source


def _outputs(outline: Outline, view: NodeView, glyphs: Glyphs) -> Iterator[PortLine]:
    read: dict[str, list[str]] = {port.name: [] for port in view.outputs}
    for wire in outline.out_of(view.name):
        read.setdefault(wire.output, []).append(f"{wire.target}.{wire.port}")
    for name, link in outline.outputs.items():
        node, output = _split(outline, link)
        if node == view.name:
            read.setdefault(output, []).append(f"{glyphs.output} {name}")
    declared = {port.name: port for port in view.outputs}
    for output, readers in read.items():
        words = declared[output].words if output in declared else ""
        missing = view.known and output not in declared
        role = Role.ERROR if missing else Role.PORT if readers else Role.PORT_FREE
        yield PortLine(output or "?", "out", ", ".join(readers) or glyphs.dash, words, role)


def _split(outline: Outline, link: str) -> tuple[str, str]:
    """Return node and output of a link of the graph's outputs; a bare name stands for the only output of its node."""
    node, _, output = link.partition(".")
    view = outline.nodes.get(node)
    return node, view.outputs[0].name if view and not output and len(view.outputs) == 1 else output


def notes_of(outline: Outline, glyphs: Glyphs) -> dict[str, list[Run]]:
    """Return what is said of nodes at the end of their rows: the outputs of the graph, and links that lead nowhere.

    What belongs to no node stands under an empty name.
    """
    found: dict[str, list[Run]] = {}
    for name, link in outline.outputs.items():
        node, output = _split(outline, link)
        view = outline.nodes.get(node)
        lost = view is None or (view.known and output not in {port.name for port in view.outputs})
        note = (f"{glyphs.broken} {name}: {link}", Role.ERROR) if lost else (f"{glyphs.output} {name}", Role.OUTPUT)
        found.setdefault(node if view else "", []).append(note)
    for wire in outline.wires:
        if wire.broken:
            found.setdefault(wire.target, []).append((f"{glyphs.broken} {_link(wire)}", Role.ERROR))
        elif wire.source == wire.target:
            found.setdefault(wire.target, []).append((f"{glyphs.broken} reads itself", Role.ERROR))
    return found
