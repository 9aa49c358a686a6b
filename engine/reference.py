"""The reference of node types in words, made from their declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import fill, indent

from pydantic import BaseModel

from vflow.engine.node import Node
from vflow.engine.words import (
    about_of,
    bounds_of,
    default_words,
    groups_in,
    key_words,
    port_words,
    summary_of,
    type_words,
)

_WIDTH = 100


def list_types(node_types: Mapping[str, type[Node]]) -> str:
    """Return one line for each node type: its name and the first sentence of what it does."""
    longest = max(map(len, node_types), default=0)
    return "\n".join(f"{name:<{longest}}  {summary_of(cls)}" for name, cls in sorted(node_types.items()))


def describe_type(cls: type[Node]) -> str:
    """Return the reference of a node type: what it does, its ports, its settings and how each enters the key.

    A setting of which nothing is said about the key is a plain part of it.
    """
    how = "light: runs at every plan, loads no model" if cls.light else "heavy: its results are kept"
    parts = [f"{cls.__name__}, version {cls.version} ({how})", about_of(cls)]
    for title, ports in (("inputs", cls.ports), ("outputs", cls.outputs)):
        parts.append(f"{title}\n{_table({port.name: port_words(port, cls) for port in ports.values()})}")
    parts.append(f"settings\n{_table(dict(_settings(cls)))}")
    return "\n\n".join(part for part in parts if part)


def _settings(model: type[BaseModel], prefix: str = "", above: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and words of each setting; those of a group follow it, and enter the key no more than it does."""
    for name, field in model.model_fields.items():
        bounds = "".join(f", {bound}" for bound in bounds_of(field))
        words = f"{type_words(field.annotation)}{bounds}; {default_words(field)}"
        if how := above or key_words(field):
            words += f"; {how}"
        yield prefix + name, words + (f"\n{field.description}" if field.description else "")
        for group in groups_in(field.annotation):
            yield from _settings(group, f"{prefix}{name}.", how)


def _table(rows: Mapping[str, str]) -> str:
    if not rows:
        return "  none"
    longest = max(map(len, rows))
    lines = []
    for name, words in rows.items():
        paragraphs = (fill(line, _WIDTH - longest - 4) for line in words.split("\n"))
        text = indent("\n".join(paragraphs), " " * (longest + 4))
        lines.append(f"  {name:<{longest}}  {text.lstrip()}")
    return "\n".join(lines)
