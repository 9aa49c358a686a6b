"""How a run stands, made from its events: who works on it, and how far each node is. Plain data, no validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vflow.engine.pace import Pace

_ERRORS = 50  # messages of errors that are kept

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeRun:
    """A node in a run.

    `state` is one of what the plan said (run, reused, light, undecided, not needed, disabled), running, waiting (for
    `holder`, another process that computes it), or how it ended (computed, reused, failed, interrupted, skipped).
    `done` of `total` units, 0 of 0 where it counts nothing; `rate` in units a second (0: not known), `remaining_s`
    None where it is not known. `failure`: what went wrong, and what to do about it. `since`: when it began, in seconds
    since the epoch; `seconds` of work once it has ended.
    """

    state: str = "undecided"
    type: str = ""
    reason: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    remaining_s: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    computed: int = 0
    reused: int = 0
    left_out: int = 0
    seconds: float = 0.0
    saved_seconds: float = 0.0
    since: float = 0.0
    failure: str = ""
    holder: str = ""

    @property
    def ended(self) -> bool:
        """True once nothing more will come of it in this run."""
        return self.state not in ("run", "running", "waiting", "undecided")


class Standing:
    """The state of a run from its last start on; take its events in their order."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRun] = {}
        self.start: Event = {}
        self.finish: Event = {}
        self.errors: list[str] = []
        self.newest = 0.0  #: the time of the newest event
        self._paces: dict[str, Pace] = {}
        self._of = {
            "run_started": self._run_started,
            "run_finished": self._run_finished,
            "node_planned": self._planned,
            "node_started": self._started,
            "node_waiting": self._waits,
            "node_finished": self._finished,
            "item_finished": self._item,
            "progress": self._progress,
            "log": self._log,
        }

    def take(self, event: Event) -> bool:
        """Take an event; returns whether it says something of the state. What is not as it should be is passed over.

        Raises:
            KeyError, TypeError, ValueError: a field is missing, or is not what it should be; nothing was changed.
        """
        when = float(event["time"])
        call = self._of.get(event["kind"])
        if call is not None:
            call(event, when)
        self.newest = max(self.newest, when)
        return call is not None

    def add_items(self, node: str, count: int) -> None:
        """Take so many items of a node as finished, without their times."""
        if (run := self.nodes.get(node)) is not None and run.state == "running" and run.unit == "item":
            self.nodes[node] = replace(run, done=min(run.total, run.done + count))

    def end(self, state: str) -> bool:
        """Have what still runs ended in a state: its process is gone. Returns whether something did."""
        running = [name for name, run in self.nodes.items() if run.state in ("running", "waiting")]
        for name in running:
            waited = self.nodes[name].state == "waiting"
            self.nodes[name] = replace(self.nodes[name], state="run" if waited else state, rate=0.0, remaining_s=None)
        return bool(running)

    def take_summary(self, nodes: Mapping[str, Any]) -> None:
        """Take from a summary how those nodes ended of which no event says it."""
        for name, told in nodes.items():
            run = self.nodes.get(name, NodeRun())
            if not run.ended and isinstance(told, dict) and isinstance(told.get("state"), str):
                self.nodes[name] = replace(run, state=told["state"], seconds=float(told.get("seconds", 0.0)))

    def _run_started(self, event: Event, when: float) -> None:
        self.nodes.clear()
        self._paces.clear()
        self.errors.clear()
        self.start, self.finish = event, {}
        self.newest = when  # a clock may have been set, or be another machine's

    def _run_finished(self, event: Event, when: float) -> None:
        self.finish = event

    def _planned(self, event: Event, when: float) -> None:
        self.nodes[event["node"]] = NodeRun(
            state=str(event["state"]), type=str(event["type"]), reason=str(event.get("reason", ""))
        )

    def _started(self, event: Event, when: float) -> None:
        name, total = event["node"], int(event.get("missing", 1))
        before = self.nodes.get(name, NodeRun())
        items = int(event.get("total", 1)) > 1
        self._paces[name] = pace = Pace()
        if items:
            pace.see(0, when)
        self.nodes[name] = NodeRun(
            state="running", type=before.type, reason=str(event.get("reason", "")) or before.reason,
            total=total if items else 0, unit="item" if items else "", since=when,
        )  # fmt: skip

    def _waits(self, event: Event, when: float) -> None:
        run = self.nodes.get(event["node"], NodeRun())
        if not run.ended:
            self.nodes[event["node"]] = replace(run, state="waiting", holder=str(event["holder"]), since=when)

    def _finished(self, event: Event, when: float) -> None:
        name = event["node"]
        before, computed = self.nodes.get(name, NodeRun()), int(event.get("computed", 0))
        self._paces.pop(name, None)
        self.nodes[name] = replace(
            before,
            state=str(event["state"]),
            done=computed if before.unit == "item" else before.done,
            computed=computed,
            reused=int(event.get("reused", 0)),
            left_out=int(event.get("left_out", 0)),
            seconds=float(event.get("seconds", 0.0)),
            saved_seconds=float(event.get("saved_seconds", 0.0)),
            rate=0.0,
            remaining_s=None,
        )

    def _item(self, event: Event, when: float) -> None:
        run = self.nodes.get(event["node"])
        if run is not None and run.unit == "item":  # else it says by itself how far it is
            self._go_on(event["node"], run, run.done + 1, run.total, "item", when)

    def _progress(self, event: Event, when: float) -> None:
        name, done, total = event["node"], int(event["done"]), int(event["total"])
        run = self.nodes.get(name, NodeRun(state="running", since=when))
        figures = {str(key): float(value) for key, value in event.get("figures", {}).items() if _is_number(value)}
        self._go_on(name, replace(run, figures=figures), done, total, str(event.get("unit", "step")), when)

    def _go_on(self, name: str, run: NodeRun, done: int, total: int, unit: str, when: float) -> None:
        if run.ended:
            return
        pace = self._paces.setdefault(name, Pace())
        pace.see(done, when)
        self.nodes[name] = replace(
            run, state="running", done=done, total=total, unit=unit, rate=pace.rate, remaining_s=pace.remaining(total)
        )

    def _log(self, event: Event, when: float) -> None:
        if event.get("level") != "error":
            return
        message, name = str(event["message"]), event.get("node", "")
        if len(self.errors) < _ERRORS:
            self.errors.append(message)
        if name in self.nodes:
            self.nodes[name] = replace(self.nodes[name], failure=message)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
