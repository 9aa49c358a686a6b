"""Two runs side by side: settings, nodes, metrics, curves and clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import get_current_worker

from vflow.engine.comparing import Comparison
from vflow.tui.footer import KeyLine
from vflow.tui.panes import TabRow
from vflow.tui.run.charts import Chart, Curve
from vflow.tui.run.clips import ClipPair
from vflow.tui.run.curves import View
from vflow.tui.run.samples import Gallery, gather
from vflow.tui.runs import comparison
from vflow.tui.runs.reading import compared, follow
from vflow.tui.table import Cell, Table
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vflow.engine.following import Following, Series
    from vflow.tui.app import VflowApp
    from vflow.tui.run.borrowing import Borrowing

_PANES = {"settings": "Settings", "nodes": "Nodes", "metrics": "Metrics", "curves": "Curves", "clips": "Clips"}
_WORDS = ("settings", "nodes", "metrics")


class CompareScreen(Screen[None]):
    """Two runs, A and B, compared. One pane at a time on narrow terminals, all of them on wide ones."""

    app: VflowApp
    DEFAULT_CSS = """
    CompareScreen {
        & > #sides { height: auto; max-height: 5; padding: 0 1; }
        & > #work { height: 1fr; }
        #words, #pictures { width: 1fr; height: 1fr; }
        .pane { height: 1fr; width: 1fr; display: none; border-title-color: $text-muted; }
        .pane.-active { display: block; }
        .pane:focus-within, .pane:focus { border-title-color: $text-primary; border-title-style: bold; }
        #settings { padding: 0 1; }
        &.-on-words #pictures, &.-on-pictures #words { display: none; }
        &.-low > #sides, &.-low > TabRow { display: none; }
        &.-wide > TabRow { display: none; }
        &.-wide .pane { display: block; border: round $panel; }
        &.-wide .pane:focus-within, &.-wide .pane:focus { border: round $primary; }
        &.-wide #words, &.-wide #pictures { display: block; }
        &.-wide #clips.-empty { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "metric(1)", "Next metric", id="compare.metric", tooltip="Show the curves of the next metric"),
        Binding("N", "metric(-1)", "Metric before", show=False, id="compare.metric_back",
                tooltip="Show the curves of the metric before"),
        Binding("a", "open(0)", "Open A", show=False, id="compare.open_a", tooltip="Open run A"),
        Binding("b", "open(1)", "Open B", show=False, id="compare.open_b", tooltip="Open run B"),
        Binding("r", "read", "Read again", show=False, id="compare.read", tooltip="Read both runs again"),
        *(
            Binding(str(number), f"pane('{pane}')", name, show=False, id=f"compare.{pane}", tooltip=f"Go to: {name}")
            for number, (pane, name) in enumerate(_PANES.items(), 1)
        ),
        Binding("escape", "back", "Back", show=False, id="compare.back", tooltip="Back to where you came from"),
    ]  # fmt: skip

    class _Compared(Message):
        """The runs were compared, or could not be."""

        def __init__(self, found: Comparison | str) -> None:
            self.found = found
            super().__init__()

    class _Followed(Message):
        """More of the runs' metrics was read."""

        def __init__(self, both: tuple[Borrowing, Borrowing]) -> None:
            self.both = both
            super().__init__()

    class _Gathered(Message):
        """The clips and pictures of both runs were found."""

        def __init__(self, galleries: tuple[Gallery, Gallery]) -> None:
            self.galleries = galleries
            super().__init__()

    def __init__(self, a: Path, b: Path) -> None:
        super().__init__()
        self.folders = (a, b)
        self.found: Comparison | None = None
        self.metric = ""  #: the metric whose curves are shown
        self.both: tuple[Following, Following] | None = None
        self.series: tuple[Mapping[str, Series], Mapping[str, Series]] = ({}, {})  #: those of reused results too
        self.whose: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})  #: node -> the run that computed it
        self._metrics: list[str] = []

    def help_text(self) -> str:
        """Return help, as markdown."""
        return (
            "# Two runs side by side\n\n**Settings**: what differs between the two graphs, "
            "profiles and parameters filled in; `(not in the key)` marks what does not change results. **Nodes**: how "
            "each went; an equal key means an equal result by definition. **Metrics**: the last values; enter on one "
            "shows its curves. **Curves**: both runs over each other; `n` and `N` go through the metrics. **Clips**: "
            "the same prompt of both, step by step.\n\n`1` to `5` go to a pane, `a` and `b` open a run."
        )

    def compose(self) -> ComposeResult:
        """Title, the two runs, and the panes."""
        yield Titlebar()
        yield Static("", id="sides")
        yield TabRow(_PANES)
        with Horizontal(id="work"):
            with Vertical(id="words"):
                with VerticalScroll(id="settings", classes="pane", can_focus=True):
                    yield Static("", id="differences")
                yield _pane(Table(comparison.NODE_COLUMNS, self._node, opens=False, id="nodes"))
                yield _pane(Table(comparison.METRIC_COLUMNS, self._metric, id="metrics"))
            with Vertical(id="pictures"):
                yield _pane(Chart(id="curves"))
                yield _pane(ClipPair(id="clips", classes="-empty"))
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to read."""
        for pane, name in _PANES.items():
            self.query_one(f"#{pane}").border_title = name
        self.action_pane("settings")
        self.action_read()

    # --- reading ----------------------------------------------------------------------------------------------------

    def action_read(self) -> None:
        """Read both runs again."""
        title = self.query_one(Titlebar)
        title.left = Content.styled("Two runs", "bold")
        title.right = Content.styled("comparing", "$text-muted")
        self._compare()
        self._follow()
        self._gather()

    @work(thread=True, group="compare", exclusive=True, exit_on_error=False)
    def _compare(self) -> None:
        worker = get_current_worker()
        found = compared(*self.folders)
        if not worker.is_cancelled:
            self.post_message(self._Compared(found))

    @work(thread=True, group="follow", exclusive=True, exit_on_error=False)
    def _follow(self) -> None:
        worker = get_current_worker()

        def show(both: tuple[Borrowing, Borrowing]) -> bool:
            if not worker.is_cancelled:
                self.post_message(self._Followed(both))
            return not worker.is_cancelled

        follow(*self.folders, show)

    @work(thread=True, group="gather", exclusive=True, exit_on_error=False)
    def _gather(self) -> None:
        worker = get_current_worker()
        one, other = map(gather, self.folders)
        if not worker.is_cancelled:
            self.post_message(self._Gathered((one, other)))

    @on(_Gathered)
    def _show_clips(self, event: _Gathered) -> None:
        event.stop()
        pair = self.query_one("#clips", ClipPair)
        pair.set_class(not any(gallery.samples for gallery in event.galleries), "-empty")
        pair.show(*event.galleries)

    @on(_Compared)
    def _take(self, event: _Compared) -> None:
        event.stop()
        title, glyphs = self.query_one(Titlebar), self._glyphs
        if isinstance(event.found, str):
            self.found = None
            title.right = Content.styled("cannot be compared", "$text-error")
            self.query_one("#differences", Static).update(Content(glyphs.text(event.found)))
            return
        self.found = found = event.found
        title.right = Content.styled(comparison.verdict(found), "$text-muted")
        self.query_one("#sides", Static).update(comparison.sides(found, glyphs))
        self.query_one("#differences", Static).update(comparison.settings(found, glyphs))
        self.query_one("#nodes", Table).show(range(len(found.nodes)), "no nodes are known: a run has no summary yet")
        self.query_one("#metrics", Table).show(
            comparison.metric_order(found.metrics), "neither run has reported a metric"
        )

    @on(_Followed)
    def _draw(self, event: _Followed) -> None:
        event.stop()
        a, b = event.both
        self.both, self.whose = (a.following, b.following), (a.nodes, b.nodes)
        one, other = self.series = (a.series, b.series)
        self._metrics = comparison.curve_names(one, other)
        if self.metric not in self._metrics:
            self.metric = self._metrics[0] if self._metrics else ""
        self._draw_curves()

    def _draw_curves(self) -> None:
        if self.both is None:
            return
        chart = self.query_one("#curves", Chart)
        curves = []
        for letter, run, series, whose in zip("AB", self.both, self.series, self.whose, strict=True):
            if (found := series.get(self.metric)) is not None:
                own = self.metric in run.series
                reused = "" if own else f", reused from {whose.get(found.node) or next(iter(whose.values()), '')}"
                curves.append(Curve(f"{letter} {run.folder.name}{reused}", found))
        over = all(run.complete or run.gone for run in self.both)
        chart.show(curves, "neither run has reported a metric" if over else View.nothing)
        chart.border_title = f"Curves of {self.metric}" if self.metric else "Curves"
        self.query_one(TabRow).count("curves", self.metric)
        self.query_one("#metrics", Table).redraw()

    # --- showing ----------------------------------------------------------------------------------------------------

    @property
    def _glyphs(self) -> Any:
        return self.query_one("#nodes", Table).glyphs

    def _node(self, at: Any) -> list[Cell]:
        assert self.found is not None
        return comparison.node_cells(self.found, at, self._glyphs)

    def _metric(self, name: Any) -> list[Cell]:
        assert self.found is not None
        return comparison.metric_cells(self.found, name, self.metric)

    # --- what is done -----------------------------------------------------------------------------------------------

    def on_tab_row_pressed(self, event: TabRow.Pressed) -> None:
        """Go to a pane."""
        event.stop()
        self.action_pane(event.pane)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show the curves of a metric."""
        event.stop()
        name = str(event.key).removesuffix(", lowest")
        if any(name in series for series in self.series):
            self.metric = name
            self._draw_curves()
            self.action_pane("curves")

    def on_table_moved(self, event: Table.Moved) -> None:
        """Nothing follows the cursor here."""
        event.stop()

    def action_pane(self, pane: str) -> None:
        """Go to a pane."""
        for one in self.query(".pane"):
            one.set_class(one.id == pane, "-active")
        self.set_class(pane in _WORDS, "-on-words")
        self.set_class(pane not in _WORDS, "-on-pictures")
        self.query_one(TabRow).active = pane
        self.query_one(f"#{pane}").focus()

    def action_metric(self, by: int) -> None:
        """Show the curves of another metric."""
        if self._metrics:
            self.metric = self._metrics[(self._metrics.index(self.metric) + by) % len(self._metrics)]
            self._draw_curves()

    def action_open(self, side: int) -> None:
        """Open one of the runs."""
        self.app.open_run(self.folders[side])

    def action_back(self) -> None:
        """Leave."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()


def _pane(widget: Any) -> Any:
    widget.add_class("pane")
    return widget
