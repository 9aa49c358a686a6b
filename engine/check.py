"""The check of a graph against the declarations of its nodes: links, types, cycles, settings, what is disabled.

Links are resolved along the topological order, because the output of a node with a type variable has the type of what
is linked to its input. What cannot be known (behind an unknown node type, within a cycle) is not told twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError

from vflow.engine.graph import Graph, NodeSpec
from vflow.engine.links import Bound, Flow, Link, declared, fits, flow_out
from vflow.engine.node import Node, Port
from vflow.engine.pieces import Findings, show
from vflow.engine.schedule import topological_order
from vflow.engine.settings import make

_LINK = re.compile(r"([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_]+))?")


def check(
    graph: Graph, known: Mapping[str, type[Node]], findings: Findings
) -> tuple[dict[str, Bound], dict[str, Link]]:
    """Return the nodes bound to their declarations, and the links of the graph's outputs.

    Nodes of unknown type are missing from the first, outputs that lead nowhere from the second. An output of a
    disabled node is left out of the graph with a warning.
    """
    wiring = _Wiring(graph, known, findings)
    for name in wiring.order():
        wiring.bind(graph.nodes[name])
    bound = {name: wiring.bound[name] for name in graph.nodes if name in wiring.bound}
    return bound, wiring.outputs()


class _Wiring:
    def __init__(self, graph: Graph, known: Mapping[str, type[Node]], findings: Findings) -> None:
        self.graph, self.known, self.findings = graph, known, findings
        self.bound: dict[str, Bound] = {}
        self.flows: dict[Link, Flow] = {}
        self.only: dict[str, Flow] = {}  #: what a node gives that has a single output

    def tell(self, path: tuple[str | int, ...], message: str, remedy: str = "", *, key: bool = False) -> None:
        where = ".".join(step for step in path if isinstance(step, str))
        self.findings.add(self.graph.place(*path, key=key), where, message, remedy)

    # --- order -----------------------------------------------------------------------------------------------------

    def order(self) -> list[str]:
        """Return the nodes so that each comes after those it reads from; tell the cycles, and cut them."""
        sources = {name: list(self._sources(spec)) for name, spec in self.graph.nodes.items()}
        try:
            return topological_order(sources)
        except CycleError:
            knots = self._tell_cycles(sources)
            cut = {n: [s for s in names if knots.get(n, n) != knots.get(s, s)] for n, names in sources.items()}
            return topological_order(cut)

    def _sources(self, spec: NodeSpec) -> Iterator[str]:
        for _, link in _links(spec):
            name = link.partition(".")[0]
            if name in self.graph.nodes:
                yield name

    def _tell_cycles(self, sources: Mapping[str, list[str]]) -> dict[str, str]:
        """Tell one cycle of every knot of nodes; return the knot (named by one of its nodes) of each node in one."""
        import networkx as nx

        network = nx.DiGraph([(source, name) for name, names in sources.items() for source in names])
        place = {name: index for index, name in enumerate(sources)}
        knots: dict[str, str] = {}
        for nodes in nx.strongly_connected_components(network):
            first = min(nodes, key=place.__getitem__)
            if len(nodes) == 1 and not network.has_edge(first, first):
                continue
            knots |= dict.fromkeys(nodes, first)
            round_trip = [a for a, _ in nx.find_cycle(network.subgraph(nodes), first)]
            start = round_trip.index(min(round_trip, key=place.__getitem__))
            names = [*round_trip[start:], *round_trip[:start]]
            path = next(p for p, link in _links(self.graph.nodes[names[0]]) if link.partition(".")[0] == names[-1])
            message = f"a cycle: {' -> '.join([*names, names[0]])}"
            self.tell(path, message, "these nodes wait for each other; drop one of the links")
        # a knot is named by a node, which as a name of its own must not equal it
        return {name: f"{first}:" for name, first in knots.items()}

    # --- one node --------------------------------------------------------------------------------------------------

    def bind(self, spec: NodeSpec) -> None:
        """Bind one node to its declaration, after all that it reads from."""
        cls = self.known.get(spec.type)
        if cls is None:
            if spec.type:
                remedy = self.findings.suggest(spec.type, self.known)
                self.tell(("nodes", spec.name, "type"), f"unknown node type {show(spec.type)}", remedy)
            for path, link in _links(spec):
                self.follow(link, None, path)
            return
        bound = Bound(spec.name, cls, self._settings(spec, cls), {}, spec.disabled)
        self.bound[spec.name] = bound
        flows: dict[str, list[Flow]] = {}
        for name in spec.inputs:
            if name in cls.ports:
                flows[name] = self._flows_into(spec, cls.ports[name], bound)
            else:
                self._tell_no_port(spec, cls, name)
        self._tell_missing(spec, cls, flows)
        for output, port in cls.outputs.items():
            self.flows[Link(spec.name, output)] = flow = flow_out(spec, cls, port, flows)
            if len(cls.outputs) == 1:
                self.only[spec.name] = flow

    def _settings(self, spec: NodeSpec, cls: type[Node]) -> Node | None:
        node, wrong = make(cls, spec.settings, self.findings)
        for one in wrong:
            path = ("nodes", spec.name, *one.path)
            where = ".".join(str(step) for step in path)
            if any(where == place or where.startswith(f"{place}.") for place in self.graph.unfilled):
                continue
            piece = self.graph.piece(*path)
            message = f"{one.message} ({piece.via})" if piece.via else one.message
            self.findings.add(piece.place(key=one.unknown or not one.path), where, message, one.remedy)
        return node

    def _flows_into(self, spec: NodeSpec, port: Port, bound: Bound) -> list[Flow]:
        path = ("nodes", spec.name, "inputs", port.name)
        if isinstance(spec.inputs[port.name], list) and not port.many:
            self.tell(path, f"takes one link, not a list: it is {_a(port)}", "write one `node` or `node.output`")
            return [Flow((), None)]
        flows: list[Flow] = []
        for place, link in _links(spec, port.name):
            flow = self.follow(link, port, place)
            if flow.broken and not spec.disabled:
                self.tell(place, flow.nothing, "enable it, or disable this node too")
                flow = Flow((), None)
            flows.append(flow)
        if links := [link for flow in flows for link in flow.links]:
            bound.links[port.name] = links
        return flows

    def _tell_no_port(self, spec: NodeSpec, cls: type[Node], name: str) -> None:
        path = ("nodes", spec.name, "inputs", name)
        if name in cls.model_fields:
            self.tell(path, f"{name!r} is a setting and no input port", "write it beside `inputs:`", key=True)
        else:
            remedy = self.findings.suggest(name, cls.ports) if cls.ports else "it takes no inputs"
            self.tell(path, f"{spec.type} has no input port {show(name)}", remedy, key=True)
        for place, link in _links(spec, name):
            self.follow(link, None, place)

    def _tell_missing(self, spec: NodeSpec, cls: type[Node], flows: Mapping[str, list[Flow]]) -> None:
        for port in cls.ports.values():
            given = flows.get(port.name, [])
            if spec.disabled or port.optional or any(flow.links or flow.types is None for flow in given):
                continue
            written = self.graph.piece("nodes", spec.name).get("inputs")
            if written and written.data is not None and type(written.data) is not dict:
                return
            path, reason = ("nodes", spec.name), next((flow.nothing for flow in given), "")
            if reason:
                path = (*path, "inputs", port.name)  # type: ignore[assignment]
            message = reason or f"{unlinked(port.name)}, {_a(port)}"
            remedy = "enable it, or link another node" if reason else self._offer(port, spec.name)
            self.tell(path, message, remedy, key=not reason)

    # --- one link --------------------------------------------------------------------------------------------------

    def follow(self, link: str, port: Port | None, path: tuple[str | int, ...]) -> Flow:
        """Return what a link brings, and tell what is wrong with it; `port` is None where any type will do."""
        only = self.only.get(link)
        if only is not None and fits(only, port):
            return only
        unknown = Flow((), None)
        match = _LINK.fullmatch(link)
        if not match:
            if link:
                self.tell(path, f"{show(link)} is no link", "write `node` or `node.output`")
            return unknown
        name, output = match[1], match[2]
        if name not in self.graph.nodes:
            self.tell(path, f"there is no node {show(name)}", self.findings.suggest(name, self.graph.nodes))
            return unknown
        cls = self.known.get(self.graph.nodes[name].type)
        if cls is None:
            return unknown
        if output is not None and output not in cls.outputs:
            remedy = self.findings.suggest(output, cls.outputs) if cls.outputs else "it has no outputs"
            self.tell(path, f"{name!r} ({self.graph.nodes[name].type}) has no output {show(output)}", remedy)
            return unknown
        offers = {o: self.flow_of(Link(name, o)) for o in ([output] if output else cls.outputs)}
        return self._choose(name, offers, port, path) or unknown

    def flow_of(self, link: Link) -> Flow:
        """Return what comes out of a port; of unknown type within a cycle."""
        return self.flows.get(link, Flow((link,), None))

    def _choose(
        self, name: str, offers: Mapping[str, Flow], port: Port | None, path: tuple[str | int, ...]
    ) -> Flow | None:
        fitting = {output: flow for output, flow in offers.items() if fits(flow, port)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if len(fitting) > 1:
            if port is None or all(flow.types is not None for flow in fitting.values()):
                self.tell(path, f"{name!r} has several outputs", f"write {_or(f'{name}.{o}' for o in fitting)}")
            return None
        if port is None or not offers:
            self.tell(path, f"{name!r} gives nothing: it has no outputs", "link another node")
        elif len(offers) == 1:
            (flow,) = offers.values()
            self.tell(path, f"{name!r} gives {_words(flow)}, but this takes {port.words}", self._offer(port, path[1]))
        else:
            gives = ", ".join(f"{output}: {_words(flow)}" for output, flow in offers.items())
            self.tell(path, f"no output of {name!r} ({gives}) is {_a(port)}", self._offer(port, path[1]))
        return None

    def _offer(self, port: Port, reader: str | int) -> str:
        """Return a remedy: what of this graph could be linked to a port, else which node types give such a thing."""
        if len(self.findings.problems) > 100:
            return ""
        found = [
            name if len(cls.outputs) == 1 else f"{name}.{output}"
            for name, spec in self.graph.nodes.items()
            if name != reader and (cls := self.known.get(spec.type))
            for output, given in cls.outputs.items()
            if port.accepts((self.flows.get(Link(name, output)) or declared(given)).types or given.types, given.many)
        ]
        if found:
            return f"link {_or(found[:4])}"
        giving = (
            kind for kind, cls in self.known.items() if any(fits(declared(o), port) for o in cls.outputs.values())
        )
        kinds = sorted(giving)
        return f"add a node that gives it: {_or(kinds[:4])}" if kinds else ""

    # --- the graph's outputs ---------------------------------------------------------------------------------------

    def outputs(self) -> dict[str, Link]:
        """Return the links of the outputs; those of disabled nodes leave the graph."""
        links: dict[str, Link] = {}
        for name, link in list(self.graph.outputs.items()):
            path = ("outputs", name)
            flow = self.follow(link, None, path)
            if len(flow.links) == 1:
                links[name] = flow.links[0]
            elif flow.types is not None:
                reason = flow.nothing or f"{link!r} is disabled and passes several values"
                place = self.graph.place(*path)
                self.findings.add(place, f"outputs.{name}", reason, "this output is left out", "warning")
                del self.graph.outputs[name]
        return links


def unlinked(port: str) -> str:
    """Return how what is said of an input begins that needs a link and has none."""
    return f"nothing is linked to the input {port!r}"


def _links(spec: NodeSpec, port: str | None = None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield path and text of every link of a node, or of one of its ports."""
    for name in spec.inputs if port is None else (port,):
        given = spec.inputs[name]
        path = ("nodes", spec.name, "inputs", name)
        if isinstance(given, str):
            yield path, given
        else:
            yield from (((*path, index), link) for index, link in enumerate(given))


def _words(flow: Flow) -> str:
    return Port("", flow.types or (), flow.many).words


def _a(port: Port) -> str:
    return f"a {port.words}"


def _or(names: Iterator[str] | list[str]) -> str:
    return " or ".join(names)
