"""What a run counts: results computed and reused, seconds taken and saved, and the summary made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vflow.engine.events import NodeFinished, NodeState

if TYPE_CHECKING:
    from vflow.engine.steps import Step


@dataclass
class Count:
    """One node's count; seconds of its own work, and those that its reused results cost when they were computed."""

    computed: int = 0
    reused: int = 0
    seconds: float = 0.0
    saved_seconds: float = 0.0


@dataclass
class Tally:
    """The counts of a run's nodes. `broken` holds the nodes that failed or were interrupted, and their last state."""

    counts: dict[str, Count] = field(default_factory=dict)
    broken: dict[str, NodeState] = field(default_factory=dict)

    def of(self, step: Step) -> Count:
        """Return the count of a node."""
        return self.counts.setdefault(step.name, Count())

    def note_reused(self, step: Step, found: int) -> None:
        """Count what was found in the store."""
        count = self.of(step)
        count.reused, count.saved_seconds = found, step.saved_seconds

    @property
    def saved_seconds(self) -> float:
        """What all reused results cost when they were computed."""
        return sum(count.saved_seconds for count in self.counts.values())

    def finished(self, step: Step, state: NodeState) -> NodeFinished:
        """Make the event that says how a node ended."""
        count = self.of(step)
        return NodeFinished(
            node=step.name,
            state=state,
            seconds=count.seconds,
            computed=count.computed,
            reused=count.reused,
            left_out=len(step.left_out),
            saved_seconds=count.saved_seconds,
        )

    def summary(self, steps: Iterable[Step], status: str, seconds: float, failure: str) -> dict[str, Any]:
        """Return what `summary.json` holds."""
        steps = list(steps)
        found: dict[str, Any] = {
            "status": status,
            "seconds": round(seconds, 3),
            "saved_seconds": round(self.saved_seconds, 3),
            "nodes": {step.name: self._node(step) for step in steps},
            "keys": {step.name: step.results_key for step in steps if step.key},
        }
        return {**found, "failure": failure} if failure else found

    def _node(self, step: Step) -> dict[str, Any]:
        count = self.of(step)
        items = {"computed": count.computed, "reused": count.reused, "left_out": len(step.left_out)}
        return {"state": self._state(step), "items": items, "seconds": round(count.seconds, 3)}

    def _state(self, step: Step) -> str:
        if step.name in self.broken:
            return self.broken[step.name]
        if step.state == "computed" and not self.of(step).computed:
            return "reused"  # another process computed it, or an equal node
        if step.state in ("light", "reused", "computed", "failed"):
            return step.state
        return "skipped" if step.wanted else "not needed"
