"""Edits of settings: in a node, or in what a profile says of it."""

from __future__ import annotations

from typing import Any

from vflow.engine.editing.data import MISSING, OF_NODE, Path, at, home, lasting, with_value, without
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.places import BREAK
from vflow.engine.editing.plain import laid_over, plain
from vflow.engine.editing.rewrite import read, rewrite
from vflow.engine.pieces import show


def set_setting(text: str, node: str, path: Path, value: Any, *, profile: str | None = None) -> str:
    """Return the text with another value of a setting, plain data; `path` leads into nested ones.

    With a profile, it is what that says of the node which is changed.

    Raises:
        EditError: there is no such node or profile, the path leads through something that is no mapping, or the value
            cannot be written.
    """
    data = read(text).data
    where = (*home(data, node, profile), *_checked(path))
    return rewrite(text, with_value(data, where, laid_over(at(data, where), plain(value))))


def reset_setting(text: str, node: str, path: Path, *, profile: str | None = None) -> str:
    """Return the text without a setting, so that what stands below it is in force: the graph's, or the default.

    Mappings that this leaves empty go too.

    Raises:
        EditError: it is not set there.
    """
    data = read(text).data
    own = home(data, node, profile)
    where = (*own, *_checked(path))
    if at(data, where) is MISSING:
        place = f"profile {show(profile)}" if profile else "this file"
        raise EditError(f"{node}.{'.'.join(path)} is not set in {place}", "there is nothing to reset")
    return rewrite(text, without(data, where, lasting(data, own)))


def _checked(path: Path) -> Path:
    if not path:
        raise EditError("a setting has a name", "name one")
    if path[0] in OF_NODE:
        raise EditError(f"{show(path[0])} is no setting", "change the raw text of the node")
    return tuple(path)


def set_disabled(text: str, node: str, disabled: bool, *, profile: str | None = None) -> str:
    """Return the text with a node switched off or on, in the graph or by a profile.

    Raises:
        EditError: there is no such node or profile.
    """
    data = read(text).data
    own = home(data, node, profile)
    where = (*own, "disabled")
    if not disabled and profile is None and "extends" not in data:
        if at(data, where) in (MISSING, False):
            return text
        if not _has_comment(text, where):
            return rewrite(text, without(data, where, len(own)))
    return rewrite(text, with_value(data, where, disabled))


def _has_comment(text: str, path: Path) -> bool:
    """Tell whether a comment stands behind a value, or directly above it."""
    document = read(text).document
    piece = document.root
    for step in path:
        piece = piece.get(step) if piece else None
    if piece is None or piece.end is None or piece.key is None:
        return False
    behind = BREAK.split(document.text[piece.end.index :], maxsplit=1)[0]
    above = BREAK.split(document.text[: piece.key.index])[-2:-1]
    return "#" in behind or any(line.lstrip().startswith("#") for line in above)
