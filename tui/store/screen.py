"""The store: what it holds, by graph and node; pinned, removed and collected with a look at what would go."""

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
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from vflow.engine.store.holdings import Entry
from vflow.engine.store.tree import Order, Place
from vflow.tui.footer import KeyLine
from vflow.tui.search import Search
from vflow.tui.store.housekeeping import Housekeeping
from vflow.tui.store.reading import Arranged, Looked, arrange, look
from vflow.tui.store.rows import COLUMNS, about, cells_of, folds, sizes
from vflow.tui.table import Cell, Table
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp


class StoreScreen(Housekeeping, Screen[None]):
    """What the store holds. Everything that takes long goes on in the background; one thing is done at a time."""

    app: VflowApp
    DEFAULT_CSS = """
    StoreScreen {
        & > #about { height: 3; padding: 0 1; color: $text-muted; }
        & > #notes { height: auto; max-height: 3; padding: 0 1; color: $text-warning; display: none; }
        &.-low > #about, &.-low > #notes, &.-low > Search { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pin", "Pin", id="store.pin", tooltip="Pin: keep these results whatever happens, with a note"),
        Binding("d,delete", "remove", "Remove", id="store.remove", tooltip="Remove; shows what would go, and asks"),
        Binding("c", "collect", "Collect", id="store.collect", tooltip="Collect by size, age or runs, with a preview"),
        Binding(
            "v", "verify", "Verify", id="store.verify", tooltip="Read everything and say what is damaged; stops it"
        ),
        Binding("slash", "search", "Search", id="store.search", tooltip="Search graph, node, type, note, key, pinned"),
        Binding("P", "unpin", "Unpin", show=False, id="store.unpin", tooltip="Keep these no longer than others"),
        Binding("m", "mark", "Mark", show=False, id="store.mark", tooltip="Mark a line, to act on several at once"),
        Binding("space", "fold", "Fold", show=False, id="store.fold", tooltip="Open a graph or node, or close it"),
        Binding("right,l", "unfold", "Open", show=False, id="store.open", tooltip="Open a graph or node"),
        Binding("left,h", "close", "Close", show=False, id="store.close", tooltip="Close it, or go to what it is in"),
        Binding("r", "look", "Look again", show=False, id="store.look", tooltip="Look at the store again"),
        Binding("escape", "back", "Back", show=False, id="store.back", tooltip="Back to where you came from"),
    ]

    class _Seen(Message):
        """The store was looked at."""

        def __init__(self, seen: Looked) -> None:
            self.seen = seen
            super().__init__()

    class _Placed(Message):
        """The lines were searched and sorted."""

        def __init__(self, arranged: Arranged) -> None:
            self.arranged = arranged
            super().__init__()

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.seen: Looked | None = None
        self.view: Arranged | None = None
        self.opened: set[Place] = set()
        self.marked: set[Place] = set()
        self._version = 0

    def help_text(self) -> str:
        """Return help, as markdown."""
        return (
            "# The store\n\nResults by graph, node and key, with what they take on disk (a file that two lines share "
            "counts in both), what they cost to compute, when they were made and last used, and what keeps them: "
            "`pinned`, `training` (it can be gone on with), `in use` (a run needs it now).\n\n"
            "`p` pins what is under the cursor (or marked with `m`), `P` unpins. `d` removes: it shows what would go, "
            "what stays and why, and asks. `c` collects until the store is small enough or nothing old is left; what "
            "would go is shown while you type. What goes is computed again when it is missed. `v` reads every file "
            "in the background and says what is damaged; `v` again stops that.\n\n"
            "**Search** (`/`) looks for every word in graph, node, type and note; also `pinned`, `training`, "
            "and the beginning of a key. **Sort** by a click on a head, or `s` and `S`."
        )

    def compose(self) -> ComposeResult:
        """Title, search, tree, and what is known of the line under the cursor."""
        yield Titlebar()
        yield Search("graph, node, type, note, pinned, training, a key's beginning", id="search")
        yield Table(COLUMNS, self._cells, by="name", id="tree")
        yield Static("", id="about")
        yield Static("", id="notes")
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to look."""
        self.table.focus()
        self._show_title()
        self.action_look()

    @property
    def table(self) -> Table:
        """The tree."""
        return self.query_one("#tree", Table)

    @property
    def selected(self) -> Place | None:
        """The line under the cursor."""
        place: Place | None = self.table.key
        return place

    def chosen(self) -> list[str]:
        """Return the keys of what is marked, else of what is under the cursor."""
        places = self.marked or ({self.selected} if self.selected is not None else set())
        if self.view is None:
            return []
        ones = [one for place in places if self.view.tree.has(place) for one in self.view.tree.ones(place)]
        return list(dict.fromkeys(one.key for one in ones))

    # --- looking ----------------------------------------------------------------------------------------------------

    def action_look(self) -> None:
        """Look at the store again."""
        self.begin_look()
        self._look()

    @work(thread=True, group="look", exclusive=True, exit_on_error=False)
    def _look(self) -> None:
        worker = get_current_worker()
        seen = look(self.folder)
        if not worker.is_cancelled:
            self.post_message(self._Seen(seen))

    @on(_Seen)
    def _take(self, event: _Seen) -> None:
        event.stop()
        self.end_look()
        self.seen = event.seen
        self._show_notes(event.seen.notes)
        if event.seen.tree is None:
            self._version += 1
            self.table.show([], event.seen.problem)
            self.view = None
            self._show_title()
            self._tell_about()
            return
        tree = event.seen.tree
        self.marked = {place for place in self.marked if tree.has(place)}
        graphs = [place for place in tree.lines(()) if place.kind == "results"]
        if len(graphs) == 1 and not self.opened:
            self.opened.add(graphs[0])
        self._arrange()

    def _arrange(self) -> None:
        if self.seen is None or self.seen.tree is None:
            return
        self._version += 1
        table, text = self.table, self.query_one(Search).text
        by: Order = table.by  # type: ignore[assignment]  # the columns are called as the orders are
        self._place(self._version, text, frozenset(self.opened), by, table.reverse)

    @work(thread=True, group="arrange", exclusive=True, exit_on_error=False)
    def _place(self, version: int, text: str, opened: frozenset[Place], by: Order, reverse: bool) -> None:
        seen, view = self.seen, self.view
        if seen is not None and seen.tree is not None:
            self.post_message(self._Placed(arrange(version, seen.tree, view, text, opened, by, reverse)))

    @on(_Placed)
    def _show(self, event: _Placed) -> None:
        event.stop()
        if event.arranged.version != self._version:
            return
        self.view = event.arranged
        self.table.show(event.arranged.places, self._nothing(event.arranged.text))
        self._show_title()
        self._tell_about()

    # --- showing ----------------------------------------------------------------------------------------------------

    def show_title(self) -> None:
        """Say how large the store is, or what goes on."""
        self._show_title()

    def _show_title(self) -> None:
        title, glyphs = self.query_one(Titlebar), self.table.glyphs
        where = str(self.seen.store.folder) if self.seen is not None and self.seen.store is not None else ""
        title.left = Content.assemble(("Store", "bold"), f" in {glyphs.text(where)}" if where else "")
        if self.busy:
            title.right = Content.styled(f"{glyphs.text(self.busy)}{glyphs.ellipsis}", "$text-accent")
        else:
            title.right = Content("")
            if self.seen is not None and self.view is not None:
                shown = self.view.tree.results if self.view.text else None
                title.right = sizes(self.view.source.found, self.seen.quota, shown, len(self.marked), glyphs)

    def _show_notes(self, notes: Sequence[str]) -> None:
        glyphs, said = self.table.glyphs, self.query_one("#notes", Static)
        said.update(Content("\n".join(f"{glyphs.state('error')} {glyphs.text(note)}" for note in notes)))
        said.display = bool(notes)

    def _nothing(self, text: str) -> str:
        if text:
            return f"nothing fits {text!r}; escape shows all again"
        return "the store is empty; runs put their results here"

    def _tell_about(self) -> None:
        glyphs = self.table.glyphs
        lines = about(self.selected, self.view.tree) if self.view is not None else []
        self.query_one("#about", Static).update(Content("\n".join(map(glyphs.text, lines))))

    def _cells(self, place: Any) -> list[Cell]:
        assert self.view is not None
        marked = place in self.marked
        return cells_of(place, self.view.tree, place in self.opened, marked, self.table.glyphs, time.time())

    # --- what is done -----------------------------------------------------------------------------------------------

    def on_table_moved(self, event: Table.Moved) -> None:
        """Say more of the line under the cursor."""
        event.stop()
        self._tell_about()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open or close a graph or node; show all of a result."""
        event.stop()
        if folds(event.key):
            self.action_fold()
        elif event.key.key:
            self._show_details(event.key)

    def on_table_clicked(self, event: Table.Clicked) -> None:
        """A click on the mark before a line marks it, one on its arrow opens it."""
        event.stop()
        if event.column == "mark":
            self.action_mark()
        elif event.column == "name" and folds(event.key) and event.at <= 2 * event.key.depth + 1:
            self.action_fold()

    def on_table_sorted(self, event: Table.Sorted) -> None:
        """Sort."""
        event.stop()
        self._arrange()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as one types."""
        event.stop()
        self._arrange()

    def on_search_left(self, event: Search.Left) -> None:
        """From the search to what was found."""
        event.stop()
        self.table.focus()

    def action_search(self) -> None:
        """Begin to type a search."""
        self.query_one(Search).begin()

    def action_back(self) -> None:
        """Take the marks away, clear the search, else leave."""
        if self.marked:
            self.marked.clear()
            self.table.redraw()
            self._show_title()
        elif self.query_one(Search).text:
            self.query_one(Search).clear()
        elif len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def action_mark(self) -> None:
        """Mark the line under the cursor, or take the mark away."""
        if self.selected is not None:
            self.marked ^= {self.selected}
            self.table.redraw()
            self._show_title()

    def action_fold(self) -> None:
        """Open the graph or node under the cursor, or close it."""
        if self.selected is not None and folds(self.selected):
            self.opened ^= {self.selected}
            self._arrange()

    def action_unfold(self) -> None:
        """Open the graph or node under the cursor; go into it where it is open."""
        if self.selected is not None and folds(self.selected):
            if self.selected in self.opened:
                self.table.action_move(1)
            else:
                self.action_fold()

    def action_close(self) -> None:
        """Close the graph or node under the cursor; go to what it is in where it is closed."""
        place = self.selected
        if place is None:
            return
        if place in self.opened:
            self.action_fold()
        elif place.depth:
            whole = place.kind != "results" or place.depth == 1
            self.table.go_to(Place(place.graph, "" if whole else place.node, kind=place.kind))

    def _show_details(self, place: Place) -> None:
        from vflow.tui.store.details import Details

        if self.view is None or not self.view.tree.has(place):
            return
        one = self.view.tree.one(place.key)
        if isinstance(one, Entry):
            self.app.push_screen(Details(one, self.view.tree.notes.get(one.key, ""), self.table.glyphs))
