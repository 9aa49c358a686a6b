"""`vflow diff`: what differs between two graphs or two runs, in words."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_choices

if TYPE_CHECKING:
    from vflow.engine.comparing import Comparison

_WHAT = "a graph file, the name of a graph that ships, a run's folder, its name below runs/, or `last`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("a", metavar="A", help=_WHAT)
    parser.add_argument("b", metavar="B", help="the same; a run and a graph can be compared as graphs")
    add_choices(parser)
    parser.add_argument("--profile-b", action="append", metavar="P", help="profile for B instead (repeatable)")
    parser.add_argument("--set-b", action="append", metavar="NAME=VALUE", help="set a parameter of B instead")
    parser.add_argument("--json", action="store_true", help="the differences as JSON")
    parser.epilog = "The exit code is 0 whether or not they differ; 2 when there is no such graph or run."


def call(arguments: argparse.Namespace) -> int:
    """Print what differs."""
    import json

    from vflow.engine.cli.text import out
    from vflow.engine.comparing import compare, find_side

    profiles, sets = arguments.profile or (), arguments.set or ()
    one = find_side(arguments.a, profiles, sets)
    other = find_side(arguments.b, arguments.profile_b or profiles, arguments.set_b or sets)
    found = compare(one, other)
    if arguments.json:
        out(json.dumps(found.to_data(), indent=1))
    else:
        for line in lines(found):
            out(line)
    return DONE


def lines(found: Comparison) -> list[str]:
    """Return the comparison as lines of text."""
    from vflow.engine.cli.text import table
    from vflow.engine.comparing import metric_rows, node_rows, side_words

    text = [f"{letter}  {side_words(side)}" for letter, side in zip("AB", found.sides, strict=True)]
    graph = found.graph.lines()
    text += ["", *(graph or ["the graphs are equal"])]
    if found.nodes:
        text += ["", *table([("node", "A", "B", ""), *node_rows(found.nodes)])]
    if found.metrics:
        text += ["", *table([("metric", "A", "B", "B - A"), *metric_rows(found.metrics)])]
    if found.equal:
        text += ["", "nothing differs"]
    return text
