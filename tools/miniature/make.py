"""Make the trained miniature of LTX-2 from nothing: everything in order, each part taken up where it was left.

    OMP_NUM_THREADS=2 python tools/miniature/make.py /tmp/miniature

The parts can be run by themselves as well. `whole` in the work folder is the result, in 16-bit floats.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Train VAE and text side, then the transformer through the graph beside this file; then score what it draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for states and results")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work, seed = given.work.absolute(), ("--seed", str(given.seed))
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "connectors").exists():
        run(HERE / "text.py", work, *seed)
    run(HERE / "vae.py", work, *seed)
    if not (work / "base").exists():
        run(HERE / "assemble.py", work, *seed)
    graph = ("run", HERE / "base.yaml", "--set", f"model={work / 'base'}", "--set", f"seed={given.seed}")
    run("-m", "vflow.engine", *graph, "--cache", work / "store", "--out", work / "run")
    run(HERE / "assemble.py", work, "--transformer", work / "run" / "outputs" / "transformer", *seed)
    run(HERE / "judge.py", work / "whole", "--stills", work / "stills.png")


def run(*words: object) -> None:
    """Run Python with these words, with as many threads as this process has."""
    environment = {"OMP_NUM_THREADS": "2", **os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *(str(word) for word in words)], check=True, env=environment)


if __name__ == "__main__":
    main()
