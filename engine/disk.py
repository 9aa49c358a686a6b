"""Low disk space is noticed before it is none: a warning first, then the run stops with all it has done."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, VflowError

if TYPE_CHECKING:
    from vflow.engine.contexts import World

EVERY = 2.0  #: seconds between two looks
#: The default of `low_disk` is for large disks: on a small one, no more than this part of it.
_SMALL = 0.01
#: A run stops at this part of `low_disk`: there must be room for the state that it keeps then.
_FLOOR = 0.25


@dataclass
class Disk:
    """A disk that a run writes to. Sizes are bytes. `low`: below it a word is said; `floor`: below it the run stops."""

    what: str
    folder: Path
    low: float
    floor: float
    told: bool = False

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        return shutil.disk_usage(self.folder).free


@contextmanager
def watched(world: World) -> Iterator[None]:
    """Look at the disks of the store and of the run's folder before what is inside, and every few seconds meanwhile.

    Says once when one becomes low; stops the run when one is as good as full.
    """
    disks, over = _disks(world), threading.Event()
    if not disks:
        yield
        return
    _look(disks, world)
    thread = threading.Thread(target=_watch, args=(disks, world, over), name="vflow-disks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(disks: list[Disk], world: World, over: threading.Event) -> None:
    while not over.wait(EVERY) and not world.stopping:
        _look(disks, world)


def _look(disks: list[Disk], world: World) -> None:
    from vflow.engine.cli.text import size
    from vflow.engine.events import Log

    for disk in disks:
        try:
            free = disk.free
        except OSError:  # a network disk that is away: whoever writes there will tell
            continue
        if free < disk.floor:
            what = f"only {size(free)} are free on the disk of {disk.what} ({disk.folder})"
            remedy = f"free {size(disk.low)}, then run the same command to go on; what was done is kept"
            world.stop.ask(because=Failure(f"{what}, too little to go on", remedy, final=True))
        elif free < disk.low and not disk.told:
            disk.told = True
            what = f"{size(free)} are free on the disk of {disk.what} ({disk.folder})"
            world.emit(Log(level="warning", message=f"{what}; the run stops at {size(disk.floor)}"))


def _disks(world: World) -> list[Disk]:
    """Return the disks to look at, each once; none where the user wants no watch."""
    from vflow.engine import config

    try:
        user = config.load()
    except VflowError:  # told by the commands that need it
        user = config.Config()
    if not user.low_disk:
        return []
    found: dict[int, Disk] = {}
    folders = {"the store": world.store.folder}
    if world.folder is not None:
        folders["the run"] = world.folder.path
    for what, folder in folders.items():
        place, low = existing(folder), float(user.low_disk)
        if "low_disk" not in user.model_fields_set:
            low = min(low, _SMALL * shutil.disk_usage(place).total)
        found.setdefault(place.stat().st_dev, Disk(what, place, low, _FLOOR * low))
    return list(found.values())


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
