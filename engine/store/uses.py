"""Which runs go on and what they hold; which runs have ended and what they used.

A run in progress writes the names of all that it relies on into a file of its own, `runs/<id>.live`, before it relies
on it. A collection marks itself by the file `runs/collecting`, then reads those files, then removes what none of them
names. Whoever names something looks for that mark afterwards, and where there is one waits for the end and looks again
whether the thing is there. So either the collection sees the name or the run sees the collection: none of the two can
miss the other, and neither needs a lock to do its work.

What a run used stays known after its end, for the time of last use and to keep what the last runs used: a small note
`runs/<id>.json` that refers to a list `runs/<digest>.keys`, shared by all runs that used the same. Nothing of this is
synced: what is lost in a power failure is the knowledge of when something was used.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from secrets import token_hex
from typing import Any, TypeVar

from vflow.engine.keys import digest_bytes
from vflow.engine.problems import Interrupted
from vflow.engine.store import owners
from vflow.engine.store.files import make_folder, names_in, read_or_none
from vflow.engine.store.leases import Leases

T = TypeVar("T")

#: The lease that a collection holds, and the file by which runs see it.
LEASE, _MARK = "collecting", "collecting"
_LIVE, _NOTE, _LIST = ".live", ".json", ".keys"
#: In the file of a run in progress, what stands before a name that it holds no longer.
_NO_LONGER = "-"
#: Seconds between two signs of life of a run, and without one until a run on another machine counts as dead.
_BEAT, _FORGOTTEN = 20.0, 900.0
#: So many ended runs are remembered.
_REMEMBERED = 500
_DIGITS = 16


def record_name(key: str) -> str:
    """Name the record of a key in a list of what is used. 64 bits tell enough: at worst too much is kept."""
    return f"k{key[:_DIGITS]}"


def blob_name(digest: str) -> str:
    """Name a blob in a list of what is used."""
    return f"b{digest[:_DIGITS]}"


def work_name(key: str) -> str:
    """Name a work folder in a list of what is used."""
    return f"w{key[:_DIGITS]}"


class Use:
    """What one run holds, from now until `end`. Nothing is written before the first thing is held.

    A store that cannot be written is read without any of this: nobody can collect in it either.
    """

    def __init__(self, folder: str, wait: Callable[[], bool]) -> None:
        self._folder, self._wait = folder, wait
        self._id = f"{time.time_ns() // 10**6:013d}-{token_hex(4)}"
        self._about: dict[str, Any] = {"owner": owners.myself().name, "started": time.time()}
        self._names: dict[str, bool] = {}  # name -> whether no collection can have missed it
        self._lock, self._over = threading.Lock(), threading.Event()
        self._handle, self._offset, self._pid = -1, 0, os.getpid()

    def hold(self, names: Iterable[str]) -> bool:
        """Keep these from being collected. True: a collection went on; see whether they are there (once more)."""
        with self._lock:
            open_ = [name for name in names if not self._names.get(name)]
            if not open_ or os.getpid() != self._pid or self._over.is_set():
                return False
            new = [name for name in open_ if name not in self._names]
            self._names.update(dict.fromkeys(new, False))
            self._append("".join(f"{name}\n" for name in new))
        waited = self._wait()
        with self._lock:
            self._names.update(dict.fromkeys(open_, True))
        return waited

    def release(self, names: Iterable[str]) -> None:
        """Hold these no longer."""
        with self._lock:
            held = [name for name in names if self._names.pop(name, None) is not None]
            if held and os.getpid() == self._pid and not self._over.is_set():
                self._append("".join(f"{_NO_LONGER}{name}\n" for name in held))

    def looked_up(self, keys: list[str], look: Callable[[list[str]], dict[str, T]]) -> dict[str, T]:
        """Look records up and hold those that are there."""
        found = look(keys)
        while self.hold(map(record_name, found)):
            found = look(keys)
        return found

    def describe(self, **about: Any) -> None:
        """Say what the run is: `graph` (its name), `folder`."""
        with self._lock:
            self._about |= about
            if self._handle >= 0:
                self._append(json.dumps(about) + "\n")

    def end(self) -> None:
        """Let go of everything; what was used stays known."""
        self._over.set()
        with self._lock:
            if self._handle < 0 or os.getpid() != self._pid:
                return
            with suppress(OSError):
                _note(self._folder, self._id, {**self._about, "ended": time.time()}, self._names)
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._handle)
            self._handle = -1

    @property
    def _path(self) -> str:
        return f"{self._folder}/{self._id}{_LIVE}"

    def _append(self, text: str) -> None:
        with suppress(OSError):
            if self._handle < 0:
                self._open()
            data = memoryview(text.encode())
            while data:
                count = os.pwrite(self._handle, data, self._offset)
                data, self._offset = data[count:], self._offset + count

    def _open(self) -> None:
        make_folder(self._folder)
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._append(json.dumps(self._about) + "\n")
        threading.Thread(target=self._beat, name="vflow-use", daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            with suppress(OSError):
                os.utime(self._path)


@dataclass(frozen=True)
class PastUse:
    """One run and what it used. `at` is when it ended or last gave a sign, in seconds since 1970."""

    id: str
    graph: str
    folder: str
    started: float
    at: float
    live: bool
    list_path: str

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of what it used, as `record_name` and the like make them."""
        names = set()
        for line in _lines(self.list_path):
            if line.startswith(_NO_LONGER):
                names.discard(line[1:])
            else:
                names.add(line)
        return frozenset(names)


class Uses:
    """The files under `runs/`."""

    def __init__(self, root: str, leases: Leases) -> None:
        self._folder, self._leases = f"{root}/runs", leases

    def begin(self, on_wait: Callable[[str], None], should_stop: Callable[[], bool]) -> Use:
        """Return a new run's use. `on_wait` is told of a collection that goes on; `should_stop` is asked meanwhile."""
        return Use(self._folder, lambda: self.settle(on_wait, should_stop))

    @contextmanager
    def collecting(
        self, on_wait: Callable[[str], None], should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Callable[[], bool]]:
        """Mark that a collection goes on; lends a function that tells whether it still may.

        One goes on at a time; while another does, `on_wait` is told of it and `should_stop` is asked. Should this
        process stall until others take it for dead, it may not go on.

        Raises:
            Interrupted: `should_stop` said so.
        """
        with self._leases.hold(LEASE, on_wait, should_stop) as lease:
            make_folder(self._folder)
            _write(f"{self._folder}/{_MARK}", token_hex(16).encode())
            try:
                yield lambda: lease.owned
            finally:
                if lease.owned:
                    self._unmark()

    def settle(self, on_wait: Callable[[str], None], should_stop: Callable[[], bool]) -> bool:
        """Wait for the end of a collection that goes on; tell whether one did. Later ones see what is written by now.

        Raises:
            Interrupted: `should_stop` said so.
        """
        path = f"{self._folder}/{_MARK}"
        if not os.path.exists(path) or (mark := read_or_none(path)) is None:
            return False
        try:
            with self._leases.hold(LEASE, on_wait, lambda: read_or_none(path) != mark or should_stop()):
                self._unmark()  # it was killed
        except Interrupted:
            if read_or_none(path) == mark:
                raise
        return True

    def read(self) -> list[PastUse]:
        """Return the runs that are known, those that began first coming first."""
        found = []
        for name in names_in(self._folder):
            stem, ending = os.path.splitext(name)
            reader = {_LIVE: self._read_live, _NOTE: self._read_note}.get(ending)
            if reader is not None and (use := reader(stem, f"{self._folder}/{name}")):
                found.append(use)
        return sorted(found, key=lambda use: (use.started, use.id))

    def prune(self, known: list[PastUse]) -> None:
        """Turn what killed runs left into notes, and forget all runs but the last ones."""
        ended = [use for use in known if not use.live]
        for use in ended[-_REMEMBERED:]:
            if use.list_path.endswith(_LIVE):
                about = {"graph": use.graph, "folder": use.folder, "started": use.started, "ended": use.at}
                _note(self._folder, use.id, about, sorted(use.names))
                os.unlink(use.list_path)
        for use in ended[:-_REMEMBERED]:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{use.id}{_LIVE if use.list_path.endswith(_LIVE) else _NOTE}")
        needed = {use.list_path for use in self.read()}
        for name in names_in(self._folder):
            path = f"{self._folder}/{name}"
            # a run that ends just now writes its list before its note
            if name.endswith(_LIST) and path not in needed and os.stat(path).st_mtime < time.time() - _FORGOTTEN:
                os.unlink(path)

    def _unmark(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{_MARK}")

    def _read_live(self, stem: str, path: str) -> PastUse | None:
        about: dict[str, Any] = {}
        with suppress(OSError):
            at = os.stat(path).st_mtime
            for line in _lines(path, about=True):
                with suppress(ValueError):
                    about |= json.loads(line)
            owner = owners.parse(str(about.get("owner", "")))
            here = owner is not None and owner.is_here
            live = not (owner and owner.is_dead) if here else time.time() - at < _FORGOTTEN
            return _past(stem, about, time.time() if live else at, live, path)
        return self._read_note(stem, f"{self._folder}/{stem}{_NOTE}")  # it ended just now

    def _read_note(self, stem: str, path: str) -> PastUse | None:
        try:
            about = json.loads(read_or_none(path) or b"")
            return _past(stem, about, float(about["ended"]), False, f"{self._folder}/{about['list']}{_LIST}")
        except (ValueError, KeyError, TypeError):
            return None


def _past(stem: str, about: dict[str, Any], at: float, live: bool, path: str) -> PastUse:
    graph, folder = str(about.get("graph", "")), str(about.get("folder", ""))
    return PastUse(stem, graph, folder, float(about.get("started", at)), at, live, path)


def _lines(path: str, about: bool = False) -> list[str]:
    """Return the names in a list, or the lines that say what the run is."""
    text = (read_or_none(path) or b"").decode("utf-8", "replace")
    return [line for line in text.split("\n") if line and line.startswith("{") == about]


def _note(folder: str, name: str, about: dict[str, Any], names: Iterable[str]) -> None:
    data = "\n".join(names).encode()
    digest = digest_bytes(data)[:32]
    try:
        os.utime(f"{folder}/{digest}{_LIST}")  # young again: it is not pruned before the note is written
    except OSError:
        _write(f"{folder}/{digest}{_LIST}", data)
    _write(f"{folder}/{name}{_NOTE}", json.dumps({**about, "list": digest}).encode())


def _write(path: str, data: bytes) -> None:
    partial = f"{path}.{token_hex(4)}.part"
    try:
        with open(partial, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
