"""Edits of profiles as a whole."""

from __future__ import annotations

from vflow.engine.editing.data import Data, mapping, refuse_unknown_profile, renamed, with_value, without
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.rewrite import read, rewrite
from vflow.engine.graph import FORMAT
from vflow.engine.pieces import show
from vflow.engine.resolve import FREE_NAME


def add_profile(text: str, name: str, about: str = "") -> str:
    """Return the text with one more profile, which changes nothing yet.

    Raises:
        EditError: the name is none, or is taken.
    """
    data = read(text).data or {"vflow": FORMAT}
    _refuse_name(data, name)
    return rewrite(text, with_value(data, ("profiles", name), {"about": about} if about else {}))


def remove_profile(text: str, name: str) -> str:
    """Return the text without a profile. One of an extended file is set to null.

    Raises:
        EditError: there is no such profile.
    """
    data = read(text).data
    refuse_unknown_profile(data, name)
    if name in mapping(data, ("profiles",)):
        return rewrite(text, without(data, ("profiles", name), 0))
    return rewrite(text, with_value(data, ("profiles", name), None))


def rename_profile(text: str, old: str, new: str) -> str:
    """Return the text with another name for a profile.

    Raises:
        EditError: there is no such profile in this file, or the new name is none or is taken.
    """
    data = read(text).data
    refuse_unknown_profile(data, old)
    if old not in mapping(data, ("profiles",)):
        raise EditError(f"{show(old)} stands in the extended file", "rename it there")
    if old == new:
        return text
    _refuse_name(data, new)
    profiles = renamed(mapping(data, ("profiles",)), old, new)
    return rewrite(text, with_value(data, ("profiles",), profiles), renames={("profiles", old): new})


def _refuse_name(data: Data, name: str) -> None:
    if not FREE_NAME.fullmatch(name):
        raise EditError(f"{show(name)} cannot be a name of a profile", "use letters, digits, '_', '-' and '.'")
    if name in mapping(data, ("profiles",)):
        raise EditError(f"there is a profile {show(name)} already", "choose another name")
