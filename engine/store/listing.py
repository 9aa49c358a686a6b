"""What the store holds, as rows of plain data: chosen, grouped, sorted. For `vflow cache` and the terminal UI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vflow.engine.problems import GraphError
from vflow.engine.store.holdings import Entry, Holdings, State
from vflow.engine.store.uses import PastUse, record_name, work_name

#: The node under which interrupted trainings are listed: the store knows neither their graph nor their node.
INTERRUPTED = "(interrupted training)"
_NAMES = {
    "graph": ("graph",),
    "node": ("graph", "node", "type"),
    "type": ("type",),
    "result": ("key", "graph", "node", "type"),
}


@dataclass(frozen=True)
class Selection:
    """Which results are meant: those that fit all that is given. `keys` are beginnings of keys.

    `run` is `last`, a run's folder or its id.
    """

    keys: tuple[str, ...] = ()
    graph: str | None = None
    node: str | None = None
    type: str | None = None
    run: str | None = None

    def __bool__(self) -> bool:
        """True when anything is given."""
        return bool(self.keys or self.graph or self.node or self.type or self.run)

    def fits(self, entry: Entry) -> bool:
        """Tell whether a result is of this graph, node and type."""
        record = entry.record
        pairs = ((self.graph, record.graph), (self.node, record.node), (self.type, record.node_type))
        return all(wanted is None or wanted == has for wanted, has in pairs)


def select(found: Holdings, selection: Selection) -> list[Entry | State]:
    """Return the results that are meant; interrupted trainings only by their key, or where nothing is named.

    Raises:
        GraphError: a key's beginning fits several results, or there is no such run.
    """
    filtered = selection.graph or selection.node or selection.type or selection.run
    chosen: list[Entry | State] = [entry for entry in found.entries.values() if selection.fits(entry)]
    chosen += [] if filtered and not selection.run else found.unfinished()
    if selection.run:
        names = _run(found, selection.run).names
        chosen = [one for one in chosen if (work_name if isinstance(one, State) else record_name)(one.key) in names]
    if selection.keys:
        kept = [_begins(chosen, prefix.lower()) for prefix in selection.keys]
        chosen = list({one.key: one for one in kept}.values())
    return chosen


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


def place_of(one: Entry | State) -> tuple[str, str, str]:
    """Return graph, node and type that a result is listed under."""
    if isinstance(one, State):
        return ("", INTERRUPTED, "")
    return (one.record.graph, one.record.node, one.record.node_type)


def grouped(found: Holdings, chosen: Iterable[Entry | State], by: str) -> list[dict[str, Any]]:
    """Return a row for each group of results: by `graph`, `node`, `type` or `result`.

    Sizes are bytes, times seconds since 1970. A file that two groups share counts in both.
    """
    groups: dict[tuple[str, ...], list[Entry | State]] = {}
    for one in chosen:
        groups.setdefault(_group(one, by), []).append(one)
    return [dict(zip(_NAMES[by], name, strict=True)) | figures(found, ones, by) for name, ones in groups.items()]


def _group(one: Entry | State, by: str) -> tuple[str, ...]:
    names = place_of(one)
    return {"graph": names[:1], "type": names[2:], "result": (one.key, *names)}.get(by, names)


def figures(found: Holdings, ones: list[Entry | State], by: str = "") -> dict[str, Any]:
    """Return what some results amount to: `results`, `size`, `seconds`, `created`, `used`, `pinned`."""
    entries = [one for one in ones if isinstance(one, Entry)]
    files = _files(entries)
    states = {e.record.work for e in entries if e.training} | {one.key for one in ones if isinstance(one, State)}
    states_size = sum(found.states[key].size for key in states)
    row: dict[str, Any] = {"results": len(entries), "size": sum(files.values()) + states_size}
    row |= {"seconds": sum(entry.record.seconds for entry in entries)}
    row |= {"created": max((entry.record.created for entry in entries), default=ones[0].used)}
    row |= {"used": max(one.used for one in ones), "pinned": sum(entry.pinned for entry in entries)}
    if by == "result":
        row["kept"] = kept_by(ones[0])
    return row


def _files(entries: Iterable[Entry]) -> dict[str, int]:
    """Return digest and size in bytes of the results' blobs, each once."""
    files: dict[str, int] = {}
    for entry in entries:
        files |= entry.record.sizes
    return files


def kept_by(one: Entry | State) -> list[str]:
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
        told = {"results": len(entries), "size": sum(files.values()), "created": run.started, "used": run.at}
        state = "goes on" if run.live else "ended"
        rows.append({"run": run.id, "graph": run.graph, **told, "state": state, "folder": run.folder})
    return rows


def order(row: dict[str, Any], by: str) -> tuple[Any, ...]:
    """Return what rows are sorted by: `name`, or largest (`size`), newest (`age`), last used (`used`) first."""
    names = tuple(str(row.get(name, "")) for name in ("run", "graph", "node", "type", "key"))
    figure = {"size": -row["size"], "age": -row["created"], "used": -row["used"]}.get(by, 0)
    return (figure, *names)
