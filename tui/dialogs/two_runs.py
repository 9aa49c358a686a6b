"""Choosing two runs to compare."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.tui.dialogs.pick import Choice, Pick

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp


async def pick_two_runs(app: VflowApp) -> tuple[Path, Path] | None:
    """Ask for two runs, the newest first; None where there are not two, or the question is left."""
    from vflow.engine.history import past_runs

    runs = list(reversed(await asyncio.to_thread(past_runs, Path("runs"))))
    if len(runs) < 2:
        app.say("there are not two runs below runs/ yet", "warning")
        return None
    choices = [Choice(run.path, run.name, f"{run.graph}, {run.status}") for run in runs]
    first = await app.push_screen_wait(Pick("compare which run", choices))
    if first is None:
        return None
    rest = [one for one in choices if one.value != first]
    second = await app.push_screen_wait(Pick(f"compare {first.name} with", rest))
    return None if second is None else (first, second)
