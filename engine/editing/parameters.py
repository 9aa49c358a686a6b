"""Edits of parameters: their values, in the graph or by a profile, their names, and what the long form says of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from vflow.engine.editing.data import (
    MISSING,
    OF_NODE,
    Copy,
    Data,
    Path,
    at,
    mapping,
    node_sections,
    refuse_name,
    refuse_unknown_profile,
    renamed,
    with_value,
    without,
)
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.plain import laid_over, plain
from vflow.engine.editing.rewrite import read, rewrite
from vflow.engine.filling import PARAMETER
from vflow.engine.graph import FORMAT
from vflow.engine.pieces import show
from vflow.engine.problems import suggest


class Unchanged(Enum):
    """What `declare_param` takes for what it is to leave as it is."""

    UNCHANGED = "unchanged"


_UNCHANGED = Unchanged.UNCHANGED


def set_param(text: str, name: str, value: Any, *, profile: str | None = None) -> str:
    """Return the text with another value of a parameter: in the short form, or the `default` of the long one.

    A parameter that there is not is made; a profile only gives values to those that there are.

    Raises:
        EditError: there is no such profile (or no such parameter for it), or the value cannot be written.
    """
    data, value = read(text).data or {"vflow": FORMAT}, plain(value)
    path = _path(name, profile)
    if profile is not None:
        refuse_unknown_profile(data, profile)
        _refuse_unknown(data, name)
    elif at(data, path) is MISSING:
        refuse_name(name, "a parameter", [])
    old = at(data, path)
    if isinstance(old, dict):
        path = (*path, "default")
    elif isinstance(value, dict):
        value = {"default": value}
    return rewrite(text, with_value(data, path, laid_over(at(data, path), value)))


def remove_param(text: str, name: str, *, profile: str | None = None) -> str:
    """Return the text without a parameter and what profiles give it; with a profile, only without what that gives.

    Settings that take it stay as they are: they are told as problems.

    Raises:
        EditError: there is no such parameter in this file, or the profile gives it no value.
    """
    data = read(text).data
    if profile is not None:
        refuse_unknown_profile(data, profile)
    found = [path for path in _sections(data) if name in mapping(data, path)]
    if profile is not None:
        found = [path for path in found if path[:2] == ("profiles", profile)]
    if not found:
        where = (
            f"profile {show(profile)} does not change {show(name)}" if profile else f"no parameter {show(name)} here"
        )
        if not profile and "extends" in data and name not in _known(data):
            raise EditError(where, "an extended file has it: remove it there")
        raise EditError(where, suggest(name, _known(data)) if not profile else "there is nothing to reset")
    for path in found:
        data = without(data, (*path, name), len(path) - 1)
    return rewrite(text, data)


def rename_param(text: str, old: str, new: str) -> str:
    """Return the text with another name for a parameter; `${old}` in settings and the values of profiles follow.

    Raises:
        EditError: there is no such parameter in this file, or the new name is none or is taken.
    """
    data = read(text).data
    if old not in mapping(data, ("params",)):
        _refuse_unknown(data, old)
        raise EditError(f"{show(old)} stands in the extended file", "rename it there")
    if old == new:
        return text
    refuse_name(new, "a parameter", _known(data))

    def follow(written: str) -> str:
        return PARAMETER.sub(lambda found: f"${{{new}}}" if found[0] == f"${{{old}}}" else found[0], written)

    renames: dict[tuple[str | int, ...], str] = {}
    changed = Copy(data)
    for path in _sections(data):
        if old in mapping(data, path):
            changed.mapping(path[:-1])[path[-1]] = renamed(mapping(data, path), old, new)
            renames[(*path, old)] = new
    for path in node_sections(data):
        for node, described in mapping(data, path).items():
            for key in described if isinstance(described, dict) else ():
                if key not in OF_NODE and (value := _followed(described[key], follow)) is not described[key]:
                    changed.mapping((*path, node))[key] = value
    return rewrite(text, changed.data, renames=renames, within=follow)


def _followed(value: Any, follow: Any) -> Any:
    """Return a setting with the parameters in it renamed; the same object where none is."""
    if isinstance(value, str):
        found = follow(value)
        return value if found == value else found
    if isinstance(value, dict):
        inside = {name: _followed(one, follow) for name, one in value.items()}
        return value if all(inside[name] is value[name] for name in value) else inside
    if isinstance(value, list):
        listed = [_followed(one, follow) for one in value]
        return value if all(one is other for one, other in zip(listed, value, strict=True)) else listed
    return value


def declare_param(
    text: str,
    name: str,
    *,
    help: str | Unchanged | None = _UNCHANGED,  # noqa: A002 - what the file calls it
    min: float | Unchanged | None = _UNCHANGED,  # noqa: A002
    max: float | Unchanged | None = _UNCHANGED,  # noqa: A002
    choices: Sequence[Any] | Unchanged | None = _UNCHANGED,
    type: str | Unchanged | None = _UNCHANGED,  # noqa: A002
) -> str:
    """Return the text with what a parameter is, in the long form; its value stays. One that there is not is made.

    What is None is taken out, what is not given stays as it is.

    Raises:
        EditError: the name is none.
    """
    data = read(text).data or {"vflow": FORMAT}
    path = _path(name, None)
    before = at(data, path)
    if before is MISSING:
        refuse_name(name, "a parameter", [])
        long: Data = {}
    else:
        long = before if isinstance(before, dict) else {"default": before}
    given = {"type": type, "help": help, "min": min, "max": max, "choices": choices}
    for key, value in given.items():
        if value is None:
            long = {other: one for other, one in long.items() if other != key}
        elif value is not _UNCHANGED:
            # the order in which the keys stand depends on whose they are
            long = at(with_value({"params": {name: long}}, ("params", name, key), plain(value)), ("params", name))
    return rewrite(text, with_value(data, path, long))


def _path(name: str, profile: str | None) -> Path:
    return ("params", name) if profile is None else ("profiles", profile, "params", name)


def _sections(data: Data) -> list[Path]:
    return [("params",), *(("profiles", name, "params") for name in mapping(data, ("profiles",)))]


def _known(data: Data) -> list[str]:
    return [name for path in _sections(data) for name in mapping(data, path)]


def _refuse_unknown(data: Data, name: str) -> None:
    known = mapping(data, ("params",))
    if name not in known and "extends" not in data:
        raise EditError(f"there is no parameter {show(name)}", suggest(name, known, "set it for the graph first"))
