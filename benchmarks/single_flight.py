"""Four processes start the same cold quickstart on one store: what each of them computes, and how long it takes.

    python benchmarks/single_flight.py [processes]

Prints a table. Works in temporary folders with a store of its own; nothing of the user's is touched. Ends with an error
when a process fails, when anything was computed twice or not at all, or when their outputs differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measure import VFLOW

GRAPH = str(Path(__file__).parents[1] / "graphs/ltx2_lora.yaml")


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        one = together(place / "alone", 1)
        print(f"{'process':>12} {'wall s':>8} {'items':>6} {'nodes':>6} {'waited for':>11}")
        print(f"{'alone':>12} {one[0][0]:>8.1f} {len(items(one[0][1])):>6} {len(nodes(one[0][1])):>6} {0:>11}")
        runs = together(place / "together", number)
        for n, (wall, events) in enumerate(runs):
            waits = sum("another process computes this" in event.get("message", "") for event in events)
            print(f"{n:>12} {wall:>8.1f} {len(items(events)):>6} {len(nodes(events)):>6} {waits:>11}")
        check(one[0][1], [events for _, events in runs])
        compare([place / "alone/run-0", *(place / f"together/run-{n}" for n in range(number))])
    print(f"each of the {len(items(one[0][1]))} items and {len(nodes(one[0][1]))} nodes was computed once in all")


def together(place: Path, number: int) -> list[tuple[float, list[dict[str, object]]]]:
    """Start runs at the same time on one new store; return the wall seconds and the events of each."""
    place.mkdir()
    env = {**os.environ, "VFLOW_HOME": str(place / "store"), "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    words = [VFLOW, "run", GRAPH, "--profile", "tiny", "--quiet", "--out"]
    processes = [
        subprocess.Popen(
            [*words, str(place / f"run-{n}")], env=env, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for n in range(number)
    ]
    walls: dict[int, float] = {}
    while len(walls) < number:
        for n, process in enumerate(processes):
            if n not in walls and process.poll() is not None:
                walls[n] = time.perf_counter() - started
        time.sleep(0.05)
    for n, process in enumerate(processes):
        if process.returncode:
            raise SystemExit(f"process {n} failed with {process.returncode}:\n{process.stderr.read().decode()}")
    return [(walls[n], read(place / f"run-{n}")) for n in range(number)]


def read(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "events.jsonl").open()]


def items(events: list[dict[str, object]]) -> list[tuple[object, object]]:
    """What was computed item by item: (node, item)."""
    return [(event["node"], event["item"]) for event in events if event["kind"] == "item_finished"]


def nodes(events: list[dict[str, object]]) -> list[object]:
    """Nodes that were computed as a whole."""
    per_item = {node for node, _ in items(events)}
    done = [event for event in events if event["kind"] == "node_finished" and event["state"] == "computed"]
    return [event["node"] for event in done if event["computed"] and event["node"] not in per_item]


def check(alone: list[dict[str, object]], runs: list[list[dict[str, object]]]) -> None:
    for what in (items, nodes):
        found = Counter(entry for events in runs for entry in what(events))
        if twice := [entry for entry, times in found.items() if times > 1]:
            raise SystemExit(f"computed more than once: {twice}")
        if set(found) != set(what(alone)):
            raise SystemExit(f"not the same was computed: {set(found) ^ set(what(alone))}")


def compare(folders: list[Path]) -> None:
    """All exported adapters and clips are the same bytes."""
    found = []
    for folder in folders:
        outputs = folder / "outputs"
        files = [p for p in outputs.rglob("*") if p.suffix in (".safetensors", ".mp4")]
        found.append({str(path.relative_to(outputs)): path.read_bytes() for path in files})
    if not found[0] or any(files != found[0] for files in found):
        raise SystemExit("the outputs differ")


if __name__ == "__main__":
    main()
