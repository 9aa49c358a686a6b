"""A run's folder with a log of any length, as a long training writes it: metrics, progress, words, items, clips."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from vflow.engine.folder import EVENTS, GRAPH
from vflow.engine.store import owners

NODES = ("clips", "captions", "latents", "lora", "train", "validate")


def write_log(folder: Path, events: int, *, process: str = "", alive: bool = True) -> Path:
    """Write a folder whose log has so many lines; two thirds are metrics. Its process is this one unless named."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_text("vflow: 1\nname: long\nnodes: {}\n")
    when = time.time() - 0.1 * events
    with (folder / EVENTS).open("w", encoding="utf-8") as file:

        def put(node: str, kind: str, **more: object) -> None:
            nonlocal when
            when += 0.1
            event = {"time": when, "node": node, "kind": kind, **more}
            file.write(json.dumps(event, separators=(",", ":")) + "\n")

        put("", "run_started", graph="long", profiles=[], pid=1, process=process or owners.myself().name, vflow="0.1")
        for node in NODES:
            put(node, "node_planned", type="Toy", state="run", reason="")
        put("latents", "node_started", missing=events // 10, total=events // 10, reason="")
        for n in range(events // 10):
            put("latents", "item_finished", item=f"{n:016x}", label=f"clip {n}", seconds=0.1)
        put("latents", "node_finished", state="computed", seconds=9.0, computed=events // 10, reused=0, left_out=0)
        put("train", "node_started", missing=1, total=1, reason="never computed")
        steps = events * 2 // 3
        for step in range(1, steps + 1):
            put("train", "metrics", step=step, values=figures(step, steps))
            if step % 4 == 0:
                put("train", "progress", done=step, total=steps, unit="step", figures={"loss": 0.5})
            if step % 16 == 0:
                level = "warning" if step % 1600 == 0 else "info"
                put("train", "log", level=level, message=f"step {step}: the gradient was clipped")
        if not alive:
            put("train", "node_finished", state="computed", seconds=1e4, computed=1, reused=0, left_out=0)
            put("", "run_finished", status="done", seconds=1e4, saved_seconds=0.0)
    return folder


def figures(step: int, steps: int) -> dict[str, float]:
    """The metrics of a step: a loss that falls, a spike now and then, a rate that warms up and decays."""
    wave = math.sin(step * 12.9898) * 43758.5453
    noise = wave - math.floor(wave)
    loss = 0.1 + math.exp(-4 * step / steps) + 0.2 * noise + (3.0 if step % 100_003 == 0 else 0.0)
    rate = 1e-4 * min(1.0, step / 1000) * (1 - step / (steps + 1))
    found = {
        "train/loss": loss,
        "train/lr": rate,
        "train/grad_norm": 0.5 + noise,
        "train/samples_per_second": 3 + noise,
    }
    return {**found, "eval/loss": loss * 1.1} if step % 500 == 0 else found
