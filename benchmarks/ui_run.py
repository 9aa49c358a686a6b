"""The run's screen on a log of a million events: how soon it is there, what it costs, how quickly it scrolls.

    python benchmarks/ui_run.py [--quick]

Bounds: open, with the state of every node, in 1 s; 200 MB; keys answered in 50 ms, also while older parts are read.
Each measurement is a process of its own, on a terminal of 160x48 that nobody sees.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import Measured, measure
from run_log import write_log

TIMES = 3
KEYS = 60


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        for events in (1000, 100_000 if quick else 1_000_000):
            run = write_log(Path(folder) / f"run-{events}", events)
            size = (run / "events.jsonl").stat().st_size / 1e6
            found = [one_look(run) for _ in range(1 if quick else TIMES)]
            print(f"{events:,} events, {size:.0f} MB")
            for name, bound in BOUNDS.items():
                values = [one[name] for one in found]
                print(f"  {name:34} {statistics.median(values):8.2f}   {bound}")


BOUNDS = {
    "s from the start to the first screen": "1 s",
    "s to the state of every node": "1 s",
    "s until all was read": "",
    "MB at most": "200 MB",
    "ms a key while reading, median": "",
    "ms a key while reading, 95 of 100": "50 ms",
    "ms a key while reading, worst": "",
    "ms a key, median": "",
    "ms a key, 95 of 100": "50 ms",
    "ms a key, worst": "",
}


def one_look(run: Path) -> dict[str, float]:
    """Look at a run in a process of its own."""
    started = time.time()
    words = [sys.executable, str(Path(__file__)), "look", str(run), repr(started)]
    done: Measured = measure(words, {"TEXTUAL_ANIMATIONS": "none"}, Path(__file__).parent)
    if done.code:
        raise SystemExit(done.err)
    return json.loads(done.out)


async def look(run: Path, started: float) -> dict[str, float]:
    """Open the screen, scroll while it reads, and after."""
    from vflow.tui.app import VflowApp

    gc.set_threshold(50_000, 20, 100)  # as the command line has it
    found = {}
    app = VflowApp(run=run)
    async with app.run_test(size=(160, 48)):
        found["s from the start to the first screen"] = time.time() - started
        following = app.screen.following
        while not following.known:
            await asyncio.sleep(0.005)
        found["s to the state of every node"] = time.time() - started
        app.simulate_key("3")
        await asyncio.sleep(0.3)
        reading = await latencies(app, lambda: not following.complete)
        while not following.complete:
            await asyncio.sleep(0.01)
        found["s until all was read"] = time.time() - started
        await asyncio.sleep(1.5)
        after = await latencies(app, lambda: True)
        for name, values in (("ms a key while reading", reading), ("ms a key", after)):
            values = sorted(values) or [0.0]  # it was read before a key could be pressed
            found[f"{name}, median"], found[f"{name}, worst"] = statistics.median(values), values[-1]
            found[f"{name}, 95 of 100"] = values[int(0.95 * (len(values) - 1))]
    found["MB at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return found


async def latencies(app: object, wanted: object) -> list[float]:
    """Press keys that scroll the log; milliseconds from each to the screen that shows it."""
    from vflow.tui.run.log_view import LogView

    view, shown, display = app.screen.query_one(LogView), [], app._display
    view.focus()

    def displayed(*arguments: object) -> None:
        display(*arguments)
        shown.append((time.perf_counter(), view._cursor))

    app._display = displayed
    found = []
    for key in ["pageup", "pageup", "up", "pagedown", "up", "home", "end"] * (KEYS // 7):
        if not wanted():
            break
        before = view._cursor
        shown.clear()
        begun = time.perf_counter()
        app.simulate_key(key)
        while not (late := [when for when, cursor in shown if cursor != before]):
            if time.perf_counter() - begun > 2:
                break
            await asyncio.sleep(0.001)
        if late:
            found.append((late[0] - begun) * 1000)
        await asyncio.sleep(0.02)
    app._display = display
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["look"]:
        print(json.dumps(asyncio.run(look(Path(sys.argv[2]), float(sys.argv[3])))))
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main()
