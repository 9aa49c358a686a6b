"""Order: topological, and among the nodes that are ready first those that use what is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter  # networkx, which draws cycles in words, takes 0.14 s to import
from heapq import heappop, heappush

from vflow.engine.lending import recipes_in


def topological_order(sources: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes so that each stands behind those that it reads from; file order among equals.

    Raises:
        graphlib.CycleError: there is a cycle (the checker reports it in words before).
    """
    if _is_in_order(sources):
        return list(sources)
    place = {name: index for index, name in enumerate(sources)}
    sorter = TopologicalSorter(sources)
    sorter.prepare()
    order: list[str] = []
    ready: list[tuple[int, str]] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, (place[name], name))
        order.append(heappop(ready)[1])
        sorter.done(order[-1])
    return order


def _is_in_order(sources: Mapping[str, Iterable[str]]) -> bool:
    """Tell whether every node stands behind those that it reads from already, as people mostly write them."""
    seen: set[str] = set()
    for name, names in sources.items():
        if not seen.issuperset(names):
            return False
        seen.add(name)
    return True


def bases_of(inputs: Mapping[str, object]) -> frozenset[str]:
    """Return the bases of all recipes at a step's ports."""
    return frozenset(
        base for value in inputs.values() for recipe in recipes_in(value) if (base := recipe.base) is not None
    )


class Ready:
    """The nodes that can run now, by the bases that they use."""

    def __init__(self) -> None:
        self._heaps: dict[frozenset[str], list[tuple[int, str]]] = {}
        self._inside: set[str] = set()

    def add(self, name: str, index: int, bases: frozenset[str]) -> None:
        """Add a node, once; `index` is its place in the topological order."""
        if name not in self._inside:
            self._inside.add(name)
            heappush(self._heaps.setdefault(bases, []), (index, name))

    def drop(self, name: str) -> None:
        """Take a node back: it is not ready after all."""
        self._inside.discard(name)

    def take(self, open_bases: frozenset[str]) -> str | None:
        """Return the next node: that with the most loaded, then the least to load, then the first in order."""
        while self._heaps:

            def cost(bases: frozenset[str]) -> tuple[int, int, int]:
                return -len(bases & open_bases), len(bases - open_bases), self._heaps[bases][0][0]

            bases = min(self._heaps, key=cost)
            _, name = heappop(self._heaps[bases])
            if not self._heaps[bases]:
                del self._heaps[bases]
            if name in self._inside:
                self._inside.discard(name)
                return name
        return None
