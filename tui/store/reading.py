"""Looking at the store in the background: what it holds, what is pinned, how large it may be, what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vflow.engine.problems import VflowError
from vflow.engine.store import Store
from vflow.engine.store.survey import Damage
from vflow.engine.store.tree import Order, Place, StoreTree


@dataclass(frozen=True)
class Looked:
    """The store as it was seen. `tree` is None where it cannot be read, and `problem` says why.

    `quota` is what the user allows, in bytes; `notes` are what else is worth saying.
    """

    store: Store | None
    tree: StoreTree | None
    quota: int | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()


def look(folder: Path | None) -> Looked:
    """Look at the store in a folder, else at the user's."""
    from vflow.engine import config

    notes = []
    try:
        store = Store(folder)
    except VflowError as error:
        return Looked(None, None, problem=str(error))
    if not store.folder.exists():
        return Looked(store, None, problem=f"there is no store at {store.folder} yet; the first run makes it")
    try:
        keeper = store.keeper()
        tree = StoreTree(keeper.look(), keeper.pinned())
    except VflowError as error:
        return Looked(store, None, problem=str(error))
    quota = None
    try:
        quota = config.load().max_size
    except VflowError as error:
        notes.append(str(error))
    if not os.access(store.folder, os.W_OK):
        notes.append("it may only be read here: nothing can be pinned, removed or collected")
    return Looked(store, tree, quota, notes=tuple(notes))


@dataclass(frozen=True)
class Arranged:
    """The lines of the tree in order; `version` tells which question this answers."""

    version: int
    source: StoreTree  #: all of it
    text: str
    tree: StoreTree  #: as searched
    places: list[Place]


def arrange(
    version: int, tree: StoreTree, view: Arranged | None, text: str, opened: Iterable[Place], by: Order, reverse: bool
) -> Arranged:
    """Search and sort; sums are made here, so that drawing need not. `view` is the answer before."""
    same = view is not None and view.source is tree and view.text == text
    searched = view.tree if view is not None and same else tree.searched(text)
    places = searched.lines(opened, by, reverse)
    for place in places:
        if place.depth < 2:
            searched.figures(place)
    return Arranged(version, tree, text, searched, places)


def verify(folder: Path, progress: Callable[[int, int], None]) -> list[Damage]:
    """Read every record and hash every file, those of the user's remote counting as there.

    Raises:
        VflowError: the store, or the remote, cannot be used.
    """
    from vflow.engine.store.remote_address import chosen

    return Store(folder, remote=chosen(None)).verify(progress)
