"""Open a pack of a stranger: everything is checked before anything is kept, and nothing is ever overwritten.

The graph goes into a new folder, results go into the store. A result's key is formed again from what its record says
it is made of, so that no result can stand under a key that is not its own. That the result is what the node would
compute cannot be told without computing it: whoever imports results trusts their author.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import frozen, keys, lock, packfile
from vflow.engine.packfile import Manifest, refusal
from vflow.engine.problems import Failure, GraphError
from vflow.engine.registry import load_node_types
from vflow.engine.store import Record
from vflow.engine.values import Blob, blobs_of, output_from_json, output_to_json

if TYPE_CHECKING:
    from vflow.engine.store import Store

_SPARE = 2**26


@dataclass(frozen=True)
class Unpacked:
    """What a pack holds, checked. `types` counts its results by type of node; `known` are in the store already.

    `others` of these are kept in the store with another output than the pack has.
    """

    manifest: Manifest
    records: tuple[Record, ...]
    entries: tuple[frozen.Entry, ...]
    types: dict[str, int]
    known: int
    others: int


def unpack(
    path: Path, folder: Path, store: Store, agree: Callable[[Unpacked], bool] = lambda _: True, results: bool = True
) -> Unpacked | None:
    """Unpack a pack into a new folder and its results into the store.

    `agree` is told what is in it, before anything is kept; None where it says no. Without `results` the store stays as
    it is.

    Raises:
        GraphError: the pack is refused, or the folder is there.
        Failure: no room on a disk, or it cannot be written.
    """
    with _opened(path) as archive, ExitStack() as stack:
        manifest = packfile.read_manifest(archive, path.stat().st_size)
        _check_folder(folder)
        _check_room(manifest, folder, store.folder)
        staged = stack.enter_context(_staging(folder))
        blobs = stack.enter_context(store.scratch())
        _extract_all(archive, manifest, staged, blobs)
        found = _checked(archive, manifest, store)
        if not agree(found):
            return None
        if results:
            with store.held():  # a collection beside would take the blobs whose records are not written yet
                _import(found, blobs, manifest, store)
        _keep(staged, folder)
    return found


# --- checking --------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise GraphError(f"there is no file {path}", "check the path") from error
    except packfile.DAMAGED as error:
        raise GraphError(f"{path} is no pack", "`vflow pack GRAPH -o FILE` makes one") from error
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}", "check its name and rights") from error
    with archive:
        yield archive


def _check_folder(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise GraphError(f"{folder} is there already; nothing is overwritten", "name a new folder")


def _check_room(manifest: Manifest, *folders: Path) -> None:
    for folder in folders:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        if manifest.size + _SPARE > free:
            need = f"{manifest.size / 1e9:.1f} GB unpacked, and {there} has {free / 1e9:.1f} GB free"
            raise Failure(f"the pack does not fit: it has {need}", "free some space there")


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Lend a new folder beside the one that it will become."""
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=parent))
    except OSError as error:
        raise Failure(f"{parent} cannot be written: {error.strerror}", "name another folder") from error
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _extract_all(archive: zipfile.ZipFile, manifest: Manifest, staged: Path, blobs: Path) -> None:
    try:
        for name in sorted(manifest.entries):
            if name.startswith("records/"):
                continue
            place = blobs / name.removeprefix("blobs/") if name.startswith("blobs/") else staged / name
            place.parent.mkdir(exist_ok=True)
            with place.open("xb") as file:
                packfile.extract(archive, name, manifest, file.write)
    except OSError as error:
        raise Failure(f"the pack cannot be unpacked: {error.strerror}", "look at the disk") from error


def _checked(archive: zipfile.ZipFile, manifest: Manifest, store: Store) -> Unpacked:
    """Check graph, lock, frozen outputs and records for what they say."""
    load_node_types()  # and with them the types of their values
    lock.parse(packfile.text_of(archive, packfile.LOCK, manifest), packfile.LOCK)
    entries = frozen.read(packfile.text_of(archive, packfile.FROZEN, manifest), packfile.FROZEN)
    if any(packfile.controls(entry.facts) for entry in entries.values()):
        raise refusal(f"{packfile.FROZEN} holds control characters")
    needed: set[str] = set()
    records = []
    for name in manifest.below("records"):
        record = _record(name, packfile.text_of(archive, name, manifest))
        needed |= record.sizes.keys()
        records.append(record)
    held = {name.removeprefix("blobs/").partition(".")[0]: manifest.entries[name] for name in manifest.below("blobs")}
    _check_blobs(records, held)
    known = store.lookup([record.key for record in records])
    differs = sum(_identity(known[record.key]) != _identity(record) for record in records if record.key in known)
    types = dict(Counter(record.node_type for record in records))
    return Unpacked(manifest, tuple(records), tuple(entries.values()), types, len(known), differs)


def _check_frozen(data: bytes, name: str) -> None:
    entries = frozen.read(data, name)
    if any(packfile.controls(entry.facts) for entry in entries.values()):
        raise refusal(f"{name} holds control characters")


def _record(name: str, data: bytes) -> Record:
    """Return a record whose key is that of what it says it is made of."""
    key = name.removeprefix("records/").removesuffix(".json")
    try:
        record = Record.from_file(key, data)
        output = output_from_json(record.output)
        same = output_to_json(output) == record.output and {b.digest: b.size for b in blobs_of(output)} == record.sizes
        if not same:
            raise refusal(f"{name} says something else than its output")
        if not _is_of_its_node(record, output):
            raise refusal(f"{name} holds what a {record.node_type} does not give")
        if record.key not in _keys(record):
            raise refusal(f"{name} does not stand under its own key")
        if packfile.controls(dict(record.details)):
            raise refusal(f"{name} holds control characters")
    except GraphError:
        raise
    except KeyError as error:
        raise GraphError(
            f"the pack holds a result of a type that is not known here: {error}",
            "install the package that its graph needs, or unpack without results (--no-results)",
        ) from error
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise refusal(f"{name} is no record: {type(error).__name__}") from error
    return record


def _is_of_its_node(record: Record, output: Any) -> bool:
    cls = load_node_types()[record.node_type]
    return isinstance(output, cls.outputs["items"].types) if cls.per_item else frozen.fits(cls, output)


def _keys(record: Record) -> Iterator[str]:
    """Yield the keys that a record may have: that of a whole node, and that of an item at each of its ports."""
    made_of = [record.node_type, record.version, dict(record.settings)]
    inputs = dict(record.inputs)
    yield keys.digest([*made_of, inputs])
    for port, item in inputs.items():
        others = {name: identity for name, identity in inputs.items() if name != port}
        yield keys.digest([keys.digest([*made_of, others]), item])


def _check_blobs(records: list[Record], held: dict[str, tuple[int, str]]) -> None:
    for digest, (_, hashed) in held.items():
        if digest != hashed:
            raise refusal(f"blob {digest[:12]} is not what its name says")
    for record in records:
        for digest, size in record.sizes.items():
            if digest not in held or held[digest][0] != size:
                raise refusal(f"blob {digest[:12]}, which a result needs, is not in it")


def _identity(record: Record) -> Any:
    from vflow.engine.steps import identity_of_output

    return identity_of_output(output_from_json(record.output))


# --- keeping ---------------------------------------------------------------------------------------------------------


def _import(found: Unpacked, folder: Path, manifest: Manifest, store: Store) -> None:
    """Put blobs and records into the store; what is there stays as it is."""
    new = [record for record in found.records if record.key not in store.lookup([record.key])]
    parts: list[Record | frozen.Entry] = [*new, *found.entries]
    wanted = {blob.digest: blob for part in parts for blob in _blobs(part)}
    for name in manifest.below("blobs"):
        file = folder / name.removeprefix("blobs/")
        blob = wanted.get(file.name.partition(".")[0])
        if blob is not None:  # over what may be there, which could be damaged
            store.put_file(file, blob.suffix)
    store.publish_many(new)


def _blobs(part: Record | frozen.Entry) -> Iterable[Blob]:
    return part.blobs if isinstance(part, Record) else part.blobs()


def _keep(staged: Path, folder: Path) -> None:
    try:
        staged.chmod(0o755)
        os.rename(staged, folder)  # noqa: PTH104 - over an empty folder, and over nothing else
    except OSError as error:
        raise Failure(f"{folder} cannot be made: {error.strerror}", "name a new folder") from error
