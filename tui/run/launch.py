"""Runs as processes of their own: started, stopped, gone on with. Each call may take long: not for the UI's loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vflow.engine.history import read_run
from vflow.engine.problems import Failure, GraphError, Problem
from vflow.engine.steering import ask_to_stop, going_on

_SEVERITIES = ("error: ", "warning: ", "hint: ")
_MOST = 20  # lines of what a process said that are handed on


def start(
    path: Path,
    profiles: Sequence[str] = (),
    sets: Sequence[str] = (),
    *,
    until: Sequence[str] = (),
    cwd: Path | None = None,
) -> Path:
    """Run a graph in the background; returns the run's folder once it has begun. It is planned first.

    `sets` are written `name=value`; the run works in `cwd`, else in the folder that this process works in.

    Raises:
        GraphError: the graph or the plan has problems, each in words; nothing was started.
        Failure: the process ended before it began, or cannot be started.
    """
    words = ["run", str(path)]
    for option, values in (("--profile", profiles), ("--set", sets), ("--until", until)):
        for value in values:
            words += [option, value]
    return _detached(words, cwd)


def stop(folder: Path, *, now: bool = False) -> None:
    """Ask a run to stop, at the end of its step or `now`; it keeps its state. Does not wait for it.

    Raises:
        GraphError: it does not go on, or not on this machine.
        Failure: it is the run of another user.
    """
    ask_to_stop(read_run(folder), now=now)


def go_on(folder: Path, *, as_it_ran: bool | None = None) -> Path:
    """Call the same command again for the same folder; returns it once the run has begun. See `going_on`.

    Raises:
        GraphError: that is not possible; or the graph or the plan has problems, each in words.
        Failure: the process ended before it began, or cannot be started.
    """
    how = going_on(folder, as_it_ran=as_it_ran)
    _detached(how.words, how.place)
    return folder


def _detached(words: Sequence[str], cwd: Path | None) -> Path:
    command = [sys.executable, "-P", "-m", "vflow.engine", *words, "--detach"]
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=False
        )
    except OSError as error:
        raise Failure(f"no process can be started: {error.strerror or error}") from error
    said = done.stderr.decode("utf-8", "replace").splitlines()
    if done.returncode == 0:
        return Path(cwd or "", done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
    raise GraphError(_problems(said) or [Problem(f"the run did not start (exit code {done.returncode})")])


def _problems(said: Sequence[str]) -> list[Problem]:
    """Return what a process said on standard error as problems, errors first; else its last lines."""
    told = [
        Problem(line.removeprefix(prefix), severity=prefix[:-2])  # type: ignore[arg-type]
        for prefix in _SEVERITIES
        for line in said
        if line.startswith(prefix)
    ]
    return told[:_MOST] or [Problem(line) for line in said[-_MOST:] if line.strip()]
