"""The log of a run with what it is filtered by: a node, a level, a text."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from vflow.engine.following import Level, LogFilter, LogIndex, Selection
from vflow.tui.run.log_view import LogView
from vflow.tui.search import Search

_ORDER: tuple[Level, ...] = ("info", "warning", "error", "detail")
_LEVELS = {"info": "all but details", "warning": "warnings", "error": "errors", "detail": "all"}
_HELP = """\
# Log

What the run said, in words: nodes that began and ended, warnings and errors, what was left out, files that were
written. `l` goes through the levels (all but details, warnings and errors, errors, everything with each item), `n`
shows one node only, `/` searches for a text in any case. The whole of a long line stands below while it is chosen.

At its end the log follows what comes; moved away from it, it stays where it is, until `f` or `end`. A long log is read
from its end; while older lines are still looked for, the count says so.
"""


class LogPane(Vertical):
    """Search, lines, the whole of the selected line, and what is shown of how much."""

    DEFAULT_CSS = """
    LogPane {
        & > Search { display: none; }
        & > Search.-used { display: block; }
        & > #said { height: auto; max-height: 6; padding: 0 1; background: $surface; display: none; }
        & > #said.-used { display: block; }
        & > #status { height: 1; padding: 0 1; color: $text-muted; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="log.search", tooltip="Search the log for a text"),
        Binding("l", "level", "Level", id="log.level", tooltip="Show other levels: warnings, errors, everything"),
        Binding("n", "node", "Node", id="log.node", tooltip="Show only the selected node's lines, or those of all"),
        Binding("escape", "all", "Show all", show=False, id="log.all", tooltip="Show the lines of all nodes and texts"),
    ]

    class NodeAsked(Message):
        """The lines of the selected node are wanted."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.wanted = LogFilter()
        self.selection = Selection(LogIndex(), self.wanted)
        self.reading = False  #: older lines of the file are still looked for

    def help_text(self) -> str:
        """Return help, as markdown."""
        return _HELP

    def compose(self) -> ComposeResult:
        """Show the parts."""
        yield Search("a text in the log", id="find")
        yield LogView(id="lines")
        yield Static("", id="said", markup=False)
        yield Static("", id="status")

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def show(self, log: LogIndex, nodes: Collection[str], *, reading: bool) -> None:
        """Show a log, or what came to it since, of these nodes; `reading`: older lines are still looked for."""
        self.reading = reading
        longest = max(map(len, nodes), default=0)
        if longest != self.view.longest:
            self.view.longest = longest
            self.view.refresh()
        if log is not self.selection.log:
            self._select(log)
        self.view.update_lines()
        self._tell()

    def want(self, wanted: LogFilter) -> None:
        """Filter by something else."""
        if wanted != self.wanted:
            self.wanted = wanted
            self._select(self.selection.log)
            self._tell()

    def _select(self, log: LogIndex) -> None:
        selection = Selection(log, self.wanted)
        selection.refresh(0.01)  # what is quickly found is there at once
        self.selection = selection
        self.view.use(selection)

    def _tell(self) -> None:
        view, wanted = self.view, self.wanted
        searching = not self.selection.complete or self.reading
        view.nothing = (
            "searching" if searching else "no line fits; escape shows all" if self.filtered else "no line yet"
        )
        parts = [f"{view.count:,} of {len(self.selection.log):,}" if self.filtered else f"{view.count:,} lines"]
        if searching:
            parts[0] += view.glyphs.ellipsis
        parts.append(_LEVELS[wanted.level])
        if wanted.node is not None:
            parts.append(wanted.node or "the run itself")
        if wanted.text:
            parts.append(repr(wanted.text))
        parts.append("following" if view.follow else f"{view.below:,} below")
        status = view.glyphs.text(f" {view.glyphs.middle} ".join(parts))
        self.query_one("#status", Static).update(Content(status), layout=False)
        self._tell_line()

    @property
    def filtered(self) -> bool:
        """True when not every line is shown."""
        return self.wanted != LogFilter(level="detail")

    def _tell_line(self) -> None:
        said, view = self.query_one("#said", Static), self.view
        whole = view.line if view.has_focus and view.is_cut() else None
        said.set_class(whole is not None, "-used")
        if whole is not None:
            clean = view.glyphs.text
            day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole.time)) if whole.time else ""
            text = "\n".join(clean(line) for line in whole.message.splitlines())
            said.update(Content.assemble((f"{day} {clean(whole.node)}".strip() + "\n", "$text-muted"), text))

    def on_log_view_moved(self, event: LogView.Moved) -> None:
        """Show the whole of the line."""
        event.stop()
        self._tell()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        """Show the whole of the line where the cursor is seen."""
        self._tell_line()

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        """Hide it again."""
        self._tell_line()

    # --- filters ----------------------------------------------------------------------------------------------------

    def action_level(self) -> None:
        """Show the next level and those above it."""
        place = _ORDER.index(self.wanted.level)
        self.want(replace(self.wanted, level=_ORDER[(place + 1) % len(_ORDER)]))

    def action_node(self) -> None:
        """Show one node's lines, or all again."""
        if self.wanted.node is not None:
            self.want(replace(self.wanted, node=None))
        else:
            self.post_message(self.NodeAsked())

    def action_all(self) -> None:
        """Show the lines of all nodes, with any text."""
        self.query_one(Search).clear()
        self.query_one(Search).remove_class("-used")
        self.want(replace(self.wanted, node=None, text=""))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave escape to others where nothing is filtered."""
        return bool(self.wanted.text) or self.wanted.node is not None if action == "all" else True

    def action_search(self) -> None:
        """Begin to type a text."""
        search = self.query_one(Search)
        search.add_class("-used")
        search.begin()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as one types."""
        event.stop()
        self.want(replace(self.wanted, text=event.value.strip()))
        self.refresh_bindings()

    def on_search_left(self, event: Search.Left) -> None:
        """From the search to what was found."""
        event.stop()
        search = self.query_one(Search)
        search.set_class(bool(search.text), "-used")
        self.view.focus()
