"""The store's holdings as lines of text, for `vflow cache`."""

from __future__ import annotations

import argparse
import time
from typing import Any

from vflow.engine.cli.text import duration, size
from vflow.engine.store.holdings import Entry, Holdings, State
from vflow.engine.store.keeping import age
from vflow.engine.store.listing import Selection, select

_FIGURES = ("RESULTS", "SIZE", "COMPUTED IN", "AGE", "LAST USE", "PINNED")
HEADS = {
    "graph": ("GRAPH", *_FIGURES),
    "node": ("GRAPH", "NODE", "TYPE", *_FIGURES),
    "type": ("TYPE", *_FIGURES),
    "result": ("KEY", "GRAPH", "NODE", "TYPE", "SIZE", "COMPUTED IN", "AGE", "LAST USE", "KEPT"),
    "run": ("RUN", "GRAPH", "RESULTS", "SIZE", "AGE", "STATE", "FOLDER"),
}
_SHORT = 12


def selection(arguments: argparse.Namespace) -> Selection:
    """Return which results the arguments name."""
    keys = tuple(arguments.key or ())
    return Selection(keys, arguments.graph, arguments.node, arguments.type, arguments.run)


def chosen(found: Holdings, arguments: argparse.Namespace) -> list[Entry | State]:
    """Return the results that the arguments name; see `listing.select`."""
    return select(found, selection(arguments))


def cells(row: dict[str, Any], by: str) -> tuple[str, ...]:
    """Return a row as text, as `HEADS` says."""
    now = time.time()
    texts = {
        "KEY": str(row.get("key", ""))[:_SHORT],
        "SIZE": size(row["size"]),
        "COMPUTED IN": duration(row.get("seconds", 0)),
        "AGE": age(now - row["created"]),
        "LAST USE": f"{age(now - row['used'])} ago",
        "KEPT": ", ".join(row.get("kept", ())),
    }
    return tuple(texts.get(head, str(row.get(head.lower(), ""))) for head in HEADS[by])
