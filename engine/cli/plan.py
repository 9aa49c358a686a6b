"""`vflow plan`: what would run, what is reused and why not, sizes, downloads."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import (
    add_graph,
    add_help_params,
    add_network,
    add_reach,
    add_remote,
    add_store,
    add_trust,
)

if TYPE_CHECKING:
    from vflow.engine.plan_report import PlanReport

_LONGEST = 100  # letters of a reason that stands beside its node, and not below it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    add_help_params(parser)
    add_reach(parser)
    add_store(parser)
    add_remote(parser)
    add_network(parser)
    add_trust(parser)
    parser.add_argument("--json", action="store_true", help="the plan as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    if arguments.help_params:
        from vflow.engine.cli.params import help_params

        return help_params(arguments)
    import json

    from vflow.engine.cli.text import out, say_error
    from vflow.engine.plan_report import of_session
    from vflow.engine.registry import complaints
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    report = of_session(session)
    if arguments.json:
        out(json.dumps(as_data(report), indent=1))
    else:
        for line in lines(report):
            out(line)
    say_error(*complaints())
    return DONE


def as_data(report: PlanReport) -> dict[str, Any]:
    """Return the plan as plain data."""
    nodes = {
        node.name: {
            "type": node.type,
            "state": node.state,
            "reason": node.reason,
            "why": node.why,
            "missing": node.missing,
            "total": node.total,
            "key": node.key,
            "facts": node.facts,
            "left_out": [{"what": what, "reason": reason} for what, reason in node.left_out],
            "other_environment": node.foreign,
        }
        for node in report.nodes.values()
    }
    fetched = [{"what": effect.what, "bytes": effect.size} for effect in report.fetches]
    effects = [effect.to_json() for effect in report.effects]
    return {
        "graph": report.graph, "nodes": nodes, "fetch": fetched, "rehearsed": report.rehearsed, "effects": effects
    }  # fmt: skip


def lines(report: PlanReport) -> Iterator[str]:
    """Yield the plan as lines of text."""
    from vflow.engine.cli.text import count, duration, size, table
    from vflow.engine.effects import lines as effect_lines
    from vflow.engine.plan_report import fact_lines, foreign_lines

    nodes = list(report.nodes.values())
    yield from (f"plan of {report.graph}", "")
    short = [node.head if len(node.head) <= _LONGEST else "" for node in nodes]
    found = [(node.name, node.type, node.state, head) for node, head in zip(nodes, short, strict=True)]
    for node, line in zip(nodes, table(found, "  "), strict=True):
        below = node.below if len(node.head) <= _LONGEST else (node.head, *node.below)
        yield from (line, *(f"      {reason}" for reason in below))
    for warning in foreign_lines(report):
        yield from ("", f"warning: {warning}")
    for node in nodes:
        if node.facts or node.left_out or node.said:
            yield from ("", f"{node.name}:", *(f"  {line}" for line in fact_lines(node.facts)))
        yield from (f"  {level}: {message}" for level, message in node.said)
        if node.left_out:
            yield f"  left out: {count(len(node.left_out), 'file')}"
            yield from table(node.left_out, "    ")
    for name, said in report.rehearsed.items():
        yield from ("", f"{name}: {said}")
    if report.fetches:
        rows = [(effect.what, size(effect.size) if effect.size else "built here") for effect in report.fetches]
        yield from ("", "to fetch:", *table(rows, "  "))
    if report.saved_seconds:
        yield from ("", f"reused results saved {duration(report.saved_seconds)}")
    yield from ("", *effect_lines(report.effects))
    for _, section in report.sections:
        yield from ("", *section)
