"""`vflow check`: every problem that the files alone show."""

from __future__ import annotations

import argparse

from vflow.engine.cli import DONE, WRONG
from vflow.engine.cli.arguments import add_choices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("graph", nargs="+", metavar="GRAPH", help="graph files, or names of shipped graphs")
    add_choices(parser)


def call(arguments: argparse.Namespace) -> int:
    """Check each graph; exit code 2 when one has an error."""
    from vflow.engine.cli.text import out, say_error
    from vflow.engine.load import load
    from vflow.engine.problems import errors

    code = DONE
    for graph in arguments.graph:
        loaded = load(graph, arguments.profile or (), arguments.set or ())
        say_error(*loaded.problems)
        if errors(loaded.problems):
            code = WRONG
        else:
            out(f"{graph}: {len(loaded.bound)} nodes, no errors")
    return code
