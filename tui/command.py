"""`vflow edit`: see, edit and run a graph in the terminal."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from vflow.engine.cli.arguments import add_choices

    about = "a graph file, one to begin, or the name of a graph that ships; without it, choose one"
    parser.add_argument("graph", metavar="GRAPH", nargs="?", help=about)
    add_choices(parser)


def call(arguments: argparse.Namespace) -> int:
    """Open the UI on a graph."""
    gc.disable()  # until the first screen is there: looking through all that is imported takes a tenth of a second
    _need_terminal("edit", "edit the file by hand; `vflow check` and `vflow plan` say what it would do")
    from vflow.tui.app import VflowApp

    path, shipped = file_for(arguments.graph) if arguments.graph is not None else (None, "")
    return _show(VflowApp(path, None, arguments.profile or (), arguments.set or (), shipped=shipped))


def watch(folder: Path) -> int | None:
    """Open the UI on a run: what `vflow watch` does on a terminal; None where this is none."""
    if not _is_terminal():
        return None
    gc.disable()
    from vflow.tui.app import VflowApp

    return _show(VflowApp(run=folder))


def file_for(graph: str) -> tuple[Path, str]:
    """Return the file that a name on the command line means, and the shipped graph that it begins with, if any.

    Raises:
        GraphError: it can be neither.
    """
    from vflow.engine.load import shipped_graphs
    from vflow.engine.problems import GraphError, suggest

    path = Path(graph)
    if path.exists() or path.is_symlink():
        return path, ""
    if path.suffix in (".yaml", ".yml"):
        if not path.parent.is_dir():
            raise GraphError(f"there is no folder {path.parent}", "make it first, or name a file here")
        return path, ""
    shipped = shipped_graphs()
    if graph not in shipped:
        remedy = suggest(graph, shipped, "a new graph's name ends in .yaml")
        raise GraphError(f"there is no file {graph}, and no graph of this name ships with vflow", remedy)
    return Path(f"{graph}.yaml"), graph


def _show(app: object) -> int:
    from vflow.tui.app import VflowApp

    assert isinstance(app, VflowApp)
    with_pictures()
    code = app.run()
    return code if code is not None else app.return_code or 0


def with_pictures() -> None:
    """Ask the terminal how it shows pictures, while nothing else reads from it."""
    from vflow.tui.pictures import ask_terminal

    ask_terminal()


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdout is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _need_terminal(command: str, remedy: str) -> None:
    from vflow.engine.problems import GraphError

    if not _is_terminal():
        raise GraphError(f"`vflow {command}` needs a terminal", remedy)
