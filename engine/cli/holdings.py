"""The store's holdings as lines of text: chosen, grouped, sorted. For `vflow cache`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vflow.engine.cli.text import count, duration, size
from vflow.engine.problems import GraphError
from vflow.engine.store.holdings import Entry, Holdings, State
from vflow.engine.store.uses import PastUse, record_name, work_name

_FIGURES = ("RESULTS", "SIZE", "COMPUTED IN", "AGE", "LAST USE", "PINNED")
HEADS = {
    "graph": ("GRAPH", *_FIGURES),
    "node": ("GRAPH", "NODE", "TYPE", *_FIGURES),
    "type": ("TYPE", *_FIGURES),
    "result": ("KEY", "GRAPH", "NODE", "TYPE", "SIZE", "COMPUTED IN", "AGE", "LAST USE", "KEPT"),
    "run": ("RUN", "GRAPH", "RESULTS", "SIZE", "AGE", "STATE", "FOLDER"),
}
_SHORT = 12


def select(found: Holdings, arguments: argparse.Namespace) -> list[Entry | State]:
    """Return the results that the arguments name; interrupted trainings only by their key, or where nothing is named.

    Raises:
        GraphError: a key's beginning fits several results, or there is no such run.
    """
    filtered = arguments.graph or arguments.node or arguments.type or arguments.run
    chosen: list[Entry | State] = [e for e in found.entries.values() if _fits(e, arguments)]
    chosen += [] if filtered and not arguments.run else found.unfinished()
    if arguments.run:
        names = _run(found, arguments.run).names
        chosen = [one for one in chosen if (work_name if isinstance(one, State) else record_name)(one.key) in names]
    if arguments.key:
        kept = [_begins(chosen, prefix.lower()) for prefix in arguments.key]
        chosen = list({one.key: one for one in kept}.values())
    return chosen


def _fits(entry: Entry, arguments: argparse.Namespace) -> bool:
    record = entry.record
    pairs = ((arguments.graph, record.graph), (arguments.node, record.node), (arguments.type, record.node_type))
    return all(wanted is None or wanted == has for wanted, has in pairs)


def _begins(chosen: Iterable[Entry | State], prefix: str) -> Entry | State:
    fits = [one for one in chosen if one.key.startswith(prefix)]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise GraphError(f"no result's key begins with {prefix!r}", "`vflow cache ls --by result` shows keys")
    some = ", ".join(one.key[:16] for one in fits[:3])
    raise GraphError(f"{prefix!r} begins the keys of {len(fits)} results: {some}, ...", "write more of the key")


def _run(found: Holdings, name: str) -> PastUse:
    fits = found.runs if name == "last" else [run for run in found.runs if run.id == name or _is_folder(run, name)]
    if not fits:
        raise GraphError(f"the store knows no run {name!r}", "`vflow cache ls --by run` lists those it knows")
    return fits[-1]


def _is_folder(run: PastUse, name: str) -> bool:
    return bool(run.folder) and (Path(run.folder) == Path(name).absolute() or Path(run.folder).name == name)


# --- rows ------------------------------------------------------------------------------------------------------------


def grouped(found: Holdings, chosen: Iterable[Entry | State], by: str) -> list[dict[str, Any]]:
    """Return a row for each group of results. A file that two groups share counts in both."""
    groups: dict[tuple[str, ...], list[Entry | State]] = {}
    for one in chosen:
        groups.setdefault(_group(one, by), []).append(one)
    return [_row(found, name, ones, by) for name, ones in groups.items()]


def _group(one: Entry | State, by: str) -> tuple[str, ...]:
    if isinstance(one, State):
        names = ("", "(interrupted training)", "")
    else:
        names = (one.record.graph, one.record.node, one.record.node_type)
    return {"graph": names[:1], "type": names[2:], "result": (one.key, *names)}.get(by, names)


def _row(found: Holdings, name: tuple[str, ...], ones: list[Entry | State], by: str) -> dict[str, Any]:
    entries = [one for one in ones if isinstance(one, Entry)]
    files = _files(entries)
    states = {e.record.work for e in entries if e.training} | {one.key for one in ones if isinstance(one, State)}
    states_size = sum(found.states[key].size for key in states)
    names = ("key", "graph", "node", "type") if by == "result" else (by,) if by in ("graph", "type") else HEADS["node"]
    row: dict[str, Any] = {label.lower(): text for label, text in zip(names, name, strict=False)}
    row |= {"results": len(entries), "size": sum(files.values()) + states_size}
    row |= {"seconds": sum(entry.record.seconds for entry in entries)}
    row |= {"created": max((entry.record.created for entry in entries), default=ones[0].used)}
    row |= {"used": max(one.used for one in ones), "pinned": sum(entry.pinned for entry in entries)}
    if by == "result":
        row["kept"] = _kept(ones[0])
    return row


def _files(entries: Iterable[Entry]) -> dict[str, int]:
    """Return digest and size in bytes of the results' blobs, each once."""
    files: dict[str, int] = {}
    for entry in entries:
        files |= entry.record.sizes
    return files


def _kept(one: Entry | State) -> list[str]:
    """Say what keeps a result from being collected."""
    if isinstance(one, State):
        return ["in use"] if one.live else ["training"]
    reasons = (("in use", one.live), ("pinned", one.pinned), ("training", one.training))
    return [reason for reason, holds in reasons if holds]


def runs(found: Holdings) -> list[dict[str, Any]]:
    """Return a row for each run that the store remembers."""
    names = {record_name(key): entry for key, entry in found.entries.items()}
    rows = []
    for run in found.runs:
        entries = [names[name] for name in run.names if name in names]
        files = _files(entries)
        figures = {"results": len(entries), "size": sum(files.values()), "created": run.started, "used": run.at}
        state = "goes on" if run.live else "ended"
        rows.append({"run": run.id, "graph": run.graph, **figures, "state": state, "folder": run.folder})
    return rows


def order(row: dict[str, Any], by: str) -> tuple[Any, ...]:
    """Return what rows are sorted by."""
    names = tuple(str(row.get(name, "")) for name in ("run", "graph", "node", "type", "key"))
    figure = {"size": -row["size"], "age": -row["created"], "used": -row["used"]}.get(by, 0)
    return (figure, *names)


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


def summed(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Return a line for each node's results, for what goes."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.record.graph, entry.record.node), []).append(entry)
    now = time.time()
    rows: list[tuple[str, ...]] = []
    for (graph, node), ones in sorted(groups.items()):
        last = age(now - max(entry.used for entry in ones))
        seconds = duration(sum(entry.record.seconds for entry in ones))
        rows.append((graph, node, count(len(ones), "result"), f"computed in {seconds}", f"last used {last} ago"))
    return rows


def in_short(found: Holdings, folder: Path) -> str:
    """Return a line on the whole store."""
    parts = [count(len(found.entries), "result")]
    if unfinished := found.unfinished():
        parts.append(count(len(unfinished), "interrupted training"))
    for kind in ("models", "samples", "damaged"):
        if held := sum(other.found.size for other in found.others if other.kind == kind):
            parts.append(f"{kind} {size(held)}")
    return f"{', '.join(parts)}; {size(found.total)} in {folder}"


def age(seconds: float) -> str:
    """Return a time in words, from two days on in days."""
    return f"{seconds / 86400:.0f} d" if seconds >= 2 * 86400 else duration(max(seconds, 0.0))
