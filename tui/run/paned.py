"""The panes of a run's screen: which is shown where there is room for one, which has the whole screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.widget import Widget

from vflow.tui.panes import TabRow
from vflow.tui.run.clips import Clips
from vflow.tui.run.curves_pane import CurvesPane
from vflow.tui.run.figures_pane import FiguresPane
from vflow.tui.run.handling import Handling
from vflow.tui.run.log_pane import LogPane
from vflow.tui.run.node_list import NodeList

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp

TITLES = {"curves": "Curves", "log": "Log", "clips": "Clips", "figures": "Figures"}
_ALL = {"nodes": "Nodes", **TITLES}  # where nothing stands beside the nodes


class Paned(Handling):
    """Goes from pane to pane. On a wide terminal all are seen, on a narrow one the nodes and one other."""

    app: VflowApp
    _pane = "curves"

    @property
    def nodes(self) -> NodeList:
        """The list of nodes."""
        return self.query_one(NodeList)

    @property
    def log_pane(self) -> LogPane:
        """The log."""
        return self.query_one(LogPane)

    @property
    def curves(self) -> CurvesPane:
        """The curves."""
        return self.query_one(CurvesPane)

    @property
    def _one_only(self) -> bool:
        """True where the nodes are not always seen: there is no room for them, or a pane is zoomed."""
        return self.has_class("-zoomed") or self.has_class("-tiny")

    def show_pane(self, name: str) -> None:
        """Have a pane be the one that is shown where only one is."""
        self._pane = name
        self.set_class(name == "nodes", "-on-nodes")
        for pane in self.query(".pane"):
            pane.set_class(pane.id == name, "-active")
        self.query_one(TabRow).active = name

    def action_pane(self, name: str) -> None:
        """Go to a pane."""
        if name != "nodes" or self._one_only:
            self.show_pane(name)
        clips, table = self.query_one(Clips), self.query_one(FiguresPane).table
        panes = {"curves": self.curves.chart, "log": self.log_pane.view, "clips": clips, "figures": table}
        panes.get(name, self.nodes).focus()

    def on_tab_row_pressed(self, event: TabRow.Pressed) -> None:
        """Go to the pane whose tab was clicked."""
        self.action_pane(event.pane)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The pane that has the focus is the one that is shown, or zoomed."""
        inside = self._pane_of(event.widget)
        if inside and inside != self._pane and (inside != "nodes" or self._one_only):
            self.show_pane(inside)

    def on_resize(self) -> None:
        """Have a tab for the nodes only where they do not stand beside the panes."""
        row = self.query_one(TabRow)
        row.titles = dict(_ALL if self.has_class("-tiny") else TITLES)
        row.refresh()
        if self._pane == "nodes" and not self._one_only:
            self.show_pane("curves")

    def _pane_of(self, widget: Widget | None) -> str:
        """Return the id of the pane that a widget is in; nothing where it is in none."""
        return next((one.id for one in (widget.ancestors_with_self if widget else ()) if one.id in _ALL), "") or ""

    def action_zoom(self) -> None:
        """Give the focused pane the whole screen, or take it back."""
        self.show_pane(self._pane_of(self.focused) or self._pane)
        self.toggle_class("-zoomed")
        if self._pane == "nodes" and not self._one_only:
            self.show_pane("curves")

    def action_search(self) -> None:
        """Search the log."""
        self.action_pane("log")
        self.log_pane.action_search()

    def action_back(self) -> None:
        """Leave; the run goes on."""
        if self.has_class("-zoomed"):
            self.action_zoom()
        elif len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def action_copy(self) -> None:
        """Copy the path of the run's folder."""
        path = str(self.following.folder.absolute())
        self.app.copy_to_clipboard(path)
        self.app.say(f"copied: {path}")
