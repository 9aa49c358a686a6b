"""Outlines for tests, and hypothesis strategies for random ones."""

from collections import Counter

from hypothesis import strategies as st

from vflow.engine.outline import NodeView, Outline, PortView, Wire


def outline(nodes, wires=(), outputs=None, types=None):
    """Make an outline of node names and wires `source.output > target.port`, with the ports that these name."""
    made = [wire if isinstance(wire, Wire) else _wire(wire, nodes) for wire in wires]
    views = {}
    for name in nodes:
        links = {wire.port: [] for wire in made if wire.target == name}
        for wire in made:
            if wire.target == name:
                links[wire.port].append(f"{wire.source}.{wire.output}")
        outs = dict.fromkeys(wire.output for wire in made if wire.source == name)
        outs |= dict.fromkeys(
            link.partition(".")[2] for link in (outputs or {}).values() if link.startswith(f"{name}.")
        )
        views[name] = NodeView(
            name,
            (types or {}).get(name, "EncodeVideo"),
            known=True,
            inputs=tuple(PortView(port, "list of Latent", True, links=tuple(given)) for port, given in links.items()),
            outputs=tuple(PortView(out, "list of Latent") for out in outs),
        )
    return Outline("graph", views, tuple(made), outputs or {})


def _wire(text, nodes):
    start, _, stop = text.partition(" > ")
    source, _, output = start.partition(".")
    target, _, port = stop.partition(".")
    return Wire(source, output or "items", target, port or "clips", source not in nodes)


def wires_in(graph, node=None):
    """Return the wires of a graph as `follow.wires_of` reads them; those of one node if it is named."""
    wires = [(wire.source, wire.output, wire.target, wire.port) for wire in graph.wires]
    wires += [(*link.split("."), name, "") for name, link in graph.outputs.items()]
    return Counter(wire for wire in wires if node is None or (wire[0] == node or (wire[2] == node and wire[3])))


@st.composite
def outlines(draw, most=12, cycles=False, types=None):
    """Random graphs: several outputs a node, several links a port, long wires, lonely nodes, and cycles if asked."""
    names = [f"n{index}" for index in range(draw(st.integers(1, most)))]
    wires = {}
    for index, name in enumerate(names):
        above = names if cycles else names[:index]
        for number in range(draw(st.integers(0, 4)) if above else 0):
            source = draw(st.sampled_from(above))
            wire = Wire(source, f"o{draw(st.integers(0, 2))}", name, f"i{draw(st.integers(0, number))}")
            wires[wire] = None
    outputs = draw(st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(names), max_size=2))
    given = {name: "EncodeVideo" if types is None else draw(types) for name in names}
    return outline(names, wires, {name: f"{node}.o0" for name, node in outputs.items()}, given)
