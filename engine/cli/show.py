"""`vflow show`: one run: its nodes, metrics and outputs."""

from __future__ import annotations

import argparse

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, its name below runs/, or `last`")


def call(arguments: argparse.Namespace) -> int:
    """Print what is known of a run."""
    from vflow.engine.cli.text import count, duration, out, table
    from vflow.engine.history import find_run

    run = find_run(arguments.run)
    took = f" in {duration(run.seconds)}" if run.seconds is not None else ""
    out(f"{run.path}: {run.graph}, {run.status}{took}")
    if run.failure:
        out(f"  {run.failure}")
    rows = []
    for name, node in run.nodes.items():
        items = node["items"]
        figures = f"{items['computed']} computed, {items['reused']} reused"
        if items["left_out"]:
            figures += f", {count(items['left_out'], 'file')} left out"
        rows.append((name, node["state"], figures, duration(node["seconds"])))
    for line in table(rows, "  "):
        out(line)
    if metrics := run.last_metrics():
        out("metrics (last):")
        for line in table([(name, f"{value:.6g}", f"step {step}") for name, (step, value) in metrics.items()], "  "):
            out(line)
    if files := run.outputs():
        out("outputs:")
        for path in files:
            out(f"  {path}")
    return DONE
