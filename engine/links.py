"""Links between nodes: what comes out of an output port, with type variables and disabled nodes resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from vflow.engine.graph import NodeSpec
from vflow.engine.node import Node, Port
from vflow.engine.values import Artifact, Value


@dataclass(frozen=True, slots=True)
class Link:
    """Where a value comes from: an output port of a node."""

    node: str
    output: str


@dataclass
class Bound:
    """A node of a graph with its declaration. `node` is None when its settings are wrong.

    `links` holds the ports that something is linked to; links lead past disabled nodes to where the value comes from.
    """

    name: str
    type: type[Node]
    node: Node | None
    links: dict[str, list[Link]] = field(default_factory=dict)
    disabled: bool = False

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of the nodes that it reads from, each once; asked for when all links are made."""
        return tuple(dict.fromkeys(link.node for links in self.links.values() for link in links))


@dataclass(frozen=True, slots=True)
class Flow:
    """What comes out of an output port. `types` is None where it cannot be known, `nothing` says why nothing comes.

    `broken` is set when nothing comes although something depends on it.
    """

    links: tuple[Link, ...]
    types: tuple[type[Value], ...] | None
    many: bool = False
    nothing: str = ""
    broken: bool = False


def flow_out(spec: NodeSpec, cls: type[Node], port: Port, flows: Mapping[str, list[Flow]]) -> Flow:
    """Return what comes out of one output port of a node, given what comes into it."""
    if spec.disabled:
        return _flow_past(spec, cls, port, flows)
    link = (Link(spec.name, port.name),)
    following = [p.name for p in cls.ports.values() if port.variable and p.variable == port.variable]
    given = [flow for name in following for flow in flows.get(name, [])]
    if any(flow.types is None for flow in given):
        return Flow(link, None, port.many)
    types = tuple(dict.fromkeys(kind for flow in given for kind in flow.types or ()))
    return Flow(link, types or port.types, port.many)


def _flow_past(spec: NodeSpec, cls: type[Node], port: Port, flows: Mapping[str, list[Flow]]) -> Flow:
    """Return what a disabled node hands on: its input if it transforms it, nothing if it is a source."""
    if not cls.ports:
        return Flow((), port.types, port.many, f"{spec.name!r} is disabled and yields nothing")
    passing = [p.name for p in cls.ports.values() if passes(p, port)]
    if len(passing) != 1:
        return Flow((), port.types, port.many, f"{spec.name!r} is disabled and has no result", broken=True)
    given = flows.get(passing[0], [])
    if len(given) == 1:
        return given[0]
    if not given:
        reason = f"{spec.name!r} is disabled and nothing is linked to its input {passing[0]!r}"
        return Flow((), port.types, port.many, reason)
    links = tuple(link for flow in given for link in flow.links)
    kinds = [flow.types for flow in given]
    types = None if None in kinds else tuple(dict.fromkeys(kind for one in kinds for kind in one or ()))
    return Flow(links, types, port.many, "" if links else f"{spec.name!r} is disabled and passes nothing")


def passes(given: Port, output: Port) -> bool:
    """Tell whether a disabled node hands the input on: same type variable or type, and no result of heavy work."""
    if given.observed or any(issubclass(kind, Artifact) for kind in output.types):
        return False
    if output.variable or given.variable:
        return output.variable == given.variable and output.many == given.many
    return (given.types, given.many) == (output.types, output.many)


def fits(flow: Flow, port: Port | None) -> bool:
    """Tell whether what comes out may go into a port; what is not known fits, and anything fits no port at all."""
    return port is None or flow.types is None or port.accepts(flow.types, flow.many)


def declared(port: Port) -> Flow:
    """Return what a port gives by its declaration alone."""
    return Flow((), port.types, port.many)
