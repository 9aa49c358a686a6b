"""`vflow plan`: what would run, what is reused and why not, sizes, downloads."""

from __future__ import annotations

import argparse
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
    from vflow.engine.session import Session
    from vflow.engine.steps import Step

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
    from vflow.engine.registry import complaints
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    if arguments.json:
        out(json.dumps(as_data(session), indent=1))
    else:
        for line in lines(session):
            out(line)
    say_error(*complaints())
    return DONE


def as_data(session: Session) -> dict[str, Any]:
    """Return the plan as plain data."""
    nodes = {
        step.name: {
            "type": step.bound.type.__name__,
            "state": state_of(step),
            "reason": reason_of(session, step),
            "why": step.why,
            "missing": step.missing if step.state == "run" else 0,
            "total": step.total if step.item_keys or not step.bound.type.per_item else None,
            "key": step.key,
            "facts": step.facts,
            "left_out": [{"what": what, "reason": reason} for what, reason in step.left_out],
            "other_environment": _foreign(step),
        }
        for step in session.plan.steps.values()
    }
    from vflow.engine.effects import effects_of
    from vflow.engine.rehearsal import citations

    rehearsed = dict(citations(session))
    effects = [effect.to_json() for effect in effects_of(session)]
    found = {"nodes": nodes, "fetch": fetches(session), "rehearsed": rehearsed, "effects": effects}
    return {"graph": session.loaded.graph.name, **found}


def lines(session: Session) -> list[str]:
    """Return the plan as lines of text."""
    from vflow.engine.cli.text import count, duration, size, table

    steps = list(session.plan.steps.values())
    heads = [_head_of(session, step) for step in steps]
    short = [head if len(head) <= _LONGEST else "" for head in heads]
    found = [(s.name, s.bound.type.__name__, state_of(s), head) for s, head in zip(steps, short, strict=True)]
    text = [f"plan of {session.loaded.graph.name}", ""]
    for step, line, head in zip(steps, table(found, "  "), heads, strict=True):
        below = below_of(step) if len(head) <= _LONGEST else [head, *below_of(step)]
        text += [line, *(f"      {reason}" for reason in below)]
    for step in steps:
        for words, number in _foreign(step).items():
            kept = f"{number} of {step.total} kept results" if step.total > 1 else "its kept result"
            text += ["", f"warning: {step.name}: {kept} computed with {words}; --fresh-env computes again"]
    for step in steps:
        if step.facts or step.left_out or step.said:
            text += ["", f"{step.name}:", *(f"  {line}" for line in fact_lines(step.facts))]
        text += [f"  {level}: {message}" for level, message in step.said]
        if step.left_out:
            text.append(f"  left out: {count(len(step.left_out), 'file')}")
            text += table(step.left_out, "    ")
    from vflow.engine.rehearsal import citations

    text += [line for node, said in citations(session) for line in ("", f"{node}: {said}")]
    if fetched := fetches(session):
        rows = [(entry["what"], size(entry["bytes"]) if entry["bytes"] else "built here") for entry in fetched]
        text += ["", "to fetch:", *table(rows, "  ")]
    saved = sum(step.saved_seconds for step in steps)
    if saved:
        text += ["", f"reused results saved {duration(saved)}"]
    from vflow.engine.effects import effects_of
    from vflow.engine.effects import lines as effect_lines
    from vflow.engine.registry import answers

    text += ["", *effect_lines(effects_of(session))]
    for section in answers("vflow.plan_sections", session):
        text += ["", *section] if section else []
    return text


def state_of(step: Step) -> str:
    """Return a node's state in a plan's words."""
    if step.state in ("run", "undecided"):
        if not step.wanted:
            return "not needed"
        return "will run" if step.state == "run" else "decided later"
    return step.state


def reason_of(session: Session, step: Step) -> str:
    """Say in one line why a node is in its state."""
    from vflow.engine.why import one_line

    return one_line([_head_of(session, step), *below_of(step)])


def _head_of(session: Session, step: Step) -> str:
    """Return the first line of why a node is in its state; `below_of` has the others."""
    if step.state == "undecided" and step.wanted:
        return f"decided after {', '.join(session.plan.holding_up(step))}"
    if step.state == "reused":
        kept = f"{step.total} items kept" if step.bound.type.per_item else "kept"
        far = session.world.store.remote.share_of(step.records.values()) if session.world.store.remote else 0
        return kept if not far else f"{kept} (remote)" if far == step.total else f"{kept} ({far} of them remote)"
    if step.state != "run" or not step.wanted:
        return ""
    reason = step.why[0] if step.why else step.reason
    return f"{reason} ({step.missing} of {step.total})" if step.bound.type.per_item else reason


def below_of(step: Step) -> list[str]:
    """Return what belongs below the first line of why a node runs, or will most likely run."""
    if not step.wanted:
        return []
    return step.why if step.state == "undecided" else step.why[1:] if step.state == "run" else []


def _foreign(step: Step) -> dict[str, int]:
    """Return how the environment of reused results differs from this one, for how many of them."""
    from vflow.engine.environment import foreign

    return foreign(step, step.records.values()) if step.state == "reused" else {}


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
