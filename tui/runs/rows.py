"""How a run looks as a line of the history."""

from __future__ import annotations

import time

from vflow.engine.cli.text import duration
from vflow.engine.runlist import RunRow
from vflow.tui.glyphs import Glyphs, State
from vflow.tui.table import Cell, Column

#: state of a run -> the glyph that stands for it, and how it looks
LOOKS: dict[str, tuple[State, str]] = {
    "running": ("running", "accent"),
    "done": ("done", "success"),
    "failed": ("failed", "error"),
    "died": ("error", "error"),
    "interrupted": ("disabled", "warning"),
    "unfinished": ("unknown", "muted"),
}
COLUMNS = (
    Column("mark", "", 1, sortable=False),
    Column("name", "NAME", 25, grow=True),
    Column("graph", "GRAPH", 11, grow=True, rank=4),
    Column("profiles", "PROFILES", 12, rank=8, grow=True, sortable=False),
    Column("state", "STATE", 13, rank=1),
    Column("began", "BEGAN", 12, rank=5),
    Column("took", "TOOK", 11, right=True, rank=3),
    Column("reused", "REUSED, SAVED", 18, right=True, rank=7),
    Column("loss", "LOSS", 8, right=True, rank=2),
    Column("step", "STEP", 8, right=True, rank=6, sortable=False),
)


def cells_of(row: RunRow, marked: bool, glyphs: Glyphs, now: float) -> list[Cell]:
    """Return a run as the cells of `COLUMNS`; `now` is in seconds since 1970."""
    state, role = LOOKS.get(row.state, ("unknown", "muted"))
    took = row.took(now)
    return [
        Cell(glyphs.bullet if marked else "", "accent"),
        Cell(row.name, "strong" if marked else ""),
        Cell(row.graph),
        Cell(", ".join(row.profiles), "muted"),
        Cell(f"{glyphs.state(state)} {row.state}", role),
        Cell(began(row.began, now), "muted"),
        Cell(duration(took) if took is not None else ""),
        Cell(reused(row), "muted"),
        Cell(f"{row.loss[1]:.4g}" if row.loss else ""),
        Cell(f"{row.loss[0]:,}" if row.loss else "", "muted"),
    ]


def began(at: float, now: float) -> str:
    """Return a date as short as it is clear: `09:07`, `Nov 21 09:07`, `2025-11-21`."""
    if not at:
        return ""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("today %H:%M", then)
    if then.tm_year == today.tm_year:
        return time.strftime("%b %d %H:%M", then)
    return time.strftime("%Y-%m-%d", then)


def reused(row: RunRow) -> str:
    """Return how many results were reused of those that were needed, and what that saved."""
    if not row.reused:
        return ""
    saved = f", {duration(row.saved_seconds)}" if row.saved_seconds >= 0.05 else ""
    return f"{row.reused:,} of {row.reused + row.computed:,}{saved}"


def about(row: RunRow) -> tuple[str, str]:
    """Return two lines on a run: where it lies and what it reused; what it failed of, or how to go on."""
    parts = [str(row.path)]
    if row.profiles:
        parts.append(f"profiles {', '.join(row.profiles)}")
    if said := reused(row):
        parts.append(f"reused {said}")
    if row.loss:
        parts.append(f"loss {row.loss[1]:.6g} at step {row.loss[0]:,}")
    hints = {
        "died": "its process is gone without a word; the same command goes on",
        "unfinished": "it has not ended, and its process cannot be seen from this machine",
        "interrupted": "it was stopped and kept its state; the same command goes on",
    }
    return "; ".join(parts), row.failure or hints.get(row.state, "")
