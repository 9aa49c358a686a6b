"""Edits of several links at once: a node put in between others, and taken out again without leaving a gap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vflow.engine.editing import edits
from vflow.engine.links import passes
from vflow.engine.load import Loaded
from vflow.engine.node import Node


@dataclass(frozen=True)
class Reader:
    """An input port that reads a node: `link` as it stands in the file, `many` where the port is a list."""

    node: str
    port: str
    link: str
    many: bool

    def __str__(self) -> str:
        return f"{self.node}.{self.port}"


def readers(loaded: Loaded, node: str) -> list[Reader]:
    """Return every input port that reads a node, in the order of the file."""
    return [
        Reader(spec.name, port, link, isinstance(given, list))
        for spec in loaded.graph.nodes.values()
        for port, given in spec.inputs.items()
        for link in ([given] if isinstance(given, str) else given)
        if link.partition(".")[0] == node
    ]


def passing_port(kind: type[Node]) -> str:
    """Return the input that a node of this type hands on, transformed, as its only output; "" where it does not."""
    if len(kind.outputs) != 1:
        return ""
    (output,) = kind.outputs.values()
    found = [port.name for port in kind.ports.values() if passes(port, output)]
    return found[0] if len(found) == 1 else ""


def may_follow(loaded: Loaded, link: str, kind: type[Node], port: str) -> list[Reader]:
    """Return who reads a link and could read a new node behind it instead: none, unless it hands on what it takes."""
    if passing_port(kind) != port or not port:
        return []
    node = link.partition(".")[0]
    source = loaded.bound.get(node)
    if source is None:
        return []
    only = len(source.type.outputs) == 1  # then `node` and `node.output` are the same
    return [one for one in readers(loaded, node) if one.link == link or only]


def relinked(text: str, found: Iterable[Reader], link: str) -> str:
    """Return the text of a graph in which these readers read `link`.

    Raises:
        EditError: the file is not written in a way that allows it.
    """
    for one in found:
        if one.many:
            text = edits.disconnect(text, one.node, one.port, one.link)
        text = edits.connect(text, one.node, one.port, link, many=one.many)
    return text


def bridge(loaded: Loaded, node: str) -> str:
    """Return the link that a node's readers could read once it is gone: what it hands on; "" where there is none."""
    bound, spec = loaded.bound.get(node), loaded.graph.nodes.get(node)
    if bound is None or spec is None or not (port := passing_port(bound.type)):
        return ""
    given = spec.inputs.get(port, "")
    return given if isinstance(given, str) else ""
