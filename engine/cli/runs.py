"""`vflow runs`: past runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE

if TYPE_CHECKING:
    from vflow.engine.history import PastRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), metavar="DIR", help="else runs/ here")


def call(arguments: argparse.Namespace) -> int:
    """List the runs below a folder, oldest first."""
    from vflow.engine.cli.text import out, say, table
    from vflow.engine.history import past_runs

    runs = past_runs(arguments.folder)
    for line in table([(run.name, run.graph, run.status, _took(run)) for run in runs]):
        out(line)
    if any(run.status == "died" for run in runs):
        say("died: its process is gone without a word; run the same command to go on")
    return DONE


def _took(run: PastRun) -> str:
    from vflow.engine.cli.text import duration

    if run.status == "running":
        return duration(time.time() - run.started)
    return duration(run.seconds) if run.seconds is not None else ""
