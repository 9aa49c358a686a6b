"""`vflow schema`: the JSON Schema of graph files with all node types of this installation."""

from __future__ import annotations

import argparse

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def call(_arguments: argparse.Namespace) -> int:
    """Print the schema."""
    import json

    from vflow.engine.cli.text import out
    from vflow.engine.registry import load_node_types
    from vflow.engine.schema import graph_schema

    out(json.dumps(graph_schema(load_node_types()), indent=1))
    return DONE
