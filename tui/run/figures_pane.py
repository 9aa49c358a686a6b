"""The figures of a run: the last value of each metric, its extremes and a small curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from vflow.tui.run.metrics import Figure, short_names
from vflow.tui.table import Cell, Column, Table

SPARK = 8  #: values of a small curve
_COLUMNS = (
    Column("name", "metric", 18, grow=True, sortable=False),
    Column("last", "last", 9, right=True, sortable=False),
    Column("curve", "", SPARK, rank=1, sortable=False),
    Column("low", "lowest", 9, right=True, rank=2, sortable=False),
    Column("high", "highest", 9, right=True, rank=3, sortable=False),
    Column("step", "step", 8, right=True, rank=4, sortable=False),
)
_NOTHING = "No metrics yet: a training reports them every few steps."
_HELP = """\
# Figures

Every metric that the run reports: its last value, the extremes of the whole run, and a small curve. `enter` shows a
metric in the chart. Below stands what is seen of the run's process on this machine.
"""


class FiguresPane(Vertical):
    """A table of figures, and a line on the process."""

    DEFAULT_CSS = """
    FiguresPane { & > #process { height: 1; padding: 0 1; color: $text-muted; background: $panel; } }
    """
    BINDINGS: ClassVar[list[BindingType]] = []

    class Chosen(Message):
        """A metric is wanted in the chart."""

        def __init__(self, metric: str) -> None:
            self.metric = metric
            super().__init__()

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._of: dict[str, Figure] = {}
        self._names: dict[str, str] = {}

    def help_text(self) -> str:
        """Return help, as markdown."""
        return _HELP

    def compose(self) -> ComposeResult:
        """Show the table."""
        yield Table(_COLUMNS, lambda name: self._cells(self._of[name]), id="figures-table")
        yield Static("", id="process", markup=False)

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    def show(self, found: Sequence[Figure], process: str, nothing: str = "") -> None:
        """Show these figures, and what is known of the process or whose they are; `nothing`: why there are none."""
        self._of = {one.name: one for one in found}
        self._names = short_names(self._of)
        self.table.show(list(self._of), nothing or _NOTHING)
        self.query_one("#process", Static).update(process, layout=False)

    def _cells(self, one: Figure) -> list[Cell]:
        spark = self.table.glyphs.sparkline(list(one.values))
        extremes = [Cell(f"{value:.4g}", "muted") for value in (one.low, one.high)]
        return [
            Cell(self._names[one.name]),
            Cell(f"{one.last:.4g}"),
            Cell(spark, "accent"),
            *extremes,
            Cell(f"{one.step:,}", "muted"),
        ]

    def on_table_opened(self, event: Table.Opened) -> None:
        """Ask for a metric's curve."""
        event.stop()
        self.post_message(self.Chosen(event.key))
