"""`vflow init`: copy a shipped graph to start from; without a name, list them."""

from __future__ import annotations

import argparse
from pathlib import Path

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a shipped graph")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where to (else NAME.yaml here)")


def call(arguments: argparse.Namespace) -> int:
    """Copy, or list."""
    from vflow.engine.cli.text import out, table
    from vflow.engine.load import shipped_graphs
    from vflow.engine.problems import GraphError, suggest

    graphs = shipped_graphs()
    if arguments.name is None:
        for line in table([(name, _about(text)) for name, text in sorted(graphs.items())]):
            out(line)
        return DONE
    if arguments.name not in graphs:
        raise GraphError(f"no graph named {arguments.name!r} ships with vflow", suggest(arguments.name, graphs))
    target: Path = arguments.file or Path(f"{arguments.name}.yaml")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(graphs[arguments.name])
    except FileExistsError:
        raise GraphError(f"{target} exists and is not overwritten", "name another file") from None
    except OSError as error:
        raise GraphError(f"{target} cannot be written: {error.strerror}") from None
    out(str(target))
    return DONE


def _about(text: str) -> str:
    lines = (line for line in text.splitlines() if line.startswith("about:"))
    return next(lines, "").removeprefix("about:").strip()
