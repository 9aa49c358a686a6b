"""Declarations in words: what a node does, what its ports carry, what its settings take and how they enter the key."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vflow.engine.graph import flow
from vflow.engine.node import Node, Port, mark_of, matters

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


def about_of(cls: type[BaseModel]) -> str:
    """Return the whole docstring of a node type, or of a group of settings."""
    return inspect.cleandoc(cls.__doc__ or "")


def summary_of(cls: type[Node]) -> str:
    """Return the first sentence of what a node type does, without its full stop."""
    return about_of(cls).partition("\n\n")[0].replace("\n", " ").partition(". ")[0].rstrip(".")


def port_words(port: Port, cls: type[Node]) -> str:
    """Return what is to be said of an input or output port of a node type: its type, and how it counts."""
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


def default_words(field: FieldInfo) -> str:
    """Return `required`, or `default ...` of a setting."""
    if field.is_required():
        return "required"
    default = field.default
    if default is PydanticUndefined or isinstance(default, BaseModel):
        return "default as below"
    if default is None or default == "":
        return "default empty"
    return f"default {flow(default) if isinstance(default, (bool, int, float, list, tuple, dict)) else default}"


def key_words(field: FieldInfo) -> str:
    """Return how a setting enters the key; empty where it is a plain part of it."""
    mark = mark_of(field)
    if "first" in mark:
        return f"in the key once it is not {flow(mark['first'])}"
    kind = matters(field)
    return _KEY["exact" if mark.get("exact") else "rounding"] if kind == "placement" else _KEY[kind]


def bounds_of(field: FieldInfo) -> Iterator[str]:
    """Yield the bounds of a setting: `at least 1`, `at most 4096`."""
    return bounds_among(field.metadata)


def bounds_among(metadata: Iterable[Any]) -> Iterator[str]:
    """Yield the bounds among what Pydantic notes of a type."""
    for constraint in metadata:
        for name, words in _BOUNDS.items():
            if (bound := getattr(constraint, name, None)) is not None:
                yield words.format(bound)


def type_words(annotation: Any) -> str:
    """Return what a setting of this type takes: `whole number | empty`, `list of number`, `bf16 | fp32`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return type_words(arguments[0])
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_words(argument) for argument in arguments))
    if origin is tuple and arguments[-1:] != (...,):
        return f"list of {len(arguments)}: {', '.join(type_words(argument) for argument in arguments)}"
    if origin in (list, tuple, set, frozenset):
        return f"list of {type_words(arguments[0])}"
    if isinstance(origin or annotation, type) and issubclass(origin or annotation, Mapping):
        return f"mapping of {type_words(arguments[1])}" if arguments else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a group of settings"
    return str(getattr(annotation, "__name__", annotation))


def groups_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the groups of settings that a setting of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from groups_in(argument)
