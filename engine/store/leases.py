"""One process computes a key while others wait, with nothing but plain files, on one machine or on several.

The claims on a key are numbered files `leases/<key>.<number>`; the highest one counts. A claim is made by creating the
next number, which the file system lets only one process do, after the highest one was seen to be dead. So nobody ever
has to take another's file away, and no two waiters can replace the same dead holder. The holder keeps writing a counter
into its own file; a waiter times that counter on its own clock, so clocks need not agree. On the same machine a waiter
sees at once that the holder has ended.

What is left of a killed holder does no harm: the next claim has a higher number. When a holder stalls for so long that
it is taken for dead, the key is computed twice, which is harmless.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex

from vflow.engine.problems import Interrupted
from vflow.engine.store import owners
from vflow.engine.store.files import make_folder, names_in, read_or_none, told_in_words
from vflow.engine.store.owners import Owner

#: Seconds between two beats of a holder.
BEAT = 1.0
#: Seconds without a beat after which a holder that cannot be asked counts as dead.
STALL = 10.0
#: The same for a process that is seen to live on this machine: suspended, or in a long call that lets no thread run.
STALL_ALIVE = 60.0
#: Claims of ended processes that nobody waits for are removed after so many seconds.
_LEFT_BEHIND = 3600.0

_MOST_SPARES = 512
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Lease:
    """A claim that this process holds. `owned` turns False when somebody took this process for dead."""

    def __init__(
        self, path: str, handle: int, is_highest: Callable[[], bool], keep: Callable[[str, int], bool]
    ) -> None:
        self._path, self._handle, self._is_highest, self._keep = path, handle, is_highest, keep
        self._count, self._lock, self._open = 0, threading.Lock(), True

    @property
    def owned(self) -> bool:
        """True while the claim counts."""
        return self._open and self._is_mine() and self._is_highest()

    def beat(self) -> None:
        """Show that this process lives."""
        with self._lock, suppress(OSError):
            if self._open:
                self._count += 1
                os.pwrite(self._handle, _counter(self._count), 0)
                # on a network file system it is closing that sends the bytes; syncing would wait for the whole disk
                os.close(os.dup(self._handle))

    def release(self) -> None:
        """Give the claim up."""
        with self._lock:
            if self._open:
                self._open = False
                with suppress(OSError):
                    if self._is_mine():
                        if self._keep(self._path, self._handle):
                            return
                        os.unlink(self._path)
                os.close(self._handle)

    def _is_mine(self) -> bool:
        """Tell whether the file of that name is still the one this process created."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._handle))
        except OSError:
            return False


def _fill(handle: int) -> None:
    """Write a new claim's content: counter, owner, and a number that no other claim has."""
    content = b"".join((_counter(0), owners.myself().name.encode(), b"\n", token_hex(8).encode(), b"\n"))
    os.pwrite(handle, content, 0)
    os.ftruncate(handle, len(content))


def _counter(count: int) -> bytes:
    """Return the first line of a claim's file, of fixed width: it is written over in place."""
    return b"%015d\n" % count


class Leases:
    """The claims under `leases/`."""

    def __init__(self, folder: str, stall: float = STALL, stall_alive: float = STALL_ALIVE) -> None:
        self._folder, self._stall, self._stall_alive = folder, stall, stall_alive
        self._heart = _Heart()
        self._spares = _Spares(folder + ".spare")
        self._swept = False

    @contextmanager
    def hold(self, key: str, on_wait: Callable[[str], None], should_stop: Callable[[], bool]) -> Iterator[Lease]:
        """Hold the claim on a key; wait while somebody else does.

        Raises:
            Interrupted: `should_stop` said so while waiting.
            Failure: the disk is full or not writable.
        """
        lease = self._wait(key, on_wait, should_stop)
        self._heart.add(lease)
        try:
            yield lease
        finally:
            self._heart.remove(lease)
            lease.release()

    def held(self) -> set[str]:
        """Return the keys that somebody holds, or may hold: a process elsewhere that gave a sign of life lately."""
        found = set()
        for name in names_in(self._folder):
            path = f"{self._folder}/{name}"
            with suppress(OSError):
                owner = _owner_in(read_or_none(path))
                lately = time.time() - os.stat(path).st_mtime < _LEFT_BEHIND
                if not owner.is_dead if owner and owner.is_here else lately:
                    found.add(name.rpartition(".")[0])
        return found

    def _wait(self, key: str, on_wait: Callable[[str], None], should_stop: Callable[[], bool]) -> Lease:
        holder, pause, told = _Watch(self._stall, self._stall_alive), _FIRST_PAUSE, ""
        while True:
            with told_in_words(self._folder):
                highest = self._highest(key)
                free = highest == 0 or holder.is_gone(self._path(key, highest))
                if free and (lease := self._claim(key, highest + 1)):
                    return lease
            if should_stop():
                raise Interrupted("interrupted while waiting for another process; what was finished is kept")
            if holder.words != told:
                told = holder.words
                on_wait(told)
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_PAUSE)

    def _claim(self, key: str, number: int) -> Lease | None:
        """Create the claim of this number; None when somebody else did, or has a higher one."""
        if not self._swept:
            self._sweep()
        path = self._path(key, number)
        try:
            handle = self._spares.place(path) or _create(path)
        except FileExistsError:
            return None
        lease = Lease(path, handle, lambda: self._highest(key) == number, self._spares.keep)
        numbers = self._numbers(key)
        # a listing that was out of date (network file systems keep them for a while) may have hidden a higher claim
        if max(numbers, default=0) != number:
            lease.release()
            return None
        for lower in numbers:
            if lower < number:
                with suppress(OSError):
                    os.unlink(self._path(key, lower))
        return lease

    def _highest(self, key: str) -> int:
        return max(self._numbers(key), default=0)

    def _numbers(self, key: str) -> list[int]:
        start = f"{key}."
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        ends = (name[len(start) :] for name in names if name.startswith(start))
        return [int(end) for end in ends if end.isdecimal()]

    def _path(self, key: str, number: int) -> str:
        return f"{self._folder}/{key}.{number}"

    def _sweep(self) -> None:
        """Remove old claims of ended processes. Young ones stay: a waiter may be about to make the next number."""
        make_folder(self._folder)
        for name in os.listdir(self._folder):
            path = f"{self._folder}/{name}"
            with suppress(OSError):
                owner = _owner_in(read_or_none(path))
                if owner and owner.is_dead and time.time() - os.stat(path).st_mtime > _LEFT_BEHIND:
                    os.unlink(path)
        self._spares.sweep()
        self._swept = True


def _create(path: str) -> int:
    """Create a claim's file; return its handle.

    Raises:
        FileExistsError: somebody else did.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _fill(handle)
    except OSError:
        os.close(handle)
        os.unlink(path)
        raise
    return handle


class _Spares:
    """Files of claims that were given up, for the next ones: making and removing thousands of files is slow.

    A spare file is filled first and then linked to its place, which only one process can do, as with creating it.
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._files, self._lock, self._pid = folder, list[tuple[str, int]](), threading.Lock(), 0
        self._usable = True

    def place(self, path: str) -> int | None:
        """Put a spare file at a claim's place and return its handle; None when there is none.

        Raises:
            FileExistsError: somebody else has the claim.
        """
        with self._lock:
            if self._pid != os.getpid() or not self._files:
                return None
            spare, handle = self._files.pop()
        try:
            _fill(handle)
            os.link(spare, path)
        except FileExistsError:
            with self._lock:
                self._files.append((spare, handle))
            raise
        except OSError:  # a file system without links, or a full one
            self._usable = False
            self._drop(spare, handle)
            return None
        os.unlink(spare)
        return handle

    def keep(self, path: str, handle: int) -> bool:
        """Take a claim's file away and keep it; False when it should be removed instead."""
        with self._lock:
            if self._pid != os.getpid():  # the first, or forked: what the parent keeps is not ours
                self._pid, self._files = os.getpid(), []
                atexit.register(self._clear)
            if not self._usable or len(self._files) >= _MOST_SPARES:
                return False
            spare = f"{self._folder}/{token_hex(8)}"
            try:
                make_folder(self._folder)
                os.rename(path, spare)
            except OSError:  # another process that ended took the empty folder away just now
                return False
            self._files.append((spare, handle))
            return True

    def sweep(self) -> None:
        """Remove the old spare files of killed processes; one that is in use after all is merely made anew."""
        for name in names_in(self._folder):
            with suppress(OSError):
                if time.time() - os.stat(f"{self._folder}/{name}").st_mtime > _LEFT_BEHIND:
                    os.unlink(f"{self._folder}/{name}")

    def _clear(self) -> None:
        if self._pid == os.getpid():
            for spare, handle in self._files:
                self._drop(spare, handle)
            self._files = []
            with suppress(OSError):
                os.rmdir(self._folder)

    def _drop(self, spare: str, handle: int) -> None:
        with suppress(OSError):
            os.unlink(spare)
        os.close(handle)


class _Watch:
    """Times a holder's counter on this process's clock."""

    def __init__(self, stall: float, stall_alive: float) -> None:
        self._stall, self._stall_alive = stall, stall_alive
        self._seen: tuple[str, bytes] | None = None
        self._since = 0.0
        self.words = ""

    def is_gone(self, path: str) -> bool:
        """Look at the claim again; tell whether its holder counts as dead."""
        data = read_or_none(path)
        if data is None:
            return False  # released just now: the next look at the folder shows it
        owner = _owner_in(data)
        if (path, data) != self._seen:
            self._seen, self._since = (path, data), time.monotonic()
        if owner:  # the file is empty between its creation and the first write
            self.words = owner.words
        if owner and owner.is_dead:
            return True
        limit = self._stall_alive if owner and owner.is_here else self._stall
        return time.monotonic() - self._since > limit


def _owner_in(data: bytes | None) -> Owner | None:
    lines = (data or b"").decode("utf-8", "replace").split("\n")
    return owners.parse(lines[1]) if len(lines) > 2 else None


class _Heart:
    """One thread that beats for all leases of this process, and ends when there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[Lease] = []
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def add(self, lease: Lease) -> None:
        with self._lock:
            if self._pid != os.getpid():  # forked: what the parent holds is not ours, and its thread is not here
                self._held, self._thread, self._pid = [], None, os.getpid()
            self._held.append(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vflow-leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        with self._lock, suppress(ValueError):
            self._held.remove(lease)

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._lock:
                held = list(self._held)
                if not held:
                    self._thread = None
                    return
            for lease in held:
                lease.beat()
