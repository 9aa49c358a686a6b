"""Reading two runs in the background, for a comparison: what differs, and their curves as they fill in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import VflowError

if TYPE_CHECKING:
    from vflow.engine.comparing import Comparison
    from vflow.tui.run.borrowing import Borrowing

_SLICE = 0.2  # seconds of reading after which what was read is shown


def compared(one: Path, other: Path) -> Comparison | str:
    """Return what differs between two runs; why they cannot be compared, in words."""
    from vflow.engine.comparing import compare, find_side

    try:
        return compare(find_side(str(one)), find_side(str(other)))
    except VflowError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}: {error.filename or one}"


def follow(one: Path, other: Path, show: Callable[[tuple[Borrowing, Borrowing]], bool]) -> None:
    """Read the metrics of two runs, and of those that computed what they reused.

    `show` is called now and then, and returns whether to go on.
    """
    from vflow.engine.following import Following
    from vflow.tui.run.borrowing import Borrowing

    both = Borrowing(Following(one)), Borrowing(Following(other))
    try:
        while True:
            for side in both:
                side.following.refresh(_SLICE)
                side.look(_SLICE)
            over = all((side.following.complete and side.complete) or side.following.gone for side in both)
            if not show(both) or over:
                return
    finally:
        for side in both:
            side.following.close()
            for run in side.runs:  # what was read stays
                run.close()
