"""Edits of what feeds what: links of nodes, and outputs of the graph."""

from __future__ import annotations

from typing import Any

from vflow.engine.editing.data import (
    Data,
    at,
    home,
    lasting,
    mapping,
    refuse_name,
    refuse_unknown_profile,
    renamed,
    with_value,
    without,
)
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.nodes import refuse_link
from vflow.engine.editing.rewrite import read, rewrite
from vflow.engine.graph import FORMAT
from vflow.engine.pieces import show
from vflow.engine.problems import suggest


def connect(text: str, node: str, port: str, link: str, *, many: bool = False, profile: str | None = None) -> str:
    """Return the text with a link at a node's port, in place of what was linked there.

    With `many` it is added to the port's list. With a profile, the link is that profile's.

    Raises:
        EditError: there is no such node, or the link is none.
    """
    data = read(text).data
    refuse_link(link)
    path = (*home(data, node, profile), "inputs", port)
    linked: Any = link
    if many:
        found = at(data, path)
        before = found if isinstance(found, list) else [found] if isinstance(found, str) else []
        linked = before if link in before else [*before, link]
    return rewrite(text, with_value(data, path, linked))


def disconnect(text: str, node: str, port: str, link: str | None = None, *, profile: str | None = None) -> str:
    """Return the text with nothing linked at a port, or with one link fewer.

    Where an extended file (or the graph that a profile changes) links the port, it is set to null.

    Raises:
        EditError: nothing, or not this, is linked there.
    """
    data = read(text).data
    path = (*home(data, node, profile), "inputs", port)
    linked = at(data, path)
    inherited = "extends" in data or (profile is not None and at(data, ("nodes", node, "inputs", port)))
    if link is None and inherited and not isinstance(linked, (str, list)):
        return rewrite(text, with_value(data, path, None))
    given = linked if isinstance(linked, list) else [linked] if isinstance(linked, str) else []
    if not given or (link is not None and link not in given):
        what = f"{show(link)} is not linked" if link is not None else "nothing is linked"
        raise EditError(f"{what} to {node}.{port}", suggest(port, mapping(data, path[:-1])) if not given else "")
    left = [one for one in given if link is not None and one != link]
    if left:
        return rewrite(text, with_value(data, path, left))
    return rewrite(text, without(data, path, lasting(data, path[:-2])))


def set_output(text: str, name: str, link: str, *, profile: str | None = None) -> str:
    """Return the text with an output of the graph, a new one or another link for one that there is.

    With a profile, the output is that profile's.

    Raises:
        EditError: the name is none, or the link is none.
    """
    data = read(text).data or {"vflow": FORMAT}
    refuse_name(name, "an output", [])
    refuse_link(link)
    return rewrite(text, with_value(data, (*_outputs(data, profile), name), link))


def remove_output(text: str, name: str) -> str:
    """Return the text without an output, those of profiles included. One of an extended file is set to null.

    Raises:
        EditError: there is no such output.
    """
    data = read(text).data
    found = _having(data, name)
    for path in found:
        data = without(data, (*path, name), min(2, len(path)))
    if not found and "extends" in data:
        data = with_value(data, ("outputs", name), None)
    return rewrite(text, data)


def rename_output(text: str, old: str, new: str) -> str:
    """Return the text with another name for an output, in profiles too.

    Raises:
        EditError: there is no such output in this file, or the new name is none or is taken.
    """
    data = read(text).data
    found = _having(data, old)
    if not found:
        raise EditError(f"{show(old)} stands in the extended file", "rename it there")
    if old == new:
        return text
    refuse_name(new, "an output", [name for path in _all_outputs(data) for name in mapping(data, path)])
    for path in found:
        data = with_value(data, path, renamed(mapping(data, path), old, new))
    return rewrite(text, data, renames={(*path, old): new for path in found})


def _outputs(data: Data, profile: str | None) -> tuple[str, ...]:
    if profile is None:
        return ("outputs",)
    refuse_unknown_profile(data, profile)
    return ("profiles", profile, "outputs")


def _all_outputs(data: Data) -> list[tuple[str, ...]]:
    return [("outputs",), *(("profiles", name, "outputs") for name in mapping(data, ("profiles",)))]


def _having(data: Data, name: str) -> list[tuple[str, ...]]:
    """Return where an output is named.

    Raises:
        EditError: nowhere, and no extended file could.
    """
    found = [path for path in _all_outputs(data) if name in mapping(data, path)]
    if not found and "extends" not in data:
        known = {one for path in _all_outputs(data) for one in mapping(data, path)}
        raise EditError(f"there is no output {show(name)}", suggest(name, known))
    return found
