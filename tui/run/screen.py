"""A run to sit beside: its nodes, curves, log, clips and figures, going on or over, started here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from vflow.engine.following import Following
from vflow.tui.footer import KeyLine
from vflow.tui.panes import TabRow
from vflow.tui.run import node_words, title
from vflow.tui.run.borrowing import Borrowing
from vflow.tui.run.clips import Clips
from vflow.tui.run.curves_pane import CurvesPane
from vflow.tui.run.figures_pane import SPARK, FiguresPane
from vflow.tui.run.log_pane import LogPane
from vflow.tui.run.metrics import Figure, figures
from vflow.tui.run.node_list import NodeList
from vflow.tui.run.paned import TITLES, Paned
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp

_TICK = 0.1  # seconds between two looks while there is something to be read
_LIVE, _OVER = 0.25, 1.0  # while the run goes on, and once it is over
_FIGURES = 1.0  # seconds between two tables of figures
_SLICE = 0.05  # seconds of reading in one go
_HELP = """\
# A run

Left its nodes with their progress; then curves, the log, clips that were drawn, and figures: all side by side on a wide
terminal, behind tabs on a narrow one (`1` to `5`). `z` gives the focused pane the whole screen.

`x` stops the run: at the end of its step, or now. It keeps its state, and `g` goes on with it: the same command in the
same folder. This works for every run of this machine, wherever it was started; one of another machine can only be
looked at. Leaving this screen, or the whole UI, stops nothing.
"""


class RunScreen(Paned):
    """Shows a run's folder; see `Following`."""

    app: VflowApp
    DEFAULT_CSS = """
    RunScreen {
        #banner { height: auto; max-height: 4; padding: 0 1; display: none; }
        #banner.-used { display: block; }
        #parts { height: 1fr; }
        #left { width: 32; border-right: vkey $panel; }
        #about { height: auto; max-height: 8; padding: 0 1; background: $surface; }
        #right { width: 1fr; }
        #panes { height: 1fr; }
        .pane { height: 1fr; width: 1fr; display: none; border-title-color: $text-muted; }
        .pane.-active { display: block; }

        &.-wide #left { width: 28%; max-width: 44; border-right: none; }
        &.-wide #about { max-height: 12; }
        &.-wide TabRow { display: none; }
        &.-wide #panes { layout: grid; grid-size: 2 2; grid-columns: 13fr 7fr; grid-rows: 1fr 1fr; }
        &.-wide .pane { display: block; height: 1fr; border: round $panel; }
        &.-wide .pane:focus-within { border: round $primary; border-title-color: $text-primary; }

        &.-zoomed #left { display: none; }
        &.-zoomed.-on-nodes #left { display: block; width: 1fr; border-right: none; }
        &.-zoomed.-on-nodes #right { display: none; }
        &.-zoomed.-wide #panes { layout: vertical; }
        &.-zoomed.-wide .pane { display: none; }
        &.-zoomed.-wide .pane.-active { display: block; }

        &.-tiny #left { display: none; }
        &.-tiny.-on-nodes #left { display: block; width: 1fr; border-right: none; }
        &.-tiny.-on-nodes #panes { display: none; }
        &.-tiny.-on-nodes #right { width: 1fr; height: 1; }
        &.-tiny.-on-nodes #parts { layout: vertical; }
        &.-low #about, &.-low #banner { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop", "Stop", id="run.stop", tooltip="Stop the run: asks how; its state is kept"),
        Binding("g", "go_on", "Go on", id="run.go_on", tooltip="Go on with the run: the same command, the same folder"),
        Binding("o", "lay_over", "Lay over", show=False, id="run.lay_over",
                tooltip="Lay the curves of another run over these, or take them away"),
        Binding("z", "zoom", "Zoom", show=False, id="run.zoom", tooltip="Give the focused pane the screen, and back"),
        Binding("1", "pane('nodes')", "Nodes", show=False, id="run.nodes", tooltip="Go to the nodes"),
        Binding("2", "pane('curves')", "Curves", show=False, id="run.curves", tooltip="Go to the curves"),
        Binding("3", "pane('log')", "Log", show=False, id="run.log", tooltip="Go to the log"),
        Binding("4", "pane('clips')", "Clips", show=False, id="run.clips", tooltip="Go to the clips"),
        Binding("5", "pane('figures')", "Figures", show=False, id="run.figures", tooltip="Go to the figures"),
        Binding("slash", "search", "Search", show=False, id="run.search", tooltip="Search the log for a text"),
        Binding("Y", "copy", "Copy path", show=False, id="run.copy", tooltip="Copy the path of the run's folder"),
        Binding("escape", "back", "Back", show=False, id="run.back", tooltip="Back; the run goes on"),
    ]  # fmt: skip

    class _Read(Message):
        """Something was read: whether it changed anything, and the figures where they were made."""

        def __init__(self, changed: bool, figures: Sequence[Figure] | None = None) -> None:
            self.changed, self.figures = changed, figures
            super().__init__()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.following = Following(folder)
        self.borrowing = Borrowing(self.following)
        self.others: list[Following] = []  #: runs whose curves lie over this one's
        self._timer: Timer | None = None
        self._busy = False
        self._looked = self._counted = self._said_at = 0.0
        self._files = -1
        self._silent: list[Following] = []  # laid over, and said to have no curves
        self._figures: Sequence[Figure] = ()
        self._said: Sequence[tuple[str, str]] = ()  # what stands in the banner
        self._told: Sequence[tuple[str, str]] = ()  # and below the nodes

    def help_text(self) -> str:
        """Return help, as markdown."""
        return _HELP

    def compose(self) -> ComposeResult:
        """Show the parts."""
        yield Titlebar()
        yield Static("", id="banner")
        with Horizontal(id="parts"):
            with Vertical(id="left"):
                yield NodeList(id="nodes")
                yield Static("", id="about")
            with Vertical(id="right"):
                yield TabRow(TITLES)
                with Container(id="panes"):
                    yield CurvesPane(id="curves", classes="pane")
                    yield Clips(id="clips", classes="pane")
                    yield LogPane(id="log", classes="pane")
                    yield FiguresPane(id="figures", classes="pane")
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to follow."""
        for pane in self.query(".pane"):
            pane.border_title = TITLES[pane.id or ""]
        self.show_pane("curves")
        self.nodes.focus()
        self.following.refresh(0.0)  # the end of the log: how it stands is there from the first moment
        self._take(self._Read(True))
        self._timer = self.set_interval(_TICK, self._tick)
        self._tick()

    def on_screen_resume(self) -> None:
        """Look again where it is seen again."""
        if self._timer is not None:
            self._timer.resume()

    def on_screen_suspend(self) -> None:
        """Do not look while nobody sees it."""
        if self._timer is not None:
            self._timer.pause()

    def on_unmount(self) -> None:
        """Let go of the files."""
        self.borrowing.close()
        for one in (self.following, *self.others):
            one.close()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now, following = time.monotonic(), self.following
        complete = following.complete and self.borrowing.complete and self.log_pane.selection.complete
        complete = complete and all(one.complete for one in self.others)
        every = _TICK if not complete else _LIVE if following.status in ("running", "unfinished") else _OVER
        if not self._busy and now - self._looked >= every * 0.9:
            self._busy, self._looked = True, now
            self._read(now - self._counted >= _FIGURES)
        if now - self._said_at >= _OVER:
            self.say_state()

    @work(thread=True, group="follow", exit_on_error=False)
    def _read(self, count: bool) -> None:
        """Read for a moment, in a thread: what is new, and a slice of what is old."""
        try:
            following, worker = self.following, get_current_worker()
            changed = following.refresh(_SLICE)
            while following.reading and not following.known and not worker.is_cancelled:
                following.refresh(_SLICE)  # how the run stands comes before everything else
            changed |= self.borrowing.look(_SLICE)
            for other in self.others:
                changed |= other.refresh(_SLICE)
                if other.complete and not other.series and other not in self._silent:
                    self._silent.append(other)
                    words = f"{other.folder.name} told no metrics itself: lay the run over that computed its training"
                    self.app.call_from_thread(self.app.say, words, "warning")
            changed |= self.log_pane.selection.refresh(_SLICE)
            found = figures(self.borrowing.series, SPARK) if count else None
            self.post_message(self._Read(changed, found))
        finally:
            self._busy = False

    @on(_Read)
    def _take(self, event: _Read) -> None:
        """Show what was read."""
        following = self.following
        if event.figures is not None:
            self._figures, self._counted = event.figures, time.monotonic()
            borrowing = self.borrowing
            said = title.process_words(following) or borrowing.whose
            self.query_one(FiguresPane).show(self._figures, said, borrowing.nothing)
            self._look_for_clips()
        if event.changed:
            self.nodes.show(following.nodes, following.status)
            self.show_curves()
            self.log_pane.show(following.log, following.nodes, reading=not following.complete)
            self._tell_about()
            self.say_state()

    def _look_for_clips(self) -> None:
        """Look for clips where files came; in a thread of its own."""
        published = self.following.published
        if len(published) != self._files:
            self._files = len(published)
            self.query_one(Clips).look((self.following.folder, published))

    def show_curves(self) -> None:
        """Draw the curves, with those of the other runs over them."""
        self.curves.tell(self.borrowing.whose, "no metrics" if self.borrowing.nothing else "")
        self.curves.show(self.borrowing.series, [(one.folder.name, one.series) for one in self.others])

    def say_state(self) -> None:
        """Say how the run stands as a whole."""
        self._said_at = time.monotonic()
        following, glyphs, bar = self.following, self.nodes.glyphs, self.query_one(Titlebar)
        self.settle(following.status)
        bar.left = Content.assemble(*title.left(following, glyphs))
        bar.right = Content.assemble(*title.right(following, glyphs))
        lines = title.said(following, self.asked, self.starting)
        if lines != self._said:
            self._said = lines
            banner = self.query_one("#banner", Static)
            banner.set_class(bool(lines), "-used")
            banner.update(Content("\n").join(Content.styled(glyphs.text(text), style) for text, style in lines))

    def _tell_about(self) -> None:
        """Say what is known of the selected node."""
        name, following = self.nodes.selected, self.following
        run = following.nodes.get(name)
        lines = node_words.about(name, run, following.status) if run is not None else []
        if lines == self._told:
            return
        self._told = lines
        styles = {"strong": "bold", "muted": "$text-muted", "warning": "$text-warning", "error": "$text-error"}
        clean = self.nodes.glyphs.text
        parts = [Content.styled(clean(text), styles.get(role, "")) for text, role in lines]
        self.query_one("#about", Static).update(Content("\n").join(parts))

    # --- what the parts ask for -------------------------------------------------------------------------------------

    def on_node_list_moved(self, event: NodeList.Moved) -> None:
        """Say what is known of the node."""
        event.stop()
        self._tell_about()

    def on_node_list_opened(self, event: NodeList.Opened) -> None:
        """Show the node's lines of the log."""
        event.stop()
        self.log_pane.want(replace(self.log_pane.wanted, node=event.node))
        self.action_pane("log")

    def on_log_pane_node_asked(self, event: LogPane.NodeAsked) -> None:
        """Show the lines of the selected node."""
        event.stop()
        if self.nodes.selected:
            self.log_pane.want(replace(self.log_pane.wanted, node=self.nodes.selected))

    def on_figures_pane_chosen(self, event: FiguresPane.Chosen) -> None:
        """Show a metric's curve."""
        event.stop()
        self.curves.choose(event.metric)
        self.action_pane("curves")
