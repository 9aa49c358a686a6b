"""The README's command, measured: cold, warm, `--help`, `check`, `plan` on new clips; three seeds' evaluation loss.

    python benchmarks/quickstart.py

Prints a table. Works in temporary folders with stores of their own; nothing of the user's is touched.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import VFLOW, Measured, measure, medians

GRAPH = str(Path(__file__).parents[1] / "graphs/ltx2_lora.yaml")
RUN = [VFLOW, "run", GRAPH, "--profile", "tiny"]
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "av")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        env = {"VFLOW_HOME": str(place / "store")}
        row("bound", "wall s", "cpu s", "MB", "")
        for seed in range(3):
            store = {"VFLOW_HOME": str(place / f"store-{seed}")}
            cold = measure([*RUN, "--set", f"seed={seed}", "--out", str(place / f"run-{seed}")], store, place)
            check(cold)
            losses = evaluation(place / f"run-{seed}")
            row(
                "60 s, 2500 MB",
                *figures(cold),
                f"cold, seed {seed}: evaluation loss {losses[0]:.4f} -> {losses[-1]:.4f}",
            )
        shutil.move(place / "store-0", place / "store")
        row("0.5 s, 150 MB", *f3(medians(5, lambda: measure(RUN, env, place))), "the same again, median of 5")
        row("0.25 s", *f3(medians(5, lambda: measure([VFLOW, "--help"], env, place))), "vflow --help")
        row("0.4 s", *f3(medians(5, lambda: measure([VFLOW, "check", GRAPH], env, place))), "vflow check")
        runs = [new_clips(place, env, number) for number in range(5)]
        runs.sort(key=lambda run: run.wall)
        row("1.5 s", *figures(runs[2]), "vflow plan on 24 new clips, median of 5")
        print("imported by the warm run:", imported(place, env) or "none of " + ", ".join(HEAVY))


def new_clips(place: Path, env: dict[str, str], number: int) -> Measured:
    """Plan on clips that the store has never seen (the drawn set with other bytes: another seed)."""
    clips = place / f"clips-{number}"
    clips.mkdir()
    code = (
        "from pathlib import Path; from vflow.nodes.data.shapes import draw_shapes; "
        f"draw_shapes(Path({str(clips)!r}), clips=24, seed={number + 100})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    run = measure([VFLOW, "plan", GRAPH, "--profile", "tiny", "--set", f"clips={clips}"], env, place)
    check(run)
    return run


def evaluation(run: Path) -> list[float]:
    """Return the evaluation losses of a run, in order."""
    events = [json.loads(line) for line in (run / "events.jsonl").open()]
    found = [e["values"]["eval/loss"] for e in events if e["kind"] == "metrics" and "eval/loss" in e["values"]]
    if found[-1] >= found[0]:
        raise SystemExit(f"the evaluation loss did not fall: {found}")
    return found


def imported(place: Path, env: dict[str, str]) -> str:
    """Name the heavy packages that a warm run imports."""
    run = measure([sys.executable, "-X", "importtime", "-m", "vflow.engine", *RUN[1:]], env, place)
    check(run)
    names = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in run.err.splitlines() if "import time:" in line}
    return ", ".join(sorted(names & set(HEAVY)))


def check(run: Measured) -> None:
    if run.code:
        raise SystemExit(f"failed with {run.code}:\n{run.err}")


def figures(run: Measured) -> tuple[str, str, str]:
    return f3((run.wall, run.cpu, run.memory))


def f3(values: tuple[float, float, float]) -> tuple[str, str, str]:
    wall, cpu, memory = values
    return f"{wall:.2f}", f"{cpu:.2f}", f"{memory:.0f}"


def row(bound: str, wall: str, cpu: str, memory: str, what: str) -> None:
    print(f"{bound:>14} {wall:>8} {cpu:>8} {memory:>6}  {what}", flush=True)


if __name__ == "__main__":
    main()
