"""The graph screen: rails or boxes, and beside or below them the inspector, the problems and the plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Footer

from vflow.engine.problems import Problem
from vflow.tui.graph_view import GraphView
from vflow.tui.inspector import Inspector
from vflow.tui.panes import Panes, TabRow
from vflow.tui.plan_view import PlanView
from vflow.tui.planning import Planner, marks_of
from vflow.tui.problems_view import ProblemsView
from vflow.tui.screens.bindings import GRAPH_KEYS
from vflow.tui.screens.editing import Editing
from vflow.tui.screens.opening import Opening
from vflow.tui.screens.running import Running
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from vflow.tui.workspace import Workspace

_PANES = {"inspector": "Inspector", "problems": "Problems", "plan": "Plan"}
_SOON = 0.03  # seconds until the inspector follows the selection: held arrow keys do not wait for forms


class GraphScreen(Editing, Running, Opening):
    """Shows and edits a workspace."""

    BINDINGS: ClassVar[list[BindingType]] = GRAPH_KEYS
    AUTO_FOCUS = "#graph"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.planner: Planner | None = None
        self._node: str | None = None
        self._journal_told = ""
        self._found: tuple[int, tuple[Problem, ...]] = (0, ())  # version, and what only the plan found in it

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Titlebar()
        with Container(id="work"):
            yield GraphView(id="graph")
            with Panes(id="side"):
                yield TabRow(_PANES)
                for pane, view in zip(_PANES, (Inspector(), ProblemsView(), PlanView()), strict=True):
                    with Container(id=pane, classes="pane") as container:
                        container.border_title = _PANES[pane]
                        yield view
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show the workspace, and offer what a crash left behind or what a new graph may begin with."""
        self.query_one(Panes).active = "inspector"
        self.work_on(self.workspace)
        self.watch_file()

    def work_on(self, workspace: Workspace) -> None:
        """Show another workspace."""
        if self.planner is not None:
            self.planner.stop()
        self.workspace, self.planner = workspace, Planner(self, workspace)
        self._seen = self._answered = None
        self.query_one(PlanView).show(None)
        self.changed(next(iter(workspace.outline.nodes), None))
        self.ask(self._offer())

    async def _offer(self) -> None:
        """Offer what a crash left behind, or what a new graph may begin with."""
        await self.offer_recovered()
        if not self.workspace.text and not self.workspace.path.exists():
            await self.offer_beginning()

    # --- what is shown ---------------------------------------------------------------------------------------------

    @property
    def selected(self) -> str | None:
        """The selected node."""
        return self._node if self._node in self.workspace.outline.nodes else None

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the graph: what the files show, and what the last plan of this state found besides."""
        version, found = self._found
        known = self.workspace.problems
        return [*known, *(one for one in found if version == self.workspace.version and one not in known)]

    def changed(self, select: str | None = None) -> None:
        """Show the workspace as it is now."""
        workspace, nodes = self.workspace, self.workspace.outline.nodes
        wanted = select if select is not None else self._node
        self._node = wanted if wanted in nodes else next(iter(nodes), None)
        self._draw()
        self._inspect()
        self._tell()
        self.query_one(PlanView).choose_from(workspace.loaded, workspace.sets)
        if self.planner is not None:
            self.planner.request()
        if (told := workspace.draft.journal_problem) != self._journal_told:
            self._journal_told = told
            if told:
                self.app.say(told, "warning")

    def _draw(self) -> None:
        report = self.planner.report if self.planner is not None else None
        marks = marks_of(report, self.workspace.loaded)
        self.query_one(GraphView).show(self.workspace.outline, marks, self._node)

    def _inspect(self) -> None:
        form = self.workspace.form(self._node, self.problems) if self._node else None
        self.query_one(Inspector).show(form)

    def _tell(self) -> None:
        """Show the problems, and the line at the top."""
        workspace, found = self.workspace, self.problems
        self.query_one(ProblemsView).show(found)
        counts = {kind: sum(one.severity == kind for one in found) for kind in ("error", "warning", "hint")}
        told = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items() if count]
        self.query_one(TabRow).count("problems", str(len(found)) if found else "")
        title = f"Problems {len(found)}" if found else "Problems"
        self.query_one("#problems").border_title = title
        bar, glyphs = self.query_one(Titlebar), self.app.glyphs
        draft = workspace.draft
        unsaved = f" {glyphs.changed} not saved" if draft.dirty or not draft.path.exists() else ""
        profiles = f"   {'+'.join(workspace.profiles)}" if workspace.profiles else ""
        sets = "".join(f"   {words}" for words in workspace.sets_as_words())
        bar.left = Content.assemble(
            ("vflow ", "bold $text-primary"),
            str(draft.path),
            (unsaved, "$text-warning"),
            (profiles + sets, "$text-accent"),
        )
        style = "$text-error" if counts["error"] else "$text-warning" if counts["warning"] else "$text-success"
        bar.right = Content.styled(", ".join(told) or "no problems", style)

    # --- what the views say ----------------------------------------------------------------------------------------

    def on_graph_view_node_selected(self, event: GraphView.NodeSelected) -> None:
        """Show the form of the node, once the selection rests."""
        if event.node != self._node:
            self._node = event.node
            self.set_timer(_SOON, partial(self._inspect_if, event.node))

    def _inspect_if(self, node: str) -> None:
        if node == self._node:
            self._inspect()

    def on_graph_view_node_opened(self, event: GraphView.NodeOpened) -> None:
        """Go to the settings of the node."""
        self._node = event.node
        self._inspect()
        self.action_pane("inspector")

    def on_graph_view_port_pressed(self, event: GraphView.PortPressed) -> None:
        """Connect the port."""
        self.ask(self._connect_port(event.node, event.port, event.side))

    def on_inspector_port_pressed(self, event: Inspector.PortPressed) -> None:
        """Connect the port."""
        self.ask(self._connect_port(event.node, event.port, event.side))

    async def _connect_port(self, node: str, port: str, side: str) -> None:
        await (self.connect_input(node, port) if side == "in" else self.connect_output(node, port))

    def on_inspector_changed(self, event: Inspector.Changed) -> None:
        """Set what was typed."""
        done = self.edit(partial(self.workspace.set_value, event.node, event.path, event.value))
        if done and done[0]:
            self.app.say(f"set as {done[0]}")

    def on_inspector_reset(self, event: Inspector.Reset) -> None:
        """Take a setting back."""
        done = self.edit(partial(self.workspace.reset, event.node, event.path))
        if done and done[0]:
            self.app.say(f"taken out of {done[0]}")

    def on_plan_view_chosen(self, event: PlanView.Chosen) -> None:
        """Plan with other profiles and parameters."""
        self.edit(partial(self.workspace.choose, event.profiles, event.sets))

    def on_plan_view_node_chosen(self, event: PlanView.NodeChosen) -> None:
        """Select the node."""
        self.changed(event.node)

    def on_plan_view_problem_chosen(self, event: PlanView.ProblemChosen) -> None:
        """Go to the problem."""
        self.go_to(event.problem)

    def on_plan_view_online(self, event: PlanView.Online) -> None:
        """Plan again, and ask the network."""
        if self.planner is not None:
            self.planner.request(online=True)

    def on_planner_busy(self, event: Planner.Busy) -> None:
        """Say that it is planned."""
        self.query_one(PlanView).planning(event.said)

    def on_planner_done(self, event: Planner.Done) -> None:
        """Show the plan, if it is that of what is shown."""
        if event.version == self.workspace.version:
            self._found = event.version, tuple(event.report.problems)
            self.query_one(PlanView).show(event.report)
            self._draw()
            self._inspect()
            self._tell()

    def on_problems_view_chosen(self, event: ProblemsView.Chosen) -> None:
        """Go to the problem."""
        self.go_to(event.problem)

    def go_to(self, problem: Problem) -> None:
        """Show where a problem is: its node and setting, else its line."""
        part, _, rest = problem.where.partition(".")
        name, _, inside = rest.partition(".")
        if part == "nodes" and name in self.workspace.outline.nodes:
            self.changed(name)
            self.action_pane("inspector")
            self.query_one(Inspector).focus_field(tuple(inside.split(".")) if inside else ())
        elif problem.line and problem.file == str(self.workspace.path):
            self.ask(self.file_text(problem.line))
        elif part in ("params", "profiles", "outputs"):
            self.action_parameters()
        else:
            self.app.say(str(problem), "warning")

    # --- panes -----------------------------------------------------------------------------------------------------

    def action_pane(self, pane: str) -> None:
        """Show a pane and give it the focus."""
        if pane != "graph":
            self.query_one(Panes).active = pane
        view = self.query_one(f"#{pane}")
        inside = [view, *view.query(Widget)]
        target = next((one for one in inside if one.focusable), None)
        if target is not None:
            target.focus()
        self._mark(pane)

    def on_tab_row_pressed(self, event: TabRow.Pressed) -> None:
        """Show the pane that was clicked."""
        self.action_pane(event.pane)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Remember where the focus is: where there is room for one pane only, that one is shown."""
        for node in event.widget.ancestors_with_self:
            if node.id in _PANES or node.id == "graph":
                if node.id in _PANES:
                    self.query_one(Panes).active = str(node.id)
                self._mark(str(node.id))
                return

    def _mark(self, pane: str) -> None:
        work = self.query_one("#work")
        work.set_class(pane == "graph", "-on-graph")
        work.set_class(pane != "graph", "-on-side")

    def action_zoom(self) -> None:
        """Give the focused pane everything, or take that back."""
        self.query_one("#work").toggle_class("-zoomed")

    def action_back(self) -> None:
        """Leave the zoom, else go to the graph."""
        work = self.query_one("#work")
        if work.has_class("-zoomed"):
            work.remove_class("-zoomed")
        else:
            self.action_pane("graph")

    def action_parameters(self) -> None:
        """Edit parameters, profiles and outputs."""
        from vflow.tui.dialogs.parameters import Parameters

        self.app.push_screen(Parameters(self.workspace, self.changed))

    def help_text(self) -> str:
        """Return what the selected node is."""
        from vflow.tui.help import node_page

        bound = self.workspace.loaded.bound.get(self.selected or "")
        return node_page(bound.type) if bound is not None else ""
