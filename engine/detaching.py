"""A run as a process of its own, which outlives the terminal and whoever started it.

The one who starts it has planned already, so that every problem is told on the terminal. The new process plans again:
it shares nothing with the other but the command line and the run's folder, where it says that it began before it does
anything else, and where even a plan that fails now leaves a summary.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

from vflow.engine.cli import TERMINATED
from vflow.engine.folder import EVENTS, RunFolder
from vflow.engine.problems import Failure, GraphError
from vflow.engine.secrets import redactor
from vflow.engine.steering import command_of
from vflow.engine.watching import accounted_for, announcement

CONSOLE = "console.log"
_LONGEST = 60.0  # seconds that the new process may take until it says that it began


def start(words: Sequence[str], graph: str, out: Path | None) -> Path:
    """Start the command line once more as a process of its own; returns the run's folder once it has begun.

    `words` are those of this call, `graph` is the graph's name, `out` the folder that was asked for.

    Raises:
        GraphError: this system cannot, or the folder will not do.
        Failure: the process ended before it began.
    """
    if os.name != "posix":
        raise GraphError("--detach works on Linux and macOS", "run without it")
    folder = RunFolder.create(out, graph).path
    before = _size(folder / EVENTS)
    with (folder / CONSOLE).open("ab") as console:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vflow.engine", *_own(words, folder, graph)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    # whoever calls this may live on: without being asked for, the process would stay in the table after its end
    threading.Thread(target=process.wait, name="vflow-detached", daemon=True).start()
    end = time.monotonic() + _LONGEST
    while _size(folder / EVENTS) == before and time.monotonic() < end:
        if process.poll() is not None:
            raise Failure("the run's process ended before it began", f"see {folder / CONSOLE}")
        time.sleep(0.01)
    return folder


def run_detached(arguments: Namespace, run: Callable[[Namespace], int]) -> int:
    """Do what a detached process does: say that it began, run, and leave a summary whatever happens."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)  # until the command sees to signals itself
    sys.stdout, sys.stderr = _Redacted(sys.stdout), _Redacted(sys.stderr)  # type: ignore[assignment]
    folder = RunFolder(arguments.out)
    folder.listen(announcement(arguments.detached, arguments.profile or (), command_of(arguments)))
    with accounted_for(folder):
        return run(arguments)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(TERMINATED)


def _own(words: Sequence[str], folder: Path, graph: str) -> list[str]:
    """Return the words for the new process. What is said last counts, but options end at `--`."""
    end = list(words).index("--") if "--" in words else len(words)
    return [*words[:end], "--out", str(folder), "--detached", graph, *words[end:]]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _Redacted:
    """A stream into a file of the run's folder, where no secret may land."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._redacted = stream, redactor()

    def write(self, text: str) -> int:
        self._stream.write(self._redacted(text))
        self._stream.flush()
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
