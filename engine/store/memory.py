"""What was found out once and need not be found out again: facts, and the hashes of the user's files.

All of it is kept in the index only; losing it costs the finding out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vflow.engine import keys
from vflow.engine.problems import Failure
from vflow.engine.store.index import Index

#: A file that changed so shortly before it was hashed may change again without a new time stamp: 2 s is the coarsest
#: clock of a file system in use (FAT).
_TICK = 2 * 10**9
_TRIES = 3
_FILES = "sha256 of file"


class Memory:
    """Plain JSON under a kind and a key."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def recall_many(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """Return what is kept under those of the names that are known, by one query."""
        prefix = f"fact:{kind}:"
        rows = self._index.get_many([prefix + name for name in dict.fromkeys(names)])
        found: dict[str, Any] = {}
        for row, text in rows.items():
            with suppress(ValueError):
                found[row[len(prefix) :]] = json.loads(text)
        return found

    def record_many(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Keep facts, replacing what was there.

        Raises:
            TypeError, ValueError: something in them is not plain JSON.
        """
        self._index.put_many({f"fact:{kind}:{name}": json.dumps(data, allow_nan=False) for name, data in facts.items()})

    def remember(self, kind: str, name: str, compute: Callable[[], Any]) -> Any:
        """Return the fact, else compute and keep it. What comes back has been through JSON: a tuple is a list."""
        known = self.recall_many(kind, [name])
        if name in known:
            return known[name]
        data = compute()
        self.record_many(kind, {name: data})
        return json.loads(json.dumps(data))

    # --- files ------------------------------------------------------------------------------------------------------

    def digests_of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the SHA-256 of the user's files; those that did not change since they were hashed are not read.

        Raises:
            Failure: a file cannot be read, or does not stop changing.
        """
        places = {path: os.path.abspath(path) for path in paths}
        known = self.recall_many(_FILES, places.values())
        digests: dict[Path, str] = {}
        learned: dict[str, Any] = {}
        kept_at = time.monotonic()
        for path, place in places.items():
            stamp, digest = known.get(place, (None, ""))
            if stamp != _stamp(path):
                stamp, digest, settled = _hash(path)
                if settled:
                    learned[place] = [stamp, digest]
            digests[path] = digest
            if learned and time.monotonic() - kept_at > 1.0:  # what was read is not read again after a kill
                self.record_many(_FILES, learned)
                learned, kept_at = {}, time.monotonic()
        self.record_many(_FILES, learned)
        return digests


def _hash(path: Path) -> tuple[list[int], str, bool]:
    """Return a file's stamp, its digest, and whether the stamp will tell if the content changes from now on.

    A stamp is no proof for a file that was written just now: a second write within the same tick of the file system's
    clock leaves it as it is (git knows the same trouble with its index). Such a file is hashed again next time. The
    change time is set by the file system, so one in the future only means that its clock is ahead, and is not trusted
    either; a modification time may be set to anything, and counts only when it is about now.
    """
    for _ in range(_TRIES):
        before, now = _stamp(path), time.time_ns()
        try:
            digest = keys.digest_file(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        if _stamp(path) == before:
            _, modified, changed, _, _ = before
            return before, digest, changed < now - _TICK and abs(modified - now) > _TICK
    raise Failure(f"{path} changes while it is read", "wait until it is written, then run again")


def _stamp(path: Path) -> list[int]:
    """Return size in bytes, times of modification and change in nanoseconds, inode and device of a file."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _unreadable(path: Path, error: OSError) -> Failure:
    return Failure(f"cannot read {path}: {error.strerror}", "check that the file is there and that you may read it")
