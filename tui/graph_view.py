"""The graph as one looks at it: rails or boxes, one node selected, moved about in with the keys and the mouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from vflow.engine.outline import Outline
from vflow.tui.drawing import Drawing, Side, Zoom, boxes, kept_layout, matching, rails, survivor
from vflow.tui.glyphs import Glyphs, Mark, glyphs_for
from vflow.tui.graph_canvas import GraphCanvas
from vflow.tui.graph_finder import GraphFinder
from vflow.tui.graph_finding import GraphFinding
from vflow.tui.graph_keys import KEYS, help_text
from vflow.tui.graph_ports import mark_port, port_said

_WIDE, _FEW = 120, 30  #: from how many columns, and up to how many nodes, boxes are drawn of themselves


class GraphView(GraphFinding, can_focus=True):
    """Shows a graph with the states of its nodes.

    `selected` is a node's name, or None where there is none. `view` is `rails`, `boxes`, or `auto`: boxes where there
    is room for them. `zoom` is how much the boxes say, None for what there is room for. `opened`: on rails, the ports
    of the selected node are listed below it. `port` is the port of the selected node that was chosen, if any.
    """

    BINDINGS: ClassVar[list[BindingType]] = KEYS
    DEFAULT_CSS = """
    GraphView { border: round $panel; padding: 0 0 0 1; layout: vertical; width: 1fr; height: 1fr; }
    GraphView:focus-within { border: round $primary; }
    GraphView:focus-within GraphCanvas > .graph--band { background: $primary 30%; }
    .-narrow GraphView, .-tiny GraphView { border: none; padding: 0; }
    .-narrow GraphView:focus-within, .-tiny GraphView:focus-within { border: none; }
    """

    view: reactive[Literal["auto", "rails", "boxes"]] = reactive("auto")
    zoom: reactive[Zoom | None] = reactive(None)
    opened: reactive[bool] = reactive(True)

    class Rescaled(Message):
        """It is drawn another way, which may take more rows, or fewer."""

    class NodeSelected(Message):
        """Another node was selected, by the keys or the mouse, or because the one before is gone."""

        def __init__(self, node: str) -> None:
            super().__init__()
            self.node = node

    class NodeOpened(Message):
        """A node is to be opened."""

        def __init__(self, node: str) -> None:
            super().__init__()
            self.node = node

    class PortPressed(Message):
        """A port was clicked on: an input (`side` is `in`) or an output (`out`)."""

        def __init__(self, node: str, port: str, side: Side) -> None:
            super().__init__()
            self.node = node
            self.port = port
            self.side = side

    def compose(self) -> ComposeResult:
        """A drawing, and a line to type into."""
        yield GraphCanvas()
        yield GraphFinder()

    @property
    def canvas(self) -> GraphCanvas:
        """The window with the drawing."""
        return self.query_one(GraphCanvas)

    @property
    def glyphs(self) -> Glyphs:
        """The characters of the terminal."""
        found = getattr(self.app, "glyphs", None)
        return found if isinstance(found, Glyphs) else glyphs_for()

    @property
    def drawn(self) -> Literal["rails", "boxes"]:
        """What is drawn now."""
        if self.view != "auto":
            return self.view
        return "boxes" if self.outer_size.width >= _WIDE and len(self.outline.nodes) <= _FEW else "rails"

    @property
    def drawn_zoom(self) -> Zoom:
        """How much the boxes say now."""
        if self.zoom is not None:
            return self.zoom
        return Zoom.TYPES if self._fits(Zoom.TYPES, self.content_size.height) else Zoom.NAMES

    def _fits(self, zoom: Zoom, rows: int) -> bool:
        """Tell whether all of the boxes are in sight in so many rows, as far as that is worth finding out."""
        if len(self.outline.nodes) > _FEW:
            return False
        layout = kept_layout(self.outline, zoom)
        return layout.width <= self.content_size.width and layout.height <= rows

    def rows_for(self, most: int) -> int:
        """Return the rows, border included, that it takes to see all of the graph, but at most so many."""
        nodes = self.outline.nodes.values()
        border = self.outer_size.height - self.content_size.height
        if self.drawn == "rails" or not nodes:
            ports = max((len(one.inputs) + len(one.outputs) for one in nodes), default=0)
            return min(most, len(nodes) + ports + border)
        zooms = (Zoom.TYPES, Zoom.NAMES) if self.zoom is None else (self.zoom,)
        zoom = next((one for one in zooms if self._fits(one, most - border)), zooms[-1])
        layout = kept_layout(self.outline, zoom)
        bar = int(layout.width > self.content_size.width)
        return min(most, layout.height + bar + border)

    @property
    def page(self) -> int:
        """How many nodes a page is."""
        room = self.canvas.room.height
        return max(1, room - 2 if self.drawn == "rails" else room // 4)

    def help_text(self) -> str:
        """Return what this is and what its marks mean, as Markdown."""
        return help_text(self.glyphs)

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show(self, outline: Outline, marks: Mapping[str, Mark], selected: str | None = None) -> None:
        """Show a graph. The selection stays unless `selected` names another node, or it is gone: then a near one is."""
        before, changed = self.outline, outline != self.outline
        self.outline, self.marks = outline, marks
        if changed:
            self.forget_ways()
            if self.port is not None and self.port not in self.ports:
                self.port = None
        self.matches = matching(outline, marks, self.filter) if self.filter else []
        if selected in outline.nodes:
            if selected != self.selected:
                with self.prevent(self.NodeSelected):
                    self.selected = selected
        elif self.selected not in outline.nodes:
            self.selected = survivor(before, outline, self.selected or "")
        if self.is_mounted:
            self.draw(reveal=changed)

    def draw(self, reveal: bool = True) -> None:
        """Draw it anew; `reveal`: with the selection in sight."""
        if not self.is_mounted:
            return
        drawing = self._drawing()
        self.canvas.show(drawing)
        if reveal and drawing.chosen is not None:
            self.canvas.reveal(drawing.chosen)
        self._tell()

    def _drawing(self) -> Drawing:
        bright = self.matches if self.filter else None
        if self.drawn == "boxes":
            drawing = boxes(self.outline, self.marks, self.selected, self.glyphs, self.drawn_zoom, bright)
        else:
            width = self.canvas.room.width
            drawing = rails(self.outline, self.marks, self.selected, self.glyphs, width, self.opened, bright)
        if self.port is not None:
            mark_port(drawing, self.selected or "", self.port)
        return drawing

    def _tell(self) -> None:
        """Say how many nodes there are and what they do."""
        count, states = len(self.outline.nodes), [mark.state for mark in self.marks.values()]
        said = [f"{count} node{'' if count == 1 else 's'}"]
        for state in ("running", "to run", "failed", "error"):
            if number := states.count(state):
                said.append(f"{number} {state}")
        self.border_title = self.outline.name or None
        if self.port is not None and (words := port_said(self.outline, self.selected or "", self.port)):
            said = [words]
        told = f" {self.glyphs.middle} ".join(said) if count else "no nodes yet"
        self.border_subtitle = Content(self.glyphs.text(told))  # type: ignore[assignment]  # any content may be one
        if self.filter:
            self.finder.tell(f"{len(self.matches)} of {count}")

    def watch_selected(self, before: str | None, selected: str | None) -> None:
        """Show the selection, and tell of it."""
        self.port = None
        self.draw()
        if selected is not None:
            self.post_message(self.NodeSelected(selected))

    def watch_view(self) -> None:
        """Draw it the other way."""
        self.draw()
        self.post_message(self.Rescaled())

    def watch_zoom(self) -> None:
        """Draw more or less of each node."""
        self.draw()
        self.post_message(self.Rescaled())

    def watch_opened(self) -> None:
        """Show the ports, or hide them."""
        self.draw()

    def watch_port(self) -> None:
        """Show which port is chosen; on rails it is one of the list below its node."""
        self.opened = self.opened or self.port is not None
        self.draw()

    def on_mount(self) -> None:
        """Show what was given before there was a place for it."""
        self.draw()

    def on_graph_canvas_resized(self, event: GraphCanvas.Resized) -> None:
        """Draw it for the room that there is."""
        event.stop()
        self.draw()

    # --- what is done ------------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        """Open the selected node."""
        if self.selected is not None:
            self.post_message(self.NodeOpened(self.selected))

    def action_pan(self, columns: int, rows: int) -> None:
        """Move the window."""
        self.canvas.pan(columns, rows)

    def action_switch_view(self) -> None:
        """Draw rails in place of boxes, or boxes in place of rails."""
        self.view = "rails" if self.drawn == "boxes" else "boxes"

    def action_zoom(self, by: int) -> None:
        """Show more or less of each node; 0: as much as there is room for."""
        if self.drawn == "rails":
            self.opened = by >= 0
        else:
            self.zoom = Zoom(min(Zoom.PORTS, max(Zoom.NAMES, self.drawn_zoom + by))) if by else None

    def action_fold(self) -> None:
        """Show the ports of the selected node, or hide them."""
        self.opened = not self.opened

    # --- the mouse ---------------------------------------------------------------------------------------------------

    def on_graph_canvas_pressed(self, event: GraphCanvas.Pressed) -> None:
        """Select what was clicked on; open it at the second click."""
        event.stop()
        spot = event.spot
        self.selected = spot.node
        if spot.port and not event.twice:
            self.post_message(self.PortPressed(spot.node, spot.port, spot.side))
        elif event.twice and not spot.port:
            self.post_message(self.NodeOpened(spot.node))
