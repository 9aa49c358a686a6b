"""`vflow stop`: stop a run that goes on, wherever it was started on this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE, FAILED

if TYPE_CHECKING:
    from vflow.engine.history import PastRun

_PATIENCE = 60.0  # seconds until it is said how to go without waiting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    about = "a run's folder, or its name below runs/ (else the one that goes on there)"
    parser.add_argument("run", metavar="RUN", nargs="?", help=about)
    now = "do not finish the step; nothing is lost that was kept"
    parser.add_argument("--now", action="store_true", help=now)


def call(arguments: argparse.Namespace) -> int:
    """Ask a run to stop, and wait until it did."""
    from vflow.engine.cli.text import say
    from vflow.engine.history import read_run
    from vflow.engine.steering import ask_to_stop
    from vflow.engine.watching import is_gone

    run = _chosen(arguments.run)
    ask_to_stop(run, now=arguments.now)
    say(f"{run.path}: asked to stop")
    end = time.monotonic() + _PATIENCE
    while not is_gone(run.process):
        if time.monotonic() > end:
            say(f"{run.path}: still at its step; `vflow stop {arguments.run or ''} --now` does not wait for that")
            return FAILED
        time.sleep(0.05)
    after = read_run(run.path)
    say(f"{run.path}: {after.status}" + ("; run the same command to go on" if after.status != "done" else ""))
    return DONE


def _chosen(name: str | None) -> PastRun:
    """Return the run that is meant: the named one, else the only one that goes on.

    Raises:
        GraphError: there is none, or several go on and none was named.
    """
    from vflow.engine.history import find_run, past_runs
    from vflow.engine.problems import GraphError

    if name is not None:
        return find_run(name)
    going = [run for run in past_runs(Path("runs")) if run.status == "running"]
    if len(going) != 1:
        what = f"{len(going)} runs go on below runs/" if going else "no run goes on below runs/"
        raise GraphError(what, f"name one: {', '.join(sorted(run.name for run in going))}" if going else "")
    return going[0]
