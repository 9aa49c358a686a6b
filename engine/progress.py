"""Progress for people, made from events: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any, Protocol

from vflow.engine import events
from vflow.engine.cli.text import duration, say

_PLAIN_EVERY = 5.0  # seconds between two plain lines of one node
_WINDOW = 30.0  # seconds over which the pace is taken


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


class Pace:
    """How fast a node is, over the last half minute: what came before (loading, a resumed start) does not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int, now: float) -> None:
        """Take how far the node was at a time in seconds: of the event, which may be read long after it happened."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 while it is not known."""
        (first, start), (last, done) = self._seen[0], self._seen[-1]
        return (done - start) / (last - first) if last > first else 0.0


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
            some = f"{event.missing} of {event.total}" if event.total > 1 else "computing"
            say(f"{event.node}: {some}" + (f" ({event.reason})" if event.reason else ""))
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
        say(f"{event.node}: {_progress_words(event, pace.rate)}")

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
            figures=_pace_words(event, pace.rate),
        )


def _progress_words(event: events.Progress, rate: float) -> str:
    return f"{event.done}/{event.total} {_pace_words(event, rate)}"


def _pace_words(event: events.Progress, rate: float) -> str:
    parts = [event.unit + "s"]
    if rate:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s/{event.unit}")
        if event.done < event.total:
            parts.append(f"{duration((event.total - event.done) / rate)} left")
    return ", ".join([*parts, *filter(None, [_figures(event)])])


def _figures(event: events.Progress) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in event.figures.items())


def _words(event: events.Event) -> str:
    """Return what is worth a line of its own, else nothing."""
    if isinstance(event, events.NodeFinished):
        return _finished_words(event)
    if isinstance(event, events.Log):
        said = f"{event.node}: {event.message}" if event.node else event.message
        return said if event.level != "error" else ""
    if isinstance(event, events.LeftOut):
        return f"{event.node}: left out {event.what}: {event.reason}"
    if isinstance(event, events.Published):
        return f"{event.node}: wrote {event.path}"
    if isinstance(event, events.Fetched):
        return f"fetched {event.what} in {duration(event.seconds)}"
    return ""


def _finished_words(event: events.NodeFinished) -> str:
    saved = f", which saved {duration(event.saved_seconds)}" if event.saved_seconds >= 0.05 else ""
    if event.state == "reused":
        return f"{event.node}: reused {event.reused}{saved}"
    if event.state == "computed":
        more = f", {event.reused} reused{saved}" if event.reused else ""
        return f"{event.node}: {event.computed} computed{more} in {duration(event.seconds)}"
    return f"{event.node}: {event.state} after {duration(event.seconds)}"
