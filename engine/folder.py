"""A run's folder: the graph as resolved, the events, the summary, and the outputs as plain files.

A run writes into its own folder and the store, nowhere else, and never over what it did not write itself. What it
writes is whole or not there, but for the events: they are appended, and their last line may be cut off.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Failure, GraphError
from vflow.engine.secrets import redactor
from vflow.engine.store.files import sync
from vflow.engine.values import Items, Value

if TYPE_CHECKING:
    from vflow.engine.carried import Carrying
    from vflow.engine.contexts import World
    from vflow.engine.events import Event

EVENTS, SUMMARY, GRAPH = "events.jsonl", "summary.json", "graph.yaml"
_FLUSH_SECONDS = 0.5
_PARTIAL = ".part"


class RunFolder:
    """The folder of one run. `events.jsonl` is appended to when a run goes on in the same folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: Any = None
        self._redacted = redactor()
        self._flushed = 0.0
        self._lost = False

    @classmethod
    def create(cls, out: Path | None, name: str) -> RunFolder:
        """Make the folder: `out`, else `runs/<time>-<name>/` below the working directory.

        Raises:
            GraphError: `out` holds something that no run wrote, or a run that goes on.
            Failure: it cannot be written.
        """
        try:
            if out is None:
                return cls(_new_folder(Path("runs"), f"{time.strftime('%Y%m%d-%H%M%S')}-{name or 'graph'}"))
            if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / EVENTS).is_file())):
                raise GraphError(f"--out {out} is not empty and is no run's folder", "name a new folder")
            out.mkdir(parents=True, exist_ok=True)
            _take_over(out)
            _clear(out)
            (out / EVENTS).touch()  # first of all: by it the folder is known as a run's
        except OSError as error:
            raise Failure(f"the run's folder cannot be made: {error}", "name another with --out DIR") from error
        return cls(out)

    def listen(self, event: Event) -> None:
        """Append an event; the file is flushed at least every half second while events come.

        Raises:
            Failure: it cannot be written. That is said once; the events after it are lost silently.
        """
        if self._lost:
            return
        try:
            self._append(event)
        except OSError:  # put in words only here: a context for each of many thousand events would take longer than it
            self._lost = True
            with _told(self.path):
                raise

    def _append(self, event: Event) -> None:
        if self._events is None:
            self._events = (self.path / EVENTS).open("a", encoding="utf-8")
            if _is_torn(self.path / EVENTS):
                self._events.write("\n")
        self._events.write(self._redacted(event.model_dump_json()) + "\n")
        if event.time - self._flushed > _FLUSH_SECONDS or not _may_wait(event):
            self._events.flush()
            self._flushed = event.time

    def close(self) -> None:
        """Close the events.

        Raises:
            Failure: the last of them cannot be written.
        """
        events, self._events = self._events, None
        if events is not None and not self._lost:
            with _told(self.path):
                events.close()

    def write_graph(self, text: str) -> None:
        """Write the graph as resolved."""
        _write(self.path / GRAPH, redactor(home=False)(text))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`."""
        _write(self.path / SUMMARY, redactor()(_summary_text(summary)) + "\n")

    def sub_folder(self, name: str) -> Path:
        """Return a folder inside, made when needed. `name` is relative and does not leave the run's folder."""
        path = self._inside(name)
        with _told(self.path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def copy_in(self, source: Path, name: str, copy: Callable[[Path, Path], object] = shutil.copyfile) -> Path:
        """Copy a file (by `copy`) to the relative path `name`, whole or not at all.

        Raises:
            Failure: it cannot be written.
        """
        target = self._inside(name)
        with _told(self.path):
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(target, lambda partial: copy(source, partial))
        return target

    def export(self, name: str, output: Any, world: World, carrying: Carrying) -> list[Path]:
        """Write an output of the graph as plain files below `outputs/<name>/`, with what they carry; returns them.

        Raises:
            Damaged: a file in the store is gone or is not what was written.
            Failure: they cannot be written.
        """
        folder = f"outputs/{name}"
        written = []
        for prefix, value in _parts(output):
            for file, blob in value.plain_files():
                copy = carrying.copier(name, file)
                source = world.store.blob_path(blob, verify=True)
                written.append(self.copy_in(source, f"{folder}/{prefix}{file}", copy))
            if card := carrying.card(name, value):
                path = self._inside(f"{folder}/{prefix}README.md")
                _write(path, card)
                written.append(path)
            if not any(True for _ in value.plain_files()):
                path = self._inside(f"{folder}/{prefix}{type(value).__name__.lower()}.json")
                _write(path, json.dumps(value.to_json(), indent=1) + "\n")
                written.append(path)
        return written

    def _inside(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
            raise Failure(f"{name!r} leaves the run's folder", "a name in a result or graph is not what it should be")
        return self.path.joinpath(*parts)


def _may_wait(event: Event) -> bool:
    """Tell whether an event can be flushed with a later one: there are many of its kind, and another soon follows."""
    kind = type(event).__name__
    return kind in ("Progress", "Metrics", "NodePlanned") or getattr(event, "state", "") == "reused"


def _take_over(path: Path) -> None:
    """Begin to work on a run whose folder is there: how it ended before is not how it ends."""
    from vflow.engine.history import read_run
    from vflow.engine.store import owners

    before = read_run(path)
    if before.status == "running" and before.process != owners.myself().name:
        raise GraphError(f"a run goes on in {path}", f"follow it with `vflow watch {path}`, or name another folder")
    (path / SUMMARY).unlink(missing_ok=True)


def _new_folder(parent: Path, name: str) -> Path:
    for number in range(1000):
        path = parent / (name if not number else f"{name}-{number + 1}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(parent / name)


def _parts(output: Any) -> list[tuple[str, Value]]:
    """Return (prefix of file names, value): a single item stands alone, several get a folder each, by row."""
    if isinstance(output, Items):
        rows = list(output.items())
        return [("", rows[0][1])] if len(rows) == 1 else [(f"{row}/", value) for row, value in rows]
    return [("", output)] if isinstance(output, Value) else []


def _is_torn(path: Path) -> bool:
    """Tell whether a crash cut the last line off: what is appended must not become a part of it."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _summary_text(summary: Mapping[str, Any]) -> str:
    """Return JSON with a line for each node: json's own indentation is slow for large graphs."""
    nodes = [f"  {json.dumps(name)}: {json.dumps(node)}" for name, node in summary["nodes"].items()]
    rest = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in summary.items() if name != "nodes"]
    text = ' "nodes": {\n' + ",\n".join(nodes) + "\n }" if nodes else ' "nodes": {}'
    return "{\n" + ",\n".join([*rest, text]) + "\n}"


def _write(path: Path, text: str) -> None:
    with _told(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        _place(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _place(target: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under a temporary name beside the target, sync it and rename it."""
    partial = target.with_name(f".{target.name}.{os.getpid()}{_PARTIAL}")
    try:
        write(partial)
        sync(str(partial))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove what a killed process was writing when it ended."""
    for partial in folder.rglob(f".*{_PARTIAL}"):
        partial.unlink(missing_ok=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what the system says of the run's disk into a `Failure` with a remedy."""
    try:
        yield
    except OSError as error:
        reason, place = error.strerror or type(error).__name__, error.filename or folder
        raise Failure(
            f"the run's folder cannot be written: {reason}: {place}",
            "free some space there, or name another folder with --out DIR",
            final=True,
        ) from error
