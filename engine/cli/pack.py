"""`vflow pack`: one file with a graph, its lock and chosen results, for others."""

from __future__ import annotations

import argparse
from pathlib import Path

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_graph, add_network, add_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    parser.add_argument("-o", dest="out", type=Path, metavar="FILE", required=True, help="the pack, a zip file")
    more = "add the results of this node, besides those that the outputs come from (repeatable)"
    parser.add_argument("--with", dest="nodes", action="append", metavar="NODE", help=more)
    parser.add_argument("--with-clips", action="store_true", help="add your clips and captions themselves")
    add_store(parser)
    add_network(parser)


def call(arguments: argparse.Namespace) -> int:
    """Plan the graph and pack it."""
    from vflow.engine.cli.text import count, out, say_error, size
    from vflow.engine.pack import pack
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    manifest = pack(session, arguments.out, tuple(arguments.nodes or ()), arguments.with_clips)
    results = sum(manifest.about["results"].values())
    clips = sum(1 for _ in manifest.below("files"))
    parts = [count(results, "result"), *([count(clips, "clip")] if clips else []), size(manifest.size)]
    out(f"{arguments.out}: {', '.join(parts)}")
    return DONE
