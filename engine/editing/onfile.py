"""A text as a file has it: read with its byte order mark, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vflow.engine.document import MAX_BYTES
from vflow.engine.problems import Failure, GraphError, Problem

_BOM = b"\xef\xbb\xbf"
_ELSEWHERE = "save it under another name, in a folder that you may write to"


@dataclass(frozen=True)
class OnFile:
    """What a file holds. Line breaks are as in the file; `has_bom` says that it begins with a byte order mark, which
    the text does not. `digest` is that of its bytes, empty where there is no file.
    """

    text: str = ""
    has_bom: bool = False
    digest: str = ""


def read(path: Path) -> OnFile:
    """Read a file; one that is not there holds nothing.

    Raises:
        GraphError: it cannot be read, or is no text in UTF-8.
    """

    def refusal(message: str, remedy: str) -> GraphError:
        return GraphError(Problem(message, remedy, file=str(path)))

    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # reading would wait for a writer
            raise refusal("this is no file", "name a graph file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise refusal(f"there is no folder {path.parent}", "make it first, or name another") from None
        return OnFile()
    except IsADirectoryError:
        raise refusal("this is a folder", "name a graph file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise refusal(f"the file cannot be read: {reason}", "check its name and rights") from None
    if len(data) > MAX_BYTES:
        raise refusal(f"the file is larger than {MAX_BYTES >> 20} MiB", "is this a graph?")
    try:
        text = data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"the byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise refusal(message, "save the file as UTF-8") from None
    return OnFile(text, data.startswith(_BOM), digest_of(data))


def digest_of(data: bytes) -> str:
    """Return what tells bytes from all others."""
    return hashlib.sha256(data).hexdigest()


def digest_on_disk(path: Path) -> str:
    """Return the digest of a file's bytes as they are now; empty where it is gone, `?` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return digest_of(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return "?"


def write(path: Path, text: str, has_bom: bool, check: Callable[[], None]) -> OnFile:
    """Write a file as a whole: a crash leaves the old one or the new one.

    A link is followed, and rights are kept. `check` is called at the last moment, and stops it by raising.

    Raises:
        Failure: it cannot be written, with the reason in words.
    """
    target = Path(os.path.realpath(path))
    try:
        data = (_BOM if has_bom else b"") + text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Failure(f"the character {text[error.start]!a} cannot be saved", "take it out") from None
    try:
        _refuse_protected(target)
        replace(target, data, check)
    except OSError as error:
        raise _in_words(error, path) from error
    return OnFile(text, has_bom, digest_of(data))


def _refuse_protected(target: Path) -> None:
    """Refuse a file that is write-protected, which renaming another one over it would ignore.

    Raises:
        Failure: it is, or is no file.
        OSError: it cannot be asked.
    """
    try:
        found = target.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Failure(f"{target} is no file", "save it under another name")
    if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise Failure(f"{target} is write-protected", f"allow writing (chmod u+w {target}), or {_ELSEWHERE}")


def replace(target: Path, data: bytes, check: Callable[[], None] | None = None, sync: bool = True) -> None:
    """Put bytes in place of a file by renaming: whoever reads sees the old or the new one.

    Raises:
        OSError: that is not possible; the old file is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if check:
                _take_rights(file.fileno(), target)
            if sync:
                os.fsync(file.fileno())
        if check:
            check()
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    if sync:
        _sync_folder(target.parent)


def _take_rights(file: int, target: Path) -> None:
    """Give a file the rights, and where possible the owner, of the one that it replaces, else usual ones."""
    try:
        old = target.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(file, 0o666 & ~mask)
        return
    mine = os.fstat(file)
    if (old.st_uid, old.st_gid) != (mine.st_uid, mine.st_gid):
        with suppress(OSError):
            os.fchown(file, old.st_uid, old.st_gid)
    os.fchmod(file, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _in_words(error: OSError, path: Path) -> Failure:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(f"{path} was not saved: the disk is full", "free some space, then save again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Failure(f"{path} was not saved: its folder cannot be written to", _ELSEWHERE)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Failure(f"{path} was not saved: its folder is gone", _ELSEWHERE)
    return Failure(f"{path} was not saved: {error.strerror or error}", "try again, or save it under another name")
