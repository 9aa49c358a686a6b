"""What the store holds as a tree: graph, node, result. Sorted, searched, and summed where it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

from vflow.engine.store.holdings import Entry, Holdings, State, holders_of
from vflow.engine.store.listing import INTERRUPTED, figures, kept_by, place_of

Order = Literal["name", "results", "size", "cost", "age", "used"]
ORDERS: tuple[Order, ...] = ("name", "results", "size", "cost", "age", "used")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the tree: a graph, a node of it, or one result of that.

    `node` is "" for a graph, `key` is "" for a graph and a node. A place of another `kind` (`models`, `samples`,
    `damaged`, `left over`) has the folder's name in `node`, or "" for all of them.
    """

    graph: str
    node: str = ""
    key: str = ""
    kind: Literal["results", "models", "samples", "damaged", "left over"] = "results"

    @property
    def depth(self) -> int:
        """0 for a graph, 1 for a node, 2 for a result."""
        return 2 if self.key else 1 if self.node else 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a place amounts to. Sizes are bytes, each file once; `seconds` is what it cost to compute; times are in
    seconds since 1970. `kept` says what keeps it from being collected."""

    type: str = ""
    results: int = 0
    size: int = 0
    seconds: float = 0.0
    created: float = 0.0
    used: float = 0.0
    pinned: int = 0
    kept: tuple[str, ...] = ()


class StoreTree:
    """The holdings by graph and node. `notes` are the notes of what is pinned, by key.

    Sums are made once for each group when they are first looked at; results are only looked at where a node is open.
    """

    def __init__(self, found: Holdings, notes: dict[str, str] | None = None) -> None:
        self.found, self.notes = found, notes or {}
        self._nodes: dict[tuple[str, str], list[Entry | State]] = {}
        every: list[Entry | State] = [*found.entries.values(), *found.unfinished()]
        for one in every:
            self._nodes.setdefault(place_of(one)[:2], []).append(one)
        self._shown = self._nodes
        self._searched = False
        self._known: dict[Place, Figures] = {}
        self._others = self._look_at_others()

    def searched(self, text: str) -> StoreTree:
        """Return the tree of what fits every word: of graph, node, type or note, `pinned`, a key's beginning."""
        words = text.lower().split()
        tree = copy(self)
        tree._shown, tree._known, tree._searched = {}, {}, bool(words)
        for name, ones in self._nodes.items():
            about = " ".join(place_of(ones[0])).lower()
            rest = [word for word in words if word not in about]
            if fits := [one for one in ones if self._fits(one, rest)] if rest else ones:
                tree._shown[name] = fits
        return tree

    @property
    def results(self) -> int:
        """How many results and interrupted trainings are shown."""
        return sum(map(len, self._shown.values()))

    def lines(self, opened: Iterable[Place], by: Order = "name", reverse: bool = False) -> list[Place]:
        """Return the places that are seen while these are open, in order.

        By name the first comes first, else the most, largest, dearest, newest, last used; `reverse` turns that around.
        """
        opened = frozenset(opened)
        seen: list[Place] = []
        for graph in self._sorted(
            [Place(name) for name in dict.fromkeys(name for name, _ in self._shown)], by, reverse
        ):
            seen.append(graph)
            if graph in opened:
                for node in self._sorted(self._below(graph), by, reverse):
                    seen.append(node)
                    if node in opened:
                        seen += self._sorted(self._below(node), by, reverse)
        if not self._searched:
            for other in self._sorted([place for place in self._others if not place.node], by, reverse):
                seen.append(other)
                if other in opened:
                    below = [p for p in self._others if p.kind == other.kind and p.node]
                    seen += self._sorted(below, by, reverse)
        return seen

    def figures(self, place: Place) -> Figures:
        """Return what a place amounts to, as far as it is shown."""
        if place.kind != "results":
            return self._others[place]
        if place.key:
            return self._of_result(self.one(place.key))
        if place not in self._known:
            self._known[place] = self._sum(self.ones(place))
        return self._known[place]

    def ones(self, place: Place) -> list[Entry | State]:
        """Return the results and interrupted trainings at or below a place, as far as they are shown."""
        if place.kind != "results":
            return []
        if place.key:
            return [self.one(place.key)]
        if place.node:
            return self._shown.get((place.graph, place.node), [])
        return [one for (graph, _), ones in self._shown.items() if graph == place.graph for one in ones]

    def one(self, key: str) -> Entry | State:
        """Return the result of a key, or the interrupted training of that name."""
        return self.found.entries.get(key) or self.found.states[key]

    def has(self, place: Place) -> bool:
        """Tell whether a place is (still) there."""
        if place.kind != "results":
            return place in self._others
        if place.key:
            return place.key in self.found.entries or place.key in self.found.states
        return bool(self.ones(place))

    # --- making it --------------------------------------------------------------------------------------------------

    def _below(self, place: Place) -> list[Place]:
        if place.node:
            return [Place(place.graph, place.node, one.key) for one in self.ones(place)]
        return [Place(graph, node) for graph, node in self._shown if graph == place.graph]

    def _sorted(self, places: Sequence[Place], by: Order, reverse: bool) -> list[Place]:
        named = sorted(places, key=lambda place: (place.graph, place.node, place.key))
        if by == "name":
            return named[::-1] if reverse else named
        return sorted(named, key=lambda place: self._amount(place, by), reverse=not reverse)

    def _amount(self, place: Place, by: Order) -> float:
        if place.key:  # a hundred thousand of them: not all their figures for one
            one = self.one(place.key)
            if isinstance(one, Entry) and by != "size":
                return {"used": one.used, "age": one.record.created, "cost": one.record.seconds}.get(by, 1.0)
        found = self.figures(place)
        amounts = {"results": found.results, "size": found.size, "cost": found.seconds, "age": found.created}
        return amounts.get(by, found.used)

    def _fits(self, one: Entry | State, words: Iterable[str]) -> bool:
        note = self.notes.get(one.key, "").lower()
        kept = kept_by(one)
        return all(one.key.startswith(word) or word in note or word in kept for word in words)

    def _of_result(self, one: Entry | State) -> Figures:
        if isinstance(one, State):
            return Figures(size=one.size, created=one.used, used=one.used, kept=tuple(kept_by(one)))
        size = sum(one.record.sizes.values()) + (self.found.states[one.record.work].size if one.training else 0)
        kind, seconds, created = one.record.node_type, one.record.seconds, one.record.created
        return Figures(kind, 1, size, seconds, created, one.used, int(one.pinned), tuple(kept_by(one)))

    def _sum(self, ones: list[Entry | State]) -> Figures:
        if not ones:
            return Figures()
        types = {place_of(one)[2] for one in ones}
        told = figures(self.found, ones)
        kept = (f"{told['pinned']:,} pinned",) if told["pinned"] else ()
        return Figures(types.pop() if len(types) == 1 else "", kept=kept, **told)

    def _look_at_others(self) -> dict[Place, Figures]:
        """Return what is no result: made again when it is missed, damaged, or referred to by nobody."""
        found: dict[Place, Figures] = {}
        for other in self.found.others:
            whole, seen = Place(other.kind, kind=other.kind), other.found
            before = found.get(whole, Figures())
            newest = max(before.used, seen.changed)
            found[whole] = Figures(size=before.size + seen.size, created=newest, used=newest)
            about = Figures(size=seen.size, created=seen.changed, used=seen.changed)
            found[Place(other.kind, other.name, kind=other.kind)] = about
        holders = holders_of(self.found)
        if loose := [blob for digest, blob in self.found.blobs.items() if not holders[digest]]:
            newest = max(blob.changed for blob in loose)
            size = sum(blob.size for blob in loose)
            found[Place("left over", kind="left over")] = Figures(size=size, created=newest, used=newest)
        return found


def is_interrupted(place: Place) -> bool:
    """Tell whether a place is the group of the interrupted trainings, or one of them."""
    return place.node == INTERRUPTED
