"""The reference of node types in words, made from their declarations."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from textwrap import fill, indent
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vflow.engine.graph import flow
from vflow.engine.node import Node, Port, mark_of, matters

_WIDTH = 100
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true | false", type(None): "empty"}
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
_BOUNDS |= {"multiple_of": "a multiple of {}", "min_length": "at least {} long", "max_length": "at most {} long"}
_KEY = {
    "plain": "",
    "exact": "not in the key: where or how fast, with equal bits",
    "rounding": "not in the key, but recorded: equal up to rounding",
    "observe": "not in the key: watches only",
    "horizon": "in the key as how far: a longer run goes on from a shorter one where that is possible",
}


def list_types(node_types: Mapping[str, type[Node]]) -> str:
    """Return one line for each node type: its name and the first sentence of what it does."""
    longest = max(map(len, node_types), default=0)
    return "\n".join(f"{name:<{longest}}  {_summary(cls)}" for name, cls in sorted(node_types.items()))


def describe_type(cls: type[Node]) -> str:
    """Return the reference of a node type: what it does, its ports, its settings and how each enters the key.

    A setting of which nothing is said about the key is a plain part of it.
    """
    how = "light: runs at every plan, loads no model" if cls.light else "heavy: its results are kept"
    parts = [f"{cls.__name__}, version {cls.version} ({how})", inspect.cleandoc(cls.__doc__ or "")]
    for title, ports in (("inputs", cls.ports), ("outputs", cls.outputs)):
        parts.append(f"{title}\n{_table({port.name: _port(port, cls) for port in ports.values()})}")
    parts.append(f"settings\n{_table(dict(_settings(cls)))}")
    return "\n\n".join(part for part in parts if part)


def _summary(cls: type[Node]) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ").partition(". ")[0].rstrip(".")


def _port(port: Port, cls: type[Node]) -> str:
    words = port.words
    if port.variable:
        words += " (what is linked to it decides the output)" if port.name in cls.ports else " (as the input)"
    if port.optional:
        words += ", optional"
    if port.name == cls.per_item and port.name in cls.ports:
        words += ", kept item by item"
    if not port.observed:
        return words
    return (
        f"{words}, watched only: not in the key" if port.name in cls.ports else f"{words}, as the store holds them now"
    )


def _settings(model: type[BaseModel], prefix: str = "", above: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and words of each setting; those of a group follow it, and enter the key no more than it does."""
    for name, field in model.model_fields.items():
        bounds = "".join(f", {bound}" for bound in _bounds(field))
        words = f"{_type_words(field.annotation)}{bounds}; {_default(field)}"
        if how := above or _in_key(field):
            words += f"; {how}"
        yield prefix + name, words + (f"\n{field.description}" if field.description else "")
        for group in _groups(field.annotation):
            yield from _settings(group, f"{prefix}{name}.", how)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is PydanticUndefined or isinstance(default, BaseModel):
        return "default as below"
    if default is None or default == "":
        return "default empty"
    return f"default {flow(default) if isinstance(default, (bool, int, float, list, tuple, dict)) else default}"


def _in_key(field: FieldInfo) -> str:
    mark = mark_of(field)
    if "first" in mark:
        return f"in the key once it is not {flow(mark['first'])}"
    kind = matters(field)
    return _KEY["exact" if mark.get("exact") else "rounding"] if kind == "placement" else _KEY[kind]


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, words in _BOUNDS.items():
            if (bound := getattr(constraint, name, None)) is not None:
                yield words.format(bound)


def _type_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return _type_words(arguments[0])
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type_words(argument) for argument in arguments))
    if origin is tuple and arguments[-1:] != (...,):
        return f"list of {len(arguments)}: {', '.join(_type_words(argument) for argument in arguments)}"
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type_words(arguments[0])}"
    if isinstance(origin or annotation, type) and issubclass(origin or annotation, Mapping):
        return f"mapping of {_type_words(arguments[1])}" if arguments else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a group of settings"
    return str(getattr(annotation, "__name__", annotation))


def _groups(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _groups(argument)


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
