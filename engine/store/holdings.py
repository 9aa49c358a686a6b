"""What the store holds just now: results, blobs, states of trainings, and what is only in the way.

A *training* is a result that has a state in its work folder, from which a longer run goes on; a state without a result
is one that was interrupted. Blobs that a state names belong to it: every text of 64 hexadecimal digits in a JSON file
of a work folder keeps the blob of that digest.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vflow.engine.store.blobs import Blobs
from vflow.engine.store.files import Files, names_in
from vflow.engine.store.leases import Leases
from vflow.engine.store.pins import Pins
from vflow.engine.store.record import Record
from vflow.engine.store.records import Records
from vflow.engine.store.uses import PastUse, Uses, blob_name, record_name, work_name

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LONGEST = 1 << 26  # bytes of a JSON file that is searched for digests
_PAGE = 1000


@dataclass(slots=True)
class Entry:
    """One result. `size` is that of its files in bytes, shared ones included; `used` is in seconds since 1970."""

    record: Record
    size: int
    used: float
    pinned: bool = False
    live: bool = False
    training: bool = False

    @property
    def key(self) -> str:
        """The record's key."""
        return self.record.key


@dataclass(frozen=True)
class State:
    """A work folder. `live`: a process works in it, or may."""

    key: str
    size: int
    used: float
    digests: frozenset[str]
    live: bool


@dataclass(frozen=True)
class Found:
    """A file or folder: its size in bytes, when it last changed, and which file it is (its inode)."""

    size: int
    changed: float
    inode: int = 0


@dataclass(frozen=True)
class Other:
    """A folder that is made again when it is missed (`models`, `samples`), or what was found `damaged`."""

    kind: Literal["models", "samples", "damaged"]
    name: str
    found: Found


@dataclass
class Holdings:
    """Everything that the store holds. `total` counts bytes on disk, each file once."""

    entries: dict[str, Entry] = field(default_factory=dict)
    blobs: dict[str, Found] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    others: list[Other] = field(default_factory=list)
    runs: list[PastUse] = field(default_factory=list)
    live_names: frozenset[str] = frozenset()
    total: int = 0

    @property
    def runs_in_progress(self) -> bool:
        """True while any run goes on."""
        return any(run.live for run in self.runs)

    def unfinished(self) -> list[State]:
        """Return the states of trainings that were interrupted before they had a result."""
        owned = {entry.record.work for entry in self.entries.values()}
        return [state for state in self.states.values() if state.key not in owned]


class Survey:
    """Looks at everything. Methods raise `OSError`, and `ValueError` where a pin cannot be read."""

    def __init__(self, files: Files, records: Records, blobs: Blobs, leases: Leases, uses: Uses) -> None:
        self._root, self._records, self._blobs, self._leases, self._uses = files.root, records, blobs, leases, uses
        self._pins = Pins(files)

    def look(self) -> Holdings:
        """Return what the store holds."""
        found = Holdings(runs=self._uses.read())
        live = [run.names for run in found.runs if run.live]
        found.live_names = frozenset().union(*live)
        found.blobs = dict(self._read_blobs())
        found.states = {state.key: state for state in self._read_states(found.live_names)}
        found.others = [*self._read_others("models"), *self._read_others("samples"), *self._read_others("damaged")]
        self._read_entries(found)
        found.total += sum(blob.size for blob in found.blobs.values()) + sum(s.size for s in found.states.values())
        found.total += sum(other.found.size for other in found.others)
        return found

    def total(self) -> int:
        """Return what `look().total` would be, without reading any record."""
        parts = ("blobs", "records", "work", "models", "samples", "damaged")
        return sum(measure(f"{self._root}/{part}").size for part in parts)

    def _read_entries(self, found: Holdings) -> None:
        used, pinned = _last_uses(found.runs), self._pins.keys()
        keys = list(self._records.keys())
        for start in range(0, len(keys), _PAGE):
            records = self._records.lookup(keys[start : start + _PAGE], check_blobs=False)
            for key, record in records.items():
                with suppress(FileNotFoundError):
                    file = os.stat(self._records.path_of(key))
                    name, state = record_name(key), found.states.get(record.work)
                    last = max(file.st_mtime, used.get(name, 0.0), state.used if state else 0.0)
                    size = file.st_size + sum(record.sizes.values())
                    live = name in found.live_names
                    found.entries[key] = Entry(record, size, last, key in pinned, live, state is not None)
                    found.total += file.st_size
            for key in keys[start : start + _PAGE]:
                if key not in records:
                    self._check_readable(key)

    def _check_readable(self, key: str) -> None:
        """A record that cannot be read for now keeps its blobs: nothing is known of them, so nothing may go."""
        with suppress(FileNotFoundError), open(self._records.path_of(key), "rb"):
            pass

    def _read_blobs(self) -> Iterator[tuple[str, Found]]:
        for digest in self._blobs.digests():
            with suppress(FileNotFoundError):
                file = os.stat(self._blobs.path_of(digest))
                # a file keeps its time of modification when it is moved in; that of change is set then
                yield digest, Found(file.st_size, max(file.st_mtime, file.st_ctime), file.st_ino)

    def _read_states(self, live_names: frozenset[str]) -> Iterator[State]:
        held = self._leases.held()
        for key in names_in(f"{self._root}/work"):
            found = measure(f"{self._root}/work/{key}")
            digests = frozenset(_digests_in(Path(self._root, "work", key)))
            if found.size or key in held or work_name(key) in live_names:
                live = key in held or work_name(key) in live_names
                yield State(key, found.size, found.changed, digests, live)

    def _read_others(self, kind: Literal["models", "samples", "damaged"]) -> Iterator[Other]:
        for name in names_in(f"{self._root}/{kind}"):
            yield Other(kind, name, measure(f"{self._root}/{kind}/{name}"))


def measure(path: str) -> Found:
    """Return the bytes of the files at or below a path, and when the newest of them changed; 0 where it is gone."""
    size, changed = 0, 0.0
    with suppress(FileNotFoundError, NotADirectoryError):
        changed = os.lstat(path).st_mtime
        if not os.path.isdir(path) or os.path.islink(path):
            return Found(os.lstat(path).st_size, changed)
        for entry in os.scandir(path):
            below = measure(entry.path)
            size, changed = size + below.size, max(changed, below.changed)
    return Found(size, changed)


def holders_of(found: Holdings) -> Counter[str]:
    """Count for each blob the results, states and runs in progress that need it."""
    holders: Counter[str] = Counter()
    for entry in found.entries.values():
        holders.update(entry.record.sizes.keys())
    for state in found.states.values():
        holders.update(state.digests)
    holders.update(digest for digest in found.blobs if blob_name(digest) in found.live_names)
    return holders


def used_by_last(runs: list[PastUse], count: int) -> frozenset[str]:
    """Return the names of what the last `count` runs used."""
    last = runs[-count:] if count else []
    return frozenset().union(*(run.names for run in last))


def _last_uses(runs: list[PastUse]) -> dict[str, float]:
    """Return for each name when a run last used it; runs that used the same are read once."""
    newest: dict[str, PastUse] = {}
    for run in runs:
        if run.list_path not in newest or newest[run.list_path].at < run.at:
            newest[run.list_path] = run
    used: dict[str, float] = {}
    for run in sorted(newest.values(), key=lambda run: run.at):
        used.update(dict.fromkeys(run.names, run.at))
    return used


def _digests_in(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.json"):
        with suppress(FileNotFoundError):
            if path.stat().st_size <= _LONGEST:
                yield from (found.decode() for found in _DIGEST.findall(path.read_bytes()))
