"""Which other run computed, or computes, what a run took over: its metrics are told there, and nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vflow.engine import watching
from vflow.engine.folder import EVENTS
from vflow.engine.following.standing import NodeRun
from vflow.engine.history import last_start, read_summary
from vflow.engine.store import owners

_MOST = 300  # runs whose summaries are looked at, the newest
_LOGS = 20  # and logs
_FAR = 2**22  # bytes at the end of a log in which metrics are looked for
_TRIED = 200  # of the events found there
_METRICS = b'"kind":"metrics"'


@dataclass(frozen=True)
class Origin:
    """A run's folder, and which nodes it told metrics of that another run took over, each by the name it has there."""

    folder: Path
    nodes: Mapping[str, str] = field(default_factory=dict)


def origins(folder: Path, nodes: Mapping[str, NodeRun]) -> list[Origin]:
    """Return the runs beside a run that computed what it reused, or that compute what it waits for, newest first.

    A result is known by its key, which the summaries of both runs name; what is waited for, by the process. Only runs
    that told metrics of it are named, one for each node. Nothing raises for what cannot be read.
    """
    keys = (read_summary(folder) or {}).get("keys", {})
    wanted = {  # what was made item by item told no metrics of its steps
        name: str(keys.get(name, ""))
        for name, run in nodes.items()
        if run.state == "waiting" or (run.state == "reused" and run.reused <= 1)
    }
    holders = {name: nodes[name].holder for name in wanted if nodes[name].holder}
    wanted = {name: key for name, key in wanted.items() if key or name in holders}
    found, logs = [], 0
    for path in _beside(folder) if wanted else ():
        theirs = {name: there for name, key in wanted.items() if (there := _node_of(path, name, key, holders))}
        logs += bool(theirs)
        told = _told(path) if theirs else set()
        if some := {name: there for name, there in theirs.items() if there in told}:
            found.append(Origin(path, some))
            wanted = {name: key for name, key in wanted.items() if name not in some}
        if not wanted or logs >= _LOGS:
            break
    return found


def _beside(folder: Path) -> Iterator[Path]:
    """Yield the other runs in the folder above a run's own, those that were worked on last first."""
    found = []
    own = folder.absolute()
    with suppress(OSError), os.scandir(own.parent) as entries:
        for entry in entries:
            with suppress(OSError):
                found.append((Path(entry.path, EVENTS).stat().st_mtime, entry.name))
    for _, name in sorted(found, reverse=True)[:_MOST]:
        if name != own.name:
            yield folder.parent / name


def _node_of(path: Path, name: str, key: str, holders: Mapping[str, str]) -> str:
    """Return which node of a run has computed the result of a key, or is computing what the holder computes."""
    summary = read_summary(path)
    if summary is None:
        with suppress(OSError):
            owner = owners.parse(str(last_start(path).get("process", "")))
            return name if owner is not None and owner.words == holders.get(name) else ""
        return ""
    keys, counts = summary.get("keys", {}), summary["nodes"]
    same = [other for other, one in keys.items() if key and one == key and _computed(counts.get(other))]
    return name if name in same else next(iter(same), "")


def _computed(node: object) -> bool:
    items = node.get("items") if isinstance(node, dict) else None
    return isinstance(items, dict) and bool(items.get("computed"))


def _told(path: Path) -> set[str]:
    """Return the nodes of which a run told metrics lately."""
    found: set[str] = set()
    with suppress(OSError), (path / EVENTS).open("rb") as file:
        for tried, (_, line) in enumerate(watching.lines_back(file, _METRICS, _FAR)):
            if tried >= _TRIED:
                break
            with suppress(ValueError, KeyError, TypeError):
                found.add(str(json.loads(line)["node"]))
    return found
