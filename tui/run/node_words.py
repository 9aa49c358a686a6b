"""How the nodes of a run are shown: the state that stands for what the run says, and words beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vflow.engine.cli.text import duration
from vflow.engine.following import Following, NodeRun, Status
from vflow.engine.pace import left_words, rate_words
from vflow.tui.glyphs import Mark, State

_STATES: dict[str, State] = {
    "run": "waiting",
    "undecided": "decided later",
    "running": "running",
    "waiting": "waiting",
    "computed": "done",
    "reused": "kept",
    "light": "light",
    "failed": "failed",
    "interrupted": "to run",
    "skipped": "to run",
    "not needed": "not needed",
    "disabled": "disabled",
}


def state_of(run: NodeRun, status: Status) -> State:
    """Return the state that a node is shown in; what waits in a run that goes on is still to run where it does not."""
    if run.state in ("run", "waiting") and status not in ("running", "unfinished"):
        return "to run"
    return _STATES.get(run.state, "unknown")


def short(run: NodeRun) -> str:
    """Return the few words that stand beside a node's name: `412/2000`, `24 in 3.0 s`, `kept`."""
    if run.state in ("running", "interrupted"):
        stopped = "stopped" if run.state == "interrupted" else ""
        return f"{run.done}/{run.total}" if run.total else stopped
    if run.state == "computed":
        return duration(run.seconds) if run.computed <= 1 else f"{run.computed} in {duration(run.seconds)}"
    if run.state == "reused":
        return f"{run.reused} kept" if run.reused > 1 else "kept"
    return "" if run.state in ("run", "light", "undecided") else run.state


def share(run: NodeRun) -> float | None:
    """Return how much of a node that runs is done, 0 to 1; None where it counts nothing."""
    return min(1.0, run.done / run.total) if run.state == "running" and run.total else None


def pace(run: NodeRun) -> str:
    """Return rate and remaining time of a node that runs: `0.8/s, 3 min 20 s left`."""
    left = left_words(run.remaining_s) if run.done < run.total else ""
    return ", ".join(filter(None, [rate_words(run.rate, run.unit), left]))


def brief_pace(run: NodeRun) -> str:
    """Return the same where there is little room: `0.8/s 3 min left`."""
    left = f"{brief(run.remaining_s)} left" if run.remaining_s and run.done < run.total else ""
    return " ".join(filter(None, [rate_words(run.rate, run.unit), left]))


def brief(seconds: float) -> str:
    """Return a time in words, only as exact as one needs it: `40 s`, `3 min`, `2 h 5 min`, `3 d 2 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def figures(run: NodeRun) -> str:
    """Return the figures that a node reports beside its progress."""
    return "  ".join(f"{name} {value:.4g}" for name, value in run.figures.items())


def about(name: str, run: NodeRun, status: Status) -> list[tuple[str, str]]:
    """Return what is known of a node as lines of (text, role); role is "", "muted", "warning" or "error"."""
    lines = [(f"{name}  {run.type}".rstrip(), "strong")]
    words = [state_of(run, status) if run.state in ("run", "undecided") else run.state]
    if run.reason:
        words.append(run.reason)
    lines.append((": ".join(words), ""))
    if run.holder:
        waits = run.state == "waiting"
        lines.append((f"{'computed now' if waits else 'was computed'} by {run.holder}", "warning" if waits else ""))
    if run.failure:
        lines.append((run.failure, "error"))
    if run.state == "running":
        unit = f" {run.unit}s" if run.unit else ""
        far = f"{run.done:,} of {run.total:,}{unit}" if run.total else ""
        lines.append((", ".join(filter(None, [far, pace(run)])), ""))
    if run.figures:
        lines.append((figures(run), ""))
    if run.ended and (run.computed or run.reused or run.seconds):
        counted = [f"{run.computed:,} computed" if run.computed else "", f"{run.reused:,} reused" if run.reused else ""]
        took = f"in {duration(run.seconds)}" if run.seconds else ""
        saved = f"saved {duration(run.saved_seconds)}" if run.saved_seconds >= 0.05 else ""
        lines.append((" ".join([", ".join(filter(None, [*counted, saved])), took]).strip(), "muted"))
    if run.left_out:
        lines.append((f"{run.left_out:,} left out: see the log", "warning"))
    return [line for line in lines if line[0]]


def marks(following: Following) -> Mapping[str, Mark]:
    """Return the marks of a run's nodes for a drawing of its graph."""
    status = following.status
    return {name: Mark(state_of(run, status), short(run), share(run)) for name, run in following.nodes.items()}
