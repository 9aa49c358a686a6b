"""Two graphs, two runs, or one of each, side by side: what `vflow diff` shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vflow.engine.cli.text import duration
from vflow.engine.difference import GraphDifference, graph_difference
from vflow.engine.folder import EVENTS, GRAPH
from vflow.engine.following import NodeRun, origins
from vflow.engine.history import PastRun, find_run, past_runs
from vflow.engine.load import Loaded, load, shipped_graphs
from vflow.engine.problems import GraphError, errors, suggest

Metric = tuple[int, float]  # step, value
_LOWEST = ", lowest"


@dataclass
class Side:
    """One of the two things compared: a graph as resolved, and the run where it is one."""

    name: str
    graph: Loaded
    run: PastRun | None = None
    profiles: tuple[str, ...] = ()


@dataclass
class NodePair:
    """How one node went in two runs; a side is None where the run did not have it.

    `equal` tells whether both have the same key, and so the same result by definition; None where that is not known.
    """

    name: str
    states: tuple[str | None, str | None]
    seconds: tuple[float | None, float | None]
    equal: bool | None


@dataclass
class Comparison:
    """What differs between two sides. `metrics` maps a name to the (step, value) that each run has of it, if any."""

    sides: tuple[Side, Side]
    graph: GraphDifference
    nodes: list[NodePair] = field(default_factory=list)
    metrics: dict[str, tuple[Metric | None, Metric | None]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """True when nothing differs that decides results: no part of the graphs, no key, no metric."""
        return (
            not self.graph
            and all(pair.equal is not False and None not in pair.states for pair in self.nodes)
            and all(one == other for one, other in self.metrics.values())
        )

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "equal": self.equal,
            "sides": [_side_data(side) for side in self.sides],
            "graph": vars(self.graph),
            "nodes": {pair.name: _pair_data(pair) for pair in self.nodes},
            "metrics": {name: [_metric_data(one) for one in both] for name, both in self.metrics.items()},
        }


def compare(one: Side, other: Side) -> Comparison:
    """Compare two sides; nodes and metrics only where both are runs."""
    found = Comparison((one, other), graph_difference(one.graph, other.graph))
    if one.run is not None and other.run is not None:
        found.nodes = list(_pairs(one.run, other.run))
        mine, theirs = _all_figures(one.run), _all_figures(other.run)
        both = {name: (mine.get(name), theirs.get(name)) for name in dict.fromkeys([*mine, *theirs])}
        # the lowest loss is worth a line where it is not the last one
        found.metrics = {
            name: pair
            for name, pair in both.items()
            if pair != both.get(name.removesuffix(_LOWEST), pair) or not name.endswith(_LOWEST)
        }
    return found


def find_side(name: str, profiles: Sequence[str] = (), sets: Sequence[str] = ()) -> Side:
    """Find a run (its folder, its name below `runs/`, `last`) or a graph (a file, or the name of one that ships).

    `profiles` and `sets` are for graphs: a run's graph has them filled in already.

    Raises:
        GraphError: there is neither, or the graph cannot be read as asked for.
    """
    path = Path(name)
    if name == "last" or (path / EVENTS).is_file() or (not path.is_file() and (Path("runs") / name / EVENTS).is_file()):
        return _run_side(find_run(name))
    if not path.is_file() and name not in shipped_graphs():
        known = [*shipped_graphs(), *(run.name for run in past_runs(Path("runs")))]
        remedy = suggest(name, known, "name a graph file, a graph that ships, or a run (`vflow runs` lists them)")
        raise GraphError(f"there is no graph and no run {name!r}", remedy)
    return Side(name, _load(name, profiles, sets), profiles=tuple(profiles))


def _run_side(run: PastRun) -> Side:
    began = next(run.events("run_started"), {})
    path = run.path / GRAPH
    graph = _load(str(path), (), ()) if path.is_file() else Loaded()
    return Side(str(run.path), graph, run, tuple(began.get("profiles", ())))


def _load(name: str, profiles: Sequence[str], sets: Sequence[str]) -> Loaded:
    loaded = load(name, profiles, sets)
    wrong = errors(loaded.problems)
    # a graph with mistakes can be compared all the same, unless what was asked for does not exist in it
    if not loaded.graph.nodes or any(problem.file.startswith("--") for problem in wrong):
        raise GraphError(wrong) if wrong else GraphError(f"{name} has no nodes", "is this a graph?")
    return loaded


def _pairs(one: PastRun, other: PastRun) -> Iterable[NodePair]:
    for name in dict.fromkeys([*one.nodes, *other.nodes]):
        mine, theirs = one.nodes.get(name, {}), other.nodes.get(name, {})
        keys = (one.keys.get(name), other.keys.get(name))
        equal = None if None in keys else keys[0] == keys[1]
        states = mine.get("state"), theirs.get("state")
        yield NodePair(name, states, (mine.get("seconds"), theirs.get("seconds")), equal)


def _all_figures(run: PastRun) -> dict[str, Metric]:
    """Return the figures of a run, and those of what it reused as the run that computed it told them."""
    counts = {name: node.get("items", {}) for name, node in run.nodes.items()}
    nodes = {
        name: NodeRun(state=str(node.get("state", "")), reused=int(counts[name].get("reused", 0)))
        for name, node in run.nodes.items()
    }
    found: dict[str, Metric] = {}
    for origin in reversed(origins(run.path, nodes)):
        found |= _figures(PastRun(origin.folder), set(origin.nodes.values()))
    return found | _figures(run)


def _figures(run: PastRun, nodes: Collection[str] | None = None) -> dict[str, Metric]:
    """Return the last value of every metric (of some nodes), and of losses the lowest too."""
    last: dict[str, Metric] = {}
    lowest: dict[str, Metric] = {}
    for event in run.events("metrics"):
        for name, value in event["values"].items() if nodes is None or event.get("node", "") in nodes else ():
            last[name] = (event["step"], value)
            if "loss" in name and not (name in lowest and lowest[name][1] <= value):
                lowest[name] = (event["step"], value)
    found: dict[str, Metric] = {}
    for name, metric in last.items():
        found[name] = metric
        if name in lowest:
            found[name + _LOWEST] = lowest[name]
    return found


# --- in words --------------------------------------------------------------------------------------------------------


def side_words(side: Side) -> str:
    """Return what a side is in a line: graph, profiles, how the run ended; what it failed of in a second line."""
    told = f"{side.name}: {side.graph.graph.name}"
    told += f", profiles {', '.join(side.profiles)}" if side.profiles else ""
    if side.run is None:
        return told
    told += f", {side.run.status}" + (f" in {duration(side.run.seconds)}" if side.run.seconds is not None else "")
    return f"{told}\n     {side.run.failure}" if side.run.failure else told


def node_rows(pairs: Iterable[NodePair]) -> list[tuple[str, str, str, str]]:
    """Return a row for each node: its name, how it went on either side, whether its key is the same."""
    words = {True: "same key", False: "another key", None: ""}
    rows = []
    for pair in pairs:
        one, other = (
            "-" if state is None else f"{state} {duration(seconds)}" if seconds else state
            for state, seconds in zip(pair.states, pair.seconds, strict=True)
        )
        rows.append((pair.name, one, other, words[pair.equal]))
    return rows


def metric_rows(metrics: dict[str, tuple[Metric | None, Metric | None]]) -> list[tuple[str, str, str, str]]:
    """Return a row for each metric: its name, its last value on either side, and by how much these differ."""

    def shown(metric: Metric | None) -> str:
        return "-" if metric is None else f"{metric[1]:.6g} (step {metric[0]})"

    rows = []
    for name, (one, other) in metrics.items():
        apart = f"{other[1] - one[1]:+.3g}" if one and other and one[1] != other[1] else ""
        rows.append((name, shown(one), shown(other), apart))
    return rows


# --- as data ---------------------------------------------------------------------------------------------------------


def _side_data(side: Side) -> dict[str, Any]:
    told: dict[str, Any] = {"name": side.name, "graph": side.graph.graph.name, "profiles": list(side.profiles)}
    if side.run is not None:
        told |= {"status": side.run.status, "seconds": side.run.seconds, "failure": side.run.failure}
    return told


def _pair_data(pair: NodePair) -> dict[str, Any]:
    return {"states": list(pair.states), "seconds": list(pair.seconds), "same_key": pair.equal}


def _metric_data(metric: Metric | None) -> dict[str, Any] | None:
    return None if metric is None else {"step": metric[0], "value": metric[1]}
