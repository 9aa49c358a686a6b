"""Values that are given to be written: plain data, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vflow.engine.editing.errors import EditError
from vflow.engine.pieces import show


def plain(value: Any) -> Any:
    """Return a value as plain data of lists, mappings and scalars; tuples become lists.

    Raises:
        EditError: there is something else in it.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        for name in value:
            if type(name) is not str:
                raise EditError(f"a key must be a text, not {show(name)}", "give plain data")
        return {name: plain(one) for name, one in value.items()}
    raise EditError(f"{type(value).__name__} cannot be written into a file", "give plain data")


def laid_over(old: Any, new: Any) -> Any:
    """Return `new` with the keys of its mappings in the order of `old`, so that what stays keeps its place."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    kept = {name: laid_over(value, new[name]) for name, value in old.items() if name in new}
    return {**kept, **{name: value for name, value in new.items() if name not in kept}}
