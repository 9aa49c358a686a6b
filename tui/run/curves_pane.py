"""The curves of a run, group by group, with those of other runs laid over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from vflow.engine.following import Series
from vflow.tui.glyphs import glyphs_for
from vflow.tui.run.charts import Chart, Curve
from vflow.tui.run.curves import View
from vflow.tui.run.metric_row import MetricRow
from vflow.tui.run.metrics import Group, groups

_HELP = """\
# Metrics

What belongs together is drawn together: `train/loss` with `eval/loss`, then the learning rate, the norm of the
gradient, seconds of a step, samples a second, memory, and whatever else the run reports. `.` and `,` go to the next
group and the one before, a click chooses one. `o` lays another run's curves over these, or takes them away.
"""


class CurvesPane(Vertical):
    """A row of groups above a chart."""

    DEFAULT_CSS = """
    CurvesPane {
        & > Chart { height: 1fr; }
        & > #whose { height: auto; max-height: 2; padding: 0 1; color: $text-warning; display: none; }
        & > #whose.-used { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("full_stop", "group(1)", "Next metric", show=False, key_display=".", id="curves.next",
                tooltip="Show the next group of metrics"),
        Binding("comma", "group(-1)", "Metric before", show=False, key_display=",", id="curves.previous",
                tooltip="Show the group of metrics before"),
    ]  # fmt: skip

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.group = ""
        self._groups: list[Group] = []
        self._series: Mapping[str, Series] = {}
        self._others: Sequence[tuple[str, Mapping[str, Series]]] = ()
        self._whose, self._nothing = "", ""

    def help_text(self) -> str:
        """Return help, as markdown."""
        return _HELP

    def compose(self) -> ComposeResult:
        """Show the row and the chart."""
        yield MetricRow()
        yield Static("", id="whose", markup=False)
        yield Chart(id="chart")

    @property
    def chart(self) -> Chart:
        """The chart."""
        return self.query_one(Chart)

    def show(self, series: Mapping[str, Series], others: Sequence[tuple[str, Mapping[str, Series]]] = ()) -> None:
        """Show a run's metrics, and over them those of others, each with its name."""
        self._series, self._others = series, others
        self._groups = groups({name for some in (series, *(more for _, more in others)) for name in some})
        names = [group.name for group in self._groups]
        if self.group not in names:
            self.group = next(iter(names), "")
        self._draw()

    def tell(self, whose: str, nothing: str) -> None:
        """Say whose curves these are where they are not all the run's own, and what is said where there are none."""
        self._nothing = nothing
        if whose != self._whose:
            self._whose = whose
            line = self.query_one("#whose", Static)
            line.set_class(bool(whose), "-used")
            line.update((getattr(self.app, "glyphs", None) or glyphs_for()).text(whose))

    def choose(self, metric: str) -> None:
        """Show the group of a metric, or the group of this name."""
        for group in self._groups:
            if metric in (group.name, *group.metrics):
                self.group = group.name
                self._draw()

    def _draw(self) -> None:
        self.query_one(MetricRow).show([group.name for group in self._groups], self.group)
        metrics = next((group.metrics for group in self._groups if group.name == self.group), ())
        curves = [Curve(name, self._series[name]) for name in metrics if name in self._series]
        for run, series in self._others:
            curves += [Curve(f"{name} {run}", series[name]) for name in metrics if name in series]
        self.chart.show(curves, self._nothing or View.nothing)

    def action_group(self, by: int) -> None:
        """Go to another group."""
        names = [group.name for group in self._groups]
        if names:
            self.choose(names[(names.index(self.group) + by) % len(names)])

    def on_metric_row_pressed(self, event: MetricRow.Pressed) -> None:
        """Show the group that was clicked."""
        event.stop()
        self.choose(event.name)
