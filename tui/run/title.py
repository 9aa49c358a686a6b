"""What is said of a run as a whole: the line at the top, and below it what one has to know. Pure."""

from __future__ import annotations

from vflow.engine.cli.text import duration
from vflow.engine.following import Following, Status
from vflow.tui.glyphs import STATE_COLOURS, Glyphs, State

_STATES: dict[Status, State] = {
    "running": "running",
    "done": "done",
    "failed": "failed",
    "interrupted": "waiting",
    "died": "failed",
    "unfinished": "unknown",
}
_QUIET = 60.0  # seconds without a word after which that is said
_NEWS = 30.0  # seconds within which a run elsewhere is taken to go on

Part = tuple[str, str]  # text, style


def left(following: Following, glyphs: Glyphs) -> list[Part]:
    """Return what stands on the left of the top line: state, graph, profiles, folder."""
    state = _STATES[following.status]
    word: str = following.status
    if not following.known and not following.gone:
        word = "reading" if following.reading else "begins"
    profiles = f" ({', '.join(following.profiles)})" if following.profiles else ""
    return [
        (f"{glyphs.state(state)} {word}", f"bold {STATE_COLOURS[state]}"),
        (f"  {glyphs.text(following.graph)}{glyphs.text(profiles)}", "bold"),
        (f"  {glyphs.text(str(following.folder))}", "$text-muted"),
    ]


def right(following: Following, glyphs: Glyphs) -> list[Part]:
    """Return what stands on the right: how much was read, how many nodes are done, how long it takes."""
    parts = []
    if following.reading and following.started is not None:
        parts.append(f"reading {following.share_read:.0%}")
    wanted = [run for run in following.nodes.values() if run.state not in ("light", "disabled", "not needed")]
    if wanted:
        parts.append(f"{sum(run.state in ('computed', 'reused') for run in wanted)} of {len(wanted)} nodes")
    if following.started is not None:
        parts.append(duration(following.elapsed_s))
    return [(f" {glyphs.middle} ".join(parts), "$text-muted")]


def said(following: Following, asked: str = "", starting: str = "") -> list[Part]:
    """Return what one has to know, as lines of (text, style): why it failed, what can be done, what is the matter.

    `asked` is how the run was asked to stop from here ("step", "now"), `starting` what is under way to go on with it.
    """
    lines: list[Part] = []
    if starting:
        lines.append((starting, "$text-accent"))
    elif asked and following.status == "running":
        how = "stopping at the end of its step; x once more stops it now" if asked == "step" else "stopping now"
        lines.append((f"{how}; its state is kept", "$text-warning"))
    elif line := _of_status(following):
        lines.append(line)
    if following.status == "running" and not asked and following.silent_s > _QUIET:
        lines.append((f"quiet for {duration(following.silent_s)}", "$text-warning"))
    notes = "; ".join(following.notes)
    return [*lines, (notes, "$text-warning")] if notes else lines


def _of_status(following: Following) -> Part | None:
    status = following.status
    if status == "failed":
        return following.failure or "it failed", "$text-error"
    if status == "interrupted":
        return "stopped, its state is kept; g goes on from here", "$text-warning"
    if status == "died":
        gone = "its process is gone: killed, or the machine was restarted"
        return f"{gone}; g goes on from what was kept", "$text-error"
    if status == "unfinished" and following.started is not None and following.known:
        live = following.heard and following.silent_s < _NEWS
        lives = "it goes on there" if live else "nobody here can tell whether it goes on"
        where = following.elsewhere or "another machine"
        return f"started on {where}: {lives}; from here it can only be looked at", "$text-warning"
    return None


def process_words(following: Following) -> str:
    """Return what is seen of the run's process: where it works, how much memory it takes."""
    parts = [f"process {pid}" for pid in following.process.split("~")[3:4]]
    if following.elsewhere:
        parts.append(f"on {following.elsewhere}")
    if following.process_bytes is not None:
        parts.append(f"{following.process_bytes / 1e9:.2f} GB of memory")
    return ", ".join(filter(None, parts)) if following.status in ("running", "unfinished") else ""
