"""Finding nodes of a graph: a filter that keeps what matches bright, and a jump to a typed name."""

from __future__ import annotations

from abc import abstractmethod

from vflow.tui.drawing import matching, nearest
from vflow.tui.graph_finder import GraphFinder
from vflow.tui.graph_ports import GraphPorts


class GraphFinding(GraphPorts):
    """A graph in which nodes are looked for by typing."""

    _before: str | None = None  #: what was selected before something was typed

    @abstractmethod
    def draw(self, reveal: bool = True) -> None:
        """Draw it anew; `reveal`: with the selection in sight."""

    @property
    def finder(self) -> GraphFinder:
        """The line to type into."""
        return self.query_one(GraphFinder)

    @property
    def is_filtering(self) -> bool:
        """Whether a filter is being typed."""
        return self.finder.typing and bool(self.filter)

    def action_filter(self) -> None:
        """Ask for a filter."""
        self._before = self.selected
        self.finder.open("filter", self.filter)

    def action_jump(self) -> None:
        """Ask for a node."""
        self._before = self.selected
        self.finder.open("jump")

    def action_leave(self) -> None:
        """Leave what is being typed and go back, let go of the port, or drop the filter."""
        if self.port is not None and not self.finder.typing:
            self.port = None
            return
        if self.finder.typing and self._before in self.outline.nodes:
            self.selected = self._before
        self.finder.close()
        self.focus()
        self._filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave keys that do nothing here to others."""
        if action == "leave":
            return bool(self.filter) or self.finder.typing or self.port is not None
        if action == "match":
            return bool(self.filter)
        return True

    def _filter(self, text: str) -> None:
        self.filter = text
        self.matches = matching(self.outline, self.marks, text) if text else []
        self.draw(reveal=False)

    def on_graph_finder_typed(self, event: GraphFinder.Typed) -> None:
        """Show what matches, and go to the first of it."""
        event.stop()
        if event.kind == "jump":
            found = nearest(self.outline, event.text)
            self.finder.tell("" if found or not event.text.strip() else "no such node")
            self.selected = found or self._before
            return
        self._filter(event.text.strip())
        if self.matches and self.selected not in self.matches:
            self.step(self.matches, 1, around_ends=True)

    def on_graph_finder_done(self, event: GraphFinder.Done) -> None:
        """Go on with what was found."""
        event.stop()
        if event.kind == "jump" or not self.filter:
            self.finder.close()
        self.focus()
