"""Edits of nodes and links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vflow.engine.editing import edits
from vflow.tui.working import Working

if TYPE_CHECKING:
    from vflow.engine.node import Node
    from vflow.engine.wiring import Reader

_WORDS = re.compile(r"LoRA|[A-Z]+[0-9]*(?![a-z0-9])|[A-Z][a-z0-9]*|[a-z0-9]+")


@dataclass(frozen=True)
class Deletion:
    """What deleting a node would do. `hanging` says in words which links would lead nowhere.

    `bridge` is the link that its readers could read instead; "" where there is none.
    """

    node: str
    hanging: tuple[str, ...]
    bridge: str


class NodeEdits(Working):
    """What is done to nodes. Each method is one edit, and raises EditError where it is not possible."""

    def add(
        self, type_name: str, inputs: Mapping[str, str] | None = None, after: str | None = None,
        readers: Sequence[Reader] = (),
    ) -> str:  # fmt: skip
        """Add a node and return its name; `readers` will read it in place of what they read now."""
        from vflow.engine.wiring import relinked

        name, given = edits.fresh_name(self.text, stem_of(type_name)), dict(inputs or {})
        self.edit(
            f"add {name}", lambda text: relinked(edits.add_node(text, name, type_name, given, {}, after), readers, name)
        )
        return name

    def add_before(self, type_name: str, node: str, port: str, link: str = "{}") -> str:
        """Add a node that a port of another reads, by `link` with the new name put in; returns its name.

        What hands on its input stands between the port and what that read before.
        """
        from vflow.engine.wiring import passing_port

        name, kind = edits.fresh_name(self.text, stem_of(type_name)), _kind(type_name)
        read, many = self.loaded.graph.nodes[node].inputs.get(port), self._adds_to(node, port)
        taking = passing_port(kind) if kind is not None else ""
        given = {taking: read} if taking and isinstance(read, str) and read else {}

        def change(text: str) -> str:
            return edits.connect(edits.add_node(text, name, type_name, given), node, port, link.format(name), many=many)

        self.edit(f"add {name}", change)
        return name

    def followers(self, type_name: str, port: str, link: str) -> list[Reader]:
        """Return who reads `link` and could read a new node of this type behind it instead."""
        from vflow.engine.wiring import may_follow

        kind = _kind(type_name)
        return may_follow(self.loaded, link, kind, port) if kind is not None else []

    def deletion(self, node: str) -> Deletion:
        """Return what deleting a node would do."""
        from vflow.engine.wiring import bridge

        return Deletion(node, tuple(edits.hanging(self.text, node)), bridge(self.loaded, node))

    def delete(self, node: str, *, unlink: bool = False, bridge: bool = False) -> None:
        """Delete a node: links to it hang, or are dropped (`unlink`), or read what it read (`bridge`)."""
        from vflow.engine.wiring import bridge as bridge_of
        from vflow.engine.wiring import readers, relinked

        link, found = bridge_of(self.loaded, node), readers(self.loaded, node)

        def change(text: str) -> str:
            if bridge and link:
                text = relinked(text, found, link)
            return edits.delete_node(text, node, unlink=unlink)

        self.edit(f"delete {node}", change)

    def rename(self, node: str, new: str) -> None:
        """Rename a node; what refers to it follows."""
        self.edit(f"rename {node} to {new}", lambda text: edits.rename_node(text, node, new))

    def duplicate(self, node: str) -> str:
        """Copy a node, its links and comments too; returns the name of the copy."""
        name = edits.fresh_name(self.text, node)
        self.edit(f"duplicate {node}", lambda text: edits.duplicate_node(text, node, name))
        return name

    def connect(self, node: str, port: str, link: str) -> None:
        """Link a port; a port that takes several keeps those it has."""
        many = self._adds_to(node, port)
        self.edit(f"connect {link} to {node}.{port}", lambda text: edits.connect(text, node, port, link, many=many))

    def disconnect(self, node: str, port: str, link: str | None = None) -> None:
        """Take a link from a port, or all of them."""
        label = f"disconnect {link} from {node}.{port}" if link else f"disconnect {node}.{port}"
        self.edit(label, lambda text: edits.disconnect(text, node, port, link))

    def switch(self, node: str) -> bool:
        """Disable a node, or enable it again, where that is in force: in the profile that says it, else in the node.

        Returns whether it is disabled now.
        """
        disabled = not self.loaded.graph.nodes[node].disabled
        profile = self._profile_with("nodes", node, "disabled") or None
        label = f"{'disable' if disabled else 'enable'} {node}"
        self.edit(label, lambda text: edits.set_disabled(text, node, disabled, profile=profile))
        return disabled

    def node_text(self, node: str) -> str:
        """Return a node's own text, comments included."""
        return edits.node_text(self.text, node)

    def set_node_text(self, node: str, text: str) -> None:
        """Replace a node's own text."""
        self.edit(f"edit {node}", lambda whole: edits.replace_node(whole, node, text))

    def _adds_to(self, node: str, port: str) -> bool:
        """Tell whether a link to a port stands beside those that it has: it takes a list, and reads something."""
        bound, spec = self.loaded.bound.get(node), self.loaded.graph.nodes.get(node)
        known = bound.type.ports.get(port) if bound is not None else None
        return known is not None and known.many and spec is not None and bool(spec.inputs.get(port))


def stem_of(type_name: str) -> str:
    """Return what a node of a type is called at first: `GroupOffload` gives `group_offload`."""
    return "_".join(_WORDS.findall(type_name)).lower() or "node"


def _kind(type_name: str) -> type[Node] | None:
    from vflow.engine.registry import load_node_types

    return load_node_types().get(type_name)
