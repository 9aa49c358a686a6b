"""`vflow lock`: pin what a graph's names stand for."""

from __future__ import annotations

import argparse
from pathlib import Path

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_graph, add_network, add_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    parser.add_argument("-o", dest="out", type=Path, metavar="FILE", help="write here, not to GRAPH.lock")
    add_store(parser)
    add_network(parser)


def call(arguments: argparse.Namespace) -> int:
    """Plan the graph and write its lock."""
    from vflow.engine import lock
    from vflow.engine.cli.text import count, out, say_error
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    path = arguments.out or lock.path_of(arguments.graph)
    made = lock.made(session.plan, tuple(arguments.profile or ()))
    lock.write(made, path)
    pinned = made.pins
    files = sum(what.startswith("file ") for what in pinned)
    parts = [count(len(made.nodes), "node"), count(len(pinned) - files, "revision"), count(files, "file")]
    out(f"{path}: {', '.join(parts)}")
    return DONE
