"""`vflow nodes`: the reference of node types."""

from __future__ import annotations

import argparse

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("type", nargs="?", metavar="TYPE", help="a node type; without it, list all")


def call(arguments: argparse.Namespace) -> int:
    """Describe one node type, or list all."""
    from vflow.engine.cli.text import out, say_error
    from vflow.engine.problems import GraphError, suggest
    from vflow.engine.reference import describe_type, list_types
    from vflow.engine.registry import load_node_types, registry_problems

    types = load_node_types()
    say_error(*registry_problems())
    if arguments.type is None:
        out(list_types(types))
    elif arguments.type in types:
        out(describe_type(types[arguments.type]))
    else:
        raise GraphError(f"there is no node type {arguments.type!r}", suggest(arguments.type, types))
    return DONE
