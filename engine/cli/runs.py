"""`vflow runs`: past runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), metavar="DIR", help="else runs/ here")


def call(arguments: argparse.Namespace) -> int:
    """List the runs below a folder, oldest first."""
    from vflow.engine.cli.text import duration, out, table
    from vflow.engine.history import past_runs

    rows = [
        (run.name, run.graph, run.status, duration(run.seconds) if run.seconds is not None else "")
        for run in past_runs(arguments.folder)
    ]
    for line in table(rows):
        out(line)
    return DONE
