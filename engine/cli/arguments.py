"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Add GRAPH, `--profile` and `--set`."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a graph that ships with vflow")
    add_choices(parser)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add `--profile` and `--set`."""
    parser.add_argument("--profile", action="append", metavar="P", help="use a profile of the graph (repeatable)")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="set a parameter (repeatable)")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--cache`."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the store (else $VFLOW_HOME, else ~/.cache/vflow)")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add `--offline` and `--refresh`."""
    parser.add_argument("--offline", action="store_true", help="never use the network")
    parser.add_argument("--refresh", action="store_true", help="ask the hub again for revisions resolved before")


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add `--until` and `--force`."""
    parser.add_argument("--until", action="append", metavar="NODE", help="go no further than this node (repeatable)")
    parser.add_argument("--force", action="append", metavar="NODE", help="run this node again although it is kept")
