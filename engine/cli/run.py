"""`vflow run`: check, plan, fetch, run."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE, FAILED, INTERRUPTED, TERMINATED
from vflow.engine.cli.arguments import add_graph, add_network, add_reach, add_store

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.events import Event
    from vflow.engine.run import Outcome
    from vflow.engine.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (else runs/<time>-<name>)")
    add_store(parser)
    add_reach(parser)
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress, only problems and results")


def call(arguments: argparse.Namespace) -> int:
    """Run a graph; results to standard output, progress to standard error."""
    from vflow.engine.cli.text import say_error
    from vflow.engine.folder import RunFolder
    from vflow.engine.run import Run
    from vflow.engine.session import planned, request_from

    with Stopper() as stopper:
        session = planned(request_from(arguments))
        say_error(*session.problems)
        world = stopper.world = session.world
        world.stopping = stopper.signal != 0
        world.folder = RunFolder.create(arguments.out, session.loaded.graph.name)
        progress = _listen(arguments, session)
        _say_planned(session, arguments.profile or ())
        try:
            outcome = Run(session.plan, world).execute()
        finally:
            progress.close()
        world.folder.write_summary(outcome.summary)
        world.folder.close()
    _say_outcome(outcome, world, arguments)
    if outcome.status == "interrupted":
        return TERMINATED if stopper.signal == signal.SIGTERM else INTERRUPTED
    return DONE if outcome.status == "done" else FAILED


class Stopper:
    """While entered: the first interrupt or SIGTERM asks the run to stop at the end of a step, the second stops it."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        from vflow.engine.cli.text import say

        if self.signal or self.world is None:
            self.signal = self.signal or number
            raise KeyboardInterrupt
        self.signal = number
        self.world.stopping = True
        say("stopping at the end of this step; once more stops now, and still loses nothing that was kept")


def _listen(arguments: argparse.Namespace, session: Session) -> Any:
    from vflow.engine.progress import progress_for

    bus, folder = session.world.bus, session.world.folder
    assert folder is not None
    folder.write_graph(session.loaded.graph.to_text())
    bus.listen(folder.listen)
    if arguments.json:
        bus.listen(_print_event)
    progress = progress_for(quiet=arguments.quiet or arguments.json)
    bus.listen(progress.listen)
    return progress


def _print_event(event: Event) -> None:
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def _say_planned(session: Session, profiles: Sequence[str]) -> None:
    import os
    from importlib.metadata import version

    from vflow.engine import events
    from vflow.engine.cli.plan import reason_of

    emit = session.world.emit
    name = session.loaded.graph.name
    emit(events.RunStarted(graph=name, profiles=tuple(profiles), pid=os.getpid(), vflow=version("vflow")))
    for step in session.plan.steps.values():
        state: Any = "not needed" if step.state in ("run", "undecided") and not step.wanted else step.state
        kind, reason = step.bound.type.__name__, reason_of(session, step)
        emit(events.NodePlanned(node=step.name, type=kind, state=state, reason=reason))
        # what was said while planning, before anyone listened
        for level, message in step.said:
            emit(events.Log(node=step.name, level=level, message=message))  # type: ignore[arg-type]
        for what, why in step.left_out:
            emit(events.LeftOut(node=step.name, what=what, reason=why))


def _say_outcome(outcome: Outcome, world: World, arguments: argparse.Namespace) -> None:
    from vflow.engine.cli.text import duration, out, say, say_error, table

    assert world.folder is not None
    if not arguments.json:
        for line in table([(name, path) for name, paths in outcome.files.items() for path in paths]):
            out(line)
    if outcome.failure is not None:
        say_error(outcome.failure)
    if outcome.status == "interrupted":
        say("interrupted; run the same command again to go on from here", "yellow")
    elif not arguments.quiet:
        reused = sum(node["items"]["reused"] for node in outcome.summary["nodes"].values())
        computed = sum(node["items"]["computed"] for node in outcome.summary["nodes"].values())
        saved = f", which saved {duration(outcome.saved_seconds)}" if outcome.saved_seconds else ""
        text = f"{outcome.status} in {duration(outcome.seconds)}: {computed} results computed, {reused} reused{saved}"
        say(f"{text}; {world.folder.path}", "green" if outcome.status == "done" else "red")
