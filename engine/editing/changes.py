"""What has to change in a list or mapping, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vflow.engine.editing.places import Entry
from vflow.engine.editing.style import Path


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value stands. `head` is where it may begin (None for the whole document), `column` that of its key or
    dash; `is_flow` between brackets.
    """

    head: int | None
    column: int
    is_flow: bool


class Kept(NamedTuple):
    """An entry that stays: what it is to be called, and what its value was and is to be."""

    name: str
    is_renamed: bool
    old: Any
    new: Any
    path: Path


class Added(NamedTuple):
    """An entry to be added; `name` is empty in a list."""

    name: str
    value: Any
    path: Path


@dataclass
class Changes:
    """The entries that there are, by number: which stay, which go. `added` says behind which others come; -1: first."""

    entries: list[Entry]
    kept: dict[int, Kept] = field(default_factory=dict)
    added: dict[int, list[Added]] = field(default_factory=dict)

    @property
    def removed(self) -> list[int]:
        """The numbers of those entries that go."""
        return [number for number in range(len(self.entries)) if number not in self.kept]

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The entries that go, those next to each other together: the first and the last number of each run."""
        found: list[tuple[int, int]] = []
        for number in self.removed:
            if found and found[-1][1] == number - 1:
                found[-1] = found[-1][0], number
            else:
                found.append((number, number))
        return found


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same plain data, type by type and in the same order."""
    return one is other or repr(one) == repr(other)


def changes(entries: list[Entry], old: Any, new: Any, path: Path, renames: Mapping[Path, str]) -> Changes | None:
    """Return what changes from one list (or mapping) to another; None where nothing of it stays.

    What becomes empty keeps nothing, but is no other value.
    """
    if isinstance(old, list):
        found = _in_list(entries, old, new, path)
    else:
        found = _in_mapping(entries, old, new, path, renames)
    return found if found.kept or not new else None


def _in_mapping(
    entries: list[Entry], old: dict[str, Any], new: dict[str, Any], path: Path, renames: Mapping[Path, str]
) -> Changes:
    found = Changes(entries)
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries):
        name = renames.get((*path, entry.name), entry.name)
        if name in new:
            found.kept[number] = Kept(name, name != entry.name, old[entry.name], new[name], (*path, entry.name))
            numbers[name] = number
    behind = -1
    for name, value in new.items():
        if name in numbers:
            behind = numbers[name]
        else:
            found.added.setdefault(behind, []).append(Added(name, value, (*path, name)))
    return found


def _in_list(entries: list[Entry], old: list[Any], new: list[Any], path: Path) -> Changes:
    """What is equal at both ends stays; of what is between, the first ones are changed and the rest comes or goes."""
    found = Changes(entries)
    shorter = min(len(old), len(new))
    first = next((n for n in range(shorter) if not is_same(old[n], new[n])), shorter)
    same = next((n for n in range(shorter - first) if not is_same(old[-1 - n], new[-1 - n])), shorter - first)
    for number in range(shorter - same):
        found.kept[number] = Kept("", False, old[number], new[number], (*path, number))
    for number in range(len(old) - same, len(old)):
        found.kept[number] = Kept("", False, old[number], old[number], (*path, number))
    if more := new[shorter - same : len(new) - same]:
        behind = shorter - same - 1
        found.added[behind] = [Added("", value, (*path, behind + 1 + n)) for n, value in enumerate(more)]
    return found
