"""From blocks of lines to what they say: the state, metrics, the log, files. No validation: this is the hot path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic_core import from_json

from vflow.engine.following.log import level_of
from vflow.engine.following.published import Published, published

Event = dict[str, Any]
Key = tuple[str, str]  # metric, node

_LARGEST, _HUGE = 2**62, 1e300  # of what goes into arrays and can be drawn


@dataclass
class Block:
    """What a block of lines says, in the order of the lines.

    `events` are those that tell of the state, `metrics` holds rising steps and their values, `log` entries are
    (byte in the file, node, level).
    """

    events: list[Event] = field(default_factory=list)
    metrics: dict[Key, tuple[list[int], list[float]]] = field(default_factory=dict)
    log: list[tuple[int, str, int]] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    starts: int = 0
    damaged: int = 0


def read_block(offset: int, data: bytes, *, state: bool) -> Block:
    """Read whole lines that begin at a byte of the file; without `state`, what only the state is made of is left out.

    A line that is no event is counted, and becomes a line of the log.
    """
    block = Block()
    for raw in data.split(b"\n")[:-1]:
        _read_line(block, offset, raw, state)
        offset += len(raw) + 1
    return block


def _read_line(block: Block, offset: int, raw: bytes, state: bool) -> None:
    kind = kind_of(raw)
    if not raw.strip():
        return
    if kind == "run_started":
        block.starts += 1
    if state or kind in ("metrics", "published"):
        try:
            event = from_json(raw)
            kind = kind or str(event["kind"])
            if kind == "metrics":
                _note_metrics(block, event)
            elif kind == "published":
                block.published.append(published(str(event["path"]), str(event["node"]), float(event["time"])))
            if state:
                block.events.append(event)
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = ""
    elif not raw.rstrip().endswith(b"}"):
        kind = ""
    if not kind:
        block.damaged += 1
    if (level := level_of(kind, raw)) is not None:
        block.log.append((offset, node_of(raw) if kind else "", level))


def kind_of(raw: bytes) -> str:
    """Return the kind of an event's line without reading the rest; nothing where it has none."""
    return _field(raw, b"kind")


def node_of(raw: bytes) -> str:
    """Return the node of an event's line without reading the rest."""
    return _field(raw, b"node")


def _field(raw: bytes, name: bytes) -> str:
    # as vflow writes it; a quote inside a text is escaped, so that this can stand nowhere else
    start = raw.find(b'"' + name + b'":"')
    if start < 0:
        try:
            return str(from_json(raw)[name.decode()])
        except (ValueError, KeyError, TypeError):
            return ""
    start += len(name) + 4
    return raw[start : raw.find(b'"', start)].decode("utf-8", "replace")


def _note_metrics(block: Block, event: Event) -> None:
    step, node, metrics = event["step"], str(event["node"]), block.metrics
    if not isinstance(step, int) or not -_LARGEST < step < _LARGEST:
        raise ValueError(step)
    for name, value in event["values"].items():
        if not isinstance(value, (int, float)) or not -_HUGE < value < _HUGE:
            continue  # an infinite loss is said in the log
        found = metrics.get((name, node))
        if found is None:
            found = metrics[(name, node)] = ([], [])
        steps, values = found
        while steps and steps[-1] >= step:  # gone on with from an earlier step
            steps.pop()
            values.pop()
        steps.append(step)
        values.append(value)


_STATE = (b'"kind":"node_', b'"kind":"run_')
_START, _NODE_START, _ITEM = b'"kind":"run_started"', b'"kind":"node_started"', b'"kind":"item_finished"'
_PROGRESS = b'"kind":"progress"'
_ERROR, _ERRORS = b'"level":"error"', 200  # what went wrong is told, but not a million times


class StateBefore:
    """Looks for what the state of a run is made of in the blocks before those that were read, the newest first.

    `events` holds it once `found` is true: from the last start of the run on, in order. Only the few lines that say it
    are read: of progress the newest event, of finished items (`items`) the number since a node began last.
    """

    def __init__(self) -> None:
        self.found = False
        self.items = 0
        self._lines: list[bytes] = []
        self._counting = self._far_unknown = True
        self._errors = 0

    def take(self, offset: int, data: bytes) -> None:
        """Look through the block before the last; `offset` is where it begins in the file."""
        places = {place for what in _STATE for place in _places(data, what)}
        wrong = list(islice(_places(data, _ERROR), max(0, _ERRORS - self._errors)))
        self._errors += len(wrong)
        if self._far_unknown and (at := data.rfind(_PROGRESS)) >= 0:
            places.add(data.rfind(b"\n", 0, at) + 1)
            self._far_unknown = False
        begun = None
        for place in sorted(places.union(wrong), reverse=True):
            line = data[place : data.find(b"\n", place)]
            self._lines.append(line)
            if begun is None and _NODE_START in line:
                begun = place
            if _START in line:
                self.found = True
                break
        if self._counting:
            self.items += data.count(_ITEM, begun or 0)
            self._counting = begun is None
        self.found = self.found or not offset

    @property
    def events(self) -> Iterator[Event]:
        """The events that were found, in order."""
        for raw in reversed(self._lines):
            try:
                event = from_json(raw)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def _places(data: bytes, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield data.rfind(b"\n", 0, at) + 1
        at = data.find(what, at + len(what))
