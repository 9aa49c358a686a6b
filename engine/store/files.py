"""Files that are whole or not there: written under a temporary name, synced, then renamed into place."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vflow.engine.problems import Failure
from vflow.engine.store import owners

#: Temporary folders of processes elsewhere, whose end nobody here can see, are removed after so many seconds.
_FORGOTTEN = 7 * 24 * 3600

#: From so many files on, syncing the whole disk once is quicker than syncing each (a sync takes 0.1 to 10 ms).
_MANY = 32


@contextmanager
def told_in_words(folder: str) -> Iterator[None]:
    """Turn what the system says of the store's disk into a `Failure` with a remedy."""
    try:
        yield
    except OSError as error:
        raise _failure(error, folder) from error


def _failure(error: OSError, folder: str) -> Failure:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            f"the disk that holds the store is full: {folder}",
            "free some space there, or put the store elsewhere with --cache DIR",
            final=True,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Failure(
            f"the store cannot be written: {error.filename or folder} ({os.strerror(error.errno)})",
            "give yourself the right to write there, or use another store with --cache DIR",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Failure(f"the store is not a folder: {error.filename or folder}", "name a folder with --cache DIR")
    reason, place = error.strerror or type(error).__name__, error.filename or folder
    return Failure(f"the store at {folder} could not do its work: {reason}: {place}", "look at that file or disk")


def exists_with_size(path: str, size: int) -> bool:
    """Tell whether a plain file of this size in bytes lies there."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return found.st_size == size and stat.S_ISREG(found.st_mode)


def read_or_none(path: str) -> bytes | None:
    """Return a file's content, or None when it is not there or cannot be read."""
    if not os.path.exists(path):  # far cheaper than the error, and most are missing
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def names_in(folder: str) -> list[str]:
    """Return the names in a folder, sorted; none when it does not exist."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def sync(path: str) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def sync_all(paths: Collection[str], root: str) -> None:
    """Make the content of files, or the names in folders, durable; many at once by one call for their whole disk."""
    if len(paths) > _MANY and _sync_disk(root):
        return
    for path in paths:
        sync(path)


def _sync_disk(root: str) -> bool:
    """Sync the file system that holds a folder; False where the system cannot, or something went wrong."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):
        return False
    handle = os.open(root, os.O_RDONLY)
    try:
        return bool(call(handle) == 0)
    finally:
        os.close(handle)


def make_folder(path: str) -> None:
    """Create a folder and what is missing above it, durably."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_folder(parent)
    with suppress(FileExistsError):
        os.mkdir(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    with suppress(PermissionError):  # above the store there may be folders that one may not read
        sync(parent)


class Files:
    """The store's folder: how files come into it. Every method raises `OSError`; callers put that in words."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._numbers = itertools.count()
        self._mine = ""

    def temporary(self) -> str:
        """Return a new name under `tmp/`, on the disk of the store."""
        folder = f"{self.root}/tmp/{owners.myself().name}"
        if folder != self._mine:
            self._open_tmp(folder)
        return f"{folder}/{next(self._numbers)}"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend a new empty folder under `tmp/`; it is removed afterwards, whatever happens."""
        import shutil

        with told_in_words(self.root):
            path = self.temporary()
            os.mkdir(path)
        try:
            yield Path(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def write(self, data: bytes, mode: int = 0o644, *, synced: bool = True) -> str:
        """Write a new temporary file and return its name. Unless `synced`, it has to be synced before it is placed."""
        path = self.temporary()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if synced:
                os.fsync(handle)
        except BaseException:
            self.discard(path)
            raise
        finally:
            os.close(handle)
        return path

    def copy(self, source: str) -> str:
        """Copy a file to a new temporary one and return its name."""
        import shutil

        path = self.temporary()
        try:
            shutil.copyfile(source, path)
        except BaseException:
            self.discard(path)
            raise
        return path

    def place(self, temporary: str, target: str) -> None:
        """Rename a synced file into place, over what is there. Its folder has to be synced after that."""
        try:
            os.replace(temporary, target)
        except FileNotFoundError:
            make_folder(os.path.dirname(target))
            os.replace(temporary, target)

    def set_aside(self, path: str) -> None:
        """Move a damaged file to `damaged/`, so that nobody takes it for good and it can still be looked at."""
        with suppress(FileNotFoundError):
            self.place(path, f"{self.root}/damaged/{os.path.basename(path)}")

    def remove_tree(self, path: str) -> None:
        """Remove a folder at once for all others: it is renamed under `tmp/` first."""
        import shutil

        aside = self.temporary()
        with suppress(FileNotFoundError):
            os.rename(path, aside)
            shutil.rmtree(aside, ignore_errors=True)

    @staticmethod
    def discard(path: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            os.unlink(path)

    # --- the folder for temporary files -----------------------------------------------------------------------------

    def _open_tmp(self, folder: str) -> None:
        import atexit

        make_folder(folder)
        self._mine = folder
        atexit.register(_leave, folder)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what processes that have ended left under `tmp/`."""
        import shutil

        for entry in _entries(f"{self.root}/tmp"):
            owner = owners.parse(entry.name)
            with suppress(OSError):
                forgotten = not (owner and owner.is_here) and time.time() - entry.stat().st_mtime > _FORGOTTEN
                if forgotten or (owner and owner.is_dead):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _entries(folder: str) -> Iterable[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _leave(folder: str) -> None:
    with suppress(OSError):
        os.rmdir(folder)
