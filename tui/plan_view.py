"""The plan: what is kept, what runs and why, what it takes and touches; and what to plan with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from vflow.engine.cli.text import duration
from vflow.engine.inline import shown
from vflow.engine.problems import Problem
from vflow.tui.glyphs import UNICODE, Glyphs
from vflow.tui.plan_list import PlanList
from vflow.tui.plan_rows import Row, rows, summary_of

if TYPE_CHECKING:
    from vflow.engine.load import Loaded
    from vflow.engine.plan_report import PlanReport

_WIDEST = 100  # cells of a row: numbers at the far end of a wide screen belong to no name
_SLOW = 2.0  # seconds of planning from which on they are told


class PlanView(Widget):
    """Shows a plan; while a newer one is made the old one stays, dimmed."""

    DEFAULT_CSS = """
    PlanView {
        height: 1fr; width: 1fr; layout: vertical; background: $background;
        & > Static { height: auto; max-height: 4; padding: 0 1; }
        #plan-summary { text-style: bold; }
        #plan-status { color: $text-muted; max-height: 2; }
        #plan-choice { color: $text-accent; max-height: 2; }
        #plan-choice:hover { text-style: underline; }
        & > PlanList { height: 1fr; }
        &.-old > PlanList { text-opacity: 55%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "P",
            "online",
            "Plan online",
            id="plan.online",
            tooltip="Plan with the network: asks the hub what is not known yet",
        ),
        Binding("f", "profiles", "Profiles", id="plan.profiles", tooltip="Choose profiles, several in order"),
        Binding(
            "s", "sets", "Set", show=False, id="plan.sets", tooltip="Set parameters for this session, as --set does"
        ),
    ]

    class NodeChosen(Message):
        """A node was chosen."""

        def __init__(self, node: str) -> None:
            self.node = node
            super().__init__()

    class ProblemChosen(Message):
        """A problem was chosen."""

        def __init__(self, problem: Problem) -> None:
            self.problem = problem
            super().__init__()

    class Chosen(Message):
        """Other profiles or parameters were chosen, for this session."""

        def __init__(self, profiles: tuple[str, ...], sets: dict[str, Any]) -> None:
            self.profiles, self.sets = profiles, sets
            super().__init__()

    class Online(Message):
        """A plan with the network is asked for."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.report: PlanReport | None = None
        self._plan: PlanReport | None = None  # the last one with nodes
        self._loaded: Loaded | None = None
        self._sets: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """Put what to plan with and the summary above the list."""
        yield Static("", id="plan-choice", markup=False)
        yield Static("", id="plan-summary", markup=False)
        yield Static("", id="plan-status", markup=False)
        yield PlanList()

    def on_mount(self) -> None:
        """Say that there is no plan yet."""
        self._draw()

    def help_text(self) -> str:
        """Return help, as markdown."""
        return (
            "# Plan\n\nWhat a run of the graph as it stands would do, made anew after each edit: which results are "
            "kept, what runs and why, what is fetched, the memory, disk and time it takes, and what it reads, writes "
            "and sends. Nothing heavy runs for it, and nothing is asked of the network: what only the network knows "
            "stands under *not asked yet*. `P` plans as `vflow plan` does, with the network; what the hub said is "
            "remembered.\n\nWhile a plan is made, or the graph has errors, the last plan stays, dimmed. Profiles and "
            "parameters that are chosen here hold for this session; the file is not changed."
        )

    # --- what is shown ---------------------------------------------------------------------------------------------

    def show(self, report: PlanReport | None) -> None:
        """Show a plan. One without nodes (the graph has errors) leaves the last one, dimmed; None forgets it."""
        self.report = report
        if report is None or report.nodes:
            self._plan = report
        self.remove_class("-old")
        self._draw()

    def planning(self, said: str = "") -> None:
        """Say that a newer plan is being made, and what is done for it; the next `show` ends that."""
        self.add_class("-old")
        self._say(f"planning{self._glyphs.ellipsis} {said}".rstrip())

    def choose_from(self, loaded: Loaded, sets: Mapping[str, Any]) -> None:
        """Say what there is to choose from, and what is chosen: the graph's profiles, and the parameters set."""
        self._loaded, self._sets = loaded, dict(sets)
        profiles = " ".join(loaded.profiles) or "none"
        set_ = "".join(f"   {name} = {shown(value)}" for name, value in sets.items())
        has = loaded.graph.profiles or loaded.graph.parameters
        text = self._glyphs.text(f"profiles: {profiles}{set_}") if has else ""
        choice = self.query_one("#plan-choice", Static)
        choice.display = bool(text)
        choice.update(text)

    def on_plan_list_fitted(self) -> None:
        """Fit the rows to the new width."""
        self._draw()

    @property
    def _glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    def _draw(self) -> None:
        summary, status = "no plan yet", ""
        if self.report is not None:
            summary = summary_of(self.report)
            status = self._status(self.report)
        self.query_one("#plan-summary", Static).update(self._glyphs.text(summary))
        self._say(status)
        width = min(self.query_one(PlanList).room, _WIDEST)
        found: list[Row] = []
        if width <= 0:  # not laid out yet
            return
        if self.report is not None:
            found += rows(self.report, width, self._glyphs)
        if self._plan is not None and self._plan is not self.report:
            # what was wrong with it then has been mended since, or is told above
            found += [row.dimmed() for row in rows(replace(self._plan, problems=()), width, self._glyphs)]
        self.query_one(PlanList).show(found)

    def _status(self, report: PlanReport) -> str:
        took = f", {duration(report.seconds)}" if report.seconds >= _SLOW else ""
        if not report.nodes:
            return "below: the plan before" if self._plan is not None else ""
        if report.in_state("not asked"):
            return f"offline{took}; P asks the network"
        return f"offline, as far as is known{took}" if report.live else f"planned with the network{took}"

    def _say(self, status: str) -> None:
        line = self.query_one("#plan-status", Static)
        line.display = bool(status)
        line.update(self._glyphs.text(status))

    def on_click(self, event: events.Click) -> None:
        """A click on what is planned with offers other profiles."""
        if event.widget is not None and event.widget.id == "plan-choice":
            event.stop()
            self.action_profiles()

    def on_plan_list_chosen(self, event: PlanList.Chosen) -> None:
        """Say what was chosen."""
        event.stop()
        if event.row.problem is not None:
            self.post_message(self.ProblemChosen(event.row.problem))
        else:
            self.post_message(self.NodeChosen(event.row.node))

    def action_online(self) -> None:
        """Ask for a plan with the network."""
        self.post_message(self.Online())

    def action_profiles(self) -> None:
        """Choose profiles."""
        from vflow.tui.pickers import ProfilePicker

        if self._loaded is not None:
            self.app.push_screen(ProfilePicker(self._loaded), self._take_profiles)

    def action_sets(self) -> None:
        """Set parameters for this session."""
        from vflow.tui.pickers import ParameterPicker

        if self._loaded is not None:
            self.app.push_screen(ParameterPicker(self._loaded, self._sets), self._take_sets)

    def _take_profiles(self, profiles: tuple[str, ...] | None) -> None:
        if profiles is not None and self._loaded is not None and profiles != self._loaded.profiles:
            self.post_message(self.Chosen(profiles, self._sets))

    def _take_sets(self, sets: dict[str, Any] | None) -> None:
        if sets is not None and self._loaded is not None and sets != self._sets:
            self.post_message(self.Chosen(self._loaded.profiles, sets))
