"""`vflow run`: check, plan, fetch, run."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path
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
    from vflow.engine.contexts import World
    from vflow.engine.events import Event
    from vflow.engine.run import Outcome
    from vflow.engine.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_graph(parser)
    add_help_params(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (else runs/<time>-<name>)")
    add_store(parser)
    add_remote(parser)
    add_reach(parser)
    add_network(parser)
    add_trust(parser)
    about = "what exported files carry: nothing, their recipe without what is yours (the default), or all but secrets"
    parser.add_argument("--embed", choices=("none", "recipe", "all"), help=about)
    parser.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress, only problems and results")
    detach = "run on in the background; `vflow watch` follows it, `vflow stop` stops it"
    parser.add_argument("--detach", action="store_true", help=detach)
    parser.add_argument("--detached", metavar="NAME", help=argparse.SUPPRESS)  # the process that --detach starts


def call(arguments: argparse.Namespace) -> int:
    """Run a graph; results to standard output, progress to standard error."""
    if arguments.help_params:
        from vflow.engine.cli.params import help_params

        return help_params(arguments)
    if arguments.detached is None:
        return _run(arguments)
    from vflow.engine.detaching import run_detached

    return run_detached(arguments, _run)


def _run(arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.quota import watch_quota
    from vflow.engine.cli.text import say_error
    from vflow.engine.contexts import World
    from vflow.engine.effects import check_sending
    from vflow.engine.folder import RunFolder
    from vflow.engine.load import no_collection
    from vflow.engine.problems import Failure, Problem
    from vflow.engine.run import Run
    from vflow.engine.session import planned, request_from
    from vflow.engine.store import Store
    from vflow.engine.watching import accounted_for

    request = request_from(arguments)
    store = Store(request.cache, remote=request.remote)
    with Stopper() as stopper, store.held(_say_waiting, lambda: stopper.signal != 0) as use:
        with no_collection():
            session = planned(request, World(store))
            gc.freeze()  # the plan stays: it need not be looked through for cycles again and again
        say_error(*session.problems)
        check_sending(session)
        if arguments.detach and arguments.detached is None:
            return _detach(arguments, session.loaded.graph.name)
        world = stopper.world = session.world
        world.embed = arguments.embed
        world.stopping = stopper.signal != 0
        world.folder = RunFolder.create(arguments.out, session.loaded.graph.name)
        use.describe(graph=session.loaded.graph.name, folder=str(world.folder.path.absolute()))
        with accounted_for(world.folder):
            progress = _listen(arguments, session)
            _say_planned(session, arguments)
            try:
                outcome = Run(session.plan, world).execute()
            finally:
                progress.close()
        try:
            world.folder.write_summary(outcome.summary)
            world.folder.close()
        except Failure as error:
            outcome.status = "failed"
            outcome.failures.append(Problem(error.message, error.remedy))
    _say_outcome(outcome, world, arguments)
    if any(node["items"]["computed"] for node in outcome.summary["nodes"].values()):
        watch_quota(store)
    if outcome.status == "interrupted":
        return stopper.code
    return DONE if outcome.status == "done" else FAILED


def _say_waiting(holder: str) -> None:
    from vflow.engine.cli.text import say

    say(f"the store is being collected ({holder}); waiting for the end")


def _detach(arguments: argparse.Namespace, graph: str) -> int:
    from vflow.engine.cli.text import out, say
    from vflow.engine.detaching import start

    folder = start(arguments.words, graph, arguments.out)
    out(str(folder))
    name = folder.name if folder.parent == Path("runs") else str(folder)
    say(f"runs on in the background: `vflow watch {name}` follows it, `vflow stop {name}` stops it")
    return DONE


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
    try:
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read along has gone: the run goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_planned(session: Session, arguments: argparse.Namespace) -> None:
    from vflow.engine import events
    from vflow.engine.plan_report import reason_of
    from vflow.engine.rehearsal import citations
    from vflow.engine.steering import command_of
    from vflow.engine.watching import announcement

    emit = session.world.emit
    if arguments.detached is None:  # else it was said before planning
        emit(announcement(session.loaded.graph.name, arguments.profile or (), command_of(arguments)))
    for step in session.plan.steps.values():
        state: Any = "not needed" if step.state in ("run", "undecided") and not step.wanted else step.state
        kind, reason = step.bound.type.__name__, reason_of(session, step)
        emit(events.NodePlanned(node=step.name, type=kind, state=state, reason=reason))
        # what was said while planning, before anyone listened
        for level, message in step.said:
            emit(events.Log(node=step.name, level=level, message=message))  # type: ignore[arg-type]
        for what, why in step.left_out:
            emit(events.LeftOut(node=step.name, what=what, reason=why))
    for node, said in citations(session):
        emit(events.Log(node=node, message=said))


def _say_outcome(outcome: Outcome, world: World, arguments: argparse.Namespace) -> None:
    from vflow.engine.cli.text import out, say, say_error, summed_up, table
    from vflow.engine.registry import complaints

    assert world.folder is not None
    if not arguments.json:
        for line in table([(name, path) for name, paths in outcome.files.items() for path in paths]):
            out(line)
    say_error(*outcome.failures, *complaints())
    if outcome.status == "interrupted":
        say("interrupted; run the same command again to go on from here", "yellow")
    elif not arguments.quiet:
        text = summed_up(outcome.status, outcome.seconds, outcome.saved_seconds, outcome.summary["nodes"])
        say(f"{text}; {world.folder.path}", "green" if outcome.status == "done" else "red")
