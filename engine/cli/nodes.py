"""`vflow nodes`: the reference of node types, and of what packages know besides (`--family`)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from vflow.engine.cli import DONE

#: entry points whose names are options: functions of a text that return titled tables, rows of columns
REFERENCES = "vflow.references"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from vflow.engine.registry import entry_points

    parser.add_argument("type", nargs="?", metavar="TYPE", help="a node type; without it, list all")
    for point in entry_points(REFERENCES):
        told = f"instead, what is known of a {point.name}; without a name, list them"
        parser.add_argument(f"--{point.name}", nargs="?", const="", metavar="NAME", help=told)
    parser.add_argument("--json", action="store_true", help="tables as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Describe one node type, list all, or show the tables that were asked for."""
    from vflow.engine.cli.text import out, say_error
    from vflow.engine.problems import GraphError, suggest
    from vflow.engine.reference import describe_type, list_types
    from vflow.engine.registry import complaints, entry_points, load_node_types, loaded, registry_problems

    asked = [
        (point, name) for point in entry_points(REFERENCES) if (name := getattr(arguments, point.name)) is not None
    ]
    for point, name in asked:
        if (tables := loaded(point)) is not None:
            _show(tables(name), arguments.json)
    if asked:
        say_error(*complaints())
        return DONE
    types = load_node_types()
    say_error(*registry_problems())
    if arguments.type is None:
        out(list_types(types))
    elif arguments.type in types:
        out(describe_type(types[arguments.type]))
    else:
        raise GraphError(f"there is no node type {arguments.type!r}", suggest(arguments.type, types))
    return DONE


def _show(tables: Mapping[str, Sequence[Mapping[str, Any]]], as_json: bool) -> None:
    import json

    from vflow.engine.cli.text import out

    if as_json:
        out(json.dumps(tables, indent=1))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for title, rows in tables.items():
        if rows:
            table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
            for column in rows[0]:
                table.add_column(column, overflow="fold")
            for row in rows:
                table.add_row(*(Text(_words(value)) for value in row.values()))
            console.print(table)


def _words(value: Any) -> str:
    from vflow.engine.problems import printable

    return ("yes" if value else "no") if isinstance(value, bool) else printable(value)
