"""Edits of nodes as a whole: add, delete, rename, duplicate, and their raw text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vflow.engine.editing.data import (
    Data,
    at,
    home,
    links,
    mapping,
    node_names,
    node_of,
    places_of,
    refuse_name,
    renamed,
    with_links,
    with_value,
    without,
)
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.plain import laid_over, plain
from vflow.engine.editing.raw import Written, verbatim
from vflow.engine.editing.rewrite import read, rewrite
from vflow.engine.graph import FORMAT, NAME
from vflow.engine.pieces import show

_LINK = re.compile(rf"{NAME.pattern}(\.{NAME.pattern})?")


def add_node(
    text: str,
    name: str,
    type: str,  # noqa: A002 - what the file calls it
    inputs: Mapping[str, str | list[str]] = {},
    settings: Mapping[str, Any] = {},
    after: str | None = None,
) -> str:
    """Return the text with one more node, behind the node `after` or as the last one.

    Raises:
        EditError: the name is none, or is taken; what is given is no plain data.
    """
    data = read(text).data
    refuse_name(name, "a node", node_names(data))
    node: Data = {"type": type}
    if inputs:
        node["inputs"] = {port: _linked(given) for port, given in inputs.items()}
    node |= plain(dict(settings))
    if not data:
        data = {"vflow": FORMAT}
    return rewrite(text, with_value(data, ("nodes", name), node, after))


def _linked(given: str | list[str]) -> str | list[str]:
    if isinstance(given, list):
        return [str(_linked(link)) for link in given]
    refuse_link(given)
    return given


def refuse_link(link: str) -> None:
    """Refuse what can be no link.

    Raises:
        EditError: it is neither `node` nor `node.output`.
    """
    if not isinstance(link, str) or not _LINK.fullmatch(link):
        raise EditError(f"{show(link)} is no link", "write `node` or `node.output`")


def delete_node(text: str, name: str, *, unlink: bool = False) -> str:
    """Return the text without a node, the comments directly above it, and what profiles say of it.

    What links to it stays and hangs, unless `unlink`. A node of an extended file is set to null, which drops it.

    Raises:
        EditError: there is no such node.
    """
    data = read(text).data
    own = home(data, name)
    described = at(data, own)
    for path in places_of(data, name):
        data = without(data, path, 1 if path[0] == "nodes" else 2)
    if "extends" in data and "type" not in (described if isinstance(described, dict) else {}):
        if described is None:
            raise EditError(f"{show(name)} is dropped already", "take its line out of the text to have it back")
        data = with_value(data, own, None)
    if unlink:
        data = with_links(data, lambda link: None if node_of(link) == name else link)
    return rewrite(text, data)


def hanging(text: str, name: str) -> list[str]:
    """Return what links to a node and would hang without it: `train.inputs.latents`, `outputs.videos`.

    What a profile says begins with `profiles.NAME.`; the node's own inputs do not count.
    """
    found: dict[str, None] = {}
    for path, link in links(read(text).data):
        if node_of(link) == name and name not in (path[1:2] if path[0] == "nodes" else path[3:4]):
            found[".".join(path[1:] if path[0] == "nodes" else path)] = None
    return list(found)


def rename_node(text: str, old: str, new: str) -> str:
    """Return the text with another name for a node; links, outputs and profiles follow.

    Raises:
        EditError: there is no such node, it stands in an extended file, or the new name is none or is taken.
    """
    data = read(text).data
    own = home(data, old)
    if old == new:
        return text
    refuse_name(new, "a node", node_names(data))
    if "type" not in mapping(data, own) and "extends" in data:
        raise EditError(f"{show(old)} stands in the extended file", "rename it there")
    renames: dict[tuple[str | int, ...], str] = {}
    changed = with_links(data, lambda link: new + link[len(old) :] if node_of(link) == old else link)
    for path in places_of(data, old):
        changed = with_value(changed, path[:-1], renamed(at(changed, path[:-1]), old, new))
        renames[path] = new
    return rewrite(text, changed, renames=renames)


def duplicate_node(text: str, name: str, new: str) -> str:
    """Return the text with a copy of a node behind it, comments in it included, and of what profiles say of it.

    Raises:
        EditError: there is no such node in this file, or the new name is none or is taken.
    """
    sheet = read(text)
    data, own = sheet.data, home(sheet.data, name)
    if at(data, own) is None or not places_of(data, name):
        raise EditError(f"{show(name)} stands in the extended file", "duplicate it there")
    refuse_name(new, "a node", node_names(data))
    for path in places_of(data, name):
        copy = Written(sheet, path).copy()
        data = with_value(data, (*path[:-1], new), at(data, path) if copy is None else copy, name)
    return rewrite(text, data)


def node_text(text: str, name: str) -> str:
    """Return a node as it is written, without its name: not indented, with the comments in it.

    Raises:
        EditError: there is no such node in this file.
    """
    sheet = read(text)
    path = home(sheet.data, name)
    return Written(sheet, path).text() if path in places_of(sheet.data, name) else ""


def replace_node(text: str, name: str, new_text: str) -> str:
    """Return the text with a node as it was written anew, as `node_text` returns it.

    Raises:
        EditError: what was written is no mapping, or there is no such node.
    """
    sheet = read(text)
    path = home(sheet.data, name)
    if new_text == node_text(text, name):
        return text
    written = verbatim(sheet, path, new_text)
    return rewrite(text, with_value(sheet.data, path, laid_over(at(sheet.data, path), written)))


def fresh_name(text: str, stem: str) -> str:
    """Return a name like `stem` that no node has and no link names: `train`, `train_2`, `train_3`.

    The name of a type is written as nodes are: `GroupOffload` becomes `group_offload`.
    """
    data = read(text).data
    taken = {*node_names(data), *(node_of(link) for _, link in links(data))}
    if re.fullmatch(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*", stem):
        stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", stem).lower()
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:58] or "node"
    if not NAME.fullmatch(stem):
        stem = f"_{stem}"
    if stem not in taken:
        return stem
    stem, number = re.sub(r"_[0-9]+$", "", stem) or stem, 2
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"
