"""The log of a run: which of its lines say something in words, where they stand, and what they say when one looks."""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from vflow.engine import wording
from vflow.engine.following.pages import Pages

Level = Literal["detail", "info", "warning", "error"]

LEVELS: tuple[Level, ...] = ("detail", "info", "warning", "error")
DETAIL, INFO, WARNING, ERROR = range(4)
_NODE_ENDS = {"failed": ERROR, "interrupted": WARNING}
_LEVEL_OF = {"run_started": INFO, "run_finished": INFO, "node_started": INFO, "item_finished": DETAIL,
             "left_out": WARNING, "published": INFO, "fetched": INFO}  # fmt: skip
_SILENT = ("node_planned", "node_waiting", "progress", "metrics")  # shown elsewhere, or said by a line of its own
_KEPT = 4096  # lines that were read lately


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log. `time` in seconds since the epoch; `node` is empty for the run; `kind` of its event."""

    time: float
    level: Level
    node: str
    message: str
    kind: str = "log"


@dataclass(frozen=True)
class LogFilter:
    """What is wanted of a log: lines of one node (None: of all), from a level on, with a text in them (any case)."""

    node: str | None = None
    level: Level = "info"
    text: str = ""


def level_of(kind: str, line: bytes) -> int | None:
    """Return the level of an event's line as a place in LEVELS; None where it is no line of the log."""
    if kind in _SILENT:
        return None
    if kind == "log":
        said = _after(line, b'"level":"') or _after(line, b'"level": "')
        return LEVELS.index(said) if said in LEVELS else INFO
    if kind == "node_finished":
        state = _after(line, b'"state":"') or _after(line, b'"state": "')
        return _NODE_ENDS.get(state, INFO)
    # what another version says is no news to somebody who cannot read it; what cannot be read at all is
    return _LEVEL_OF.get(kind, DETAIL if kind else WARNING)


def _after(line: bytes, what: bytes) -> str:
    at = line.find(what, line.find(b'"kind"'))
    return line[at + len(what) : line.find(b'"', at + len(what))].decode("utf-8", "replace") if at >= 0 else ""


class LogIndex:
    """Where the lines of a log stand; what they say is read when it is asked for.

    A line has a position that never changes: from 0 on upwards those that came after the file was opened (and the end
    of what was there), from -1 on downwards the older ones, which are found later. They reach from `first` to `end`.
    Safe to read while another thread adds.
    """

    def __init__(self, pages: Pages | None = None) -> None:
        self._pages = pages
        self._older, self._newer = _Column(), _Column()
        self._names: dict[str, int] = {}
        self._kept: dict[int, LogLine] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many lines are known so far."""
        return self.end - self.first

    @property
    def first(self) -> int:
        """The position of the oldest line that is known."""
        return -len(self._older.levels)

    @property
    def end(self) -> int:
        """The position after the newest line."""
        return len(self._newer.levels)

    def line(self, i: int) -> LogLine:
        """Return the line number `i`, from 0 for the oldest that is known; older ones that are found later shift it.

        Raises:
            IndexError: there is none.
        """
        return self.at(self.first + i if i >= 0 else self.end + i)

    def at(self, position: int) -> LogLine:
        """Return the line at a position.

        Raises:
            IndexError: there is none.
        """
        if (found := self._kept.get(position)) is None:
            found = self.read(position)
            with self._lock:
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[position] = found
        return found

    def read(self, position: int) -> LogLine:
        """Return the line at a position, and keep nothing of it.

        Raises:
            IndexError: there is none.
        """
        column, at = self._place(position)
        raw = self._pages.line(column.offsets[at]) if self._pages is not None else b""
        return _told(raw, LEVELS[column.levels[at]])

    def level(self, position: int) -> int:
        """Return the level of a line, as a place in LEVELS."""
        column, at = self._place(position)
        return column.levels[at]

    def number_of(self, node: str) -> int:
        """Return the number that stands for a node in this index; -1 where it has said nothing so far."""
        return self._names.get(node, -1)

    def node(self, position: int) -> int:
        """Return the number of the node that a line is of."""
        column, at = self._place(position)
        return column.nodes[at]

    def add(self, offset: int, node: str, level: int) -> None:
        """Add a line after the newest."""
        self._newer.add(offset, self._names.setdefault(node, len(self._names)), level)

    def add_older(self, offset: int, node: str, level: int) -> None:
        """Add a line before the oldest."""
        self._older.add(offset, self._names.setdefault(node, len(self._names)), level)

    def _place(self, position: int) -> tuple[_Column, int]:
        if not self.first <= position < self.end:
            raise IndexError(position)
        return (self._newer, position) if position >= 0 else (self._older, -position - 1)


class _Column:
    def __init__(self) -> None:
        self.offsets, self.nodes, self.levels = array("Q"), array("I"), bytearray()

    def add(self, offset: int, node: int, level: int) -> None:
        self.offsets.append(offset)
        self.nodes.append(node)
        self.levels.append(level)  # last: by its length the others are known to be there


class Selection:
    """The lines of a log that a filter lets through, newest first to be found. Numbered like the log itself."""

    def __init__(self, log: LogIndex, wanted: LogFilter) -> None:
        self.log, self.wanted = log, wanted
        self._older, self._newer = array("q"), array("q")
        self._least = LEVELS.index(wanted.level)
        self._text = wanted.text.casefold()
        self._all = not self._least and not self._text and wanted.node is None
        self._down = self._up = 0  # positions of the log up to which it was looked at

    @property
    def first(self) -> int:
        """The number of the oldest line that was found."""
        return self.log.first if self._all else -len(self._older)

    @property
    def end(self) -> int:
        """The number after that of the newest."""
        return self.log.end if self._all else len(self._newer)

    @property
    def complete(self) -> bool:
        """True when every line that the log has was looked at."""
        return self._all or (self._up >= self.log.end and self._down <= self.log.first)

    def position(self, number: int) -> int:
        """Return where in the log the line of this number stands.

        Raises:
            IndexError: there is none.
        """
        if not self.first <= number < self.end:
            raise IndexError(number)
        if self._all:
            return number
        return self._newer[number] if number >= 0 else self._older[-number - 1]

    def refresh(self, budget_s: float = 0.02) -> bool:
        """Look at further lines, new ones first, for so long; returns whether some were found."""
        if self._all:
            return False
        until, before = time.monotonic() + budget_s, (len(self._older), len(self._newer))
        end, first = self.log.end, self.log.first
        looked = 0
        while self._up < end or self._down > first:
            if self._up < end:
                if self._fits(self._up):
                    self._newer.append(self._up)
                self._up += 1
            else:
                self._down -= 1
                if self._fits(self._down):
                    self._older.append(self._down)
            looked += 1
            if not looked % 64 and time.monotonic() > until:
                break
        return (len(self._older), len(self._newer)) != before

    def _fits(self, position: int) -> bool:
        log, wanted = self.log, self.wanted
        if log.level(position) < self._least:
            return False
        if wanted.node is not None and log.node(position) != log.number_of(wanted.node):
            return False
        if not self._text:
            return True
        line = log.read(position)
        return self._text in line.message.casefold() or self._text in line.node.casefold()


def _told(raw: bytes, level: Level) -> LogLine:
    text = raw.decode("utf-8", "replace")
    try:
        event = from_json(raw)
        when = float(event["time"])
        message = _words(event)
    except (ValueError, TypeError, KeyError, AttributeError):
        return LogLine(0.0, level, "", f"unreadable: {text}" if text.strip() else "an empty line", "")
    return LogLine(when, level, str(event.get("node", "")), message, str(event.get("kind", "")))


def _words(event: Mapping[str, Any]) -> str:
    kind = event.get("kind")
    if kind == "run_started":
        return wording.run_started(event)
    if kind == "run_finished":
        return wording.run_finished(event)
    if kind == "node_started":
        return wording.node_started(event)
    if kind == "item_finished":
        return f"{event['label']} in {event['seconds']:.1f} s"
    return wording.said(event) or json.dumps(event, ensure_ascii=False)
