"""Text for terminals and files: colour only on a terminal, tables that line up, sizes and times in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from vflow.engine.problems import Problem

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_COLOUR_OF = {"error": "red", "warning": "yellow", "hint": "cyan"}


def paint(text: str, style: str, stream: IO[str]) -> str:
    """Return the text in a style where the stream is a terminal and `NO_COLOR` is not set."""
    if not style or os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def out(text: str = "") -> None:
    """Write a line of results to standard output."""
    sys.stdout.write(text + "\n")


def say(text: str, style: str = "") -> None:
    """Write a line of messages to standard error; when that is gone (a terminal that was closed), nowhere."""
    with suppress(OSError):
        sys.stderr.write(paint(text, style, sys.stderr) + "\n")
        sys.stderr.flush()


def say_error(*problems: Problem | str) -> None:
    """Write problems to standard error, each with its severity."""
    for problem in problems:
        severity = problem.severity if isinstance(problem, Problem) else "error"
        say(f"{paint(severity, _COLOUR_OF[severity], sys.stderr)}: {problem}")


def table(rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Return rows as lines with aligned columns; the last column is not padded."""
    cells_of = [list(row) for row in rows]
    columns = max((len(cells) for cells in cells_of), default=0)
    widths = [max(len(cells[i]) for cells in cells_of if i < len(cells)) for i in range(columns)]
    lines = []
    for row in cells_of:
        cells = [cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])] + row[-1:]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def size(count: float) -> str:
    """Return a number of bytes in words: `3.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Return a time in words: `0.4 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str) -> str:
    """Return `1 clip`, `2 clips`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summed_up(status: str, seconds: float, saved: float, nodes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how a run ended in a line; `nodes` as in its summary."""
    computed, reused = (sum(node["items"][how] for node in nodes.values()) for how in ("computed", "reused"))
    more = f", which saved {duration(saved)}" if saved else ""
    return f"{status} in {duration(seconds)}: {computed} results computed, {reused} reused{more}"
