"""What the README's command teaches, for five seeds: scores of clips with prompts and noise that no training saw.

    python benchmarks/lesson.py [--seeds 5] [--prompts 64]

Prints a table with medians. Works in a temporary folder with a store of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETS = ("known", "lesson", "lesson, untaught colour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=64)
    given = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table("before", judged(given.prompts), 0.0)
        every = []
        for seed in range(given.seeds):
            started = time.monotonic()
            graph = (ROOT / "graphs/ltx2_lora.yaml", "--profile", "tiny", "--set", f"seed={seed}")
            python("-m", "vflow.engine", "run", *graph, "--cache", place / "store", "--out", place / f"run-{seed}")
            seconds = time.monotonic() - started
            adapter = place / f"run-{seed}/outputs/lora/pytorch_lora_weights.safetensors"
            every.append(judged(given.prompts, "--adapter", adapter))
            table(f"seed {seed}", every[-1], seconds)
        middle = {
            name: {score: statistics.median(one[name][score] for one in every) for score in every[0][name]}
            for name in SETS
        }
        table("median", middle, 0.0)


def judged(prompts: int, *words: object) -> dict[str, dict[str, float]]:
    model = ROOT / "nodes/families/ltx2/trained"
    said = python(ROOT / "tools/miniature/judge.py", model, "--prompts", prompts, *words)
    found = (line.partition("{") for line in said.splitlines() if "{" in line)
    return {name.strip(): json.loads(brace + rest) for name, brace, rest in found}


def table(name: str, scores: dict[str, dict[str, float]], seconds: float) -> None:
    shares = [f"{100 * scores[one]['right']:.0f} %, {100 * scores[one]['centre_error']:.1f} %" for one in SETS]
    print(f"| {name} | {' | '.join(shares)} | {f'{seconds:.0f} s' if seconds else ''} |", flush=True)


def python(*words: object) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
