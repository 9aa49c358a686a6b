"""The graph as one looks at it: rails or boxes, one node selected, moved about in with the keys and the mouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import reactive

from vflow.engine.outline import Outline
from vflow.tui.drawing import Drawing, Side, Zoom, boxes, kept_layout, matching, nearest, rails, survivor
from vflow.tui.glyphs import Glyphs, Mark, glyphs_for
from vflow.tui.graph_canvas import GraphCanvas
from vflow.tui.graph_finder import GraphFinder
from vflow.tui.graph_keys import KEYS, help_text
from vflow.tui.graph_moves import GraphMoves

_WIDE, _FEW = 120, 30  #: from how many columns, and up to how many nodes, boxes are drawn of themselves


class GraphView(GraphMoves, can_focus=True):
    """Shows a graph with the states of its nodes.

    `selected` is a node's name, or None where there is none. `view` is `rails`, `boxes`, or `auto`: boxes where there
    is room for them. `zoom` is how much the boxes say, None for what there is room for. `opened`: on rails, the ports
    of the selected node are listed below it.
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

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._before: str | None = None  # what was selected before something was typed

    def compose(self) -> ComposeResult:
        """A drawing, and a line to type into."""
        yield GraphCanvas()
        yield GraphFinder()

    @property
    def canvas(self) -> GraphCanvas:
        """The window with the drawing."""
        return self.query_one(GraphCanvas)

    @property
    def finder(self) -> GraphFinder:
        """The line to type into."""
        return self.query_one(GraphFinder)

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
        few = len(self.outline.nodes) <= _FEW
        fits = few and kept_layout(self.outline, Zoom.TYPES).width <= self.canvas.room.width
        return Zoom.TYPES if fits else Zoom.NAMES

    @property
    def page(self) -> int:
        """How many nodes a page is."""
        room = self.canvas.room.height
        return max(1, room - 2 if self.drawn == "rails" else room // 4)

    @property
    def is_filtering(self) -> bool:
        """Whether a filter is being typed."""
        return self.finder.typing and bool(self.filter)

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
        self.matches = matching(outline, marks, self.filter) if self.filter else []
        if selected in outline.nodes:
            if selected != self.selected:
                with self.prevent(self.NodeSelected):
                    self.selected = selected
        elif self.selected not in outline.nodes:
            self.selected = survivor(before, outline, self.selected or "")
        if self.is_mounted:
            self._draw(reveal=changed)

    def _draw(self, reveal: bool = True) -> None:
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
            return boxes(self.outline, self.marks, self.selected, self.glyphs, self.drawn_zoom, bright)
        width = self.canvas.room.width
        return rails(self.outline, self.marks, self.selected, self.glyphs, width, self.opened, bright)

    def _tell(self) -> None:
        """Say how many nodes there are and what they do."""
        count, states = len(self.outline.nodes), [mark.state for mark in self.marks.values()]
        said = [f"{count} node{'' if count == 1 else 's'}"]
        for state in ("running", "to run", "failed", "error"):
            if number := states.count(state):
                said.append(f"{number} {state}")
        self.border_title = self.outline.name or None
        self.border_subtitle = f" {self.glyphs.middle} ".join(said) if count else "no nodes yet"
        if self.filter:
            self.finder.tell(f"{len(self.matches)} of {count}")

    def watch_selected(self, before: str | None, selected: str | None) -> None:
        """Show the selection, and tell of it."""
        self._draw()
        if selected is not None:
            self.post_message(self.NodeSelected(selected))

    def watch_view(self) -> None:
        """Draw it the other way."""
        self._draw()

    def watch_zoom(self) -> None:
        """Draw more or less of each node."""
        self._draw()

    def watch_opened(self) -> None:
        """Show the ports, or hide them."""
        self._draw()

    def on_mount(self) -> None:
        """Show what was given before there was a place for it."""
        self._draw()

    def on_graph_canvas_resized(self, event: GraphCanvas.Resized) -> None:
        """Draw it for the room that there is."""
        event.stop()
        self._draw()

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

    # --- finding -----------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Ask for a filter."""
        self._before = self.selected
        self.finder.open("filter", self.filter)

    def action_jump(self) -> None:
        """Ask for a node."""
        self._before = self.selected
        self.finder.open("jump")

    def action_leave(self) -> None:
        """Leave what is being typed and go back, or drop the filter."""
        if self.finder.typing and self._before in self.outline.nodes:
            self.selected = self._before
        self.finder.close()
        self.focus()
        self._filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave keys that do nothing here to others."""
        if action == "leave":
            return bool(self.filter) or self.finder.typing
        if action == "match":
            return bool(self.filter)
        return True

    def _filter(self, text: str) -> None:
        self.filter = text
        self.matches = matching(self.outline, self.marks, text) if text else []
        self._draw(reveal=False)

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
