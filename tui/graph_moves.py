"""Moving about in a graph: one node is selected, and keys select another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from textual.reactive import reactive
from textual.widget import Widget

from vflow.engine.outline import Outline
from vflow.tui.drawing import around
from vflow.tui.glyphs import Mark

_NOTHING = Outline("", {}, (), {})
_Way = Literal["in", "out"]


class GraphMoves(Widget):
    """A graph of which one node is selected. What is drawn of it is up to the view.

    `filter` is what was asked for, and `matches` are the nodes that it finds.
    """

    selected: reactive[str | None] = reactive(None)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.outline = _NOTHING
        self.marks: Mapping[str, Mark] = {}
        self.filter = ""
        self.matches: list[str] = []
        self._turns: dict[tuple[str, _Way], int] = {}  # which wire to follow next
        self._came: tuple[str, _Way] | None = None  # the node that the last wire was followed from, and which way

    @property
    def page(self) -> int:
        """How many nodes a page is."""
        return 10

    @property
    def is_filtering(self) -> bool:
        """Whether a filter is being typed."""
        return False

    def forget_ways(self) -> None:
        """Follow the wires from the first one again."""
        self._turns.clear()
        self._came = None

    def step(self, names: list[str], by: int, around_ends: bool = False) -> None:
        """Select the node that many places further among some."""
        if not names:
            return
        order = {name: place for place, name in enumerate(self.outline.nodes)}
        if self.selected in names:
            place = names.index(self.selected) + by
        else:
            here = order.get(self.selected or "", -1)
            passed = sum(order[name] <= here for name in names)
            place = passed - 1 + by if by > 0 else passed + by
        self.selected = names[place % len(names) if around_ends else min(len(names) - 1, max(0, place))]

    def action_next(self) -> None:
        """Select the next node; while a filter is typed, the next that matches."""
        self.action_match(1) if self.is_filtering else self.step(list(self.outline.nodes), 1)

    def action_previous(self) -> None:
        """Select the node before; while a filter is typed, the one before that matches."""
        self.action_match(-1) if self.is_filtering else self.step(list(self.outline.nodes), -1)

    def action_first(self) -> None:
        """Select the first node."""
        self.step(list(self.outline.nodes), -len(self.outline.nodes))

    def action_last(self) -> None:
        """Select the last node."""
        self.step(list(self.outline.nodes), len(self.outline.nodes))

    def action_page(self, pages: int) -> None:
        """Select a node a page away."""
        self.step(list(self.outline.nodes), pages * self.page)

    def action_match(self, by: int) -> None:
        """Select the next node that matches the filter, or the one before."""
        self.step(self.matches, by, around_ends=True)

    def action_follow(self, side: _Way) -> None:
        """Follow a wire. Back where one came from, the same key takes the next wire."""
        here = self.selected
        found = around(self.outline, here, side) if here is not None else []
        if here is None or not found:
            return
        if self._came is not None and self._came[0] in found and self._came[1] != side:
            self.selected, self._came = self._came[0], None
            return
        turn = self._turns.get((here, side), 0)
        self._turns[here, side] = turn + 1
        self._came = (here, side)
        self.selected = found[turn % len(found)]
