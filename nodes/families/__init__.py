"""The model families: each a folder here whose `__init__` exposes `FAMILY`, or an entry point `vflow.families`.

A family is imported when it is asked for. Entry points are looked at only when no family of this package fits, since
families of others may be slow to import.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from vflow.engine.problems import GraphError, suggest
from vflow.nodes.families.base import Family
from vflow.nodes.values import Part

_GROUP = "vflow.families"
_registered: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family under its name for this process, in place of one with the same name; returns it."""
    _registered[family.name] = family
    return family


def family(name: str) -> Family:
    """Return the family with this name.

    Raises:
        GraphError: there is none; suggests one.
    """
    found = find(name)
    if found is None:
        raise GraphError(f"there is no model family {name!r}", suggest(name, families()))
    return found


def find(name: str) -> Family | None:
    """Return the family with this name, or None; of those of other distributions, no other is imported."""
    if name in _registered:
        return _registered[name]
    return _own(name) if name in _folders() else _of_others(name)


def families(third_party: bool = True) -> dict[str, Family]:
    """Return all families by name: those of this package, those registered, and those of other distributions."""
    own = {name: _own(name) for name in _folders()}
    return (_third_party() if third_party else {}) | own | _registered


def recognise(class_name: str) -> tuple[Family, Part] | None:
    """Return the family and part that a class name in a checkpoint's configuration belongs to, or None."""
    for known in _nearest_first():
        for candidate in known.values():
            for part, names in candidate.classes.items():
                if class_name in names:
                    return candidate, part
    return None


def family_of(classes: Mapping[str, str]) -> Family | None:
    """Return the family that recognises most of a checkpoint's classes (by sub-folder), or None if none does.

    One class may serve several families (a text encoder, a VAE); the transformer tells them apart.
    """

    def hits(candidate: Family) -> int:
        parts = candidate.folders.items()
        return sum(classes.get(folders[0], "") in candidate.classes[part] for part, folders in parts)

    for known in _nearest_first():
        best = max(known.values(), key=hits, default=None)
        if best is not None and hits(best):
            return best
    return None


def _nearest_first() -> Iterator[Mapping[str, Family]]:
    yield families(third_party=False)
    yield _third_party()


@cache
def _folders() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def _own(name: str) -> Family:
    found: Family = import_module(f"{__name__}.{name}").FAMILY
    return found


@cache
def _of_others(name: str) -> Family | None:
    from vflow.engine.registry import entry_points, loaded

    return next((loaded(point) for point in entry_points(_GROUP) if point.name == name), None)


@cache
def _third_party() -> dict[str, Family]:
    from vflow.engine.registry import usable

    return dict(usable(_GROUP))
