"""What each node of a graph last was in a store: settings, inputs and items of its last run, kept to say what changed.

Facts of the store, so they may be lost at any time, and then only the answers are poorer:

- `last`: graph -> what its nodes were, in one row (ten thousand rows would cost more than the nodes);
- `last digest`: graph -> digest of that, so that a run in which nothing changed reads one short row and writes none;
- `last items`: graph/node/port -> names and identities of a long list, packed; a short one stands in the row;
- `last graphs`: names of the graphs that ran, the latest first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vflow.engine.difference import SAME
from vflow.engine.values import Artifact, Blob, Items, Value

if TYPE_CHECKING:
    from vflow.engine.plan import Plan
    from vflow.engine.steps import Step
    from vflow.engine.store import Store

_LAST, _DIGEST, _ITEMS, _GRAPHS = "last", "last digest", "last items", "last graphs"
_SHORT = 12  # hexadecimal digits of an identity that are kept
_LARGEST = 20_000  # letters of one described value
_FEW = 50  # items that stand in the row
_OLD_GRAPHS = 8
_FLUSH_SECONDS = 0.25
_SCAN_SECONDS = 1.0


@dataclass(frozen=True)
class Was:
    """What a node was. `results` stands for the keys of all its results. `time` in seconds since the epoch.

    `ports` maps a port to `{"id": short identity}` ("" for the list that a per-item node works on), with `"is"`, a
    described recipe, or `"list"`, how many items it had, and `"items"` where those are few. A light node has its
    settings only.
    """

    type: str
    version: int
    settings: dict[str, Any]
    key: str = ""
    results: str = ""
    ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: str = ""
    time: float = 0.0
    unfinished: bool = False

    @classmethod
    def read(cls, data: Any) -> Was | None:
        """Make it from a fact; None where that is something else."""
        try:
            was = cls(**data)
        except TypeError:
            return None
        inside = was.ports.values() if isinstance(was.ports, dict) else [None]
        right = isinstance(was.settings, dict) and all(isinstance(port, dict) and "id" in port for port in inside)
        texts = all(isinstance(text, str) for text in (was.type, was.key, was.run))
        return was if right and texts and isinstance(was.time, (int, float)) else None


class Past:
    """Reads what the nodes of a plan's graph were, and writes what they are now. Safe to use from several threads."""

    def __init__(self, store: Store, plan: Plan, labels: Mapping[str, str]) -> None:
        self.graph = plan.loaded.graph.name
        self._store, self._plan, self._labels = store, plan, labels
        self._nodes: dict[str, Any] | None = None
        self._new: dict[str, dict[str, Any]] = {}
        self._unwritten: set[str] = set()
        self._lists: dict[str, Any] = {}
        self._flushed, self._flush_cost = 0.0, 0.0
        self._lock = threading.RLock()

    # --- reading ---------------------------------------------------------------------------------------------------

    def was(self, name: str) -> Was | None:
        """Return what a node of this graph last was."""
        data = self._known().get(name)
        return Was.read(data) if data is not None else None

    def items(self, graph: str, node: str, port: str, was: Was) -> list[tuple[str, str]] | None:
        """Return (name, short identity) of the list that last stood at a port; None where that is not known."""
        listed = was.ports.get(port, {})
        if "list" not in listed:
            return None
        if "items" in listed:
            return _from_text(listed["items"])
        packed = self._store.recall(_ITEMS, f"{graph}/{node}/{port}")
        return _unpacked(packed) if isinstance(packed, str) else None

    def elsewhere(self) -> tuple[str, dict[str, Was]]:
        """Return another graph that ran in this store, and its nodes: that with the most nodes in common, or ""."""
        graphs = self._other_graphs()
        rows = self._store.recall_many(_LAST, graphs)
        mine = {(name, step.bound.type.__name__) for name, step in self._plan.steps.items()}
        best: tuple[int, str, dict[str, Was]] = (0, "", {})
        for graph in graphs:
            found = {name: was for name, data in _entries(rows.get(graph)).items() if (was := Was.read(data))}
            common = sum((name, was.type) in mine for name, was in found.items() if was.key)
            best = max(best, (common, graph, found), key=lambda one: one[0])
        return best[1:]

    def from_records(self) -> dict[str, Was]:
        """Return what the store's records tell of this graph's nodes, where no graph left a fact (the index was lost).

        Reading them all would take long in a large store: it stops after a second.
        """
        if self._store.recall(_GRAPHS, "") is not None:
            return {}
        latest: dict[str, Any] = {}
        deadline = time.monotonic() + _SCAN_SECONDS
        for record in self._store.entries():
            if record.graph == self.graph and record.node in self._plan.steps:
                known = latest.get(record.node)
                if known is None or known.created < record.created:
                    latest[record.node] = record
            if time.monotonic() > deadline:
                break
        return {name: self._from_record(name, record) for name, record in latest.items()}

    def _from_record(self, name: str, record: Any) -> Was:
        per_item = self._plan.steps[name].bound.type.per_item
        ports = {port: {"id": "" if port == per_item else str(i)[:_SHORT]} for port, i in record.inputs.items()}
        key = "" if per_item else record.key
        return Was(record.node_type, record.version, dict(record.settings), key, key, ports, time=record.created)

    def _known(self) -> dict[str, Any]:
        with self._lock:
            if self._nodes is None:
                self._nodes = self._row(self.graph)
            return self._nodes

    def _other_graphs(self) -> list[str]:
        known = self._store.recall(_GRAPHS, "")
        return [str(name) for name in known if name != self.graph] if isinstance(known, list) else []

    def _row(self, graph: str) -> dict[str, dict[str, Any]]:
        return _entries(self._store.recall(_LAST, graph))

    # --- writing ---------------------------------------------------------------------------------------------------

    def started(self, step: Step, run: str) -> None:
        """Take note that a node is being computed; it is written soon, since a kill may come at any time."""
        with self._lock:
            self._note(step, run, unfinished=True)
            # with a large graph a row takes long: not more than a fiftieth of the time
            if time.monotonic() - self._flushed > max(_FLUSH_SECONDS, 50 * self._flush_cost):
                self._flush()

    def finished(self, run: str) -> None:
        """Take note of what every node of the plan is now that the run has ended; writes what changed."""
        with self._lock:
            steps = [step for step in self._plan.steps.values() if step.state in ("reused", "computed")]
            # what light nodes were belongs to what stands below them: not while that is not done
            light = [] if self._plan.pending() else [s for s in self._plan.steps.values() if s.state == "light"]
            heads = {step.name: _head(step) for step in light}
            digest = _digest_of(steps, heads)
            if not self._new and self._store.recall(_DIGEST, self.graph) == digest:
                return
            for step in steps:
                self._note(step, run, unfinished=False)
            for name, head in heads.items():
                self._keep(name, {**head, "run": run, "time": round(time.time(), 1)})
            self._flush(digest)

    def _note(self, step: Step, run: str, *, unfinished: bool) -> None:
        results = step.results_key
        known = self._new.get(step.name) or self._known().get(step.name) or {}
        if known.get("results") == results and known.get("unfinished", False) == unfinished:
            return
        now = {"run": run, "time": round(time.time(), 1), "unfinished": unfinished}
        if known.get("results") == results and step.name in self._new:
            self._keep(step.name, {**known, **now})
            return
        self._keep(step.name, {**_head(step), "key": step.key, "results": results, "ports": self._ports(step), **now})

    def _keep(self, name: str, entry: dict[str, Any]) -> None:
        known = self._new.get(name) or self._known().get(name) or {}
        if {**known, "run": "", "time": 0} != {**entry, "run": "", "time": 0}:
            self._new[name] = entry
            self._unwritten.add(name)

    def _ports(self, step: Step) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for port, value in step.inputs.items():
            if isinstance(value, Items):
                # the list that a per-item node works on may be long, and only its items count
                found[port] = {"id": "" if port == step.node.per_item else value.identity[:_SHORT], "list": len(value)}
                text = _to_text(self.named(value))
                if len(value) <= _FEW:
                    found[port]["items"] = text
                else:
                    self._lists[f"{self.graph}/{step.name}/{port}"] = _packed(text)
            elif value is not None:
                found[port] = {"id": value.identity[:_SHORT]}
                if not isinstance(value, Artifact) and len(json.dumps(described := describe(value))) < _LARGEST:
                    found[port]["is"] = described
        return found

    def named(self, items: Items[Any]) -> list[tuple[str, str]]:
        """Return (name for people, short identity) of each item of a list."""
        labels = self._labels
        names = (labels.get(row) or labels.get(value.identity) or row for row, value in items.items())
        return [
            (name if name.isprintable() else " ".join(name.split()), value.identity[:_SHORT])
            for name, value in zip(names, items, strict=True)
        ]

    def _flush(self, digest: str = "") -> None:
        started = time.monotonic()
        if self._unwritten:
            row = self._row(self.graph)  # another run of this graph may have written meanwhile
            kept = {name: was for name, was in row.items() if name in self._plan.steps}
            self._store.record_facts(_ITEMS, self._lists)
            self._store.record_fact(_LAST, self.graph, kept | {name: self._new[name] for name in self._unwritten})
            self._store.record_fact(_GRAPHS, "", [self.graph, *self._other_graphs()][:_OLD_GRAPHS])
            self._unwritten.clear()
            self._lists.clear()
        self._store.record_fact(_DIGEST, self.graph, digest)
        self._flushed = time.monotonic()
        self._flush_cost = self._flushed - started


def describe(value: Any) -> Any:
    """Return a value as plain data for telling what differs: recipes by field, results by identity only."""
    if isinstance(value, (Artifact, Blob, Items)):
        return {SAME: value.identity[:_SHORT]}
    if isinstance(value, Value):
        fields = {name: describe(inside) for name, inside in value.described().items()}
        return {"type": type(value).__name__, **fields, SAME: value.identity[:_SHORT]}
    if isinstance(value, Mapping):
        return {str(name): describe(inside) for name, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(inside) for inside in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _entries(row: Any) -> dict[str, dict[str, Any]]:
    """Return what a row has of nodes: whatever else stands in it, another version wrote."""
    return {name: entry for name, entry in row.items() if isinstance(entry, dict)} if isinstance(row, dict) else {}


def _head(step: Step) -> dict[str, Any]:
    kind = type(step.node)
    return {"type": kind.__name__, "version": kind.version, "settings": step.node.key_settings()}


def _digest_of(steps: Iterable[Step], heads: Mapping[str, Any]) -> str:
    lines = "".join(f"{step.name} {step.results_key}\n" for step in steps)
    return hashlib.sha256((lines + json.dumps(heads)).encode()).hexdigest()


def _to_text(items: list[tuple[str, str]]) -> str:
    return "\n".join([identity + name for name, identity in items])


def _from_text(text: str) -> list[tuple[str, str]]:
    return [(line[_SHORT:], line[:_SHORT]) for line in text.split("\n") if line]


def _packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 1)).decode()


def _unpacked(packed: str) -> list[tuple[str, str]] | None:
    try:
        return _from_text(zlib.decompress(base64.b64decode(packed)).decode())
    except (ValueError, binascii.Error, zlib.error):
        return None
