"""`vflow unpack`: open somebody's pack."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE
from vflow.engine.cli.arguments import add_store

if TYPE_CHECKING:
    from vflow.engine.store import Store
    from vflow.engine.unpack import Unpacked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `vflow pack` wrote")
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a new folder (else named after the file)")
    parser.add_argument("--no-results", action="store_true", help="leave the store as it is: the graph only")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_store(parser)


def call(arguments: argparse.Namespace) -> int:
    """Check the pack, say what it would do, and unpack it."""
    from vflow.engine.cli.text import out, say
    from vflow.engine.problems import GraphError
    from vflow.engine.store import Store
    from vflow.engine.unpack import unpack

    folder = arguments.folder or Path(arguments.file.stem)
    if folder == arguments.file:
        raise GraphError(f"{folder} is the pack itself", "name a folder")
    store = Store(arguments.cache)

    def agree(found: Unpacked) -> bool:
        for line in effects(found, folder, store, not arguments.no_results):
            say(line)
        if arguments.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        sys.stderr.write("unpack it? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    if unpack(arguments.file, folder, store, agree, not arguments.no_results) is None:
        say("nothing was unpacked")
        return DONE
    out(f"{folder / 'graph.yaml'}")
    say(f"`vflow plan {folder / 'graph.yaml'}` says what it reads, downloads, writes and sends")
    return DONE


def effects(found: Unpacked, folder: Path, store: Store, results: bool) -> list[str]:
    """Return in lines what unpacking does."""
    from vflow.engine.cli.text import count, size

    lines = [f"writes {folder}/ ({size(found.manifest.size)} with results)"]
    if not results or not found.records:
        return [*lines, "writes nothing into the store"]
    kinds = ", ".join(f"{number} of {kind}" for kind, number in sorted(found.types.items()))
    lines.append(f"writes {count(len(found.records), 'result')} into the store at {store.folder}: {kinds}")
    lines.append("their keys are right; that they are what was computed is the word of the pack's author")
    if found.known:
        told = f", {found.others} of them otherwise than in the pack" if found.others else ""
        lines.append(f"{count(found.known, 'result')} of these you have already{told}: yours are kept")
    return lines
