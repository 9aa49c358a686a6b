"""The wire to a remote: bytes by path through fsspec, in threads that nobody has to wait for.

A file system may answer late or never, and fsspec has no common way to give up on it. So everything that a run waits
for is asked in daemon threads, which are left behind when the time is up; a process can end while they still wait.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from vflow.engine.problems import GraphError, Interrupted
from vflow.engine.store.remote_address import Address

T = TypeVar("T")
R = TypeVar("R")

#: Requests at once.
WIDTH = 16
#: Bytes read at once; a request that brings so few must be answered within the patience of whoever waits.
_CHUNK = 4 << 20
#: Seconds between two looks at whether to stop.
_LOOK_UP = 0.2
#: Characters of what a driver says that are told.
_LONGEST = 120
#: File systems where a file shows while it is being written and can be renamed; elsewhere a put is whole or nothing.
_RENAMES = frozenset({"file", "local", "sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs", "arrow_hdfs", "dbfs"})
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Unreachable(Exception):
    """The remote did not answer, or not in a way that one can go on with. Says why, in words."""


class Link:
    """Files of a remote by their paths below its address. Every method may raise `Unreachable`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._opened: tuple[int, Any, str] | None = None

    def check_driver(self) -> None:
        """Import the file system's module.

        Raises:
            GraphError: there is no such file system, or its package is not installed.
        """
        import fsspec

        try:
            fsspec.get_filesystem_class(self.address.protocol)
        except (ImportError, ValueError) as error:
            extra = "pip install 'vflow[s3]'" if self.address.protocol in ("s3", "s3a") else "install its package"
            raise GraphError(f"the remote {self.address.shown} cannot be used: {error}", extra) from error

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, at most `limit` + 1 bytes of it; None when there is no such file."""
        return self._ask(lambda fs, root: bytes(fs.cat_file(f"{root}/{path}", start=0, end=limit + 1)))

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None when there is no such file."""

        def ask(fs: Any, root: str) -> int | None:
            fs.invalidate_cache(f"{root}/{path}")  # others write there too
            found = fs.info(f"{root}/{path}")
            return int(found["size"]) if found["type"] == "file" else None

        return self._ask(ask)

    def sizes_in(self, folder: str) -> dict[str, int]:
        """Return name to size in bytes of the files in a folder; nothing when there is no such folder."""

        def ask(fs: Any, root: str) -> dict[str, int]:
            fs.invalidate_cache(f"{root}/{folder}")
            found = fs.ls(f"{root}/{folder}", detail=True)
            return {one["name"].rpartition("/")[2]: int(one["size"] or 0) for one in found if one["type"] == "file"}

        return self._ask(ask) or {}

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file's content in pieces; nothing when there is no such file."""
        file = self._ask(lambda fs, root: fs.open(f"{root}/{path}", "rb", block_size=_CHUNK))
        if file is None:
            return
        try:
            while data := self._ask(lambda _fs, _root: file.read(_CHUNK)):
                yield data
        finally:
            with suppress(Exception):
                file.close()

    def upload(self, local: str, path: str) -> None:
        """Bring a file there, over what may be there, so that nobody ever sees a part of it."""

        def ask(fs: Any, root: str) -> bool:
            target = f"{root}/{path}"
            if self.address.protocol not in _RENAMES:
                fs.put_file(local, target)
                return True
            temporary = f"{root}/tmp/{uuid.uuid4().hex}"
            fs.makedirs(f"{root}/tmp", exist_ok=True)
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                fs.put_file(local, temporary)
                fs.mv(temporary, target)
            except BaseException:
                with suppress(Exception):
                    fs.rm_file(temporary)
                raise
            return True

        if self._ask(ask) is None:
            raise Unreachable("there is no such bucket or folder")

    # --- fsspec -----------------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[Any, str], R]) -> R | None:
        """Ask the file system; None when it says that there is no such file."""
        try:
            return question(*self._file_system())
        except _MISSING:
            return None
        except Exception as error:
            # drivers raise what they like: errors of botocore are no OSError
            text = _short(str(error).replace(self.address.url, self.address.shown))
            raise Unreachable(f"{type(error).__name__}: {text}" if text else type(error).__name__) from error

    def _file_system(self) -> tuple[Any, str]:
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():  # asynchronous ones do not survive a fork
                from fsspec.core import url_to_fs

                fs, root = url_to_fs(self.address.url)
                self._opened = (os.getpid(), fs, root.rstrip("/"))
            return self._opened[1:]


def _short(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def each(
    call: Callable[[T], R],
    items: Sequence[T],
    patience: float,
    most: float = float("inf"),
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[T, R]]:
    """Call with each of the items, `WIDTH` at once; yield item and answer as they come.

    Raises:
        Interrupted: `should_stop` said so.
        Unreachable: no answer came for `patience` seconds, or all took more than `most` seconds.
        Exception: what a call raised.
    """
    todo: queue.SimpleQueue[T] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[T, R | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()
    for item in items:
        todo.put(item)

    def work() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, call(item), None))
            except BaseException as error:
                done.put((item, None, error))

    for _ in range(min(WIDTH, len(items))):
        threading.Thread(target=work, name="vflow-remote", daemon=True).start()
    end = time.monotonic() + most
    try:
        for _ in items:
            yield _next(done, patience, end, should_stop)
    finally:
        stop.set()


def _next(done: Any, patience: float, end: float, should_stop: Callable[[], bool]) -> tuple[Any, Any]:
    until = min(time.monotonic() + patience, end)
    while True:
        if should_stop():
            raise Interrupted("interrupted; what was finished is kept")
        rest = until - time.monotonic()
        try:
            item, answer, error = done.get(timeout=min(max(rest, 0.0), _LOOK_UP))
        except queue.Empty:
            if rest > 0:
                continue
            raise Unreachable("it is too slow" if until == end else f"no answer within {patience:g} s") from None
        if error is not None:
            raise error
        return item, answer
