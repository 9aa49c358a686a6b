"""What keeping the store in order says: what would go and what went, in words; what a user's limits mean."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from vflow.engine.cli.text import count, duration, size
from vflow.engine.problems import GraphError
from vflow.engine.store.collect import Limits, Taking
from vflow.engine.store.holdings import Entry, Holdings


def limits_of(max_size: str | None, older_than: str | None, keep_runs: int | None, trainings: bool = False) -> Limits:
    """Return what a collection is to reach, from what a user wrote (`200GB`, `30d`, `3`).

    None is what was not said. Where nothing was, `max_size` of the user's settings counts; where no limit but a size
    or an age was, their `keep_runs` does.

    Raises:
        GraphError: one is no size, no time or no number of runs, or the settings have mistakes.
        Failure: the settings cannot be read.
    """
    from vflow.engine import config
    from vflow.engine.amounts import parse_duration, parse_size

    user = config.load()
    try:
        most = parse_size(max_size) if max_size is not None else None
        older = parse_duration(older_than) if older_than is not None else None
    except ValueError as error:
        raise GraphError(str(error)) from None
    if keep_runs is not None and keep_runs < 0:
        raise GraphError("--keep-runs cannot be negative", "0 means that no run is special")
    if most is None and older is None and keep_runs is None:
        most = user.max_size
    alone = most is None and older is None and keep_runs is None
    keep = keep_runs if keep_runs is not None else 0 if alone else user.keep_runs
    return Limits(max_size=most, older_than=older, keep_runs=keep, trainings=trainings)


def summed(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Return a line for each node's results, for what goes: graph, node, how many, what they cost, last use."""
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


def what_goes(taking: Taking) -> str:
    """Return what goes in a few words: `3 results, 2 files`."""
    parts = [(len(taking.entries), "result"), (len(taking.states), "training state"), (len(taking.blobs), "file")]
    parts.append((len(taking.others), "other folder"))
    return ", ".join(count(number, noun) for number, noun in parts if number) or "nothing"


def goes(taking: Taking) -> list[str]:
    """Return what goes as lines: the results by node, then the states, folders and files."""
    from vflow.engine.cli.text import table

    lines = table(summed(taking.entries))
    lines += [f"state of training {state.key[:12]}, {size(state.size)}" for state in taking.states]
    lines += [f"{other.kind}/{other.name}, {size(other.found.size)}" for other in taking.others]
    mine = {digest for entry in taking.entries for digest in entry.record.sizes}
    mine |= {digest for state in taking.states for digest in state.digests}
    if loose := sum(digest not in mine for digest in taking.blobs):
        lines.append(f"{count(loose, 'file')} that nothing refers to")
    return lines


def stays(taking: Taking, found: Holdings) -> list[str]:
    """Return what was asked to go and does not, and why, as lines."""
    reasons: dict[str, int] = {}
    for _, reason in taking.refused:
        reasons[reason] = reasons.get(reason, 0) + 1
    lines = [f"{count(number, 'result')} {_stay(number)}: {reason}" for reason, number in reasons.items()]
    mine = {digest for entry in taking.entries for digest in entry.record.sizes}
    if shared := mine.intersection(found.blobs).difference(taking.blobs):
        lines.append(f"{count(len(shared), 'file')} {_stay(len(shared))}: other results need them")
    return lines


def _stay(number: int) -> str:
    return "stays" if number == 1 else "stay"


def verdict(taking: Taking, done: bool) -> str:
    """Return what goes, how much that frees and what is left, as a sentence."""
    if not taking:
        return f"nothing to remove; the store holds {size(taking.left)}"
    went, left = ("went", "are left") if done else ("would go", "would be left")
    return f"{what_goes(taking)} {went}: {size(taking.freed)}; {size(taking.left)} {left}"


def over_limit(taking: Taking, limits: Limits) -> str:
    """Say why more is left than the limits allow; "" where it is not."""
    if limits.max_size is None or taking.left <= limits.max_size:
        return ""
    return f"more than {size(limits.max_size)} is left: it is pinned, in use, used by the last runs, or trainings"


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
