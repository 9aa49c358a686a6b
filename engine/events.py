"""Everything that happens in a run, as events: one JSON line each in the run's folder.

Every event has `time` (seconds since the epoch), `kind` and `node` ("" for the run as a whole). Progress bars, the
terminal UI, trackers and webhooks read events; nothing else talks to them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

NodeState = Literal["computed", "reused", "light", "failed", "interrupted", "skipped", "not needed"]


class Event(BaseModel):
    """What all events have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: float = Field(default_factory=time.time, description="Seconds since the epoch.")
    node: str = Field("", description="The node's name in the graph; empty for the run.")


class RunStarted(Event):
    """A process began to work on a run (again, when it goes on after a stop).

    `process` tells whether it still lives: host, boot, number space, number and start of the process, joined by `~`.
    `command` holds the words after `vflow` that go on with it, called in the folder `cwd`.
    """

    kind: Literal["run_started"] = "run_started"
    graph: str
    profiles: tuple[str, ...] = ()
    pid: int
    process: str = ""
    vflow: str
    command: tuple[str, ...] = ()
    cwd: str = ""


class RunFinished(Event):
    """The run ended. `saved_seconds`: what the reused results cost when they were computed."""

    kind: Literal["run_finished"] = "run_finished"
    status: Literal["done", "failed", "interrupted"]
    seconds: float
    saved_seconds: float


class NodePlanned(Event):
    """What is known of a node before the heavy work starts."""

    kind: Literal["node_planned"] = "node_planned"
    type: str
    state: Literal["run", "reused", "light", "undecided", "not needed", "disabled"]
    reason: str = ""


class NodeStarted(Event):
    """A node started to compute; `missing` of `total` items are not in the store (1 of 1 for a whole node).

    `reason` says why, where it could not be told when the run began.
    """

    kind: Literal["node_started"] = "node_started"
    missing: int = 1
    total: int = 1
    reason: str = ""


class NodeWaiting(Event):
    """Another process computes a node's result, and this one waits for it; `holder` in words: `process 7 on host`."""

    kind: Literal["node_waiting"] = "node_waiting"
    holder: str


class NodeFinished(Event):
    """A node ended in this state; `seconds` of its own work."""

    kind: Literal["node_finished"] = "node_finished"
    state: NodeState
    seconds: float = 0.0
    computed: int = 0
    reused: int = 0
    left_out: int = 0
    saved_seconds: float = 0.0


class ItemFinished(Event):
    """One item of a per-item node was computed and recorded."""

    kind: Literal["item_finished"] = "item_finished"
    item: str
    label: str
    seconds: float


class Progress(Event):
    """How far a node is: `done` of `total` units, with figures worth showing beside it."""

    kind: Literal["progress"] = "progress"
    done: int
    total: int
    unit: str = "step"
    figures: dict[str, float] = {}


class Metrics(Event):
    """Metrics of one training step."""

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class Log(Event):
    """Something said in words."""

    kind: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    message: str


class LeftOut(Event):
    """Something of the input that is not used, and why."""

    kind: Literal["left_out"] = "left_out"
    what: str
    reason: str


class Published(Event):
    """A plain file appeared in the run's folder, under this relative path (an adapter, a clip on the way)."""

    kind: Literal["published"] = "published"
    path: str


class Fetched(Event):
    """Something was downloaded or built in the fetch phase."""

    kind: Literal["fetched"] = "fetched"
    what: str
    bytes: int = 0
    seconds: float = 0.0


AnyEvent = Annotated[
    Union[  # noqa: UP007 - a discriminated union reads best spelt out
        RunStarted, RunFinished, NodePlanned, NodeStarted, NodeWaiting, NodeFinished, ItemFinished, Progress, Metrics,
        Log, LeftOut, Published, Fetched,
    ],
    Field(discriminator="kind"),
]  # fmt: skip

Listener = Callable[[Event], None]


def read_event(line: str) -> Event:
    """Read one line of `events.jsonl`.

    Raises:
        pydantic.ValidationError: it is no event of this version.
    """
    event: Event = _adapter().validate_json(line)
    return event


def _adapter() -> TypeAdapter[Any]:
    global _ADAPTER
    if _ADAPTER is None:
        _ADAPTER = TypeAdapter(AnyEvent)
    return _ADAPTER


_ADAPTER: TypeAdapter[Any] | None = None


class Bus:
    """Hands every event to every listener, in the order in which they were added, one event at a time."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()

    def listen(self, listener: Listener) -> None:
        """Add a listener; it is called in the thread that emits, of which there may be several."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Hand an event to all listeners."""
        with self._lock:
            for listener in self._listeners:
                listener(event)
