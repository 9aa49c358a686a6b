"""The application: its screens, its theme and keys, and what every screen may ask of it."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from vflow.engine.problems import VflowError
from vflow.tui.glyphs import glyphs_for
from vflow.tui.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vflow.tui.workspace import Workspace


def _leave_what_stays() -> None:
    """Keep what was imported out of garbage collections, each of which would hold up a key."""
    gc.collect()
    gc.freeze()
    gc.enable()  # `command` waits with it until the first screen is there


def _commands() -> Any:
    from vflow.tui.palette import Commands

    return Commands


class VflowApp(Preferences):
    """The terminal UI: of a graph, or of a run; where neither is given it asks for a graph.

    `shipped` names a graph that ships, whose text a graph that is not there yet begins with.

    Raises:
        GraphError: the graph cannot be read.
    """

    TITLE = "vflow"
    CSS_PATH = "style.tcss"
    COMMANDS = {_commands}
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (120, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (10, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,f1", "help", "Help", id="app.help", tooltip="Help for what has the focus, with its keys"
        ),
        Binding(
            "ctrl+p", "command_palette", "All", id="app.palette", show=False, tooltip="Find anything that can be done"
        ),
        Binding("f6", "runs", "Runs", id="app.runs", show=False, tooltip="Past runs: search, open, compare"),
        Binding("f7", "store", "Store", id="app.store", show=False, tooltip="What is kept: sizes, pins, collection"),
        Binding("f4", "compare", "Compare runs", id="app.compare", show=False, tooltip="Two runs side by side"),
        Binding(
            "f8",
            "picture",
            "Screenshot",
            id="app.screenshot",
            show=False,
            tooltip="Save the screen as an SVG file here",
        ),
        Binding("f9", "change_theme", "Theme", id="app.theme", show=False, tooltip="Choose a theme; it is kept"),
        Binding(
            "q,ctrl+q", "quit", "Quit", id="app.quit", show=False, tooltip="Quit; asks where something is not saved"
        ),
    ]

    def __init__(
        self,
        graph: Path | None = None,
        run: Path | None = None,
        profiles: Sequence[str] = (),
        sets: Mapping[str, Any] | Sequence[str] = (),
        *,
        shipped: str = "",
    ) -> None:
        self.glyphs = glyphs_for()
        self.workspace: Workspace | None = None
        self._run_folder = run
        super().__init__()
        if graph is not None:
            from vflow.tui.workspace import Workspace, begin

            self.workspace = Workspace(graph, profiles, sets)
            if shipped and not self.workspace.text:
                self.workspace.replace(f"begin with {shipped}", begin(graph.stem, shipped))

    # --- start and end ---------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[Any]:
        """Return the screen to begin with."""
        if self.workspace is not None:
            from vflow.tui.screens.graph_screen import GraphScreen

            return GraphScreen(self.workspace)
        if self._run_folder is not None:
            from vflow.tui.run.screen import RunScreen

            return RunScreen(self._run_folder)
        from vflow.tui.screens.opening import StartScreen

        return StartScreen()

    def on_mount(self) -> None:
        """Take over the user's keys and theme, and say what is wrong with them."""
        self.take_preferences()
        if not self.is_headless:
            self.set_timer(0.5, _leave_what_stays)

    def _fatal_error(self) -> None:
        """Say in two lines that something went wrong: Textual would print every local variable, secrets included."""
        from rich.text import Text

        from vflow.tui import crash

        if self._exception is not None:
            self._exit_renderables.append(Text(crash.told(self._exception)))
        self._close_messages_no_wait()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Turn everything into ASCII where the terminal has nothing else."""
        found = super().get_line_filters()
        if not self.glyphs.ascii:
            return found
        from vflow.tui.ascii import AsciiFilter

        return [*found, AsciiFilter()]

    async def action_quit(self) -> None:
        """Quit, but ask before unsaved work is lost."""
        self.run_worker(self._quit(), group="quit", exclusive=True)

    async def _quit(self) -> None:
        if await self.may_leave():
            self.exit(0)

    async def may_leave(self) -> bool:
        """Tell whether the graph that is edited may be left: it is saved, or the user said so."""
        from vflow.tui.dialogs.ask import Ask, Reply

        workspace = self.workspace
        if workspace is None or not workspace.draft.dirty:
            if workspace is not None:
                workspace.draft.close()
            return True
        replies = [
            Reply("save", "save and leave", "s", "primary"),
            Reply("drop", "drop changes", "x", "error"),
            Reply("stay", "stay", "t"),
        ]
        answer = await self.push_screen_wait(
            Ask("not saved", f"{workspace.path} has changes that are not saved.", replies)
        )
        screen = self.graph_screen
        if answer == "save" and screen is not None:
            answer = "drop" if await screen.save() else "stay"
        if answer == "drop":
            workspace.draft.close()
            return True
        return False

    # --- what screens ask for --------------------------------------------------------------------------------------

    @property
    def graph_screen(self) -> Any:
        """The screen of the graph that is edited; None where there is none."""
        return next((screen for screen in self.screen_stack if hasattr(screen, "work_on")), None)

    def call_editor(self, words: Sequence[str], path: Path) -> str:
        """Give the terminal to an editor until it ends; returns what went wrong, "" for nothing."""
        import subprocess

        from textual.app import SuspendNotSupported

        try:
            with self.suspend():
                code = subprocess.run([*words, str(path)], check=False).returncode
        except SuspendNotSupported:
            return "this terminal cannot be given to an editor"
        except OSError as error:
            return f"{words[0]} cannot be started: {error.strerror}; set $EDITOR to your editor"
        finally:
            self.refresh()
        return f"{words[0]} ended with exit code {code}" if code else ""

    def open_graph(
        self, path: Path, profiles: Sequence[str] = (), sets: Mapping[str, Any] | Sequence[str] = (), *,
        text: str | None = None, shipped: str = "",
    ) -> None:  # fmt: skip
        """Edit a graph; `text` is what one begins with that is not on disk yet."""
        self.run_worker(self._open_graph(path, profiles, sets, text, shipped), group="open", exclusive=True)

    async def _open_graph(
        self,
        path: Path,
        profiles: Sequence[str],
        sets: Mapping[str, Any] | Sequence[str],
        text: str | None,
        shipped: str,
    ) -> None:
        from vflow.tui.screens.graph_screen import GraphScreen
        from vflow.tui.workspace import Workspace, begin

        if not await self.may_leave():
            return
        try:
            workspace = Workspace(path, profiles, sets)
        except VflowError as error:
            self.say(str(error), "error")
            return
        if shipped and not workspace.text:
            text = begin(path.stem, shipped)
        if text is not None:
            workspace.replace(f"begin with {shipped or 'its text'}", text)
        self.workspace = workspace
        screen = self.graph_screen
        if screen is None:
            await self.push_screen(GraphScreen(workspace))
            return
        while self.screen is not screen:
            await self.pop_screen()
        self.graph_screen.work_on(workspace)

    def open_run(self, folder: Path) -> None:
        """Show a run, going on or over."""
        from vflow.tui.run.screen import RunScreen

        self.push_screen(RunScreen(folder))

    def open_runs(self) -> None:
        """Show past runs."""
        from vflow.tui.runs.screen import RunsScreen

        self._show(RunsScreen)

    def open_store(self) -> None:
        """Show the store."""
        from vflow.tui.store.screen import StoreScreen

        self._show(StoreScreen)

    def compare(self, a: Path, b: Path) -> None:
        """Show two runs side by side."""
        from vflow.tui.runs.compare_screen import CompareScreen

        self.push_screen(CompareScreen(a, b))

    def _show(self, kind: type[Screen[Any]]) -> None:
        """Go back to a screen of this kind if there is one below, else open one."""
        if any(isinstance(screen, kind) for screen in self.screen_stack):
            while not isinstance(self.screen, kind):
                self.pop_screen()
        else:
            self.push_screen(kind())

    # --- actions ---------------------------------------------------------------------------------------------------

    def action_runs(self) -> None:
        """Show past runs."""
        self.open_runs()

    def action_store(self) -> None:
        """Show the store."""
        self.open_store()

    def action_compare(self) -> None:
        """Choose two runs and compare them."""
        self.run_worker(self._compare(), group="dialogue", exclusive=True)

    async def _compare(self) -> None:
        from vflow.tui.dialogs.two_runs import pick_two_runs

        if (two := await pick_two_runs(self)) is not None:
            self.compare(*two)

    def action_help(self) -> None:
        """Show help for what has the focus."""
        from vflow.tui.help import HelpScreen, page_for

        self.push_screen(HelpScreen(page_for(self.screen)))

    def action_picture(self) -> None:
        """Save the screen as an SVG file in the current folder."""
        try:
            path = self.save_screenshot(path=str(Path.cwd()))
        except OSError as error:
            self.say(f"no screenshot: {error.strerror}: {Path.cwd()}", "error")
        else:
            self.say(f"screenshot: {path}")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer nothing twice: the palette is made from the bindings."""
        return ()
