"""Bring a model's files to this machine: download from the hub, or build a miniature. Both go on where they stopped."""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Failure, GraphError, Transient
from vflow.engine.values import Blob
from vflow.nodes.families import family
from vflow.nodes.models import hub, single_file
from vflow.nodes.models.layout import INDEX
from vflow.nodes.models.source import miniature_seed
from vflow.nodes.models.weights import path_of
from vflow.nodes.values import Source

if TYPE_CHECKING:
    from vflow.engine.context import Context

#: written last into a miniature's folder: the sizes of its files
_DONE = ".done.json"
_SPARE = 2**28
_AT_ONCE = 4


def folder_of(source: Source, context: Context) -> Path:
    """Return the folder, in diffusers' layout, that holds the part's files once they are fetched.

    Raises:
        Failure: the folder that the user named was not looked at in this run.
    """
    if source.weights is not None:
        return _composed(source, context)
    if source.kind == "joined":
        return _joined(source, context)
    if source.kind == "single":
        return _linked(source, context)
    if source.kind == "hub":
        return hub.snapshot(source.repository, source.commit)
    if source.kind == "tiny":
        shipped = family(source.family).trained_miniature if source.files else None
        return shipped or context.store_folder / "models" / f"{source.family}-{source.content[:16]}"
    try:
        return context.path_of(source.content)
    except KeyError as error:
        raise Failure(f"the folder of {source.model} is not known in this run", "run the whole graph") from error


def is_fetched(source: Source, context: Context) -> bool:
    """Tell whether all files of the part are here, with their sizes."""
    if source.base is not None:
        return is_fetched(source.base, context) and not _missing_weights(source, context)
    if source.kind == "joined":
        return all(is_fetched(component, context) for _, component in source.components)
    if source.kind == "tiny" and not source.files:
        return _is_built(folder_of(source, context))
    return not _missing(source, context)


def bytes_to_fetch(source: Source, context: Context) -> int:
    """Return how many bytes are still to be downloaded."""
    if source.base is not None:
        return bytes_to_fetch(source.base, context)
    if source.kind == "joined":
        return sum(bytes_to_fetch(component, context) for _, component in source.components)
    return 0 if source.kind == "tiny" else sum(size for _, size in _missing(source, context))


def fetch(source: Source, context: Context) -> None:
    """Download or build what is missing.

    Raises:
        Failure: no network, no access, no room on the disk; or files of the user's own folder are gone.
        Interrupted: the run is stopping; whole files stay.
    """
    if is_fetched(source, context):
        return
    if source.base is not None:
        fetch(source.base, context)
        if gone := ", ".join(_missing_weights(source, context)):
            raise Failure(f"trained weights have changed or gone: {gone}", "put them back, or train again")
    elif source.kind == "joined":
        for _, component in source.components:
            fetch(component, context)
    elif source.kind == "tiny" and not source.files:
        _build(source, folder_of(source, context))
    elif source.kind == "hub":
        _download(source, context)
    else:
        gone = ", ".join(name for name, _ in _missing(source, context))
        raise Failure(f"files of {source.model} have changed or gone: {gone}", "put them back, then run again")


def _missing(source: Source, context: Context) -> list[tuple[str, int]]:
    folder = folder_of(source, context)
    files = [(name, size) for name, size, _ in source.files]
    return [(name, size) for name, size in files if _size(folder / name) != size]


def _missing_weights(source: Source, context: Context) -> list[str]:
    def is_here(blob: Blob) -> bool:
        try:
            return _size(path_of(blob, context)) == blob.size
        except Failure:
            return False

    return [name for name, blob in source.weights.files if not is_here(blob)] if source.weights else []


def _composed(source: Source, context: Context) -> Path:
    """Return a folder of links that looks like a whole checkpoint with trained weights in it."""
    if source.base is None or source.weights is None:
        raise ValueError(f"{source.kind} holds no weights of its own")
    network, *others = family(source.family).folders[source.part]
    folder = context.store_folder / "models" / f"{source.family}-{source.content[:16]}"
    targets = {f"{network}/{name}": path_of(blob, context) for name, blob in source.weights.files}
    targets |= {other: folder_of(source.base, context) / other for other in others}
    for name, target in targets.items():
        _link(folder / name, target)
    return folder


def _joined(source: Source, context: Context) -> Path:
    """Return a folder of links that looks like a whole checkpoint; each leads to where a component lies."""
    folder = context.store_folder / "models" / f"{source.family}-{source.content[:16]}"
    for name, component in source.components:
        inside = component.files[0][0].rpartition("/")[0] if component.files else ""
        _link(folder / name, folder_of(component, context) / inside)
    return folder


def _linked(source: Source, context: Context) -> Path:
    """Return a folder of links to the files of one sub-folder, which lie in different places."""
    folder = context.store_folder / "models" / f"{source.family}-{source.content[:16]}"
    for name, blob in single_file.blobs_of(source).items():
        _link(folder / name, path_of(blob, context))
    return folder


def _link(place: Path, target: Path) -> None:
    """Let a link lead to a file or folder, whatever it led to before; other processes see one or the other."""
    if place.is_symlink() and place.readlink() == target:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}-{token_hex(4)}")
    fresh.symlink_to(target)
    fresh.replace(place)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _download(source: Source, context: Context) -> None:
    """Download the missing files of the part, several at once, and nothing else of the repository."""
    missing = _missing(source, context)
    total = sum(size for _, size in missing)
    need_room(total, hub.cache_folder(), source.model)
    listing = hub.Listing(source.repository, source.commit, {})
    names = [name for name, _ in missing]
    for name in names:
        _drop(hub.snapshot(source.repository, source.commit) / name)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bars = _stopping_bars(context)
        running = {pool.submit(hub.download, listing, name, context, bars) for name in names}
        try:
            _watch(running, source, context, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    try:
        hub.download(listing, INDEX, context)  # its class names are no part of the weights, but tell what they are
    except GraphError:
        context.log(f"{source.repository} has no {INDEX}")


def _drop(path: Path) -> None:
    """Remove a file of the wrong size from the hub's cache: its library would take it as it is."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _watch(running: set[Future[Path]], source: Source, context: Context, total: int) -> None:
    while running:
        done, running = wait(running, timeout=0.5)
        if context.stopping:
            context.interrupted()
        for future in done:
            try:
                future.result()
            except GraphError as error:
                problem = error.problems[0]
                kind = Transient if isinstance(error, hub.Unreachable) else Failure
                raise kind(problem.message, problem.remedy) from error
        left = bytes_to_fetch(source, context)
        context.progress(total - left + _under_way(source, left), total, "byte")


def _under_way(source: Source, left: int) -> int:
    blobs = hub.snapshot(source.repository, source.commit).parent.parent / "blobs"
    return min(left, sum(max(0, _size(path)) for path in blobs.glob("*.incomplete")))


def _stopping_bars(context: Context) -> type:
    """Return bars that draw nothing and end their download once the run is stopping."""
    silent = hub.silent_bars()

    class Stopping(silent):  # type: ignore[valid-type, misc]
        """A bar is told of every piece that arrives: the one place where a download can be left."""

        def update(self, n: float | None = 1) -> Any:
            if context.stopping:
                raise InterruptedError("the run is stopping")
            return super().update(n)

    return Stopping


def need_room(size: int, folder: Path, what: str) -> None:
    """Refuse to begin what does not fit.

    Raises:
        Failure: fewer than `size` bytes, and some to spare, are free where `folder` is or will be.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if size + _SPARE > free:
        raise Failure(
            f"{what} needs {size / 1e9:.1f} GB more, and {folder} has {free / 1e9:.1f} GB left",
            "free some room, or set HF_HOME to a folder on a larger disk",
        )


def _is_built(folder: Path) -> bool:
    try:
        sizes: dict[str, int] = json.loads((folder / _DONE).read_text())
    except (OSError, ValueError):
        return False
    return all(_size(folder / name) == size for name, size in sizes.items())


def _build(source: Source, folder: Path) -> None:
    """Build the miniature beside its place and move it there whole; another process may do the same meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        family(source.family).build_miniature(building, miniature_seed(source.model), source.task)
        sizes = {str(p.relative_to(building)): p.stat().st_size for p in sorted(building.rglob("*")) if p.is_file()}
        (building / _DONE).write_text(json.dumps(sizes))
        building.chmod(0o755)
        _put_in_place(building, folder)
    except Exception as error:
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise Failure(f"the miniature could not be written: {error}", "make room in the store") from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _put_in_place(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError:
        if _is_built(folder):
            return  # another process was first
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
