"""Immutable files named by the SHA-256 of their content."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from vflow.engine import keys
from vflow.engine.problems import Failure
from vflow.engine.store.files import Files, exists_with_size, names_in, sync
from vflow.engine.values import Blob


class Damaged(Failure):
    """A result's file is gone or is not what was written. `blob` says which."""

    def __init__(self, blob: Blob, reason: str) -> None:
        self.blob = blob
        super().__init__(
            f"a result in the store {reason}: blob {blob.digest[:12]}",
            "run again: what is damaged is computed again; `vflow cache verify` looks at the whole store",
        )


class Blobs:
    """The files under `blobs/`. Methods that write raise `OSError`; callers put that in words."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._folder = f"{files.root}/blobs"
        self._verified: set[str] = set()
        #: told of each blob before it appears
        self.before_placing: Callable[[str], object] = lambda _digest: None

    def path_of(self, digest: str) -> str:
        """Return where a blob lies, or would lie.

        Raises:
            ValueError: not a digest (it may come from a stranger's file, and becomes a path here).
        """
        if not digest.isalnum():
            raise ValueError(f"not a digest: {digest!r}")
        return f"{self._folder}/{digest[:2]}/{digest}"

    def has(self, digest: str, size: int) -> bool:
        """Tell whether the blob is there with this size in bytes."""
        return exists_with_size(self.path_of(digest), size)

    def checked_path(self, blob: Blob, verify: bool) -> Path:
        """Return where a blob lies; with `verify` its content is hashed, once per process.

        Raises:
            Damaged: it is missing or differs from what was written; what differs was moved to `damaged/`.
        """
        path = self.path_of(blob.digest)
        if not exists_with_size(path, blob.size):
            raise Damaged(blob, "has the wrong size" if os.path.exists(path) else "is missing")
        if verify and blob.digest not in self._verified:
            if not _is_whole(path, blob.digest):
                with suppress(OSError):  # in a store that cannot be written it stays where it is
                    self._files.set_aside(path)
                raise Damaged(blob, "is damaged")
            self._verified.add(blob.digest)
        return Path(path)

    def put_bytes(self, data: bytes, suffix: str) -> Blob:
        """Write bytes as a blob."""
        blob = Blob(digest=keys.digest_bytes(data), size=len(data), suffix=suffix)
        temporary = self._files.write(data, 0o444)  # read only: whoever opens it by mistake must not change it
        self._place(temporary, blob.digest)
        return blob

    def put_file(self, source: Path, suffix: str) -> Blob:
        """Move a finished file in, or copy it where it cannot be moved; the source is gone afterwards."""
        if _is_shared(source):
            return self._copy_in(source, suffix)
        blob = _seal(source, suffix)
        try:
            self._place(str(source), blob.digest)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy_in(source, suffix)
        return blob

    def take(self, temporary: str, digest: str) -> None:
        """Move in a synced, read-only temporary file whose content was found to have this digest."""
        self._place(temporary, digest)

    def digests(self) -> Iterator[str]:
        """Yield the digests of all blobs that are there, in order."""
        for shard in names_in(self._folder):
            names = names_in(f"{self._folder}/{shard}")
            yield from (name for name in names if len(name) == 64 and name.isalnum() and name[:2] == shard)

    def damage(self, digest: str) -> str:
        """Hash a blob; return what is wrong with it ("" if nothing is), having moved it to `damaged/`."""
        path = self.path_of(digest)
        try:
            found = keys.digest_file(Path(path))
        except FileNotFoundError:
            return ""  # collected meanwhile
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if found == digest:
            return ""
        self._files.set_aside(path)
        return "its content is not what was written; moved to damaged/"

    def _copy_in(self, source: Path, suffix: str) -> Blob:
        temporary = self._files.copy(str(source))
        try:
            blob = _seal(Path(temporary), suffix)
            self._place(temporary, blob.digest)
        except BaseException:
            self._files.discard(temporary)
            raise
        source.unlink()
        return blob

    def _place(self, temporary: str, digest: str) -> None:
        self.before_placing(digest)
        # over what may be there: the old file could be damaged, and readers keep the one they have open
        target = self.path_of(digest)
        self._files.place(temporary, target)
        sync(os.path.dirname(target))


def _is_whole(path: str, digest: str) -> bool:
    """Hash a file; what the disk cannot give back any more is not whole.

    Raises:
        OSError: it cannot be read for another reason.
    """
    try:
        return keys.digest_file(Path(path)) == digest
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False


def _is_shared(source: Path) -> bool:
    """Tell whether moving the file would take along something that others can still write to."""
    found = os.lstat(source)
    return stat.S_ISLNK(found.st_mode) or found.st_nlink > 1


def _seal(path: Path, suffix: str) -> Blob:
    """Hash and sync a finished file, and make it read only."""
    with path.open("rb") as file:
        os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & 0o444)
        blob = Blob(digest=keys.digest_file(path), size=os.fstat(file.fileno()).st_size, suffix=suffix)
        os.fsync(file.fileno())
    return blob
