"""`vflow fetch`: bring what a graph's models need to this machine, and nothing else."""

from __future__ import annotations

import argparse

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_graph, add_network, add_remote, add_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    add_store(parser)
    add_remote(parser)
    add_network(parser)


def call(arguments: argparse.Namespace) -> int:
    """Fetch every recipe of the graph that this machine lacks."""
    from vflow.engine.cli.text import out, say_error, size
    from vflow.engine.fetching import fetch
    from vflow.engine.lending import recipes_in
    from vflow.engine.session import planned, request_from

    session = planned(request_from(arguments))
    say_error(*session.problems)
    done: set[str] = set()
    for step in session.plan.steps.values():
        context = session.world.context_for(step)
        for recipe in recipes_in(step.output):
            if recipe.base is None or recipe.base in done:
                continue
            done.add(recipe.base)
            what = ", ".join(recipe.files_needed())
            if recipe.is_fetched(context):
                out(f"{what}: here")
                continue
            bytes_ = recipe.bytes_to_fetch(context)
            fetched = fetch(recipe, context, session.world.store)
            out(f"{what}: fetched{f' ({size(bytes_)})' if bytes_ and fetched else ''}")
    return DONE
