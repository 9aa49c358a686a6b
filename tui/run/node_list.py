"""The nodes of a run as a list: one line each, a second one with a bar for those that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vflow.engine.following import NodeRun, Status
from vflow.tui.glyphs import STATE_COLOURS, Glyphs, State, glyphs_for
from vflow.tui.run.node_words import brief_pace, share, short, state_of

_BAR = 10  # cells of a bar, where there is room
_HELP = """\
# Nodes

The nodes of the run in the order of its plan, each with its state as a glyph and a colour; those that run show how far
they are, how fast, and how long it will still take. What is known of the selected one stands below the list: why it
runs, what it counted, and when it failed what went wrong and what to do about it.

While the cursor was not moved, it goes along with the node that runs. `enter` shows the node's lines of the log.
"""


class NodeList(ScrollView, can_focus=True):
    """Shows the nodes of a run; only the lines in sight are made."""

    DEFAULT_CSS = (
        """
    NodeList {
        height: 1fr; background: $background; overflow-x: hidden;
        & > .nodes--cursor { background: $surface-lighten-1; text-style: bold; }
        &:focus > .nodes--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
        & > .nodes--muted { color: $text-muted; }
    """
        + "\n".join(
            f"& > .nodes--{state.replace(' ', '-')} {{ color: {colour}; }}" for state, colour in STATE_COLOURS.items()
        )
        + "\n}"
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "nodes--cursor", "nodes--muted", *(f"nodes--{state.replace(' ', '-')}" for state in STATE_COLOURS)
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="run_nodes.down", tooltip="The next node"),
        Binding("up,k", "move(-1)", "Up", show=False, id="run_nodes.up", tooltip="The node before"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="run_nodes.page_down", tooltip="A page down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="run_nodes.page_up", tooltip="A page up"),
        Binding("home", "edge(0)", "First", show=False, id="run_nodes.first", tooltip="The first node"),
        Binding("end", "edge(-1)", "Last", show=False, id="run_nodes.last", tooltip="The last node"),
        Binding("enter", "open", "Its log", id="run_nodes.log", tooltip="Show the node's lines of the log"),
        Binding("f", "along", "Go along", id="run_nodes.along", tooltip="Go along with the node that runs"),
    ]

    class Moved(Message):
        """Another node is selected; "" where there is none."""

        def __init__(self, node: str) -> None:
            self.node = node
            super().__init__()

    class Opened(Message):
        """A node was opened: by enter, or by two clicks."""

        def __init__(self, node: str) -> None:
            self.node = node
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.nodes: Mapping[str, NodeRun] = {}
        self.status: Status = "unfinished"
        self.selected = ""
        self.along = True  #: the cursor goes along with the node that runs
        self._names: list[str] = []
        self._rows: list[tuple[int, bool]] = []  # number of the node, whether this is its bar

    def help_text(self) -> str:
        """Return help, as markdown."""
        return _HELP

    # --- what is shown ----------------------------------------------------------------------------------------------

    def show(self, nodes: Mapping[str, NodeRun], status: Status) -> None:
        """Show these nodes; the cursor and the place in the list stay, unless it goes along with what runs."""
        self.nodes, self.status, self._names = nodes, status, list(nodes)
        self._rows = [
            (number, bar)
            for number, run in enumerate(nodes.values())
            for bar in ((False, True) if share(run) is not None else (False,))
        ]
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        if self.along or self.selected not in nodes:
            self._select(self._working() or (self.selected if self.selected in nodes else next(iter(nodes), "")))
        self.refresh()

    def _working(self) -> str:
        """Return the node to look at: the last that runs or waits, else one that failed, else the last that worked."""
        running = [name for name, run in self.nodes.items() if run.state == "running"]
        waiting = [name for name, run in self.nodes.items() if run.state == "waiting"]
        failed = [name for name, run in self.nodes.items() if run.state == "failed"]
        worked = [name for name, run in self.nodes.items() if run.state in ("computed", "interrupted")]
        return next(iter([*running[-1:], *waiting[-1:], *failed, *worked[-1:]]), "")

    def select(self, node: str) -> None:
        """Put the cursor on a node and leave it there."""
        self.along = False
        self._select(node)

    def _select(self, node: str) -> None:
        if node != self.selected:
            self.selected = node
            self.post_message(self.Moved(node))
        self._bring_into_sight()
        self.refresh()

    # --- drawing ----------------------------------------------------------------------------------------------------

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return getattr(self.app, "glyphs", None) or glyphs_for()

    def render_line(self, y: int) -> Strip:
        """Draw a line: a node, the bar of one, or nothing."""
        width, at = self.scrollable_content_region.width, y + round(self.scroll_y)
        if at >= len(self._rows):
            said = "" if self._rows or y else self.glyphs.text(" nothing is planned yet")
            return Strip([Segment(said, self._style("muted", self.rich_style))]).adjust_cell_length(
                width, self.rich_style
            )
        number, bar = self._rows[at]
        name = self._names[number]
        run = self.nodes[name]
        line = self._style("cursor", self.rich_style) if name == self.selected else self.rich_style
        plain = name == self.selected and self.has_focus  # colours of its own: others are not readable
        state = state_of(run, self.status)
        coloured = line if plain else self._style(state.replace(" ", "-"), line)
        muted = line if plain else self._style("muted", line)
        parts = self._bar(run, width, coloured, muted) if bar else self._node(name, run, state, width, coloured, muted)
        return Strip(
            [Segment(text, line if style is None else style) for text, style in parts]
        ).adjust_cell_length(width, line)  # fmt: skip

    def _node(
        self, name: str, run: NodeRun, state: State, width: int, coloured: Style, muted: Style
    ) -> list[tuple[str, Style | None]]:
        glyphs = self.glyphs
        right = glyphs.cut(glyphs.text(short(run)), max(0, width // 2))
        room = width - 3 - cell_len(right) - (2 if right else 1)
        style = muted if state in ("not needed", "disabled") else None
        return [
            (f" {glyphs.state(state)} ", coloured),
            (glyphs.fit(glyphs.text(name), max(0, room)) + " ", style),
            (right, coloured if state in ("running", "failed") else muted),
        ]

    def _bar(self, run: NodeRun, width: int, coloured: Style, muted: Style) -> list[tuple[str, Style | None]]:
        words = self.glyphs.text(brief_pace(run))
        bar = min(_BAR, max(4, width - 5 - cell_len(words)))
        drawn = self.glyphs.progress(share(run) or 0.0, bar)
        return [("   ", None), (drawn, coloured), (" ", None), (words, muted)]

    def _style(self, role: str, base: Style) -> Style:
        return base + self.get_component_rich_style(f"nodes--{role}", partial=True)

    def _bring_into_sight(self) -> None:
        if self.selected not in self.nodes or not self.size.height:
            return
        number = self._names.index(self.selected)
        rows = [at for at, (one, _) in enumerate(self._rows) if one == number]
        top, room = round(self.scroll_y), self.size.height
        if rows[0] < top:
            self.scroll_to(y=rows[0], animate=False, immediate=True)
        elif rows[-1] >= top + room:
            self.scroll_to(y=rows[-1] - room + 1, animate=False, immediate=True)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        self._bring_into_sight()

    # --- keys and mouse ---------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Go to the node so many further."""
        if self._names:
            at = self._names.index(self.selected) if self.selected in self.nodes else 0
            self.select(self._names[max(0, min(at + by, len(self._names) - 1))])

    def action_page(self, by: int) -> None:
        """Go a page further."""
        self.action_move(by * max(1, self.size.height - 1))

    def action_edge(self, end: int) -> None:
        """Go to the first or the last node."""
        if self._names:
            self.select(self._names[end])

    def action_open(self) -> None:
        """Show the log of the selected node."""
        if self.selected:
            self.post_message(self.Opened(self.selected))

    def action_along(self) -> None:
        """Go along with the node that runs again."""
        self.along = True
        self.show(self.nodes, self.status)

    def on_click(self, event: events.Click) -> None:
        """A click selects a node, two show its log."""
        offset = event.get_content_offset(self)
        at = offset.y + round(self.scroll_y) if offset is not None else len(self._rows)
        if at < len(self._rows):
            self.select(self._names[self._rows[at][0]])
            if event.chain == 2:
                self.action_open()
