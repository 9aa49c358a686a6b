"""Progress for people, made from events: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any, Protocol

from vflow.engine import events
from vflow.engine.cli.text import say
from vflow.engine.pace import Pace, left_words, rate_words
from vflow.engine.wording import node_started, said

_PLAIN_EVERY = 5.0  # seconds between two plain lines of one node


class Display(Protocol):
    """What shows events."""

    def listen(self, event: events.Event) -> None:
        """Take an event."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def progress_for(*, quiet: bool) -> Display:
    """Return the display that fits standard error: none when quiet, bars on a terminal, else plain lines."""
    if quiet:
        return Silent()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bars()
    return Lines()


class Silent:
    """Shows warnings and errors only."""

    def listen(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.Log) and event.level == "warning":
            say(f"{event.node}: {event.message}")

    def close(self) -> None:
        """Nothing to leave."""


class Lines:
    """One line when a node starts, every few seconds while it works, and when it ends."""

    def __init__(self) -> None:
        self._pace: dict[str, Pace] = defaultdict(Pace)
        self._said: dict[str, float] = {}

    def listen(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.NodeStarted):
            self._said[event.node] = time.monotonic()
            say(f"{event.node}: {node_started(vars(event))}")
        elif isinstance(event, events.Progress):
            self._progress(event)
        else:
            self._other(event)

    def close(self) -> None:
        """Nothing to leave."""

    def _progress(self, event: events.Progress) -> None:
        pace, now = self._pace[event.node], time.monotonic()
        pace.see(event.done, event.time)
        if now - self._said.get(event.node, 0.0) < _PLAIN_EVERY and event.done < event.total:
            return
        self._said[event.node] = now
        say(f"{event.node}: {_progress_words(event, pace)}")

    def _other(self, event: events.Event) -> None:
        if words := _words(event):
            say(words)


class Bars:
    """One bar per running node, with items or steps, rate, remaining time and figures; the rest as lines above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._pace: dict[str, Pace] = defaultdict(Pace)

    def listen(self, event: events.Event) -> None:
        """Take an event; a terminal that vanishes takes nothing else with it."""
        with suppress(OSError):
            self._show(event)

    def _show(self, event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            if event.reason:
                self._console.print(f"{event.node}: {event.reason}", markup=False)
            self._start(event.node, event.missing)
        elif isinstance(event, events.Progress):
            self._update(event)
        else:
            if isinstance(event, events.NodeFinished) and event.node in self._tasks:
                self._progress.remove_task(self._tasks.pop(event.node))
            if words := _words(event):
                self._console.print(words, markup=False)

    def close(self) -> None:
        """Take the bars off the terminal."""
        self._progress.stop()

    def _start(self, node: str, total: int) -> None:
        self._progress.start()
        if node not in self._tasks:
            self._tasks[node] = self._progress.add_task(node, total=total, figures="")

    def _update(self, event: events.Progress) -> None:
        if event.node not in self._tasks:
            self._start(event.node, event.total)
        pace = self._pace[event.node]
        pace.see(event.done, event.time)
        self._progress.update(
            self._tasks[event.node],
            completed=event.done,
            total=event.total,
            figures=_pace_words(event, pace),
        )


def _progress_words(event: events.Progress, pace: Pace) -> str:
    return f"{event.done}/{event.total} {_pace_words(event, pace)}"


def _pace_words(event: events.Progress, pace: Pace) -> str:
    left = left_words(pace.remaining(event.total)) if event.done < event.total else ""
    return ", ".join(filter(None, [event.unit + "s", rate_words(pace.rate, event.unit), left, _figures(event)]))


def _figures(event: events.Progress) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in event.figures.items())


def _words(event: events.Event) -> str:
    """Return what is worth a line of its own, else nothing."""
    words = said(vars(event))
    if not words or (isinstance(event, events.Log) and event.level == "error"):  # errors are told at the end
        return ""
    return f"{event.node}: {words}" if event.node else words
