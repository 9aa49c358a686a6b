"""Start a command as a process and measure it: wall seconds, CPU seconds, peak memory of its largest process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

VFLOW = str(Path(sys.executable).with_name("vflow"))


@dataclass
class Measured:
    """One process: `wall` and `cpu` in seconds, `memory` in MB (10^6 bytes), exit code and what it printed."""

    wall: float
    cpu: float
    memory: float
    code: int
    out: str
    err: str


def measure(words: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run a command to its end."""
    started = time.perf_counter()
    # a user's Python keeps its bytecode
    whole = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | (env or {})
    process = subprocess.Popen(words, env=whole, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout.read(), ""  # standard error is small unless the command fails
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, process.returncode, out, err)


def medians(times: int, call: Callable[[], Measured]) -> tuple[float, float, float]:
    """Call several times; return the medians of wall and CPU seconds and of memory."""
    runs = [call() for _ in range(times)]
    for run in runs:
        if run.code:
            raise SystemExit(f"failed with {run.code}:\n{run.err}")
    return (
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        statistics.median(run.memory for run in runs),
    )
