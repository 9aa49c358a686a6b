"""The index over the records and the memory of file hashes and facts: a diskcache that may be lost at any time.

Everything in it can be had again from the files of the store, from the user's files or by computing. So nothing here
raises for a database that is locked, full, read only or broken: reading then finds nothing, writing does nothing, and
a broken one is thrown away.

Reading is the warm path of every run, and diskcache has no way to get many keys at once (and writes its settings each
time it is opened): rows are read straight from its table, by a connection that cannot write.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from vflow.engine.store.files import Files

_TIMEOUT = 10.0  # seconds to wait for another process's transaction
_KEYS_PER_QUERY = 500
_MAPPED = 1 << 26  # bytes, as diskcache's own connections: a system call for each page would take longer than looking
_SELECT = "SELECT key, value FROM Cache WHERE raw = 1 AND mode = 1 AND typeof(value) = 'text' AND key IN ({})"

_NOT_ITS_FAULT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
)


class Index:
    """Text under text keys, shared by processes and threads."""

    def __init__(self, folder: str, files: Files) -> None:
        self._folder, self._files = folder, files
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: list[Any] = []  # of the process that this one was forked from: never closed here
        self._pid = os.getpid()
        self._cache: Any = None
        self._given_up = False

    def get_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Return what is kept under those of the keys that are there."""
        try:
            with self._lock:
                return self._select(keys)
        except sqlite3.Error as error:
            if _is_broken(error):
                self._start_again()
            return {}

    def put_many(self, rows: Mapping[str, str]) -> None:
        """Keep rows, in one transaction."""
        if rows:
            self._write(lambda cache: [cache.set(key, text) for key, text in rows.items()])

    def forget(self, keys: Iterable[str]) -> None:
        """Drop rows."""
        self._write(lambda cache: [cache.delete(key) for key in keys])

    def close(self) -> None:
        """Let go of the database; it is opened again when needed."""
        with self._lock:
            self._close()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _select(self, keys: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        connection = self._reader()
        if connection is None:
            return found
        for some in _batches(keys, _KEYS_PER_QUERY):
            rows = connection.execute(_SELECT.format(",".join("?" * len(some))), some)
            found.update(rows.fetchall())
        return found

    def _reader(self) -> sqlite3.Connection | None:
        self._leave_parent()
        if self._connection is None:
            path = Path(self._folder, "cache.db")
            if not path.exists():
                return None
            # the lock above keeps threads apart
            address = f"{path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                address, uri=True, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
        return self._connection

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, change: Callable[[Any], Any]) -> None:
        for _ in range(2):
            cache = self._writer()
            if cache is None:
                return
            try:
                with cache.transact():
                    change(cache)
                return
            except _timeout():
                return
            except sqlite3.Error as error:
                if not _is_broken(error):
                    self._given_up = True
                    return
                self._start_again()
        self._given_up = True

    def _writer(self) -> Any:
        """Return the open cache; None where there can be none."""
        for _ in range(2):
            if self._given_up:
                return None
            try:
                with self._lock:
                    return self._open()
            except (OSError, sqlite3.Error, TypeError, ValueError, AssertionError) as error:
                if not _is_broken(error):
                    break
                self._start_again()
        self._given_up = True
        return None

    def _open(self) -> Any:
        self._leave_parent()
        if self._cache is None:
            import diskcache

            Path(self._folder).mkdir(parents=True, exist_ok=True)
            self._cache = diskcache.Cache(
                self._folder, timeout=_TIMEOUT, disk=_plain_disk(), eviction_policy="none", cull_limit=0
            )
        return self._cache

    def _start_again(self) -> None:
        """Throw the database away. Another process that has it open goes on with a file that nobody reads."""
        with self._lock:
            self._close()
            try:
                self._files.remove_tree(self._folder)
            except OSError:
                self._given_up = True

    def _close(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            if self._cache is not None:
                self._cache.close()
        self._connection = self._cache = None

    def _leave_parent(self) -> None:
        if self._pid != os.getpid():
            self._inherited += [self._connection, self._cache]
            self._connection = self._cache = None
            self._pid = os.getpid()


def _is_broken(error: Exception) -> bool:
    """Tell whether the database itself is wrong, rather than busy, full, out of reach or just being created."""
    if not isinstance(error, sqlite3.Error):
        return not isinstance(error, OSError)  # diskcache stumbled over settings that it did not write
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code not in _NOT_ITS_FAULT and "no such table" not in str(error)


def _batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, size)):
        yield batch


@lru_cache(maxsize=1)
def _timeout() -> type[Exception]:
    from diskcache import Timeout

    return Timeout  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _plain_disk() -> type[Any]:
    """Return a diskcache `Disk` that takes text and gives text, all in the database: never pickle (CVE-2025-69872)."""
    import diskcache
    from diskcache.core import MODE_RAW

    class PlainDisk(diskcache.Disk):  # type: ignore[misc]
        """Text in, text out; anything else is refused, coming or going."""

        def put(self, key: Any) -> tuple[str, bool]:
            return _text(key), True

        def get(self, key: Any, raw: Any) -> str:
            if not raw:
                raise ValueError("the index holds something that is not text")
            return _text(key)

        def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, str]:
            return 0, MODE_RAW, None, _text(value)

        def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> str:
            if mode != MODE_RAW or filename is not None:
                raise ValueError("the index holds something that is not text")
            return _text(value)

    return PlainDisk


def _text(data: Any) -> str:
    if type(data) is not str:
        raise TypeError(f"the index keeps text only, not {type(data).__name__}")
    return data
