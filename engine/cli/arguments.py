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


def add_help_params(parser: argparse.ArgumentParser) -> None:
    """Add `--help-params`."""
    about = "list the graph's parameters: values, what they may be, which settings take them"
    parser.add_argument("--help-params", action="store_true", help=about)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--cache`."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the store (else $VFLOW_HOME, else your settings)")


def add_remote(parser: argparse.ArgumentParser) -> None:
    """Add `--remote`."""
    remote = "a second store behind it, s3://bucket/folder for instance (else $VFLOW_REMOTE, else your settings)"
    parser.add_argument("--remote", metavar="URL", help=remote)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add `--offline` and `--refresh`."""
    parser.add_argument("--offline", action="store_true", help="never use the network")
    parser.add_argument("--refresh", action="store_true", help="ask the hub again for revisions resolved before")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--locked`, `--lock` and `--allow-send`."""
    parser.add_argument("--locked", action="store_true", help="refuse what differs from the lock beside the graph")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="the same, with the lock in another place")
    allow = "let nodes send to this destination: hub, wandb, a host or an address (repeatable)"
    parser.add_argument("--allow-send", action="append", metavar="WHERE", help=allow)


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add `--until`, `--force` and `--fresh-env`."""
    parser.add_argument("--until", action="append", metavar="NODE", help="go no further than this node (repeatable)")
    parser.add_argument("--force", action="append", metavar="NODE", help="run this node again although it is kept")
    fresh = "compute again what is kept from another major version of torch or diffusers, or another kind of device"
    parser.add_argument("--fresh-env", action="store_true", help=fresh)
