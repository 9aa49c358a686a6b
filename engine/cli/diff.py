"""`vflow diff`: what differs between two graphs or two runs, in words."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_choices

if TYPE_CHECKING:
    from vflow.engine.comparing import Comparison, Metric, NodePair, Side

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
    text = [f"{letter}  {_side(side)}" for letter, side in zip("AB", found.sides, strict=True)]
    graph = found.graph.lines()
    text += ["", *(graph or ["the graphs are equal"])]
    if found.nodes:
        text += ["", *_node_lines(found.nodes)]
    if found.metrics:
        text += ["", *_metric_lines(found.metrics)]
    if found.equal:
        text += ["", "nothing differs"]
    return text


def _side(side: Side) -> str:
    from vflow.engine.cli.text import duration

    told = f"{side.name}: {side.graph.graph.name}"
    told += f", profiles {', '.join(side.profiles)}" if side.profiles else ""
    if side.run is None:
        return told
    told += f", {side.run.status}" + (f" in {duration(side.run.seconds)}" if side.run.seconds is not None else "")
    return f"{told}\n     {side.run.failure}" if side.run.failure else told


def _node_lines(pairs: list[NodePair]) -> list[str]:
    from vflow.engine.cli.text import duration, table

    words = {True: "same key", False: "another key", None: ""}
    rows = [("node", "A", "B", "")]
    for pair in pairs:
        cells = [
            "-" if state is None else f"{state} {duration(seconds)}" if seconds else state
            for state, seconds in zip(pair.states, pair.seconds, strict=True)
        ]
        rows.append((pair.name, cells[0], cells[1], words[pair.equal]))
    return table(rows)


def _metric_lines(metrics: dict[str, tuple[Metric | None, Metric | None]]) -> list[str]:
    from vflow.engine.cli.text import table

    def shown(metric: Metric | None) -> str:
        return "-" if metric is None else f"{metric[1]:.6g} (step {metric[0]})"

    rows = [("metric", "A", "B", "B - A")]
    for name, (one, other) in metrics.items():
        apart = f"{other[1] - one[1]:+.3g}" if one and other and one[1] != other[1] else ""
        rows.append((name, shown(one), shown(other), apart))
    return table(rows)
