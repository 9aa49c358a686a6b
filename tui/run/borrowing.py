"""The metrics of what a run did not compute itself: they are told in the run that computed it, or computes it now."""

from __future__ import annotations

import time
from collections.abc import Mapping

from vflow.engine.following import Following, Series, origins

_AGAIN = 3.0  # seconds between two looks for a run that computes what this one waits for
_OVER = ("done", "failed", "interrupted", "died")


class Borrowing:
    """Finds the runs whose metrics stand for those that a run has none of. `look` is for the thread that reads."""

    def __init__(self, following: Following) -> None:
        self.following = following
        self.runs: tuple[Following, ...] = ()  #: the runs found, replaced as a whole
        self.nodes: Mapping[str, str] = {}  #: node -> name of the run that computed it
        self._theirs: set[str] = set()  # what those nodes are called there
        self._asked: object = None
        self._asked_at = 0.0

    @property
    def wanted(self) -> bool:
        """True where the run took something over of which it told no metric itself, as far as its log goes."""
        following = self.following
        told = {series.node for series in following.series.values()}
        taken = {name for name, run in following.nodes.items() if run.state in ("reused", "waiting")}
        return following.complete and following.known and bool(taken - told)

    @property
    def complete(self) -> bool:
        """True when all was read of the runs found."""
        return all(run.complete for run in self.runs)

    def look(self, budget_s: float) -> bool:
        """Look for the runs where that is due, and read on in them; returns whether anything changed."""
        if not self.wanted:
            changed = bool(self.runs)
            self.close()
            return changed
        changed, following = False, self.following
        states = {name: run.state for name, run in following.nodes.items()}
        due = "waiting" in states.values() and time.monotonic() - self._asked_at > _AGAIN
        if (asked := (following.status, states)) != self._asked or (due and not self.runs):
            self._asked, self._asked_at = asked, time.monotonic()
            changed = self._find()
        for run in self.runs:
            changed |= run.refresh(budget_s)
        return changed

    def _find(self) -> bool:
        found = origins(self.following.folder, self.following.nodes)
        nodes = {node: origin.folder.name for origin in found for node in origin.nodes}
        if nodes == self.nodes:
            return False
        known = {run.folder: run for run in self.runs}
        self.runs = tuple(
            known.pop(origin.folder) if origin.folder in known else Following(origin.folder) for origin in found
        )
        self.nodes, self._theirs = nodes, {there for origin in found for there in origin.nodes.values()}
        for run in known.values():
            run.close()
        return True

    @property
    def series(self) -> Mapping[str, Series]:
        """The run's metrics, by name, and those that were found for it."""
        found = [one for run in reversed(self.runs) for one in run.series.items() if one[1].node in self._theirs]
        return {**dict(found), **self.following.series}

    def close(self) -> None:
        """Let go of the runs."""
        for run in self.runs:
            run.close()
        self.runs, self.nodes, self._theirs, self._asked = (), {}, set(), None

    @property
    def whose(self) -> str:
        """Whose curves are shown, in words; nothing where they are the run's own."""
        nodes = self.following.nodes
        parts = []
        for node, run in self.nodes.items():
            waits = node in nodes and nodes[node].state == "waiting"
            parts.append(f"{node}{', computed now' if waits else ''}: curves of {run}")
        return "; ".join(parts)

    @property
    def nothing(self) -> str:
        """Why there are no metrics, in words; nothing while some may come, or are there."""
        following = self.following
        if following.series or self.runs or following.status not in _OVER or not following.complete:
            return ""
        reused = sum(run.state == "reused" for run in following.nodes.values())
        if not reused:
            return "no node of this run reported metrics"
        return f"no metrics: {reused} nodes were reused, and no run beside this one tells theirs"
