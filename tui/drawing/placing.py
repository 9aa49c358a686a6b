"""Rows of the boxes in their columns: near what they are linked to, in order, and none over another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key")

_SWEEPS = 4
#: A wire from a row of one item to a row of another: (source, row in it, target, row in it).
Pull = tuple[Key, int, Key, int]


def tops(
    layers: Sequence[Sequence[Key]], height: Mapping[Key, int], pulls: Sequence[Pull[Key]], between: int
) -> dict[Key, int]:
    """Return the first row of each item, from 0; items of a column lie at least `between` rows apart.

    Each is drawn to where most of its wires would be straight: to the median of the rows they come from, then go to.
    """
    into: dict[Key, list[tuple[Key, int]]] = {item: [] for layer in layers for item in layer}
    out_of: dict[Key, list[tuple[Key, int]]] = {item: [] for layer in layers for item in layer}
    for source, source_row, target, target_row in pulls:
        into[target].append((source, source_row - target_row))
        out_of[source].append((target, target_row - source_row))
    top: dict[Key, int] = {}
    for layer in layers:
        y = 0
        for item in layer:
            top[item] = y
            y += height[item] + between
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            _settle(layer, height, top, into if forward else out_of, between)
    _both_ways(layers, height, top, into, out_of, between)
    first = min(top.values(), default=0)
    return {item: y - first for item, y in top.items()}


def _settle(
    layer: Sequence[Key],
    height: Mapping[Key, int],
    top: dict[Key, int],
    linked: Mapping[Key, Sequence[tuple[Key, int]]],
    between: int,
) -> None:
    def wished(item: Key) -> tuple[float, float]:
        rows = sorted(top[other] + offset for other, offset in linked[item])
        if not rows:
            return float(top[item]), 0.1
        return (rows[(len(rows) - 1) // 2] + rows[len(rows) // 2]) / 2, float(len(rows))

    _in_order(layer, height, top, wished, between)


def _both_ways(
    layers: Sequence[Sequence[Key]],
    height: Mapping[Key, int],
    top: dict[Key, int],
    into: Mapping[Key, Sequence[tuple[Key, int]]],
    out_of: Mapping[Key, Sequence[tuple[Key, int]]],
    between: int,
) -> None:
    """Draw the items of each column to all they are linked to, on either side."""
    both = {item: [*into[item], *out_of[item]] for item in into}
    for layer in layers:
        _settle(layer, height, top, both, between)


def _in_order(
    layer: Sequence[Key],
    height: Mapping[Key, int],
    top: dict[Key, int],
    wished: Callable[[Key], tuple[float, float]],
    between: int,
) -> None:
    """Place the items of a column as near to their wishes as their order allows: least squares, in blocks."""
    blocks: list[list[float]] = []  # sum of weights, weighted sum of wishes, number of items
    offset, offsets = 0, []
    for item in layer:
        row, weight = wished(item)
        blocks.append([weight, weight * (row - offset), 1])
        offsets.append(offset)
        offset += height[item] + between
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            weight, total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + weight, blocks[-1][1] + total, blocks[-1][2] + count]
    index = 0
    for weight, total, count in blocks:
        for _ in range(int(count)):
            top[layer[index]] = round(total / weight) + offsets[index]
            index += 1
