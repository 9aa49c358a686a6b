"""The history: runs below a folder, searched and sorted, kept current while one looks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from vflow.engine.cli.text import count
from vflow.engine.runlist import Order, RunList, RunRow, in_order, searched
from vflow.tui.footer import KeyLine
from vflow.tui.runs.rows import COLUMNS, about, cells_of
from vflow.tui.search import Search
from vflow.tui.table import Cell, Table
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp

_EVERY = 2.0  # seconds between two looks at the folder


class RunsScreen(Screen[None]):
    """The runs below a folder. Enter opens one, two marked ones are compared; nothing here writes on the disk."""

    app: VflowApp
    DEFAULT_CSS = """
    RunsScreen {
        & > #about { height: 3; padding: 0 1; color: $text-muted; }
        &.-low > #about, &.-low > Search { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mark", "Mark", id="runs.mark", tooltip="Mark a run to compare it, or take the mark away"),
        Binding("d", "compare", "Compare", id="runs.compare", tooltip="Compare the two marked runs side by side"),
        Binding("g", "graph", "Graph", id="runs.graph", tooltip="Open a copy of the run's graph to edit it"),
        Binding("y", "copy", "Copy path", id="runs.copy", tooltip="Copy the path of one of the run's outputs"),
        Binding("slash", "search", "Search", id="runs.search", tooltip="Search by graph, state, date, profile or name"),
        Binding("o", "folder", "Folder", show=False, id="runs.folder", tooltip="Show the runs of another folder"),
        Binding("escape", "back", "Back", show=False, id="runs.back", tooltip="Back to where you came from"),
    ]

    class _Read(Message):
        """Rows were read; `over` where all were."""

        def __init__(self, source: RunList, rows: Sequence[RunRow], over: bool) -> None:
            self.source, self.rows, self.over = source, rows, over
            super().__init__()

    def __init__(self, folder: Path = Path("runs")) -> None:
        super().__init__()
        self._list = RunList(folder)
        self._rows: Sequence[RunRow] = ()
        self._by_path: dict[Path, RunRow] = {}
        self._marked: list[Path] = []
        self._over = False
        self._timer: Timer | None = None

    def help_text(self) -> str:
        """Return help, as markdown."""
        return (
            "# Runs\n\nThe runs below a folder (`runs/` unless you choose another with `o`), kept current while you "
            "look. The state stands there as a glyph and a word: `running`, `done`, `failed`, `interrupted` (stopped; "
            "the same command goes on), `died` (its process is gone), `unfinished` (it runs on another machine, or "
            "nobody can tell).\n\n"
            "**Search** (`/`) looks for every word in name, graph, profile, state and date: `my_lora failed 2026-11`. "
            "**Sort** by a click on a column's head, or `s` for the next column and `S` for the other way round.\n\n"
            "**Compare** two runs: mark them with `m`, then `d`. With one mark the run under the cursor is the other. "
            "`g` opens the graph of a run as a new, unsaved file: the run's own record is never written. "
            "`y` copies the path of an output; it is shown as well, since terminals over SSH may keep no clipboard."
        )

    def compose(self) -> ComposeResult:
        """Title, search, table, and what is known of the run under the cursor."""
        yield Titlebar()
        yield Search("graph, state, date, profile or name", id="search")
        yield Table(COLUMNS, self._cells, by="began", id="runs")
        yield Static("", id="about")
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to look."""
        self.table.focus()
        self._timer = self.set_interval(_EVERY, self._look)
        self._show()
        self._look()

    def on_screen_resume(self) -> None:
        """Look again where it is seen again."""
        if self._timer is not None:
            self._timer.resume()
            self._look()

    def on_screen_suspend(self) -> None:
        """Do not look while nobody sees it."""
        if self._timer is not None:
            self._timer.pause()

    @property
    def table(self) -> Table:
        """The table of runs."""
        return self.query_one("#runs", Table)

    @property
    def folder(self) -> Path:
        """The folder whose runs are shown."""
        return self._list.folder

    @property
    def selected(self) -> RunRow | None:
        """The run under the cursor."""
        return self._by_path.get(self.table.key) if self.table.key is not None else None

    @property
    def marked(self) -> tuple[Path, ...]:
        """The runs that are marked, in the order in which they were."""
        return tuple(self._marked)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not any(one.group == "runs" and not one.is_finished for one in self.workers if one.node is self):
            self._read(self._list)

    @work(thread=True, group="runs", exit_on_error=False)
    def _read(self, source: RunList) -> None:
        worker = get_current_worker()
        for changed in source.refresh():
            if worker.is_cancelled or source is not self._list:
                return
            if changed:
                self.post_message(self._Read(source, source.rows, False))
        self.post_message(self._Read(source, source.rows, True))

    @on(_Read)
    def _take(self, event: _Read) -> None:
        event.stop()
        if event.source is not self._list:
            return
        same, self._over = event.rows is self._rows and self._over, event.over or self._over
        if not same:
            self._rows = event.rows
            self._by_path = {row.path: row for row in event.rows}
            self._marked = [path for path in self._marked if path in self._by_path]
            self._show()
        elif any(row.live for row in self._rows):
            self.table.redraw()

    # --- showing ----------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        table, text = self.table, self.query_one(Search).text
        rows = in_order(searched(self._rows, text), _order(table.by), table.reverse, time.time())
        table.show([row.path for row in rows], self._nothing(text))
        title, glyphs = self.query_one(Titlebar), table.glyphs
        title.left = Content.assemble(("Runs", "bold"), f" in {glyphs.text(str(self.folder))}")
        title.right = Content.styled(f" {glyphs.middle} ".join(self._counts(len(rows), text)), "$text-muted")
        self._tell_about()

    def _counts(self, shown: int, text: str) -> list[str]:
        parts = [f"{shown:,} of {count(len(self._rows), 'run')}" if text else count(len(self._rows), "run")]
        for state in ("running", "failed", "died"):
            if number := sum(row.state == state for row in self._rows):
                parts.append(f"{number:,} {state}")
        if self._list.left_out:
            parts.append(f"{self._list.left_out:,} older ones are not listed")
        if not self._over:
            parts.append(f"reading{self.table.glyphs.ellipsis}")
        return parts

    def _nothing(self, text: str) -> str:
        if not self._over:
            return f"reading{self.table.glyphs.ellipsis}"
        if self._rows:
            return f"no run fits {text!r}; escape shows all again"
        where = self._list.problem or f"there are no runs below {self.folder}"
        return f"{where}. `vflow run GRAPH` makes one, or F5 in a graph; `o` shows those of another folder."

    def _tell_about(self) -> None:
        row = self.selected
        first, second = about(row) if row is not None else ("", "")
        clean = self.table.glyphs.text
        style = "$text-error" if row is not None and row.failure else "$text-muted"
        said = Content.assemble(clean(first), "\n", (clean(second), style))
        self.query_one("#about", Static).update(said)

    def _cells(self, path: Any) -> list[Cell]:
        return cells_of(self._by_path[path], path in self._marked, self.table.glyphs, time.time())

    # --- what is done -----------------------------------------------------------------------------------------------

    def on_table_moved(self, event: Table.Moved) -> None:
        """Say more of the run under the cursor."""
        event.stop()
        self._tell_about()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open a run."""
        event.stop()
        self.app.open_run(event.key)

    def on_table_clicked(self, event: Table.Clicked) -> None:
        """A click before the name marks."""
        event.stop()
        if event.column == "mark":
            self.action_mark()

    def on_table_sorted(self, event: Table.Sorted) -> None:
        """Sort."""
        event.stop()
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as one types."""
        event.stop()
        self._show()

    def on_search_left(self, event: Search.Left) -> None:
        """From the search to what was found."""
        event.stop()
        self.table.focus()

    def action_search(self) -> None:
        """Begin to type a search."""
        self.query_one(Search).begin()

    def action_back(self) -> None:
        """Clear the search, else leave."""
        if self.query_one(Search).text:
            self.query_one(Search).clear()
        elif len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def action_mark(self) -> None:
        """Mark the run under the cursor; a third mark takes the place of the first."""
        if self.selected is None:
            return
        path = self.selected.path
        if path in self._marked:
            self._marked.remove(path)
        else:
            self._marked = [*self._marked[-1:], path]
        self.table.redraw()

    def action_compare(self) -> None:
        """Compare the marked runs, or the marked one with that under the cursor; the older one stands on the left."""
        pair = [self._by_path[path] for path in self._marked]
        if len(pair) == 1 and self.selected is not None and self.selected.path not in self._marked:
            pair.append(self.selected)
        if len(pair) < 2:
            self.app.say("which two runs? mark them with m, then press d", "warning")
            return
        one, other = sorted(pair, key=lambda row: row.began)
        self.app.compare(one.path, other.path)

    def action_graph(self) -> None:
        """Open a copy of the run's graph."""
        if self.selected is not None:
            from vflow.tui.runs.asking import open_graph

            self.run_worker(open_graph(self, self.selected), group="dialogue", exclusive=True)

    def action_copy(self) -> None:
        """Copy the path of an output."""
        if self.selected is not None:
            from vflow.tui.runs.asking import copy_output

            self.run_worker(copy_output(self, self.selected), group="dialogue", exclusive=True)

    def action_folder(self) -> None:
        """Ask for another folder."""
        from vflow.tui.runs.asking import other_folder

        self.run_worker(other_folder(self), group="dialogue", exclusive=True)

    def change_folder(self, folder: Path) -> None:
        """Show the runs of another folder."""
        self._list, self._rows, self._by_path = RunList(folder), (), {}
        self._marked, self._over = [], False
        self._show()
        self._read(self._list)


def _order(column: str) -> Order:
    return column  # type: ignore[return-value]  # the columns that can be sorted are called as the orders are
