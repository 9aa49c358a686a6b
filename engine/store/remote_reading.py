"""Reading through: records and blobs that the store lacks, asked for in bulk and within bounded time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from vflow.engine.store.blobs import Blobs
from vflow.engine.store.files import Files
from vflow.engine.store.record import Record
from vflow.engine.store.remote_link import Unreachable, each
from vflow.engine.store.remote_records import LARGEST, checked
from vflow.engine.store.remote_standing import Standing, blob_path, record_path
from vflow.engine.values import Blob

T = TypeVar("T")

#: Seconds without any answer after which a remote that is asked for records counts as dead.
PATIENCE = 2.5
#: The same while a blob comes, which brings megabytes at a time.
PATIENCE_FOR_DATA = 15.0
#: Seconds more for each thing that is asked for: what is kept is worth some waiting, but not any.
_EACH = 0.02
#: From so many on, folders are listed first: most of what is asked for may not be there.
_MANY = 512


class Reader:
    """Asks a remote, and writes what comes into the store."""

    def __init__(self, standing: Standing, files: Files, blobs: Blobs) -> None:
        self._standing, self._files, self._blobs = standing, files, blobs

    def records(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the sound records that are there of those keys."""
        paths = {record_path(key): key for key in keys}
        found: dict[str, Record] = {}
        damaged: list[str] = []
        try:
            for path, data in self._contents(self._standing.worth_asking(paths)):
                try:
                    if data is not None:
                        found[paths[path]] = checked(paths[path], data)
                        continue
                except ValueError:
                    damaged.append(paths[path])
                self._standing.miss(path)
        except Unreachable as error:
            self._standing.bury(str(error))
        if damaged:
            what = "a record that is" if len(damaged) == 1 else f"{len(damaged)} records that are"
            where = f"the remote {self._standing.address.shown} holds {what} damaged, or of another version"
            self._standing.tell(f"{where} ({damaged[0][:12]}); what they stand for is computed")
        return found

    def present(self, sizes: Mapping[str, int]) -> set[str]:
        """Return those of the digests that are there with these sizes; none while the remote is dead."""
        standing = self._standing
        unknown = [digest for digest in sizes if digest not in standing.there and not standing.is_bad(digest)]
        paths = {blob_path(digest): digest for digest in unknown}
        try:
            for path, size in self._sizes(standing.worth_asking(paths)):
                if size == sizes[paths[path]]:
                    standing.there.add(paths[path])
                else:
                    standing.miss(path)
        except Unreachable as error:
            standing.bury(str(error))
        return set() if standing.dead else standing.there & sizes.keys()

    def bring(self, blobs: Sequence[Blob], should_stop: Callable[[], bool]) -> None:
        """Download blobs into the store, see `Remote.bring`."""
        if not blobs or not self._standing.is_usable():
            return
        try:
            for blob, problem in each(self._download, blobs, PATIENCE_FOR_DATA, should_stop=should_stop):
                if problem:
                    self._standing.distrust(blob.digest, problem)
        except Unreachable as error:
            self._standing.bury(str(error))

    def _contents(self, paths: list[str]) -> Iterator[tuple[str, bytes | None]]:
        if len(paths) > _MANY:
            sizes = self._listed(paths)
            yield from ((path, None) for path in paths if path not in sizes)
            paths = [path for path in paths if path in sizes]
        yield from self._asked(lambda path: self._standing.link.read(path, LARGEST), paths)

    def _sizes(self, paths: list[str]) -> Iterator[tuple[str, int | None]]:
        if len(paths) > _MANY:
            sizes = self._listed(paths)
            yield from ((path, sizes.get(path)) for path in paths)
        else:
            yield from self._asked(self._standing.link.size, paths)

    def _listed(self, paths: list[str]) -> dict[str, int]:
        folders = sorted({os.path.dirname(path) for path in paths})
        wanted = set(paths)
        found: dict[str, int] = {}
        for folder, sizes in self._asked(self._standing.link.sizes_in, folders):
            found.update({p: size for name, size in sizes.items() if (p := f"{folder}/{name}") in wanted})
        return found

    def _asked(self, call: Callable[[str], T], paths: list[str]) -> Iterator[tuple[str, T]]:
        return each(call, paths, PATIENCE, PATIENCE + _EACH * len(paths))

    def _download(self, blob: Blob) -> str:
        """Bring one blob into the store; return what is wrong with it ("" if nothing is)."""
        temporary, hashed, size = self._files.temporary(), hashlib.sha256(), 0
        try:
            with open(temporary, "xb") as file:
                for data in self._standing.link.chunks(blob_path(blob.digest)):
                    size += len(data)
                    if size > blob.size:
                        return "is larger than its record says"
                    hashed.update(data)
                    file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            if hashed.hexdigest() != blob.digest:
                return "is missing or cut short" if size < blob.size else "is damaged"
            self._blobs.take(temporary, blob.digest)
        finally:
            self._files.discard(temporary)
        return ""
