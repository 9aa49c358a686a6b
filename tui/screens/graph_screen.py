"""The graph screen: rails or boxes, and beside or below them the inspector, the problems and the plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content

from vflow.engine.problems import Problem
from vflow.tui.footer import KeyLine
from vflow.tui.graph_view import GraphView
from vflow.tui.inspector import Inspector
from vflow.tui.panes import Panes, TabRow
from vflow.tui.plan_view import PlanView
from vflow.tui.planning import Planner, marks_of
from vflow.tui.problems_view import ProblemsView
from vflow.tui.screens.arranging import PANES, Arranging
from vflow.tui.screens.bindings import GRAPH_KEYS
from vflow.tui.screens.editing import Editing
from vflow.tui.screens.opening import Opening
from vflow.tui.screens.running import Running
from vflow.tui.screens.setting import Setting
from vflow.tui.titlebar import Titlebar

if TYPE_CHECKING:
    from vflow.tui.workspace import Workspace

_SOON = 0.03  # seconds until the inspector follows the selection: held arrow keys do not wait for forms


class GraphScreen(Arranging, Editing, Setting, Running, Opening):
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
                yield TabRow(PANES)
                for pane, view in zip(PANES, (Inspector(), ProblemsView(), PlanView()), strict=True):
                    with Container(id=pane, classes="pane") as container:
                        container.border_title = PANES[pane]
                        yield view
        yield KeyLine(compact=True)

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
        self.share()

    @property
    def port(self) -> tuple[str, str] | None:
        """The port that was chosen on the graph, or that the cursor of the inspector stands on: its name and side."""
        inspector = self.query_one(Inspector)
        if inspector.has_focus:
            key = inspector.cursor
            return (key.path[0], key.kind) if key is not None and key.kind != "field" else None
        view = self.query_one(GraphView)
        return view.port if view.selected == self.selected else None

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
        pane = self.query_one("#problems")
        pane.border_title = title
        pane.set_class(not found, "-quiet")
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
        self.ask(self.connect_port(event.node, event.port, event.side))

    def on_inspector_port_pressed(self, event: Inspector.PortPressed) -> None:
        """Connect the port."""
        self.ask(self.connect_port(event.node, event.port, event.side))

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

    def action_parameters(self) -> None:
        """Edit parameters, profiles and outputs."""
        from vflow.tui.dialogs.parameters import Parameters

        self.app.push_screen(Parameters(self.workspace, self.changed))

    def help_text(self) -> str:
        """Return what the selected node is."""
        from vflow.tui.help import node_page

        bound = self.workspace.loaded.bound.get(self.selected or "")
        return node_page(bound.type) if bound is not None else ""
