"""`vflow rehearse`: prove on this machine, on the real weights, that a graph's long work fits together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE, FAILED
from vflow.engine.cli.arguments import (
    add_graph,
    add_help_params,
    add_network,
    add_reach,
    add_remote,
    add_store,
    add_trust,
)
from vflow.engine.cli.stopper import Stopper

if TYPE_CHECKING:
    from vflow.engine.rehearsal import Check
    from vflow.engine.rehearsing import Rehearsed
    from vflow.engine.session import Session

_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("–", "yellow")}
_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    add_help_params(parser)
    add_store(parser)
    add_remote(parser)
    add_reach(parser)
    add_network(parser)
    add_trust(parser)
    parser.add_argument("--json", action="store_true", help="what was found as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, only what was found")


def call(arguments: argparse.Namespace) -> int:
    """Rehearse a graph: checks to standard output as they are known, progress to standard error."""
    if arguments.help_params:
        from vflow.engine.cli.params import help_params

        return help_params(arguments)
    from vflow.engine import rehearsing
    from vflow.engine.cli.text import say, say_error
    from vflow.engine.contexts import World
    from vflow.engine.problems import Interrupted
    from vflow.engine.progress import Lines, Silent
    from vflow.engine.session import planned, request_from
    from vflow.engine.store import Store

    request = request_from(arguments)
    store = Store(request.cache, remote=request.remote)
    with Stopper() as stopper, store.held(should_stop=lambda: stopper.signal != 0):
        session = planned(request, World(store))
        say_error(*session.problems)
        stopper.world = session.world
        session.world.stopping = stopper.signal != 0
        # bars would be drawn over the list of checks
        session.world.bus.listen((Silent if arguments.quiet or arguments.json else Lines)().listen)
        try:
            found = rehearsing.rehearse(session, request, (lambda _check: None) if arguments.json else _say)
        except (Interrupted, KeyboardInterrupt):
            say("interrupted; what was encoded is kept", "yellow")
            return stopper.code
        if not found.failed:
            rehearsing.keep(session, found)
    _say_all(session, found, as_json=arguments.json)
    return FAILED if found.failed else DONE


def _say(check: Check) -> None:
    """Print a check; what to do about a failed one stands below it."""
    from rich.console import Console
    from rich.text import Text

    mark, style = _MARKS[check.status]
    console = Console(highlight=False, soft_wrap=True)
    line = Text.assemble((f"{mark} ", style), (f"{check.node}: {check.name}", "bold"), f"  {check.message}")
    console.print(line)
    if check.remedy:
        console.print(Text(f"    {check.remedy}", style))


def _say_all(session: Session, found: Rehearsed, *, as_json: bool) -> None:
    import json

    from vflow.engine.cli.text import count, duration, out, say

    data = as_data(session, found)
    if as_json:
        out(json.dumps(data, indent=1))
        return
    if found.costs:
        from rich.console import Console

        Console(highlight=False).print(_table(found))
    words = [f"{data[status]} {status}" for status in ("passed", "failed", "skipped") if data[status]]
    text = f"{count(len(found.checks), 'check')} in {duration(found.seconds)}: {', '.join(words)}"
    say(text, "red" if found.failed else "green")


def as_data(session: Session, found: Rehearsed) -> dict[str, Any]:
    """Return what a rehearsal found as plain data."""
    from dataclasses import asdict

    statuses: list[str] = [check.status for check in found.checks]
    return {
        "graph": session.loaded.graph.name,
        **{status: statuses.count(status) for status in _MARKS},
        "checks": [check.to_json() for check in found.checks],
        "costs": [{"node": node, "what": what, **asdict(cost)} for (node, what), cost in found.costs.items()],
        "seconds": found.seconds,
    }


def _table(found: Rehearsed) -> Any:
    """Return what the real run will take, by phase, as a table."""
    from rich.table import Table

    from vflow.engine.cli.text import duration, size

    devices = sorted({device for cost in found.costs.values() for device in cost.peaks})
    table = Table(title="what the run will take", title_justify="left", box=None, pad_edge=False)
    table.add_column("node")
    for column in ("time", *(f"{device} memory" for device in devices), "disk"):
        table.add_column(column, justify="right")
    table.add_column("measured")
    for (node, what), cost in found.costs.items():
        peaks = [f"{cost.peaks[device] / _GIB:.1f} GiB" if device in cost.peaks else "" for device in devices]
        table.add_row(node, duration(cost.seconds), *peaks, size(cost.disk), cost.pace or what)
    seconds, disk = (sum(getattr(cost, name) for cost in found.costs.values()) for name in ("seconds", "disk"))
    most = [max(cost.peaks.get(device, 0) for cost in found.costs.values()) / _GIB for device in devices]
    table.add_section()
    table.add_row("together", duration(seconds), *(f"{peak:.1f} GiB" for peak in most), size(disk), "")
    return table
