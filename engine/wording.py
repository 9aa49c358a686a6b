"""What an event says in words: on the terminal, in the terminal UI's log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vflow.engine.cli.text import duration

Data = Mapping[str, Any]


def said(event: Data) -> str:
    """Return what is worth a line of its own, without the node's name, else nothing.

    `event` holds its fields as plain data (`vars` of an event, or a line of `events.jsonl`). What a field is missing
    for, because another version wrote it, is left out.
    """
    words = _WORDS.get(event.get("kind", ""))
    return words(event) if words is not None else ""


def node_finished(event: Data) -> str:
    """Return how a node ended: `3 computed, 1 reused in 2.0 s`."""
    state, reused, seconds = event.get("state", ""), event.get("reused", 0), duration(event.get("seconds", 0.0))
    saved_seconds = event.get("saved_seconds", 0.0)
    saved = f", which saved {duration(saved_seconds)}" if saved_seconds >= 0.05 else ""
    if state == "reused":
        return f"reused {reused}{saved}"
    if state == "computed":
        more = f", {reused} reused{saved}" if reused else ""
        return f"{event.get('computed', 0)} computed{more} in {seconds}"
    return f"{state} after {seconds}"


def node_started(event: Data) -> str:
    """Return what a node begins with: `12 of 24 (its settings changed)`."""
    total, reason = event.get("total", 1), event.get("reason", "")
    some = f"{event.get('missing', 1)} of {total}" if total > 1 else "computing"
    return f"{some} ({reason})" if reason else some


def run_started(event: Data) -> str:
    """Return who began to work on a run."""
    profiles = ", ".join(event.get("profiles", ()))
    return f"{event.get('graph', '')}{f' ({profiles})' if profiles else ''}, process {event.get('pid', '?')}"


def run_finished(event: Data) -> str:
    """Return how a run ended."""
    saved = event.get("saved_seconds", 0.0)
    return f"{event.get('status', '')} in {duration(event.get('seconds', 0.0))}" + (
        f", which saved {duration(saved)}" if saved >= 0.05 else ""
    )


def _fetched(event: Data) -> str:
    return f"fetched {event.get('what', '')} in {duration(event.get('seconds', 0.0))}"


_WORDS: dict[str, Callable[[Data], str]] = {
    "node_finished": node_finished,
    "log": lambda event: str(event.get("message", "")),
    "left_out": lambda event: f"left out {event.get('what', '')}: {event.get('reason', '')}",
    "published": lambda event: f"wrote {event.get('path', '')}",
    "fetched": _fetched,
}
