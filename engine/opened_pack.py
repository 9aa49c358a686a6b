"""What a pack tells of itself without being unpacked: its graph, its lock, and which results are in it."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vflow.engine import lock, packfile
from vflow.engine.document import MAX_BYTES, parse
from vflow.engine.opened import GraphData, NodeFacts, Opened, Recipe
from vflow.engine.problems import GraphError, printable

# all that the library was seen to raise over damaged archives
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, RuntimeError, OverflowError, struct.error)
#: larger packs are for `vflow unpack` alone: their lists are read whole, in bytes
_MOST_LISTED = 64 << 20


def is_pack(file: Path) -> bool:
    """Tell whether a file begins as a pack does.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        return opened.read(4) == b"PK\x03\x04"


def open_pack(file: Path) -> Opened:
    """Read a pack's graph, and what it says of its nodes and results.

    Raises:
        GraphError: it is no pack, or refused.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            listed = {info.filename: info.file_size for info in archive.infolist()}
            if max(listed.get(packfile.MANIFEST, 0), listed.get(packfile.LOCK, 0)) > _MOST_LISTED:
                raise GraphError(f"{file} holds too much to be looked at", "`vflow unpack` takes it")
            manifest = packfile.read_manifest(archive, file.stat().st_size)
            if manifest.entries[packfile.GRAPH][0] > MAX_BYTES:
                raise packfile.refusal("its graph is too large")
            text = packfile.text_of(archive, packfile.GRAPH, manifest).decode()
            locked = lock.parse(packfile.text_of(archive, packfile.LOCK, manifest), packfile.LOCK)
    except (*_DAMAGED, OSError) as error:
        raise GraphError(f"{file} is no pack: {printable(error)}", "`vflow pack GRAPH -o FILE` makes one") from error
    results = [name.removeprefix("records/").removesuffix(".json") for name in manifest.below("records")]
    return Opened(file, _recipe(text, locked), results, text)


def _recipe(text: str, locked: lock.Lock) -> Recipe:
    document = parse(text, packfile.GRAPH)
    if document.problems or document.root is None:
        raise GraphError(document.problems or packfile.refusal("its graph is empty").problems)
    try:
        nodes = {
            name: NodeFacts(type=node.type, version=node.version, pins=_on_a_hub(node.pins))
            for name, node in locked.nodes.items()
        }
        graph = GraphData.model_validate(document.root.plain())
        return Recipe(graph=graph, nodes=nodes, packages=dict(locked.versions))
    except (ValidationError, TypeError, AttributeError) as error:
        raise packfile.refusal("its graph or its lock is of another form") from error


def _on_a_hub(pins: Any) -> dict[str, str]:
    return {what: revision for what, revision in pins.items() if what.startswith("hub ")}
