"""A graph as resolved: nodes with their settings and links, and where each of them stands in the files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vflow.engine.pieces import Piece, Place, scalar

if TYPE_CHECKING:
    from vflow.engine.parameters import Parameter

#: The graph format that this vflow writes and reads.
FORMAT = 1
#: What nodes, parameters, profiles and outputs may be called.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

# what may not stand plainly between double quotes in YAML, or would be read as a line break there
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_LONGEST_KEY = 1000  # YAML finds the ':' of a plain key within 1024 characters


@dataclass(frozen=True)
class NodeSpec:
    """A node as the file has it. `inputs` maps a port to a link (`node` or `node.output`) or to a list of them.

    `type` is empty where the file gives none that could be read.
    """

    name: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str | list[str]] = field(default_factory=dict)
    disabled: bool = False


@dataclass
class Graph:
    """A graph with its profiles chosen and its parameters put in.

    `params` are the parameters in force and `profiles` the profiles that the file offers, both as plain data and for
    show only, as are `parameters`, what each of them is: two graphs are equal when what they run is equal. `unfilled`
    names the settings that wait for a parameter which does not exist, or has no value. `written` is the file as it
    stands, with what it extends and before any choice.
    """

    name: str = ""
    about: str = ""
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict, compare=False)
    profiles: dict[str, Any] = field(default_factory=dict, compare=False)
    parameters: dict[str, Parameter] = field(default_factory=dict, compare=False, repr=False)
    format: int = FORMAT
    tree: Piece = field(default_factory=lambda: Piece({}), compare=False, repr=False)
    unfilled: set[str] = field(default_factory=set, compare=False, repr=False)
    written: Piece = field(default_factory=lambda: Piece({}), compare=False, repr=False)

    def piece(self, *path: str | int) -> Piece:
        """Return the piece of the file at a path (`"nodes", "train", "steps"`), else the nearest one above it."""
        found = self.tree
        for step in path:
            inside = found.data
            reachable = range(len(inside)) if type(inside) is list else inside if type(inside) is dict else ()
            if step not in reachable:
                break
            found = inside[step]
        return found

    def place(self, *path: str | int, key: bool = False) -> Place:
        """Return file, line and column of a value (or of its key), else of the nearest one above it."""
        return self.piece(*path).place(key)

    def to_text(self) -> str:
        """Return the graph as a YAML text, one line per node, that loads to an equal graph without any choice."""
        lines = [f"vflow: {self.format}", f"name: {_quote(self.name)}"]
        if self.about:
            lines.append(f"about: {_quote(self.about)}")
        lines.append("nodes:" if self.nodes else "nodes: {}")
        lines += [f"  {_key(spec.name)}: {_node_text(spec)}" for spec in self.nodes.values()]
        if self.outputs:
            lines.append("outputs:")
            lines += [f"  {_key(name)}: {_quote(link)}" for name, link in self.outputs.items()]
        return "\n".join(lines) + "\n"


def flow(data: Any, *, escape: bool = False) -> str:
    """Return plain data as YAML in one line. `escape` keeps `${` in texts from being read as a parameter.

    Raises:
        TypeError: something in it is not plain data.
    """
    if isinstance(data, str):
        return _quote(data.replace("${", "$${") if escape else data)
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{_flow_key(key)}: {flow(value, escape=escape)}" for key, value in data.items()) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(flow(value, escape=escape) for value in data) + "]"
    if isinstance(data, float) and data - data != 0:
        return ".nan" if data != data else ".inf" if data > 0 else "-.inf"
    return json.dumps(data)


def _node_text(spec: NodeSpec) -> str:
    parts = [f"type: {_quote(spec.type)}"]
    if spec.inputs:
        parts.append(f"inputs: {flow(spec.inputs)}")
    if spec.disabled:
        parts.append("disabled: true")
    parts += [f"{_flow_key(name)}: {flow(value, escape=True)}" for name, value in spec.settings.items()]
    return "{" + ", ".join(parts) + "}"


def _quote(text: str) -> str:
    if text.isascii() and text.isprintable():
        return json.dumps(text)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _key(name: str) -> str:
    return name if NAME.fullmatch(name) and isinstance(scalar(name), str) else _quote(name)


def _flow_key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a key must be text, not {type(name).__name__}: {name!r}")
    key = _key(name)
    return key if len(key) < _LONGEST_KEY else f"? {key}"
