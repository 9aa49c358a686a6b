"""The command line. This module only parses: what a command needs is imported when it is called."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: command -> (module with `add_arguments(parser)` and `call(arguments) -> exit code`, one line of help)
COMMANDS = {
    "run": ("vflow.engine.cli.run", "check, plan, fetch and run a graph"),
    "plan": ("vflow.engine.cli.plan", "what would run, what is reused and why not, without running it"),
    "rehearse": (
        "vflow.engine.cli.rehearse",
        "prove in a few minutes that a long run will fit together on this machine",
    ),
    "sweep": ("vflow.engine.cli.sweep", "the runs of a grid of parameters over one store, and a table of results"),
    "check": ("vflow.engine.cli.check", "every problem that graph files show by themselves"),
    "fetch": ("vflow.engine.cli.fetch", "download (or build) the models that a graph needs"),
    "init": ("vflow.engine.cli.init", "copy a shipped graph to start from; without a name, list them"),
    "nodes": ("vflow.engine.cli.nodes", "reference of node types"),
    "schema": ("vflow.engine.cli.schema", "JSON Schema of graph files, for editors"),
    "runs": ("vflow.engine.cli.runs", "past runs"),
    "open": ("vflow.engine.cli.open", "the recipe that a file carries: what it is, and its graph"),
    "watch": ("vflow.engine.cli.watch", "follow a run, going on or finished"),
    "stop": ("vflow.engine.cli.stop", "stop a run, keeping its state"),
    "show": ("vflow.engine.cli.show", "one run: its nodes, metrics and outputs"),
    "diff": ("vflow.engine.cli.diff", "what differs between two graphs or two runs, with their metrics"),
    "lock": ("vflow.engine.cli.lock", "pin what a graph's names stand for: revisions, files, versions"),
    "pack": ("vflow.engine.cli.pack", "share a graph with its lock and chosen results, in one file"),
    "unpack": ("vflow.engine.cli.unpack", "open somebody's pack: the graph into a folder, results into the store"),
    "cache": ("vflow.engine.cli.cache", "the store: ls, show, verify, pin, unpin, rm, gc, sync"),
    "config": ("vflow.engine.cli.config", "your own settings: where the store lies, how large it may become, ..."),
}

DONE, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 the run failed, 2 the graph or the call is wrong, 130 and 143 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in words if not word.startswith("-")), "")
    commands = dict(COMMANDS)
    if name not in COMMANDS:
        commands |= {more: told for more, told in _third_party_commands().items() if more not in COMMANDS}
    try:
        parser = _parser(commands, name)
    except Exception as error:
        if name in COMMANDS:
            raise
        return _say_broken(name, commands[name][1], error)
    arguments = parser.parse_args(words, argparse.Namespace(words=words))
    if not getattr(arguments, "command", None):
        parser.print_help()
        return DONE
    return _call(commands[arguments.command][0], arguments)


def _parser(commands: dict[str, tuple[str, str]], name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vflow", description="Fine-tune video diffusion models with graphs. Nothing is done twice."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, (module, line) in commands.items():
        sub = choices.add_parser(command, help=line, description=line[:1].upper() + line[1:] + ".")
        if command == name:  # only the command that is called is imported
            importlib.import_module(module).add_arguments(sub)
    return parser


def _call(module: str, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import say_error
    from vflow.engine.problems import GraphError, Interrupted, VflowError

    # graphs and plans are many objects that stay: looking through them for cycles again and again takes long
    gc.set_threshold(50_000, 20, 100)
    try:
        code: int = importlib.import_module(module).call(arguments)
    except GraphError as error:
        say_error(*error.problems)
        return WRONG
    except Interrupted:
        return INTERRUPTED
    except VflowError as error:
        say_error(str(error))
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except KeyboardInterrupt as error:
        return next(iter(error.args), INTERRUPTED)
    return code


def _third_party_commands() -> dict[str, tuple[str, str]]:
    """Commands that packages add: entry points of the group `vflow.commands`, `name = module`."""
    from vflow.engine.registry import entry_points

    return {point.name: (point.value, _about(point)) for point in entry_points("vflow.commands") if point.dist}


def _about(point: EntryPoint) -> str:
    """Return the first line of a command's module, which is not imported for it, or which package it is from."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    origin = f"from {point.dist.name}" if point.dist else ""
    name, *below = point.module.split(".")
    with suppress(ImportError, OSError, SyntaxError, ValueError):
        spec = find_spec(name)
        if spec and spec.origin is None and below:  # a namespace: its parts lie anywhere, and importing it runs nothing
            spec = find_spec(f"{name}.{below.pop(0)}")
        for place in (spec and spec.submodule_search_locations) or ():
            file = Path(place, *below).with_suffix(".py")
            if below and file.is_file() and (text := ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))):
                line = text.partition("\n")[0].removeprefix(f"`vflow {point.name}`: ").rstrip(".")
                return (line if origin == "from vflow" else f"{line} ({origin})").replace("%", "%%")
    return origin


def _say_broken(name: str, line: str, error: Exception) -> int:
    from vflow.engine.cli.text import say_error
    from vflow.engine.problems import Problem

    message = f"the command {name!r} ({line}) cannot be loaded: {type(error).__name__}: {error}"
    say_error(Problem(message, "update or remove this package"))
    return FAILED


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        parser.exit(0, f"vflow {version('vflow')}\n")
