"""`vflow open`: the recipe that a file carries: what it is, what of it this store has, and its graph."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_store

if TYPE_CHECKING:
    from vflow.engine.opened import Kept, NodeFacts, Opened

_MOST_NODES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an exported adapter, clip or model card, or a pack")
    about = "write its graph there, never over another file; `-`: to standard output"
    parser.add_argument("-o", "--output", metavar="GRAPH", help=about)
    add_store(parser)
    parser.add_argument("--json", action="store_true", help="the recipe as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print what a file carries, or write its graph."""
    from vflow.engine.opened import open_file
    from vflow.engine.store import Store

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # its letters may be none of this terminal's
    opened = open_file(arguments.file)
    if arguments.output:
        _write(opened, arguments.output)
        return DONE
    from vflow.engine.cli.text import out

    store = Store(arguments.cache)
    kept = opened.kept(store)
    if opened.results:
        kept["results"] = opened.kept_results(store)
    for line in [_as_json(opened, kept)] if arguments.json else _lines(opened, kept):
        out(line)
    return DONE


def _write(opened: Opened, name: str) -> None:
    from vflow.engine.cli.text import out, say
    from vflow.engine.problems import GraphError

    if name == "-":
        out(opened.text.rstrip("\n"))
        return
    text = opened.text
    try:
        with open(name, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise GraphError(f"{name} is there already, and is not written over", "name another with -o") from error
    except (OSError, ValueError) as error:
        raise GraphError(f"{name} cannot be written: {error}", "name another with -o") from error
    out(name)
    say(f"look at it before it runs: vflow plan {name}{_given(opened)}")


def _lines(opened: Opened, kept: Mapping[str, Kept]) -> Iterator[str]:
    from vflow.engine.cli.text import table
    from vflow.engine.problems import printable

    recipe = opened.recipe
    graph = recipe.graph
    what = f"output {printable(recipe.output, 64)} of" if recipe.output else "a pack of"
    yield f"{opened.file}: {what} the graph {printable(graph.name, 100)}"
    if graph.about:
        yield f"  {printable(graph.about, 500)}"
    yield "nodes:"
    rows = [
        (printable(name, 64), printable(node.get("type", "?"), 64), *_of_node(recipe.nodes.get(name), kept.get(name)))
        for name, node in list(graph.nodes.items())[:_MOST_NODES]
    ]
    yield from table(rows, "  ")
    if len(graph.nodes) > _MOST_NODES:
        yield f"  ... and {len(graph.nodes) - _MOST_NODES:,} more"
    if opened.results:
        there = kept["results"]
        yield f"results in it: {there.total:,}, of which this store has {there.found:,}; `vflow unpack` takes them over"
    yield from _facts(opened)
    if opened.wanted:
        yield f"left out of it, and to be given: {', '.join(printable(name, 64) for name in opened.wanted)}"
    yield f"its graph: vflow open {opened.file} -o GRAPH; then vflow plan GRAPH{_given(opened)}"


def _of_node(node: NodeFacts | None, kept: Kept | None) -> tuple[str, str]:
    """Say the key of a node, and what the store has of it."""
    from vflow.engine.problems import printable

    if node is None or not node.key:
        return "", ""
    key = printable(node.key, 12).removesuffix("...")
    if kept is None or not kept.total:
        return key, f"{node.count:,} items, keys not told" if node.count else ""
    if kept.total == 1:
        return key, "in this store" if kept.found else "not in this store"
    return key, f"{kept.found:,} of {kept.total:,} in this store"


def _facts(opened: Opened) -> Iterator[str]:
    from vflow.engine.cli.text import table
    from vflow.engine.problems import printable

    recipe = opened.recipe
    if figures := [_figures(name, values) for name, values in recipe.metrics.items()]:
        yield "final figures:"
        yield from table(figures, "  ")
    pins = {what: revision for node in recipe.nodes.values() for what, revision in node.pins.items()}
    if pins:
        yield "stands on:"
        yield from table([(printable(what, 200), printable(revision, 64)) for what, revision in pins.items()], "  ")
    if recipe.packages:
        versions = (
            f"{printable(package, 40)} {printable(version, 40)}" for package, version in recipe.packages.items()
        )
        yield f"computed with: {', '.join(versions)}"


def _figures(name: str, values: Mapping[str, float]) -> tuple[str, str, str]:
    from vflow.engine.problems import printable

    said = ", ".join(f"{printable(figure, 40)} {value:.6g}" for figure, value in values.items() if figure != "step")
    return printable(name, 64), f"step {values['step']:.0f}" if "step" in values else "", said


def _given(opened: Opened) -> str:
    """Return the flags with which the graph runs."""
    from vflow.engine.problems import printable

    return "".join(f" --set {printable(name, 64)}=..." for name in opened.wanted)


def _as_json(opened: Opened, kept: Mapping[str, Kept]) -> str:
    import json

    found: dict[str, Any] = {"file": str(opened.file), **opened.recipe.model_dump(), "graph_text": opened.text}
    found["kept"] = {name: {"found": node.found, "total": node.total} for name, node in kept.items()}
    return json.dumps(found, indent=1, allow_nan=True)
