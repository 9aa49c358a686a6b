"""The runs below a folder as a list that is searched, sorted and kept current: thousands of them, of any size.

Of a run that has ended its summary, the first line of its events and the last ones are read, and again only when one
of the two files has changed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vflow.engine import watching
from vflow.engine.folder import EVENTS, SUMMARY
from vflow.engine.history import read_summary

Order = Literal["name", "graph", "state", "began", "took", "reused", "loss"]
#: So many runs are listed at most, the newest.
MOST = 20_000
_SLICE = 0.1  # seconds of reading after which what was read is handed out
_NEAR, _FAR = 2**16, 2**22  # bytes at the end of the events in which the end, and the last loss, are looked for
_TRIED = 50  # events with metrics that are looked into for a loss
_LOSS = "train/loss"


@dataclass(frozen=True)
class RunRow:
    """One run. `state` is as `PastRun.status`; `began` (seconds since 1970) and `seconds` are of its last start.

    `loss` is (step, value) of the last training loss, or of another where there is none; None where there was none yet.
    """

    path: Path
    graph: str = ""
    profiles: tuple[str, ...] = ()
    state: str = "unfinished"
    began: float = 0.0
    seconds: float | None = None
    computed: int = 0
    reused: int = 0
    saved_seconds: float = 0.0
    loss: tuple[int, float] | None = None
    failure: str = ""
    process: str = field(default="", repr=False)
    size: int = field(default=0, repr=False, compare=False)  #: bytes of the events when they were read

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def live(self) -> bool:
        """True while a process works on it, as far as can be seen from here."""
        return self.state == "running"

    def took(self, now: float) -> float | None:
        """Return how many seconds it took, or has taken so far; None where that is not known."""
        return now - self.began if self.live and self.began else self.seconds

    @property
    def date(self) -> str:
        """When it began, in local time: `2026-11-21 08:37`; "" where that is not known."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.began)) if self.began else ""

    @cached_property
    def text(self) -> str:
        """What a search looks at, in lower case: name, graph, profiles, state and date."""
        return " ".join((self.name, self.graph, *self.profiles, self.state, self.date)).lower()


def live_runs(folder: Path, graph: str, most: int = 100) -> list[RunRow]:
    """Return the runs of a graph that go on, by its name; only the newest runs are looked at, `most` of them."""
    found = RunList(folder, most)
    for _ in found.refresh():
        pass
    return [row for row in found.rows if row.live and row.graph == graph]


def searched(rows: Iterable[RunRow], text: str) -> list[RunRow]:
    """Return those rows that have every word of a text."""
    words = text.lower().split()
    return [row for row in rows if all(word in row.text for word in words)]


def in_order(rows: Iterable[RunRow], by: Order, reverse: bool, now: float) -> list[RunRow]:
    """Return rows sorted: texts upwards, times and amounts with the latest and largest first; `reverse` turns it.

    What has no loss or no time comes last either way.
    """
    texts = {"name": lambda row: row.name, "graph": lambda row: row.graph, "state": lambda row: row.state}
    newest = sorted(rows, key=lambda row: (row.began, row.name), reverse=True)
    if by in texts:
        return sorted(newest, key=texts[by], reverse=reverse)
    if by == "loss":  # the lowest is the best
        return _known_first(newest, [row.loss[1] if row.loss else None for row in newest], reverse)
    if by == "took":
        return _known_first(newest, [row.took(now) for row in newest], not reverse)
    if by == "reused":
        return sorted(newest, key=lambda row: (row.reused, row.saved_seconds), reverse=not reverse)
    return newest[::-1] if reverse else newest


def _known_first(rows: list[RunRow], amounts: list[float | None], falling: bool) -> list[RunRow]:
    known = [
        (amount, row) for amount, row in zip(amounts, rows, strict=True) if amount is not None and amount == amount
    ]
    known.sort(key=lambda pair: pair[0], reverse=falling)
    first = [row for _, row in known]
    there = set(map(id, first))
    return first + [row for row in rows if id(row) not in there]


class RunList:
    """The runs below a folder. `rows` is what is known of them, replaced as a whole whenever that changes."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder, self._most = folder, most
        self.rows: tuple[RunRow, ...] = ()
        self.problem = ""  #: why nothing can be listed, in words
        self.left_out = 0  #: how many runs there are beyond the most that are listed
        self._known: dict[Path, tuple[Any, RunRow]] = {}

    def refresh(self) -> Iterator[bool]:
        """Read what is new, the newest runs first; yields every tenth of a second or so, and at the end.

        What is yielded tells whether `rows` has changed since the last time.
        """
        stamps = self._stamps()
        gone = self._known.keys() - stamps.keys()
        for path in gone:
            del self._known[path]
        changed, since = bool(gone), time.monotonic()
        for path, stamp in stamps.items():
            before = self._known.get(path)
            same = before is not None and before[0] == stamp
            row = _current(before[1]) if before and same else read_row(path, before[1] if before else None)
            changed = changed or before is None or before[1] != row
            self._known[path] = (stamp, row)
            if time.monotonic() - since > _SLICE:
                self._publish(changed)
                yield changed
                changed, since = False, time.monotonic()
        self._publish(changed)
        yield changed

    def _publish(self, changed: bool) -> None:
        if changed:
            self.rows = tuple(row for _, row in self._known.values() if row.text)  # made here, not while one types

    def _stamps(self) -> dict[Path, Any]:
        """Return the runs' folders, those that were worked on last first, each with what changes when they do."""
        self.problem, found = "", []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        events = Path(entry.path, EVENTS).stat()
                        found.append((events.st_mtime, entry.name, (events.st_mtime_ns, events.st_size)))
        except FileNotFoundError:
            self.problem = f"there is no folder {self.folder} yet; the first run here makes it"
        except OSError as error:
            self.problem = f"{self.folder} cannot be read: {error.strerror or error}"
        found.sort(reverse=True)
        self.left_out = max(0, len(found) - self._most)
        return {self.folder / name: (*stamp, _changed(self.folder / name)) for _, name, stamp in found[: self._most]}


def _changed(path: Path) -> int:
    try:
        return (path / SUMMARY).stat().st_mtime_ns
    except OSError:
        return 0


def _current(row: RunRow) -> RunRow:
    """Look again where nothing was written: the process may have died meanwhile."""
    return replace(row, state=watching.standing(row.process)) if row.state == "running" else row


def read_row(path: Path, before: RunRow | None = None) -> RunRow:
    """Read what is listed of one run; of a log of any size no more than its ends, and what was added since `before`."""
    try:
        with (path / EVENTS).open("rb") as file:
            return _read(path, file, before)
    except OSError as error:
        return RunRow(path, failure=f"its events cannot be read: {error.strerror or error}")


def _read(path: Path, file: BinaryIO, before: RunRow | None) -> RunRow:
    first = _event(file.readline(_NEAR))
    row = RunRow(path, str(first.get("graph", "")), tuple(first.get("profiles", ())), loss=_last_loss(file))
    row = replace(row, size=file.seek(0, os.SEEK_END))
    summary = read_summary(path)
    if summary is None:
        row = _last_start(row, file, before)
        return replace(row, state=watching.standing(row.process))
    items = [node.get("items", {}) for node in summary["nodes"].values() if isinstance(node, dict)]
    return replace(
        row,
        state=summary["status"],
        began=_began(file) or _last_start(row, file, before).began,
        seconds=summary["seconds"],
        computed=sum(one.get("computed", 0) for one in items),
        reused=sum(one.get("reused", 0) for one in items),
        saved_seconds=summary.get("saved_seconds", 0.0),
        failure=str(summary.get("failure", "")),
    )


def _last_start(row: RunRow, file: BinaryIO, before: RunRow | None) -> RunRow:
    """Fill in when a process last began to work on the run, and which."""
    most = row.size - before.size + _NEAR if before is not None and before.process else None
    start = _event(next(watching.lines_back(file, b'"kind":"run_started"', most), (0, b""))[1])
    if not start and before is not None:
        return replace(row, began=before.began, process=before.process)
    return replace(row, began=float(start.get("time", 0.0)), process=str(start.get("process", "")))


def _event(line: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}


def _began(file: BinaryIO) -> float:
    """Return when the last start was, by how the run said that it ended; 0 where it did not say so."""
    end = _event(next(watching.lines_back(file, b'"kind":"run_finished"', _NEAR), (0, b""))[1])
    return float(end["time"] - end["seconds"]) if "time" in end and "seconds" in end else 0.0


def _last_loss(file: BinaryIO) -> tuple[int, float] | None:
    other: tuple[int, float] | None = None
    for tried, (_, line) in enumerate(watching.lines_back(file, b'"kind":"metrics"', _FAR)):
        event = _event(line)
        values = event.get("values") or {}
        if _LOSS in values:
            return event.get("step", 0), values[_LOSS]
        if other is None and (name := next((name for name in values if "loss" in name), "")):
            other = event.get("step", 0), values[name]
        if tried >= _TRIED:
            break
    return other
