"""Boxes in columns: which column each node stands in, and in which order, so that wires are short and cross little."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

_SWEEPS = 8


def columns(items: Sequence[Key], sources: Mapping[Key, Sequence[Key]]) -> list[list[Key]]:
    """Return the items in columns, each right of all its sources.

    `items` come in an order in which sources come first; a source that does not (a cycle) is not looked at. Items
    without any wire fill the columns from below, so that many of them do not make one tall column.
    """
    place = {item: index for index, item in enumerate(items)}
    above = {item: [s for s in dict.fromkeys(sources.get(item, ())) if place[s] < place[item]] for item in items}
    readers: dict[Key, list[Key]] = {item: [] for item in items}
    for item in items:
        for source in above[item]:
            readers[source].append(item)
    layer: dict[Key, int] = {}
    for item in items:
        layer[item] = max((layer[source] + 1 for source in above[item]), default=0)
    for item in reversed(items):
        # its wires to readers are made shorter, those from its sources longer by as much
        if readers[item] and len(above[item]) <= len(readers[item]):
            layer[item] = min(layer[reader] for reader in readers[item]) - 1
    alone = [item for item in items if not above[item] and not readers[item]]
    count = max(layer.values(), default=-1) + 1
    if alone:
        count = max(count, round(len(alone) ** 0.5))
        for index, item in enumerate(alone):
            layer[item] = index % count
    result: list[list[Key]] = [[] for _ in range(count)]
    for item in [*(one for one in items if one not in set(alone)), *alone]:
        result[layer[item]].append(item)
    return ordered(result, above, readers)


def ordered(
    layers: list[list[Key]], above: Mapping[Key, Sequence[Key]], below: Mapping[Key, Sequence[Key]]
) -> list[list[Key]]:
    """Return the columns with each in the order of the means of what its items are linked to, swept to and fro."""
    height: dict[Key, float] = {}

    def spread(layer: list[Key]) -> None:
        for index, item in enumerate(layer):
            height[item] = (index + 0.5) / len(layer)

    def mean(item: Key, linked: Sequence[Key]) -> float:
        return sum(height[one] for one in linked) / len(linked) if linked else height[item]

    for layer in layers:
        spread(layer)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        near = above if forward else below
        for layer in layers if forward else reversed(layers):
            weight = {item: mean(item, near[item]) for item in layer}
            layer.sort(key=weight.__getitem__)
            spread(layer)
    return layers
