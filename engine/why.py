"""Why a node runs: what changed since it last ran, in words.

Only nodes that run are compared, and only with what `past` kept of them; where the store has lost that, its records
are asked, and where the graph never ran, another graph with the same nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vflow.engine.difference import all_words, list_difference
from vflow.engine.past import Past, Was, describe
from vflow.engine.steps import Step
from vflow.engine.values import Item, Items

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.plan import Plan

Nodes = Callable[[str], Was | None]

_UNDECIDED = 500  # undecided nodes that are explained ahead
_ON_A_LINE = 3
_SHORT = 12


class Why:
    """Explains the steps of one plan. `past` is what the nodes were, and takes note of what they become."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._plan, self._world = plan, world
        self.past = Past(world.store, plan, world.labels)
        self._told: set[str] = set()

    def explain_all(self) -> None:
        """Explain every wanted step that runs, or may run, as far as it can be told before the run."""
        undecided = 0
        for step in self._plan.pending():
            undecided += step.state == "undecided"
            if step.state == "run" or undecided <= _UNDECIDED:
                self.explain(step)

    def explain(self, step: Step) -> None:
        """Put into `step.why` why it runs: one line, or a line and what belongs below it."""
        step.why = self._lines(step)
        if step.state == "run":
            self._told.add(step.name)

    def begun(self, step: Step) -> str:
        """Return in one line why a step runs that is about to be computed, and take note that it is."""
        if step.name not in self._told:
            self.explain(step)
        self.past.started(step, self._run_name)
        return one_line(step.why)

    def ended(self) -> None:
        """Take note of what every node is, now that the run is over."""
        self.past.finished(self._run_name)

    @property
    def _run_name(self) -> str:
        folder = self._world.folder
        return folder.path.name if folder is not None else ""

    def _lines(self, step: Step) -> list[str]:
        if step.reason == "forced":
            return ["forced"]
        if step.stale:
            return [f"computed with {step.stale}"]
        was = self.past.was(step.name) or self._recorded.get(step.name)
        if was is not None and was.key + was.type:
            return self._since(step, was)
        if step.state == "undecided":
            return []
        if "missing from the store" in step.reason:
            return [step.reason]
        return self._unlike_elsewhere(step) or ["never run before"]

    @cached_property
    def _recorded(self) -> dict[str, Was]:
        return self.past.from_records()

    @cached_property
    def _elsewhere(self) -> tuple[str, dict[str, Was]]:
        known = any(self.past.was(name) for name in self._plan.steps)
        return ("", {}) if known else self.past.elsewhere()

    def _unlike_elsewhere(self, step: Step) -> list[str]:
        """Say what differs from the same node of another graph, for a graph that never ran (a copy, most likely)."""
        graph, nodes = self._elsewhere
        was = nodes.get(step.name)
        if was is None or not was.key or was.type != type(step.node).__name__:
            return []
        found = _Comparison(self._plan, self.past, step, was, graph, nodes.get).changed()
        return [f"never run before; unlike in {graph}, {_run(was)}", *found] if found else []

    def _since(self, step: Step, was: Was) -> list[str]:
        compared = _Comparison(self._plan, self.past, step, was, self.past.graph, self.past.was)
        changed = compared.changed()
        lines = [f"{changed[0]} since {_run(was)}"] if len(changed) == 1 else []
        if len(changed) > 1:
            lines = [f"changed since {_run(was)}", *changed]
        if step.state == "undecided":
            return lines
        return lines + list(compared.lost()) or ["not computed yet"]


class _Comparison:
    """One step against what it was in a graph; `nodes` tells what that graph's other nodes were."""

    def __init__(self, plan: Plan, past: Past, step: Step, was: Was, graph: str, nodes: Nodes) -> None:
        self.plan, self.past, self.step, self.was, self.graph, self.nodes = plan, past, step, was, graph, nodes
        self.inputs = step.inputs
        self._lists: dict[str, list[tuple[str, str]] | None] = {}
        if step.state == "undecided":
            observed = {port.name for port in step.node.ports.values() if port.observed}
            self.inputs = {port: value for port, value in plan.inputs_of(step).items() if port not in observed}
            items = self.inputs.get(step.node.per_item)
            if isinstance(items, Items):  # with what the node itself adds
                more = [Item(row, value) for row, value in step.node.also(items).items() if row not in items.rows]
                self.inputs[step.node.per_item] = items + Items(more)

    def changed(self) -> list[str]:
        """Return every change of type, version, settings and inputs, in words."""
        step, was = self.step, self.was
        kind = type(step.node)
        if was.type != kind.__name__:
            return [f"type {was.type} → {kind.__name__}"]
        found = [f"version {was.version} → {kind.version}"] if was.version != kind.version else []
        settings = all_words(was.settings, step.node.key_settings())
        found += [", ".join(settings)] if 0 < len(settings) <= _ON_A_LINE else settings
        vague: list[str] = []
        for port in dict.fromkeys([*was.ports, *self.inputs]):
            line, told = self._input(port)
            if line:
                (found if told else vague).append(f"input {port}{line}")
        return found or vague

    def lost(self) -> Iterator[str]:
        """Yield what is said of results that were there under the same key."""
        step, was = self.step, self.was
        per_item = step.node.per_item
        if not per_item:
            if was.key == step.key:
                yield f"not finished in {_run(was)}" if was.unfinished else "result missing from the store"
            return
        if was.key != step.key or (listed := self._listed(per_item)) is None:
            return
        before = {identity for _, identity in listed}
        if gone := sum(identity in before for identity in self._missing):
            items = "1 item" if gone == 1 else f"{gone:,} items"
            results = "1 result" if gone == 1 else f"{gone:,} results"
            yield f"{items} not finished in {_run(was)}" if was.unfinished else f"{results} missing from the store"

    def _input(self, port: str) -> tuple[str, bool]:
        """Return how an input changed, if it did, and whether that says what is behind it."""
        now, then = self.inputs.get(port), self.was.ports.get(port)
        if now is None:
            return (" is not linked any more", True) if port not in self.step.bound.links else ("", False)
        if then is None:
            return " is new", True
        if isinstance(now, Items):
            return self._list(port, now, then)
        if then["id"] == now.identity[:_SHORT]:
            return "", False
        told = all_words(then["is"], describe(now)) if "is" in then else []
        if not told:
            told = self._settings_behind(port)
        return (f": {', '.join(told)}", True) if told else (" came out otherwise", True)

    def _list(self, port: str, now: Items[Any], then: dict[str, Any]) -> tuple[str, bool]:
        if then["id"] and then["id"] == now.identity[:_SHORT]:
            return "", False
        listed = self._listed(port)
        if listed is None:
            return (" changed", True) if then["id"] else ("", False)
        difference = list_difference(listed, self.past.named(now))
        if not difference:
            return (": its rows or their order changed", False) if then["id"] else ("", False)
        if port == self.step.node.per_item and not self._any_new(listed):
            return "", False
        behind = self._settings_behind(port)
        return f": {difference}" + (f" ({', '.join(behind)})" if behind else ""), True

    def _any_new(self, listed: list[tuple[str, str]]) -> bool:
        """Tell whether a result that is missing belongs to an item that was not in the list before."""
        if self.step.state == "undecided" or self.was.key != self.step.key:
            return True
        before = {identity for _, identity in listed}
        return any(identity not in before for identity in self._missing)

    @cached_property
    def _missing(self) -> list[str]:
        """Short identities of the items whose results the store lacks."""
        records = self.step.records
        return [identity[:_SHORT] for identity, key in self.step.item_keys.items() if key not in records]

    def _listed(self, port: str) -> list[tuple[str, str]] | None:
        if port not in self._lists:
            self._lists[port] = self.past.items(self.graph, self.step.name, port, self.was)
        return self._lists[port]

    def _settings_behind(self, port: str) -> list[str]:
        """Return what changed in the settings of the light nodes behind an input."""
        stack = [link.node for link in self.step.bound.links.get(port, [])]
        seen: set[str] = set()
        found: list[str] = []
        while stack:
            name = stack.pop(0)
            step, was = self.plan.steps[name], self.nodes(name)
            if name in seen or not step.bound.type.light:
                continue
            seen.add(name)
            if was is not None and was.type == type(step.node).__name__:
                found += [f"{name}.{line}" for line in all_words(was.settings, step.node.key_settings())]
            stack += [link.node for links in step.bound.links.values() for link in links]
        return found


def one_line(why: list[str]) -> str:
    """Return reasons as one line: `changed since run X: version 1 → 2; input words: 1 added`."""
    return f"{why[0]}: {'; '.join(why[1:])}" if len(why) > 1 else "".join(why)


def _run(was: Was) -> str:
    name = f"run {was.run}" if was.run else "it last ran"
    return f"{name} ({ago(time.time() - was.time)})"


def ago(seconds: float) -> str:
    """Return how long ago in words: `12 s ago`, `3 h ago`."""
    for name, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (size < 86400 and seconds >= size):
            return f"{seconds / size:.0f} {name} ago"
    return f"{max(seconds, 0):.0f} s ago"
