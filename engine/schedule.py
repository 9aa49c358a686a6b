"""Order: topological, and among the nodes that are ready first those that use what is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vflow.engine.lending import recipes_in


def topological_order(sources: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes so that each stands behind those that it reads from; file order among equals.

    Raises:
        networkx.NetworkXUnfeasible: there is a cycle (the checker reports it in words before).
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(sources)
    graph.add_edges_from((source, name) for name, names in sources.items() for source in names)
    place = {name: index for index, name in enumerate(sources)}
    return list(nx.lexicographical_topological_sort(graph, key=place.__getitem__))


def bases_of(inputs: Mapping[str, object]) -> frozenset[str]:
    """Return the bases of all recipes at a step's ports."""
    return frozenset(
        base for value in inputs.values() for recipe in recipes_in(value) if (base := recipe.base) is not None
    )


def choose(ready: Mapping[str, frozenset[str]], open_bases: frozenset[str], order: Mapping[str, int]) -> str:
    """Choose the next node among the ready ones (name -> bases): the most that is loaded, the least to load."""

    def cost(name: str) -> tuple[int, int, int]:
        bases = ready[name]
        return -len(bases & open_bases), len(bases - open_bases), order[name]

    return min(ready, key=cost)
