"""The records: files that are the truth, and rows of the index that make looking up quick.

A record's file is written after its blobs and before its row. So a row without a file is never seen first, and a file
without a row (the process died between, the index was lost, the store was copied without it, another machine wrote it)
is found by looking for the files of just those keys that the index lacks, and gets its row then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vflow.engine.store.blobs import Blobs, Damaged
from vflow.engine.store.files import Files, names_in, read_or_none, sync_all
from vflow.engine.store.index import Index
from vflow.engine.store.record import Record
from vflow.engine.values import Blob

# rows written otherwise one day get other words, so that neither version reads the other's
_ROW, _SHARED = "result:", "details:"
_AT_ONCE = 1000
_KEY = re.compile(r"[0-9a-zA-Z_-]{3,128}")


class Records:
    """The files under `records/`. Methods that write raise `OSError`; callers put that in words."""

    def __init__(self, files: Files, blobs: Blobs, index: Index) -> None:
        self._files, self._blobs, self._index = files, blobs, index
        self._folder = f"{files.root}/records"

    def path_of(self, key: str) -> str:
        """Return where the record of a key lies, or would lie."""
        return f"{self._folder}/{key[:2]}/{key}.json"

    def publish(self, records: Sequence[Record], complete: bool = True) -> None:
        """Make records durable, then known. Their folders are synced once for all.

        Unless `complete`, their blobs may be elsewhere.

        Raises:
            Damaged: a blob that a record names is not in the store.
            ValueError: a key could not be a file's name.
        """
        for record in records:
            self._check(record, complete)
        written: list[tuple[str, str]] = []
        try:
            for record in records:
                written.append((self._files.write(record.to_file(), synced=False), self.path_of(record.key)))
            sync_all([temporary for temporary, _ in written], self._files.root)
            for temporary, target in written:
                self._files.place(temporary, target)
        finally:
            for temporary, _ in written:
                self._files.discard(temporary)
        sync_all({os.path.dirname(target) for _, target in written}, self._files.root)
        self._note(records)

    def lookup(self, keys: Iterable[str], check_blobs: bool) -> dict[str, Record]:
        """Return the records of those keys that have one; see `Store.lookup`."""
        wanted = list(dict.fromkeys(keys))
        found = self._from_index(wanted)
        if check_blobs:
            found = {key: record for key, record in found.items() if self.has_blobs(record)}
        lacking = wanted if not found else [key for key in wanted if key not in found]
        read = filter(None, map(self.read, lacking))
        healed = {record.key: record for record in read if not check_blobs or self.has_blobs(record)}
        self._note(healed.values())
        return found | healed

    def read(self, key: str) -> Record | None:
        """Return the record from its file; None when it is missing or damaged."""
        data = read_or_none(self.path_of(key))
        try:
            return Record.from_file(key, data) if data is not None else None
        except (ValueError, KeyError, TypeError):
            return None  # computed again, and then written over

    def remove(self, keys: Sequence[str]) -> None:
        """Forget records: their files, durably, then their rows."""
        for key in keys:
            with suppress(FileNotFoundError):
                os.unlink(self.path_of(key))
        folders = {os.path.dirname(self.path_of(key)) for key in keys}
        sync_all([folder for folder in folders if os.path.isdir(folder)], self._files.root)
        # what the items of a node share stays; should it be forgotten, their files would have to be read
        self._index.forget([_ROW + key for key in keys])

    def has_blobs(self, record: Record) -> bool:
        """Tell whether all blobs of a record are there, by their sizes."""
        sizes = record.sizes
        return not sizes or all(self._blobs.has(digest, size) for digest, size in sizes.items())

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all record files that start so, in order."""
        for shard in names_in(self._folder):
            if shard.startswith(prefix[:2]):
                for name in names_in(f"{self._folder}/{shard}"):
                    if name.endswith(".json") and name.startswith(prefix):
                        yield name.removesuffix(".json")

    def damage(self, key: str) -> str:
        """Read a record from its file; return what is wrong with it ("" if nothing is), having moved it aside."""
        if self.read(key) is not None or not Path(self.path_of(key)).exists():
            return ""
        self._files.set_aside(self.path_of(key))
        self._index.forget([_ROW + key])
        return "its file cannot be read as a record; moved to damaged/"

    def _from_index(self, keys: Sequence[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        known: dict[str, str] = {}

        def shared(names: Iterable[str]) -> Mapping[str, str]:
            rows = self._index.get_many([_SHARED + name for name in names if name not in known])
            known.update((name[len(_SHARED) :], row) for name, row in rows.items())
            return known

        # some at a time, and each under the caller's own text of its key: rows of a hundred thousand are much memory
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            rows = self._index.get_many([_ROW + key for key in some])
            found |= Record.from_rows({key: rows[_ROW + key] for key in some if _ROW + key in rows}, shared)
        return found

    def _note(self, records: Iterable[Record]) -> None:
        """Give records their rows in the index."""
        shared: dict[str, str] = {}
        rows: dict[str, str] = {}
        for record in records:
            shared |= {_SHARED + name: details for name, details in record.shared_row().items()}
            rows[_ROW + record.key] = record.to_row()
        self._index.put_many(shared | rows)

    def _check(self, record: Record, complete: bool) -> None:
        if not _KEY.fullmatch(record.key):
            raise ValueError(f"not a key: {record.key!r}")
        for digest, size in record.sizes.items():
            if complete and not self._blobs.has(digest, size):
                raise Damaged(Blob(digest=digest, size=size), "is missing")
