"""`vflow cache`: what the store holds."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE, FAILED
from vflow.engine.cli.arguments import add_store

if TYPE_CHECKING:
    from vflow.engine.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    choices = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_store(choices.add_parser("ls", help="results by graph, node and type"))
    show = choices.add_parser("show", help="one record, by the beginning of its key")
    show.add_argument("key", metavar="KEY")
    add_store(show)
    add_store(choices.add_parser("verify", help="read every blob and record, and say what is damaged"))


def call(arguments: argparse.Namespace) -> int:
    """Call the action."""
    from vflow.engine.store import Store

    store = Store(arguments.cache)
    return {"ls": _ls, "show": _show, "verify": _verify}[arguments.action](store, arguments)


def _ls(store: Store, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    from vflow.engine.cli.text import duration, out, size, table

    groups: dict[tuple[str, str, str], list[float]] = {}
    for record in store.entries():
        group = groups.setdefault((record.graph, record.node, record.node_type), [0, 0, 0, 0])
        group[0] += 1
        group[1] += sum(blob.size for blob in record.blobs)
        group[2] += record.seconds
        group[3] = max(group[3], record.created)
    rows = [("GRAPH", "NODE", "TYPE", "RESULTS", "SIZE", "COMPUTED IN", "NEWEST")]
    for (graph, node, kind), (results, bytes_, seconds, newest) in sorted(groups.items()):
        age = f"{duration(time.time() - newest)} ago"
        rows.append((graph, node, kind, str(int(results)), size(bytes_), duration(seconds), age))
    for line in table(rows):
        out(line)
    return DONE


def _show(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import out
    from vflow.engine.problems import GraphError

    found = list(store.find(arguments.key))
    if not found:
        raise GraphError(f"no record's key begins with {arguments.key!r}", "`vflow plan --json` shows keys")
    for record in found:
        data = json.loads(record.to_file())["record"]
        out(json.dumps({**data, **data.pop("details")}, indent=1))
    return DONE


def _verify(store: Store, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    from vflow.engine.cli.text import out

    damages = store.verify()
    for damage in damages:
        out(str(damage))
    out(f"{len(damages)} damaged; what was damaged is computed again when it is needed" if damages else "all is well")
    return FAILED if damages else DONE
