"""The shipped graph on the miniature: run once for the session, then varied."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "graphs/ltx2_lora.yaml"

#: in place of the profile that teaches the trained miniature something: the smallest random one, and few steps
SMALL = {
    "params": {"model": "tiny://ltx2?random", "clips": "sample://shapes", "rank": 4, "steps": 24},
    "nodes": {
        **{part: {"dtype": "float32"} for part in ("transformer", "vae", "text_encoder")},
        "clips": {"resolution": 64, "frames": 17, "hold_out": 0.2},
        "prompt_texts": {"prompts": ["a red circle moving from left to right on a dark background"]},
        "sampler": {"resolution": "96x64", "frames": 17, "steps": 6, "guidance": 2.0},
        "train": {
            "batch_size": 2,
            "precision": "fp32",
            "optimizer": {"name": "adamw", "lr": 5e-3},
            "evaluation": {"every": 8},
            "checkpoint_every": 8,
            "sample_every": 12,
        },
    },
}


def environment(store):
    return {"VFLOW_HOME": str(store), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run_vflow(*words, store, cwd, **kwargs):
    """Call vflow as a process."""
    env = os.environ | environment(store)
    words = [sys.executable, "-m", "vflow.engine", *(str(word) for word in words)]
    return subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, check=False, **kwargs)


def run_here(*words, store, cwd):
    """Call vflow in this process, where the libraries are imported already; return what `run_vflow` does."""
    import torch

    from vflow.engine.cli import main

    torch.set_num_threads(1)
    with (
        contextlib.chdir(cwd),
        patch.dict(os.environ, environment(store)),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main([str(word) for word in words])
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture
def vflow_here():
    """Call vflow in this process: `vflow_here(*words, store=..., cwd=...)`."""
    return run_here


@pytest.fixture
def vflow_process():
    """Call vflow as a process: `vflow_process(*words, store=..., cwd=...)`."""
    return run_vflow


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory):
    """The quickstart's cold run, with its clips in a plain folder: store, graph, run folder, clips."""
    place = tmp_path_factory.mktemp("quickstart")
    store = place / "store"
    clips = place / "clips"
    from vflow.nodes.data.shapes import draw_shapes

    clips.mkdir()
    draw_shapes(clips, clips=24, seed=0)
    graph = place / "graph.yaml"
    data = yaml.safe_load(GRAPH.read_text())
    data["profiles"]["tiny"] = SMALL
    graph.write_text(yaml.safe_dump(data, sort_keys=False))
    words = ("run", graph, "--profile", "tiny", "--set", f"clips={clips}", "--out", place / "run")
    result = run_vflow(*words, store=store, cwd=place)
    assert result.returncode == 0, result.stderr
    return SimpleNamespace(place=place, store=store, clips=clips, graph=graph, run=place / "run", words=words)


@pytest.fixture
def copy(quickstart, tmp_path):
    """A copy of the quickstart's clips and graph to change, over the quickstart's own store."""
    clips, graph = tmp_path / "clips", tmp_path / "graph.yaml"
    shutil.copytree(quickstart.clips, clips)
    shutil.copy(quickstart.graph, graph)

    def edit(change):
        data = yaml.safe_load(graph.read_text())
        change(data)
        graph.write_text(yaml.safe_dump(data, sort_keys=False))

    def call(command, *words):
        more = ("--profile", "tiny", "--set", f"clips={clips}")
        result = run_here(command, graph, *more, *words, store=quickstart.store, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result

    def plan(*words):
        """What would run: node -> number of results to compute."""
        nodes = json.loads(call("plan", "--json", *words).stdout)["nodes"]
        assert not [name for name, node in nodes.items() if node["state"] == "failed"]
        return {n: node["missing"] for n, node in nodes.items() if node["state"] in ("will run", "decided later")}

    return SimpleNamespace(clips=clips, graph=graph, edit=edit, call=call, plan=plan, place=tmp_path)


@pytest.fixture
def read():
    """Read a run's folder."""

    def events(run, kind):
        lines = (json.loads(line) for line in (Path(run) / "events.jsonl").open())
        return [event for event in lines if event["kind"] == kind]

    def summary(run):
        return json.loads((Path(run) / "summary.json").read_text())

    return SimpleNamespace(events=events, summary=summary)
