"""`vflow plan`: what would run, what is reused and why not, sizes, downloads."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_graph, add_network, add_reach, add_store

if TYPE_CHECKING:
    from vflow.engine.session import Session
    from vflow.engine.steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    add_reach(parser)
    add_store(parser)
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="the plan as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    import json

    from vflow.engine.cli.text import out, say_error
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    if arguments.json:
        out(json.dumps(as_data(session), indent=1))
    else:
        for line in lines(session):
            out(line)
    return DONE


def as_data(session: Session) -> dict[str, Any]:
    """Return the plan as plain data."""
    nodes = {
        step.name: {
            "type": step.bound.type.__name__,
            "state": state_of(step),
            "reason": reason_of(session, step),
            "missing": step.missing if step.state == "run" else 0,
            "total": step.total if step.item_keys or not step.bound.type.per_item else None,
            "key": step.key,
            "facts": step.facts,
            "left_out": [{"what": what, "reason": reason} for what, reason in step.left_out],
        }
        for step in session.plan.steps.values()
    }
    return {"graph": session.loaded.graph.name, "nodes": nodes, "fetch": fetches(session)}


def lines(session: Session) -> list[str]:
    """Return the plan as lines of text."""
    from vflow.engine.cli.text import count, duration, size, table

    steps = list(session.plan.steps.values())
    found = [(s.name, s.bound.type.__name__, state_of(s), reason_of(session, s)) for s in steps]
    text = [f"plan of {session.loaded.graph.name}", "", *table(found, "  ")]
    for step in steps:
        if step.facts or step.left_out or step.said:
            text += ["", f"{step.name}:", *(f"  {line}" for line in fact_lines(step.facts))]
        text += [f"  {level}: {message}" for level, message in step.said]
        if step.left_out:
            text.append(f"  left out: {count(len(step.left_out), 'file')}")
            text += table(step.left_out, "    ")
    if fetched := fetches(session):
        rows = [(entry["what"], size(entry["bytes"]) if entry["bytes"] else "built here") for entry in fetched]
        text += ["", "to fetch:", *table(rows, "  ")]
    saved = sum(step.saved_seconds for step in steps)
    if saved:
        text += ["", f"reused results saved {duration(saved)}"]
    from vflow.engine.registry import hooks

    for _, load in hooks("vflow.plan_sections"):
        text += ["", *load()(session)]
    return text


def state_of(step: Step) -> str:
    """Return a node's state in a plan's words."""
    if step.state in ("run", "undecided"):
        if not step.wanted:
            return "not needed"
        return "will run" if step.state == "run" else "decided later"
    return step.state


def reason_of(session: Session, step: Step) -> str:
    """Say why a node is in its state."""
    if step.state == "undecided" and step.wanted:
        return f"decided after {', '.join(session.plan.holding_up(step))}"
    if step.state == "reused":
        return f"{step.total} items kept" if step.bound.type.per_item else "kept"
    if step.state != "run" or not step.wanted:
        return ""
    return f"{step.reason} ({step.missing} of {step.total})" if step.bound.type.per_item else step.reason


def fact_lines(facts: dict[str, Any]) -> list[str]:
    """Return a node's facts, one line each; a list of flat facts becomes a small table."""
    from vflow.engine.cli.text import table

    text: list[str] = []
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            text.append(f"{name}:")
            text += table([[f"{k} {v}" for k, v in entry.items()] for entry in value], "  ")
        else:
            text.append(f"{name}: {value}")
    return text


def fetches(session: Session) -> list[dict[str, Any]]:
    """Return what the fetch phase would bring, with its size in bytes."""
    from vflow.engine.run import needed_recipes

    found: dict[str, dict[str, Any]] = {}
    for step in session.plan.pending():
        context = session.world.context_for(step)
        for recipe in needed_recipes(session.plan, step):
            if not recipe.is_fetched(context):
                what = ", ".join(recipe.files_needed())
                found[what] = {"what": what, "bytes": recipe.bytes_to_fetch(context)}
    return list(found.values())
