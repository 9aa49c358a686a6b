"""The dialogues of the history: a copy of a run's graph, the path of an output, another folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.folder import GRAPH
from vflow.engine.history import PastRun
from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt

if TYPE_CHECKING:
    from vflow.engine.runlist import RunRow
    from vflow.tui.runs.screen import RunsScreen


async def open_graph(screen: RunsScreen, run: RunRow) -> None:
    """Open the graph of a run as a new file, which the user names and which is not written yet."""
    try:
        text = await asyncio.to_thread((run.path / GRAPH).read_text, encoding="utf-8")
    except FileNotFoundError:
        screen.app.say(f"{run.name} has no graph: its plan failed before there was one", "warning")
        return
    except (OSError, UnicodeDecodeError) as error:
        screen.app.say(f"the graph of {run.name} cannot be read: {error}", "error")
        return
    said = (
        f"The graph of {run.name}, profiles and parameters filled in, is opened as a new file. "
        "Nothing is written before you save."
    )
    name = await screen.app.push_screen_wait(
        Prompt("new graph", free_name(run.graph or "graph"), about=said, check=taken)
    )
    if name:
        screen.app.open_graph(Path(name), text=text)


def free_name(graph: str) -> str:
    """Return a name for a graph file that is not there yet in the current folder."""
    names = [f"{graph}.yaml", *(f"{graph}_{number}.yaml" for number in range(2, 1000))]
    return next((name for name in names if not Path(name).exists()), names[-1])


def taken(name: str) -> str:
    """Say why a new graph file cannot have this name; "" where it can."""
    path = Path(name).expanduser()
    if not name.strip():
        return "write a file's name"
    if path.exists():
        return f"{name} is there already; name another"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"


async def copy_output(screen: RunsScreen, run: RunRow) -> None:
    """Copy the path of an output; ask which where there are several."""
    found = await asyncio.to_thread(PastRun(run.path).outputs)
    if not found:
        screen.app.say(f"{run.name} has no outputs; its folder is {run.path.absolute()}", "warning")
        return
    path: Path | None = found[0].absolute()
    if len(found) > 1:
        base = run.path / "outputs"
        choices = [Choice(one.absolute(), str(one.relative_to(base)), about=str(one.absolute())) for one in found]
        path = await screen.app.push_screen_wait(Pick(f"outputs of {run.name}", choices))
    if path is not None:
        screen.app.copy_to_clipboard(str(path))
        screen.app.say(f"copied {path}", "information")


async def other_folder(screen: RunsScreen) -> None:
    """Show the runs of another folder."""

    def missing(name: str) -> str:
        return "" if Path(name).expanduser().is_dir() else f"there is no folder {name}"

    name = await screen.app.push_screen_wait(Prompt("runs of which folder?", str(screen.folder), check=missing))
    if name:
        screen.change_folder(Path(name).expanduser())
