"""What a setting takes, read from its declaration: the kind of field it is in a form, choices, bounds, unit."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vflow.engine.node import Unit
from vflow.engine.words import bounds_among, bounds_of

Kind = Literal["bool", "int", "float", "text", "choice", "list", "mapping", "group", "union"]

_PLAIN: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "text", type(None): "empty"}
_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True)
class Takes:
    """What a setting takes. `kinds` are kinds of plain values, as `value_of` has them; none: anything.

    `optional`: it may be empty. `lines`: a list of texts. `groups` are the groups of settings that may stand there, of
    which the setting named `tag` decides where there are several.
    """

    kind: Kind
    kinds: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    optional: bool = False
    lines: bool = False
    groups: tuple[type[BaseModel], ...] = ()
    tag: str = ""
    bounds: str = ""
    unit: str = ""

    def group_of(self, value: Any) -> type[BaseModel] | None:
        """Return the group of settings that a value stands for; None where that cannot be told."""
        if len(self.groups) == 1:
            return self.groups[0]
        if isinstance(value, BaseModel):
            return type(value)
        given = value.get(self.tag) if isinstance(value, Mapping) else None
        return next((group for group in self.groups if given is not None and given in _tags(group, self.tag)), None)


def takes(field: FieldInfo) -> Takes:
    """Return what a setting takes."""
    members = list(_members(field.annotation, (field, *field.metadata)))
    inner = [(kind, marks) for kind, marks in members if kind is not type(None)]
    optional = len(inner) < len(members)
    found = Takes("text", optional=optional, bounds=_bounds(inner, field), unit=_unit(inner))
    groups = tuple(kind for kind, _ in inner if isinstance(kind, type) and issubclass(kind, BaseModel))
    if groups and len(groups) == len(inner):
        return _of_groups(found, groups, inner[0][1])
    if inner and all(map(_is_choice, (kind for kind, _ in inner))):
        choices = [one for kind, _ in inner for one in _choices(kind)]
        given = tuple(one for one in choices if one is not None)
        return replace(found, kind="choice", choices=given, optional=optional or None in choices)
    kinds = tuple(dict.fromkeys(_kind(kind) for kind, _ in members))
    return _of_kinds(replace(found, kinds=() if "" in kinds else kinds), [kind for kind, _ in inner])


def _of_groups(found: Takes, groups: tuple[type[BaseModel], ...], marks: tuple[Any, ...]) -> Takes:
    if len(groups) == 1:
        return replace(found, kind="group", groups=groups)
    tag = next((tag for mark in marks if isinstance(mark, FieldInfo) and (tag := mark.discriminator)), None)
    if isinstance(tag, str):
        tags = tuple(one for group in groups for one in _tags(group, tag))
        return replace(found, kind="union", choices=tags, groups=groups, tag=tag)
    return replace(found, kind="mapping", kinds=("mapping", *(("empty",) if found.optional else ())))


def _of_kinds(found: Takes, inner: list[Any]) -> Takes:
    plain = set(found.kinds) - {"empty"}
    if plain == {"bool"} and found.optional:
        return replace(found, kind="choice", choices=(True, False))
    if plain == {"int", "float"}:
        return replace(found, kind="float")
    if len(plain) != 1:
        return found
    (kind,) = plain
    items = [one for annotation in inner for one in get_args(annotation)] if kind == "list" else []
    texts = bool(items) and {_kind(one) for item in items if item is not ... for one, _ in _members(item)} == {"text"}
    fixed = any(get_origin(annotation) is tuple and get_args(annotation)[-1:] != (...,) for annotation in inner)
    return replace(found, kind=cast("Kind", kind), lines=texts and not fixed)


def _members(annotation: Any, marks: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield each type that may stand somewhere, with all that is noted of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        noted = [one for mark in arguments[1:] for one in (mark, *getattr(mark, "metadata", ()))]
        yield from _members(arguments[0], (*marks, *noted))
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _members(argument, marks)
    else:
        yield annotation, marks


def _kind(annotation: Any) -> str:
    """Return the kind of plain value of a type; empty where anything may stand, or a value of several kinds."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        kinds = {_PLAIN.get(type(one), "") for one in get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else ""
    if not isinstance(origin, type):
        return ""
    if issubclass(origin, _LISTS):
        return "list"
    if issubclass(origin, PurePath):
        return "text"
    return "mapping" if issubclass(origin, (Mapping, BaseModel)) else ""


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum))


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(one.value for one in annotation)


def _tags(group: type[BaseModel], tag: str) -> tuple[Any, ...]:
    field = group.model_fields.get(tag)
    return () if field is None else tuple(one for kind, _ in _members(field.annotation) for one in _choices(kind))


def _bounds(inner: list[tuple[Any, tuple[Any, ...]]], field: FieldInfo) -> str:
    """Return the bounds in words, those of a list's entries too; where several types may stand, there are none."""
    own = list(bounds_of(field))
    if not own and len(inner) == 1:
        own = list(dict.fromkeys(bounds_among(inner[0][1])))
    items = [item for kind, _ in inner if get_origin(kind) in _LISTS for item in get_args(kind) if item is not ...]
    each = {words for item in items for _, marks in _members(item) if (words := tuple(bounds_among(marks)))}
    if len(each) == 1 and len(inner) == 1:
        own.append(f"each {' and '.join(each.pop())}")
    return ", ".join(own)


def _unit(inner: list[tuple[Any, tuple[Any, ...]]]) -> str:
    return next((mark.name for _, marks in inner for mark in marks if isinstance(mark, Unit)), "")
