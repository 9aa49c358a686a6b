"""The panes of the graph screen: which one is shown, which one has the focus, and how the rows are shared."""

from __future__ import annotations

from textual import events
from textual.widget import Widget

from vflow.tui.graph_view import GraphView
from vflow.tui.panes import Panes, TabRow
from vflow.tui.screens.base import WorkScreen

#: The panes beside the graph, with their titles.
PANES = {"inspector": "Inspector", "problems": "Problems", "plan": "Plan"}
_PANE_ROWS = 16  # rows that stay for the panes below the boxes


class Arranging(WorkScreen):
    """The actions on panes."""

    def action_pane(self, pane: str) -> None:
        """Show a pane and give it the focus."""
        if pane != "graph":
            self.query_one(Panes).active = pane
        view = self.query_one(f"#{pane}")
        inside = [view, *view.query(Widget)]
        target = next((one for one in inside if one.focusable), None)
        if target is not None:
            target.focus()
        self._mark(pane)

    def on_tab_row_pressed(self, event: TabRow.Pressed) -> None:
        """Show the pane that was clicked."""
        self.action_pane(event.pane)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Remember where the focus is: where there is room for one pane only, that one is shown."""
        for node in event.widget.ancestors_with_self:
            if node.id in PANES or node.id == "graph":
                if node.id in PANES:
                    self.query_one(Panes).active = str(node.id)
                self._mark(str(node.id))
                return

    def _mark(self, pane: str) -> None:
        work = self.query_one("#work")
        work.set_class(pane == "graph", "-on-graph")
        work.set_class(pane != "graph", "-on-side")

    def action_zoom(self) -> None:
        """Give the focused pane everything, or take that back."""
        self.query_one("#work").toggle_class("-zoomed")
        self.share()

    def action_back(self) -> None:
        """Leave the zoom, else go to the graph."""
        work = self.query_one("#work")
        if work.has_class("-zoomed"):
            work.remove_class("-zoomed")
            self.share()
        else:
            self.action_pane("graph")

    def share(self) -> None:
        """Give the boxes, where they lie above the panes, the rows that it takes to see them all."""
        view, whole = self.query_one(GraphView), self.query_one("#work").size.height
        rows = view.rows_for(max(whole - _PANE_ROWS, 0)) if self.has_class("-wide") and whole else None
        height = None if rows is None or rows <= whole * 9 // 20 else rows
        if self.query_one("#work").has_class("-zoomed"):
            height = None
        view.styles.height = height

    def on_resize(self) -> None:
        """Share the rows anew once it is known how many there are."""
        self.call_after_refresh(self.share)

    def on_graph_view_rescaled(self) -> None:
        """Share the rows anew."""
        self.share()
