"""What every check needs: its name on whatever goes wrong in it, and what time and memory it took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vflow.engine.problems import Interrupted
from vflow.engine.rehearsal import Check, failed

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext

_SELF = Path("/proc/self")
_SHOWN = 4


@dataclass
class Measured:
    """What something took: seconds, and the most bytes held at once, by `GPU` and `host`."""

    seconds: float = 0.0
    peaks: dict[str, int] = field(default_factory=dict)


def guarded(name: str, context: RehearsalContext, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield checks; what is raised on the way becomes a failed check of this name, and ends them."""
    try:
        yield from checks
    except Interrupted:
        raise
    except Exception as error:
        told = context.in_words(error)
        yield failed(name, told.message, told.remedy or "nothing of this was foreseen: please report it")


def listed(found: list[str]) -> str:
    """Return the first of a list of findings, and how many there are."""
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


@contextmanager
def measured(device: torch.device) -> Iterator[Measured]:
    """Measure what is done inside: time until the device is done, and the peaks of memory.

    The host's peak is the process's own, also of what it held before. Where the system does not let it be reset, it is
    the highest since the process began.
    """
    found = Measured()
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    _reset_host_peak()
    began = time.perf_counter()
    try:
        yield found
    finally:
        if on_gpu:
            torch.cuda.synchronize(device)
            found.peaks["GPU"] = torch.cuda.max_memory_allocated(device)
        found.seconds = time.perf_counter() - began
        found.peaks["host"] = _host_peak()


def _reset_host_peak() -> None:
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return  # another system, or one that does not let it


def _host_peak() -> int:
    try:
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
