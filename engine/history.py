"""Past runs, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vflow.engine import watching
from vflow.engine.folder import EVENTS, SUMMARY
from vflow.engine.problems import GraphError, suggest


@dataclass
class PastRun:
    """One run's folder.

    `status` is `done`, `failed` or `interrupted` as the summary says. While there is none: `running` or `died`, as the
    process is seen to live or to be gone; `unfinished` where that cannot be seen (it ran on another machine).
    `started` is in seconds since the epoch, `process` names the process that worked on it last.
    """

    path: Path
    graph: str = ""
    status: str = "unfinished"
    seconds: float | None = None
    started: float = 0.0
    process: str = ""
    failure: str = ""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def events(self, kind: str = "") -> Iterator[dict[str, Any]]:
        """Yield the run's events (those of a kind) as plain data; a line cut off by a crash is skipped."""
        mark = f'"{kind}"' if kind else ""
        with (self.path / EVENTS).open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if mark not in line:  # reading a million lines as JSON would take long
                    continue
                with suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and (not kind or event.get("kind") == kind):
                        yield event

    def last_metrics(self) -> dict[str, tuple[int, float]]:
        """Return the last (step, value) of every metric."""
        found: dict[str, tuple[int, float]] = {}
        for event in self.events("metrics"):
            found |= {name: (event["step"], value) for name, value in event["values"].items()}
        return found

    def outputs(self) -> list[Path]:
        """Return the exported files."""
        return sorted(path for path in (self.path / "outputs").rglob("*") if path.is_file())


def past_runs(folder: Path) -> list[PastRun]:
    """Return the runs below a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [path.parent for path in folder.glob(f"*/{EVENTS}")]
    return [read_run(path) for path in sorted(found, key=lambda path: ((path / EVENTS).stat().st_mtime, path.name))]


def find_run(name: str) -> PastRun:
    """Find a run by its folder, its name below `runs/`, or `last`.

    Raises:
        GraphError: there is none.
    """
    folder = Path("runs")
    if name == "last":
        if runs := past_runs(folder):
            return runs[-1]
        raise GraphError("there are no runs below runs/", "`vflow run GRAPH` makes one")
    for path in (Path(name), folder / name):
        if (path / EVENTS).is_file():
            return read_run(path)
    known = [run.name for run in past_runs(folder)]
    raise GraphError(f"no run at {name!r}", suggest(name, known, "`vflow runs` lists them"))


def last_start(path: Path) -> dict[str, Any]:
    """Return the event by which a process last began to work on the run."""
    for line in watching.Tail(path / EVENTS, watching.last_start(path / EVENTS)).lines():
        with suppress(ValueError):
            event: dict[str, Any] = json.loads(line)
            if event.get("kind") == "run_started":
                return event
    return {}


def read_run(path: Path) -> PastRun:
    """Read what a run's folder says of it."""
    run = PastRun(path)
    start = last_start(path)
    run.graph, run.started, run.process = start.get("graph", ""), start.get("time", 0.0), start.get("process", "")
    summary = read_summary(path)
    if summary is None:
        run.status = watching.standing(run.process)
        return run
    run.status, run.seconds = summary["status"], summary["seconds"]
    run.failure, run.nodes, run.keys = summary.get("failure", ""), summary["nodes"], summary.get("keys", {})
    return run


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return what a run's `summary.json` holds; None where there is none yet, or it is not one."""
    try:
        summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        right = isinstance(summary["status"], str) and isinstance(summary["nodes"], dict)
        return summary if right and isinstance(summary["seconds"], (int, float)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
