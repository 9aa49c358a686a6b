"""Which metrics of a run belong into one chart, and what is said of each. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from vflow.engine.following import Series

_WORDS = {  # shorter, or with their unit
    "samples_per_second": "samples/s",
    "seconds_per_step": "s/step",
    "memory": "memory GiB",
    "gpu_memory": "gpu memory GiB",
}
_WITH = {"gpu memory GiB": "memory GiB"}
_FIRST = ("loss", "lr", "samples/s", "memory GiB", "grad_norm")
_AT = re.compile(r"(.+)_(\d[\d.e+-]*)")
_NODE = re.compile(r"(.+) \((.+)\)")


@dataclass(frozen=True)
class Group:
    """Metrics that are looked at together, by a short name: those of training and evaluation, and of several nodes."""

    name: str
    metrics: tuple[str, ...]


def group_of(metric: str) -> str:
    """Return the name of the group of a metric: `train/loss` and `eval/loss` are `loss`, `eval/loss_0.5` `loss at`."""
    plain = found[1] if (found := _NODE.fullmatch(metric)) else metric
    last = plain.rpartition("/")[2]
    if found := _AT.fullmatch(last):
        return f"{found[1]} at"
    word = _WORDS.get(last, last)
    return _WITH.get(word, word)


def groups(metrics: Iterable[str]) -> list[Group]:
    """Return the groups of some metrics, what one looks at first at the front."""
    found: dict[str, list[str]] = {}
    for metric in metrics:
        found.setdefault(group_of(metric), []).append(metric)
    names = sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return [Group(name, tuple(sorted(found[name], key=_training_first))) for name in names]


def _training_first(metric: str) -> tuple[bool, str]:
    return not metric.startswith("train/"), metric


@dataclass(frozen=True)
class Figure:
    """What a table says of a metric: its last value and its extremes, and values for a small curve."""

    name: str
    step: int
    last: float
    low: float
    high: float
    values: tuple[float, ...]


def short_names(metrics: Iterable[str]) -> dict[str, str]:
    """Return what each metric is called beside the others: `lr` for `train/lr`, where no other is called so."""
    ends = {metric: _WORDS.get(end := metric.rpartition("/")[2], end) for metric in metrics}
    several = Counter(ends.values())
    return {metric: end if several[end] == 1 else metric for metric, end in ends.items()}


def figure(name: str, series: Series, points: int) -> Figure | None:
    """Return the figure of a metric with about so many values for its curve; None while there is no value."""
    newest = series.newest
    found = [value for _, value in series.between(None, None, 4 * points)]
    if newest is None or not found:
        return None
    return Figure(name, newest[0], newest[1], min(found), max(found), tuple(_means(found, points)))


def figures(series: Mapping[str, Series], points: int) -> list[Figure]:
    """Return the figures of all metrics that have a value, group by group. It takes milliseconds for each."""
    order = [metric for group in groups(series) for metric in group.metrics]
    return [found for name in order if (found := figure(name, series[name], points)) is not None]


def _means(values: list[float], most: int) -> list[float]:
    if len(values) <= most:
        return values
    edges = [round(n * len(values) / most) for n in range(most + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]
