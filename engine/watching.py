"""Following a run from outside, going on or finished, by what it writes into its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vflow.engine.events import Event, Log, RunFinished, RunStarted, read_event
from vflow.engine.folder import EVENTS, SUMMARY, RunFolder
from vflow.engine.problems import Interrupted, VflowError
from vflow.engine.store import owners

_PAUSE = 0.1  # seconds between two looks at the file
_LOOK_AFTER = 1.0  # seconds of silence after which the process is looked for
_CHUNK = 2**20
_START = b'"kind":"run_started"'


def announcement(graph: str, profiles: Sequence[str], command: Sequence[str] = ()) -> RunStarted:
    """Return the event by which this process says that it begins to work on a run; `command` goes on with it."""
    return RunStarted(
        graph=graph,
        profiles=tuple(profiles),
        pid=os.getpid(),
        process=owners.myself().name,
        vflow=version("vflow"),
        command=tuple(command),
        cwd=str(Path.cwd()),
    )


@contextmanager
def accounted_for(folder: RunFolder) -> Iterator[None]:
    """See to it that a run which raises leaves a summary: one whose plan failed, that met an accident, or was torn."""
    began = time.time()
    try:
        yield
    except BaseException as error:
        if not (folder.path / SUMMARY).exists():
            _leave_word(folder, error, time.time() - began)
        raise


def _leave_word(folder: RunFolder, error: BaseException, seconds: float) -> None:
    stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
    status: Literal["interrupted", "failed"] = "interrupted" if stopped else "failed"
    summary: dict[str, Any] = {"status": status, "seconds": round(seconds, 3), "saved_seconds": 0.0, "nodes": {}}
    with suppress(OSError):
        if not stopped:
            summary["failure"] = str(error) if isinstance(error, VflowError) else f"{type(error).__name__}: {error}"
            folder.listen(Log(level="error", message=summary["failure"]))
        folder.listen(RunFinished(status=status, seconds=seconds, saved_seconds=0.0))
        folder.close()
        folder.write_summary(summary)


def is_gone(process: str) -> bool:
    """Tell whether the process of this name has certainly ended: it died, or its machine started anew."""
    owner, me = owners.parse(process), owners.myself()
    return owner is not None and (owner.is_dead or (owner.host == me.host and bool(me.boot) and owner.boot != me.boot))


def standing(process: str) -> str:
    """Say of a run without a summary, by its process: `running`, `died`, or `unfinished` where nobody here can tell."""
    if is_gone(process):
        return "died"
    owner = owners.parse(process)
    return "running" if owner is not None and owner.is_here else "unfinished"


class Tail:
    """Reads what a file of lines grows by, from a given byte on. A line counts once it is whole."""

    def __init__(self, path: Path, at: int = 0) -> None:
        self._path, self._at, self._rest = path, at, b""

    def lines(self) -> Iterator[str]:
        """Yield the lines that are new. There are none while the file is not there."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                while chunk := file.read(_CHUNK):
                    self._at += len(chunk)
                    *whole, self._rest = (self._rest + chunk).split(b"\n")
                    yield from (line.decode("utf-8", "replace") for line in whole)
        except FileNotFoundError:
            return


class Watch:
    """Follows one run: its last start, where it was gone on with. `finished` and `died` say how that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: RunStarted | None = None
        self.finished: RunFinished | None = None
        self.died = False
        self._tail = Tail(folder / EVENTS, last_start(folder / EVENTS))

    def events(self, wait: Callable[[float], object] = time.sleep) -> Iterator[Event]:
        """Yield the events so far, then those to come; ends with the run, or when its process is seen to be gone."""
        gone, since = False, time.monotonic()
        while not self.finished:
            for event in self._new():
                since = time.monotonic()
                yield event
                if self.finished:
                    return
            if gone:  # what it wrote last has been read after it was seen to be gone
                self.died = True
                return
            silent = time.monotonic() - since > _LOOK_AFTER
            gone = silent and self.started is not None and is_gone(self.started.process)
            if not gone:
                wait(_PAUSE)

    def _new(self) -> Iterator[Event]:
        for line in self._tail.lines():
            try:
                event = read_event(line)
            except ValueError:  # of another version, or torn by a crash
                continue
            if isinstance(event, RunStarted):
                self.started = event
            elif isinstance(event, RunFinished):
                self.finished = event
            yield event


def last_start(path: Path) -> int:
    """Return where in the file the last start of the run begins."""
    try:
        with path.open("rb") as file:
            return next(lines_back(file, _START), (0, b""))[0]
    except FileNotFoundError:
        return 0


def lines_back(file: BinaryIO, mark: bytes, most: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line) of the whole lines with a mark, the last one first, of the last `most` bytes of a file.

    A log of any size is read from its end in pieces, no more of it than is asked for.
    """
    end = file.seek(0, os.SEEK_END)
    first, rest = max(0, end - most) if most is not None else 0, b""
    while end > first:
        start = max(first, end - _CHUNK)
        file.seek(start)
        piece = file.read(end - start) + rest
        # what stands before the first line end belongs to a line that begins in an earlier piece
        whole = 0 if start == 0 else piece.find(b"\n") + 1
        if start > 0 and not whole:
            end, rest = start, piece
            continue
        stop = len(piece)
        while (at := piece.rfind(mark, whole, stop)) >= 0:
            begin = piece.rfind(b"\n", 0, at) + 1
            if (line_end := piece.find(b"\n", at)) >= 0:
                yield start + begin, piece[begin:line_end]
            stop = begin
        end, rest = start, piece[:whole]
