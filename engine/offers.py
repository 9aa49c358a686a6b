"""What fits where: the links that a port could take, the ports that an output could feed, the node types for either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vflow.engine.links import Flow, Link, declared, fits, flow_out
from vflow.engine.load import Loaded
from vflow.engine.node import Node, Port
from vflow.engine.outline import links_of, order
from vflow.engine.words import summary_of


@dataclass(frozen=True)
class Offer:
    """A node type that could be added, and the port of it that would be wired; no port where none fits.

    `link` is what is then written: at that port, or for `types_before` at the port that asks, where `{}` stands for
    the name of the new node.
    """

    type: str
    port: str
    summary: str
    link: str = ""


def sources_for(loaded: Loaded, node: str, port: str) -> list[str]:
    """Return the links, as a file has them, of all outputs of this graph that fit an input port, nearest first.

    What reads from the node itself is left out: it would make a cycle. So is what is linked to the port already.
    """
    taking = _input(loaded, node, port)
    if taking is None:
        return []
    flows, below = _flows(loaded), _below(loaded, node)
    linked = {link for name, link in links_of(loaded.graph.nodes[node]) if name == port}
    found: dict[str, list[str]] = {}
    for name, bound in loaded.bound.items():
        if name not in below:
            fitting = [output for output in bound.type.outputs if _brings(flows.get(Link(name, output)), taking)]
            free = [output for output in fitting if f"{name}.{output}" not in linked]
            found[name] = [name if len(fitting) == 1 else f"{name}.{output}" for output in free if name not in linked]
    return [link for name in _nearest(loaded, node) for link in found.get(name, ())]


def targets_for(loaded: Loaded, node: str, output: str) -> list[tuple[str, str]]:
    """Return node and port of all inputs of this graph that could take an output without making a cycle.

    Those that wait for a link come first, then those that take another one, then those whose link it would replace;
    among equals the nearest.
    """
    flow = _flows(loaded).get(Link(node, output))
    if flow is None:
        return []
    above = _above(loaded, node)
    ranked: list[tuple[int, int, str, str]] = []
    for place, name in enumerate(_nearest(loaded, node)):
        bound = loaded.bound.get(name)
        for port in bound.type.ports.values() if bound and name not in above else ():
            given = [link for into, link in links_of(loaded.graph.nodes[name]) if into == port.name]
            if _brings(flow, port) and not {node, f"{node}.{output}"} & set(given):
                rank = (0 if not port.optional else 1) if not given else 2 if port.many else 3
                ranked.append((rank, place, name, port.name))
    return [(name, port) for _, _, name, port in sorted(ranked, key=lambda one: one[:2])]


def types_after(
    loaded: Loaded, node: str, output: str | None = None, known: Mapping[str, type[Node]] | None = None
) -> list[Offer]:
    """Return the node types for what a node gives: those with a port that takes it first, then, with no port, the rest.

    Without `output`, any output of the node will do. `known` are the types, those of this installation by default.
    """
    types = _types() if known is None else known
    given = {
        link.output: flow
        for link, flow in _flows(loaded).items()
        if link.node == node and output in (None, link.output)
    }
    every = loaded.bound[node].type.outputs if node in loaded.bound else {}
    fitting: list[tuple[tuple[bool, bool, int, str], Offer]] = []
    for kind, cls in types.items():
        ports = [port for port in cls.ports.values() if any(_brings(flow, port) for flow in given.values())]
        if ports:
            best = min(ports, key=_rank)
            source = next(name for name, flow in given.items() if _brings(flow, best))
            link = node if len(every) == 1 else f"{node}.{source}"
            fitting.append(((*_rank(best), kind), Offer(kind, best.name, summary_of(cls), link)))
    offers = [offer for _, offer in sorted(fitting, key=lambda one: one[0])]
    named = {offer.type for offer in offers}
    return offers + [Offer(kind, "", summary_of(cls)) for kind, cls in sorted(types.items()) if kind not in named]


def types_before(loaded: Loaded, node: str, port: str, known: Mapping[str, type[Node]] | None = None) -> list[Offer]:
    """Return the node types with an output that fits an input port; the port of an offer is that output.

    Those whose output follows their input, and so fits only if the right thing is linked to it, come last.
    """
    taking = _input(loaded, node, port)
    if taking is None:
        return []
    found: list[tuple[bool, int, str, Offer]] = []
    for kind, cls in (_types() if known is None else known).items():
        sure = [output for output in cls.outputs.values() if fits(declared(output), taking)]
        maybe = [output for output in cls.outputs.values() if output.variable and _may_fit(output, taking)]
        for output in (sure or maybe)[:1]:
            link = "{}" if len(sure or maybe) == 1 else f"{{}}.{output.name}"
            wanted = sum(not one.optional for one in cls.ports.values())
            found.append((not sure, wanted, kind, Offer(kind, output.name, summary_of(cls), link)))
    return [offer for *_, offer in sorted(found, key=lambda one: one[:3])]


# --- types -----------------------------------------------------------------------------------------------------------


def _types() -> Mapping[str, type[Node]]:
    from vflow.engine.registry import load_node_types

    return load_node_types()


def _rank(port: Port) -> tuple[bool, bool, int]:
    """Return what makes a port a worse choice than another: only watching, optional, taking many types."""
    return port.observed, port.optional, len(port.types)


def _input(loaded: Loaded, node: str, port: str) -> Port | None:
    bound = loaded.bound.get(node)
    return bound.type.ports.get(port) if bound else None


def _may_fit(output: Port, port: Port) -> bool:
    return any(port.accepts((kind,), output.many) for kind in output.types)


def _brings(flow: Flow | None, port: Port) -> bool:
    """Tell whether what comes out certainly fits a port."""
    return flow is not None and flow.types is not None and fits(flow, port)


# --- the graph -------------------------------------------------------------------------------------------------------


def _flows(loaded: Loaded) -> dict[Link, Flow]:
    """Return what comes out of every output port, with type variables resolved; within a cycle as it is declared."""
    flows: dict[Link, Flow] = {}
    for name in order(loaded.graph.nodes):
        bound = loaded.bound.get(name)
        if bound is None:
            continue
        spec, given = loaded.graph.nodes[name], dict[str, list[Flow]]()
        for into, link in links_of(spec):
            if (port := bound.type.ports.get(into)) is not None:
                given.setdefault(into, []).extend(_followed(loaded, flows, link, port))
        for output, port in bound.type.outputs.items():
            flow = flow_out(spec, bound.type, port, given)
            flows[Link(name, output)] = flow if flow.types is not None else declared(port)
    return flows


def _followed(loaded: Loaded, flows: Mapping[Link, Flow], link: str, port: Port) -> Iterator[Flow]:
    name, _, output = link.partition(".")
    bound = loaded.bound.get(name)
    for one in ([output] if output else bound.type.outputs) if bound else ():
        flow = flows.get(Link(name, one))
        if flow is not None and fits(flow, port):
            yield flow


def _above(loaded: Loaded, node: str) -> set[str]:
    """Return a node and all that it reads from, near or far."""
    sources = {
        name: [link.partition(".")[0] for _, link in links_of(spec)] for name, spec in loaded.graph.nodes.items()
    }
    return _reached(sources, node)


def _below(loaded: Loaded, node: str) -> set[str]:
    """Return a node and all that reads from it, near or far."""
    readers: dict[str, list[str]] = {}
    for name, spec in loaded.graph.nodes.items():
        for _, link in links_of(spec):
            readers.setdefault(link.partition(".")[0], []).append(name)
    return _reached(readers, node)


def _reached(steps: Mapping[str, list[str]], start: str) -> set[str]:
    found, stack = {start}, [start]
    while stack:
        new = [name for name in steps.get(stack.pop(), ()) if name not in found]
        found.update(new)
        stack += new
    return found


def _nearest(loaded: Loaded, node: str) -> list[str]:
    """Return the other nodes, those that stand near it in the order of work first."""
    names = order(loaded.graph.nodes)
    place = {name: index for index, name in enumerate(names)}
    return sorted((name for name in names if name != node), key=lambda name: abs(place[name] - place[node]))
