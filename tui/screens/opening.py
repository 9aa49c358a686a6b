"""Which graph to work on: one of this folder, one that ships, or a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.screens.base import WorkScreen

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp

_MOST_LISTED = 200  # files of the folder


class Opening(WorkScreen):
    """The actions that begin with another graph."""

    def action_open(self) -> None:
        """Open another graph."""
        self.ask(choose_graph(self.app))

    async def offer_beginning(self) -> None:
        """Ask what a graph that is not there yet begins with."""
        from vflow.tui.workspace import begin

        name = self.workspace.path.stem
        heading = f"{self.workspace.path} is new: begin with"
        shipped = await self.app.push_screen_wait(Pick(heading, beginnings()))
        if shipped is not None:
            text = begin(name, shipped)
            self.edit(lambda: self.workspace.replace(f"begin with {shipped or 'an empty graph'}", text))


class StartScreen(Screen[None]):
    """Shown where no graph is named: asks for one."""

    DEFAULT_CSS = """
    StartScreen { align: center top; }
    StartScreen Static { width: auto; color: $text-muted; padding: 1; }
    """
    app: VflowApp

    def compose(self) -> ComposeResult:
        """Say what this is."""
        yield Static("vflow: fine-tune video diffusion models with graphs")

    def on_mount(self) -> None:
        """Ask at once; without an answer there is nothing to show."""
        self.run_worker(self._choose(), group="dialogue", exclusive=True)

    async def _choose(self) -> None:
        if not await choose_graph(self.app):
            self.app.exit(0)


def beginnings() -> list[Choice[str]]:
    """Return what a new graph may begin with: "" for an empty one, or the name of one that ships."""
    from vflow.engine.document import parse
    from vflow.engine.load import shipped_graphs

    about = {}
    for name, text in sorted(shipped_graphs().items()):
        root = parse(text).root
        told = root.get("about") if root is not None else None
        about[name] = str(told.data or "") if told is not None else ""
    return [Choice("", "an empty graph", "nodes are added with a")] + [
        Choice(name, name, told, told, "a copy of a graph that ships") for name, told in about.items()
    ]


async def choose_graph(app: VflowApp) -> bool:
    """Ask which graph to open, and open it; tell whether one was chosen."""
    here: list[Choice[tuple[str, Any]]] = [
        Choice(("file", path), path.name, "", str(path), "in this folder") for path in _graphs_here()
    ]
    shipped: list[Choice[tuple[str, Any]]] = [
        Choice(("new", one.value), one.label, one.detail, one.about, "a new one") for one in beginnings()
    ]
    runs: list[Choice[tuple[str, Any]]] = [Choice(("runs", ""), "past runs", "", "", "something else")]
    chosen = await app.push_screen_wait(Pick("open which graph?", [*here, *shipped, *runs]))
    if chosen is None:
        return False
    kind, value = chosen
    if kind == "runs":
        app.open_runs()
    elif kind == "file":
        app.open_graph(value)
    else:
        prompt = Prompt("the new graph's file", f"{value or 'graph'}.yaml", check=_new_problem)
        name = await app.push_screen_wait(prompt)
        if not name:
            return False
        path = Path(name).expanduser()
        from vflow.tui.workspace import begin

        app.open_graph(path, text=begin(path.stem, value))
    return True


def _graphs_here() -> list[Path]:
    """Return the files of this folder that look like graphs."""
    found = []
    for path in sorted([*Path().glob("*.yaml"), *Path().glob("*.yml")])[:_MOST_LISTED]:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                if "vflow:" in file.read(4096):
                    found.append(path)
        except OSError:
            continue
    return found


def _new_problem(name: str) -> str:
    path = Path(name).expanduser()
    if not name.strip():
        return "a name is missing"
    if path.exists():
        return f"{path} is there already"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"
