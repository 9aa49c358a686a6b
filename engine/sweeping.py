"""A sweep: the runs of a grid of parameters, and what came of each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from vflow.engine.folder import SUMMARY
from vflow.engine.history import read_run
from vflow.engine.problems import GraphError, Problem

#: What a sweep leaves in its folder.
RESULTS = "sweep.json"
#: A grid of more points is taken for a slip.
MAX_POINTS = 1000
#: The metrics that results are told by: the first of these names that anything has.
TOLD = ("eval/loss", "train/loss")

_LONGEST_LABEL = 100
_CLOSING = {"[": "]", "{": "}"}


# --- the grid --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One run of a grid. `values` maps each parameter to its value as it was written; `label` names the folder."""

    label: str
    values: Mapping[str, str]

    @property
    def sets(self) -> tuple[str, ...]:
        """The values as `--set` takes them."""
        return tuple(f"{name}={value}" for name, value in self.values.items())


def split(text: str) -> list[str]:
    """Return the values in `8,16,32`: split at each comma that is in no quotes and in no brackets.

    Quotes count where a value begins, as in YAML: the apostrophe of `a dog's bone` is none.
    """
    values, brackets, quote, fresh, at = [""], "", "", True, 0
    while at < len(text):
        pair = text[at : at + 2]
        is_escaped = pair == "''" if quote == "'" else pair[0] == "\\" and quote == '"'
        letter = pair if is_escaped else text[at]
        at += len(letter)
        if letter == "," and not quote and not brackets:
            values.append("")
            fresh = True
            continue
        values[-1] += letter
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and fresh:
            quote = letter
        elif letter in _CLOSING:
            brackets += _CLOSING[letter]
        elif letter == brackets[-1:]:
            brackets = brackets[:-1]
        fresh = letter in "[{,:" or (fresh and letter == " ")
    return [value.strip() for value in values]


def grid(sets: Sequence[str]) -> list[Point]:
    """Return the points of a grid, from texts of `name=value,value,...`: the last parameter changes fastest.

    Raises:
        GraphError: a text says nothing, a parameter is named twice, or there are too many points.
    """
    axes = _axes(sets)
    count = prod(map(len, axes.values()))
    if count > MAX_POINTS:
        raise GraphError(f"this grid has {count:,} points", f"sweep over at most {MAX_POINTS:,} at a time")
    varied = [name for name, values in axes.items() if len(values) > 1] or list(axes)
    points: dict[str, Point] = {}
    for values in product(*axes.values()):
        named = dict(zip(axes, values, strict=True))
        label = _label({name: named[name] for name in varied})
        number = 2
        while label in points:
            label, number = f"{label.rpartition('~')[0] or label}~{number}", number + 1
        points[label] = Point(label, named)
    return list(points.values())


def _axes(sets: Sequence[str]) -> dict[str, list[str]]:
    problems: list[Problem] = []
    axes: dict[str, list[str]] = {}
    for text in sets:
        name, equals, given = text.partition("=")
        values = list(dict.fromkeys(split(given)))
        if not equals:
            problems.append(Problem("this sets nothing", "write --set name=value,value", file=f"--set {text}"))
        elif name in axes:
            told = f"the parameter {name!r} is set twice"
            problems.append(Problem(told, "write its values in one --set, with commas", file=f"--set {text}"))
        elif "" in values and len(values) > 1:
            remedy = "write '' for an empty text, null for no value"
            problems.append(Problem("a value is missing beside a comma", remedy, file=f"--set {text}"))
        else:
            axes[name] = values
    if not sets:
        problems.append(Problem("there is nothing to sweep over", "write --set name=value,value"))
    if problems:
        raise GraphError(problems)
    return axes


def _label(values: Mapping[str, str]) -> str:
    text = ",".join(f"{name}={value}" for name, value in values.items())
    text = re.sub(r"[^A-Za-z0-9_.,=+-]+", "_", text).lstrip(".-")
    return (text or "run")[:_LONGEST_LABEL]


# --- results ---------------------------------------------------------------------------------------------------------


@dataclass
class Figure:
    """The last and the lowest value of a metric, each with its step; `lowest` is None where only the last is known."""

    step: int
    last: float
    lowest_step: int | None = None
    lowest: float | None = None

    def with_other(self, other: Figure) -> Figure:
        """Return what two runs on the same work know together."""
        newest = max(self, other, key=lambda one: one.step)
        known = [one for one in (self, other) if one.lowest is not None]
        low = min(known, key=lambda one: (one.lowest, one.lowest_step), default=newest)
        return Figure(newest.step, newest.last, low.lowest_step, low.lowest)


#: node -> metric -> figure
Figures = dict[str, dict[str, Figure]]


@dataclass
class Result:
    """What came of one point. `status` is a run's, `refused` where the graph is wrong with it, or `not run`."""

    label: str
    params: dict[str, Any]
    status: str = "not run"
    seconds: float | None = None
    saved_seconds: float | None = None
    folder: str = ""
    failure: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Figure]:
        """The figures by the metric's name; where several nodes have it, `node: metric`."""
        names = [name for found in self.figures.values() for name in found]
        return {
            name if names.count(name) == 1 else f"{node}: {name}": figure
            for node, found in self.figures.items()
            for name, figure in found.items()
        }

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        told = {name: vars(self)[name] for name in ("label", "params", "status", "seconds", "saved_seconds", "folder")}
        metrics = {name: asdict(figure) for name, figure in self.metrics.items()}
        return {**told, **({"failure": self.failure} if self.failure else {}), "metrics": metrics}


def told_by(results: Iterable[Result]) -> list[str]:
    """Return the metrics worth a column: every evaluation loss that a result has, else every training loss."""
    names = list(dict.fromkeys(name for result in results for name in result.metrics))
    for told in TOLD:
        if found := [name for name in names if name == told or name.endswith(f": {told}")]:
            return found
    return []


class Ledger:
    """What is known of the figures of work that was done before, by its key: a run that reuses it measures nothing.

    `folders` are the places where runs and sweeps lie; `recorded` tells the final figures in the store's record of a
    key.
    """

    def __init__(self, folders: Iterable[Path], recorded: Callable[[str], Mapping[str, float] | None]) -> None:
        self._folders, self._recorded = list(folders), recorded
        self._known: dict[str, dict[str, Figure]] | None = None

    def read(self, folder: Path, result: Result) -> None:
        """Fill in a result from the folder of its run."""
        run = read_run(folder)
        summary = _read_json(folder / SUMMARY)
        result.status, result.seconds, result.failure = run.status, run.seconds, run.failure
        result.saved_seconds, result.keys = summary.get("saved_seconds"), run.keys
        measured = _measured(folder)
        for node, key in run.keys.items():
            known = self._before().get(key, {})
            figures = _merged(known, measured.get(node, {}))
            if not figures and run.nodes.get(node, {}).get("state") == "reused":
                figures = _final(self._recorded(key))
            if figures:
                result.figures[node] = figures
                self._before()[key] = figures

    def _before(self) -> dict[str, dict[str, Figure]]:
        if self._known is None:
            self._known = {}
            for folder in self._folders:
                for key, figures in _of_folder(folder):
                    self._known[key] = _merged(self._known.get(key, {}), figures)
        return self._known


def write_results(folder: Path, graph: str, results: Sequence[Result]) -> None:
    """Write what is known so far into the sweep's folder."""
    partial = folder / f".{RESULTS}.part"
    data = {"graph": graph, "points": [asdict(result) for result in results]}
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / RESULTS)


def _of_folder(folder: Path) -> Iterator[tuple[str, dict[str, Figure]]]:
    """Yield key and figures of the work done by runs and sweeps in a folder."""
    for path in sorted({folder / RESULTS, *folder.glob(f"*/{RESULTS}")}):
        for point in _read_json(path).get("points", ()):
            with suppress(KeyError, TypeError, AttributeError):  # of another version
                for node, figures in point["figures"].items():
                    yield point["keys"][node], {name: Figure(**figure) for name, figure in figures.items()}
    for path in sorted(folder.glob(f"*/{SUMMARY}")):
        summary = _read_json(path)
        nodes, keys = summary.get("nodes", {}), summary.get("keys", {})
        worked = [node for node in keys if nodes.get(node, {}).get("state") not in ("reused", "light", None)]
        measured = _measured(path.parent) if worked else {}
        yield from ((keys[node], measured[node]) for node in worked if node in measured)


def _measured(folder: Path) -> Figures:
    """Return the figures that a run's process measured, from its events since it last began."""
    from vflow.engine.folder import EVENTS
    from vflow.engine.watching import Tail, last_start

    found: Figures = {}
    events = folder / EVENTS
    for line in Tail(events, last_start(events)).lines():
        if '"kind":"metrics"' not in line:
            continue
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # cut off by a crash
            event = json.loads(line)
            mine = found.setdefault(event["node"], {})
            for name, value in event["values"].items():
                if name.startswith(TOLD) and value == value:
                    new = {name: Figure(event["step"], value, event["step"], value)}
                    mine |= _merged({name: mine[name]} if name in mine else {}, new)
    return found


def _final(figures: Mapping[str, float] | None) -> dict[str, Figure]:
    """Return final figures as a node reports them, `{"step": 24, "eval/loss": 0.1}`."""
    if not figures or "step" not in figures:
        return {}
    step = int(figures["step"])
    return {name: Figure(step, value) for name, value in figures.items() if name.startswith(TOLD)}


def _merged(one: Mapping[str, Figure], other: Mapping[str, Figure]) -> dict[str, Figure]:
    both = {**one, **other}
    return {name: one[name].with_other(other[name]) if name in one and name in other else both[name] for name in both}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
