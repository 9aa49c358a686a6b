"""A run's folder: the graph as resolved, the events, the summary, and the outputs as plain files.

A run writes into its own folder and the store, nowhere else, and never over what it did not write itself.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Failure, GraphError
from vflow.engine.values import Items, Value

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.events import Event

EVENTS, SUMMARY, GRAPH = "events.jsonl", "summary.json", "graph.yaml"
_FLUSH_SECONDS = 0.5


class RunFolder:
    """The folder of one run. `events.jsonl` is appended to when a run goes on in the same folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: Any = None
        self._flushed = 0.0

    @classmethod
    def create(cls, out: Path | None, name: str) -> RunFolder:
        """Make the folder: `out`, else `runs/<time>-<name>/` below the working directory.

        Raises:
            GraphError: `out` holds something that no run wrote.
            Failure: it cannot be written.
        """
        try:
            if out is None:
                return cls(_new_folder(Path("runs"), f"{time.strftime('%Y%m%d-%H%M%S')}-{name or 'graph'}"))
            if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / EVENTS).is_file())):
                raise GraphError(f"--out {out} is not empty and is no run's folder", "name a new folder")
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"the run's folder cannot be made: {error}", "name another with --out DIR") from error
        return cls(out)

    def listen(self, event: Event) -> None:
        """Append an event; the file is flushed at least every half second while events come."""
        if self._events is None:
            self._events = (self.path / EVENTS).open("a", encoding="utf-8")
        self._events.write(event.model_dump_json() + "\n")
        if event.time - self._flushed > _FLUSH_SECONDS or type(event).__name__ not in ("Progress", "Metrics"):
            self._events.flush()
            self._flushed = event.time

    def close(self) -> None:
        """Close the events."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def write_graph(self, text: str) -> None:
        """Write the graph as resolved."""
        _write(self.path / GRAPH, text)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`."""
        _write(self.path / SUMMARY, json.dumps(summary, indent=1) + "\n")

    def sub_folder(self, name: str) -> Path:
        """Return a folder inside, made when needed. `name` is relative and does not leave the run's folder."""
        path = self._inside(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def copy_in(self, source: Path, name: str) -> Path:
        """Copy a file to the relative path `name`, whole or not at all."""
        target = self._inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def export(self, name: str, output: Any, world: World) -> list[Path]:
        """Write an output of the graph as plain files below `outputs/<name>/`; returns them."""
        folder = f"outputs/{name}"
        written = []
        for prefix, value in _parts(output):
            for file, blob in value.plain_files():
                written.append(self.copy_in(world.store.blob_path(blob), f"{folder}/{prefix}{file}"))
            if not any(True for _ in value.plain_files()):
                path = self._inside(f"{folder}/{prefix}{type(value).__name__.lower()}.json")
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, json.dumps(value.to_json(), indent=1) + "\n")
                written.append(path)
        return written

    def _inside(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
            raise ValueError(f"{name!r} leaves the run's folder")
        return self.path.joinpath(*parts)


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


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
