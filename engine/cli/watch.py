"""`vflow watch`: follow a run, in the terminal UI or with the progress that `vflow run` shows."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE, FAILED, INTERRUPTED

if TYPE_CHECKING:
    from vflow.engine.watching import Watch

_SUMMARY_SECONDS = 5.0  # how long after its last event a run may take to write its summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    about = "a run's folder, its name below runs/, or `last` (the default)"
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help=about)
    parser.add_argument(
        "--plain", action="store_true", help="lines and bars, as without a terminal; no screen of its own"
    )


def call(arguments: argparse.Namespace) -> int:
    """Follow a run to its end, and exit as it did; an interrupt leaves the watch and stops nothing."""
    from vflow.engine.cli.text import say
    from vflow.engine.watching import Watch

    folder = _folder(arguments.run)
    if not arguments.plain and (code := _handed_over(folder)) is not None:
        return code
    watch = Watch(folder)
    try:
        errors = _show(watch)
    except KeyboardInterrupt:
        say(f"left; the run goes on, `vflow stop {arguments.run}` would stop it")
        return INTERRUPTED
    return _say_end(watch, errors)


def _handed_over(folder: Path) -> int | None:
    """Let a front end of this installation show the run; None where there is none, or it cannot here.

    Front ends are entry points of the group `vflow.watchers`: they take the run's folder and return an exit code.
    """
    if not _is_terminal():
        return None
    from vflow.engine.registry import usable

    return next((code for _, watch in usable("vflow.watchers") if (code := watch(folder)) is not None), None)


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _folder(name: str) -> Path:
    from vflow.engine.detaching import CONSOLE
    from vflow.engine.folder import GRAPH
    from vflow.engine.history import find_run

    for path in (Path(name), Path("runs") / name):
        if any((path / file).is_file() for file in (CONSOLE, GRAPH)):  # one that begins just now
            return path
    return find_run(name).path


def _show(watch: Watch) -> list[str]:
    """Show a run's events until it ends; returns the errors that were told."""
    from vflow.engine import events
    from vflow.engine.cli.text import say
    from vflow.engine.progress import progress_for

    progress, errors = progress_for(quiet=False), []
    try:
        for event in watch.events():
            if isinstance(event, events.RunStarted):
                say(f"{watch.folder}: {event.graph}, process {event.pid}")
            elif isinstance(event, events.Log) and event.level == "error":
                errors.append(event.message)
            progress.listen(event)
    finally:
        progress.close()
    return errors


def _say_end(watch: Watch, errors: list[str]) -> int:
    from vflow.engine.cli.text import out, say, say_error, summed_up
    from vflow.engine.history import read_run

    if watch.finished is None:
        say_error(f"{watch.folder}: unfinished: its process is gone; run the same command to go on")
        return FAILED
    status, run = watch.finished.status, read_run(watch.folder)
    end = time.monotonic() + _SUMMARY_SECONDS
    while run.status == "running" and time.monotonic() < end:
        time.sleep(0.05)
        run = read_run(watch.folder)
    if status == "done":
        for path in run.outputs():
            out(str(path))
    say_error(*errors)
    if status == "interrupted":
        say("interrupted; run the same command again to go on from here", "yellow")
        return INTERRUPTED
    text = summed_up(status, watch.finished.seconds, watch.finished.saved_seconds, run.nodes)
    say(f"{text}; {watch.folder}", "green" if status == "done" else "red")
    return DONE if status == "done" else FAILED
