"""A graph as it is drawn: its nodes in the order of their work, their ports, and the wires between them.

It is made of what the file says, so that a broken graph is drawn too: nodes of unknown type with the ports that links
name, cycles, links that lead nowhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from vflow.engine.graph import NodeSpec
from vflow.engine.links import declared, fits
from vflow.engine.load import Loaded
from vflow.engine.node import Node, Port
from vflow.engine.words import summary_of


@dataclass(frozen=True)
class PortView:
    """A port. `words` is its type (`list of Latent`), empty where that is not known; `links` are as written.

    Of an input, `many` says that it takes a list of links; of an output, that it gives a list.
    """

    name: str
    words: str = ""
    many: bool = False
    optional: bool = False
    observed: bool = False
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeView:
    """A node. Of an unknown type there are no more than the ports that the file names."""

    name: str
    type: str
    known: bool = False
    light: bool = False
    disabled: bool = False
    summary: str = ""
    inputs: tuple[PortView, ...] = ()
    outputs: tuple[PortView, ...] = ()


@dataclass(frozen=True)
class Wire:
    """A link. `output` is empty where a bare name does not tell which; `broken`: there is no such node or output."""

    source: str
    output: str
    target: str
    port: str
    broken: bool = False


@dataclass(frozen=True)
class Outline:
    """A graph. `nodes` are in topological order, as in the file where that leaves a choice; `outputs` as written."""

    name: str
    nodes: dict[str, NodeView]
    wires: tuple[Wire, ...]
    outputs: dict[str, str]

    def into(self, node: str) -> tuple[Wire, ...]:
        """Return the wires that end at a node, in the order of its ports."""
        return tuple(wire for wire in self.wires if wire.target == node)

    def out_of(self, node: str) -> tuple[Wire, ...]:
        """Return the wires that begin at a node, in the order of the nodes that they lead to."""
        return tuple(wire for wire in self.wires if wire.source == node)


def outline(loaded: Loaded) -> Outline:
    """Return what there is to draw of a graph, whatever is wrong with it."""
    graph = loaded.graph
    named: dict[str, list[str]] = {}
    for spec in graph.nodes.values():
        for _, link in links_of(spec):
            source, _, output = link.partition(".")
            if output and output not in named.setdefault(source, []):
                named[source].append(output)
    views = {name: node_view(loaded, name, named.get(name, ())) for name in order(graph.nodes)}
    wires = (wire for name, view in views.items() for port in view.inputs for wire in wires_into(loaded, name, port))
    written = graph.tree.get("outputs")
    outputs = written.plain() if written is not None and type(written.data) is dict else graph.outputs
    kept = {name: link for name, link in outputs.items() if isinstance(link, str)}
    return Outline(graph.name, views, tuple(wires), kept)


def node_view(loaded: Loaded, name: str, named: tuple[str, ...] | list[str] = ()) -> NodeView:
    """Return one node of a graph; `named` are the outputs of it that links name, for a node of unknown type."""
    spec, bound = loaded.graph.nodes[name], loaded.bound.get(name)
    given = {port: (links,) if isinstance(links, str) else tuple(links) for port, links in spec.inputs.items()}
    given = {port: tuple(link for link in links if link) for port, links in given.items()}
    if bound is None:
        inputs = tuple(PortView(port, many=len(links) > 1, links=links) for port, links in given.items())
        return NodeView(name, spec.type, False, False, spec.disabled, "", inputs, tuple(map(PortView, named)))
    cls = bound.type
    declared_inputs, outputs, summary = _declared(cls)
    inputs = tuple(replace(port, links=given[port.name]) if port.name in given else port for port in declared_inputs)
    inputs += tuple(PortView(port, links=links) for port, links in given.items() if port not in cls.ports)
    return NodeView(name, spec.type, True, cls.light, spec.disabled, summary, inputs, outputs)


@cache
def _declared(cls: type[Node]) -> tuple[tuple[PortView, ...], tuple[PortView, ...], str]:
    """Return what is the same of all nodes of a type: their ports, with nothing linked, and what they do."""
    inputs, outputs = (
        tuple(PortView(port.name, port.words, port.many, port.optional, port.observed) for port in ports.values())
        for ports in (cls.ports, cls.outputs)
    )
    return inputs, outputs, summary_of(cls)


def links_of(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """Yield port and link of each link of a node, as written; those that could not be read are left out."""
    for port, given in spec.inputs.items():
        for link in (given,) if isinstance(given, str) else given:
            if link:
                yield port, link


def order(nodes: Mapping[str, NodeSpec]) -> list[str]:
    """Return the nodes so that each comes after those it reads from, else as in the file; cycles are cut."""
    waits = {
        name: {source for _, link in links_of(spec) if (source := link.partition(".")[0]) in nodes and source != name}
        for name, spec in nodes.items()
    }
    found = _sorted(waits, {})
    return found if len(found) == len(nodes) else _sorted(waits, _knots(waits))


def _sorted(waits: Mapping[str, set[str]], knots: Mapping[str, int]) -> list[str]:
    """Return the nodes in order, as far as they do not wait for a cycle that `knots` does not tell.

    A knot is a set of nodes that all wait for one another. Once it waits for nothing else, its first node goes ahead.
    """
    names = list(waits)
    place = {name: index for index, name in enumerate(names)}
    left = {name: set(sources) for name, sources in waits.items()}
    readers: dict[str, list[str]] = {}
    outside, members = dict.fromkeys(knots.values(), 0), dict[int, list[str]]()
    for name, knot in knots.items():
        members.setdefault(knot, []).append(name)
    for name, sources in waits.items():
        for source in sources:
            readers.setdefault(source, []).append(name)
            if name in knots and knots.get(source) != knots[name]:
                outside[knots[name]] += 1
    ready = [place[name] for name in names if not left[name]]
    cut = [place[name] for name in names if name in knots and not outside[knots[name]]]
    found: dict[str, None] = {}
    while ready or cut:
        name = names[heapq.heappop(ready or cut)]
        if name in found:
            continue
        found[name] = None
        for reader in readers.get(name, ()):
            left[reader].discard(name)
            if not left[reader]:
                heapq.heappush(ready, place[reader])
            if reader in knots and knots.get(name) != knots[reader]:
                outside[knots[reader]] -= 1
                for member in members[knots[reader]] if not outside[knots[reader]] else ():
                    heapq.heappush(cut, place[member])
    return list(found)


def _knots(waits: Mapping[str, set[str]]) -> dict[str, int]:
    import networkx as nx

    network = nx.DiGraph([(source, name) for name, sources in waits.items() for source in sources])
    found = (nodes for nodes in nx.strongly_connected_components(network) if len(nodes) > 1)
    return {name: index for index, nodes in enumerate(found) for name in nodes}


def wires_into(loaded: Loaded, target: str, view: PortView) -> Iterator[Wire]:
    """Yield the wires that end at an input port of a node."""
    bound = loaded.bound.get(target)
    port = bound.type.ports.get(view.name) if bound else None
    led = bound.links.get(view.name, []) if bound else []
    for link in view.links:
        source, _, output = link.partition(".")
        if source not in loaded.graph.nodes:
            yield Wire(source, output, target, view.name, True)
            continue
        above = loaded.bound.get(source)
        if above is None:
            yield Wire(source, output, target, view.name)
            continue
        if not output:
            followed = {one.output for one in led if one.node == source}
            output = followed.pop() if len(followed) == 1 else _only(above.type, port)
        yield Wire(source, output, target, view.name, output not in above.type.outputs)


def _only(cls: type[Node], port: Port | None) -> str:
    """Return the output that a bare name of a node stands for; empty where there is none, or several."""
    if len(cls.outputs) == 1:
        return next(iter(cls.outputs))
    fitting = [name for name, output in cls.outputs.items() if port and fits(declared(output), port)]
    return fitting[0] if len(fitting) == 1 else ""
