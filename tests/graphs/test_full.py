"""`vflow run graphs/sana_full.yaml --profile tiny`: a transformer's folder comes out, whatever happened on the way."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from .conftest import ROOT, environment, run_here

OUT = "outputs/transformer"
WEIGHTS = f"{OUT}/diffusion_pytorch_model.safetensors"


class Runner:
    """Runs the graph over a store of its own."""

    def __init__(self, place):
        self.place, self.store = place, place / "store"

    def words(self, out):
        graph = ROOT / "graphs/sana_full.yaml"
        return ["run", graph, "--profile", "tiny", "--json", "--embed", "none", "--out", self.place / out]

    def run(self, out):
        result = run_here(*self.words(out), store=self.store, cwd=self.place)
        assert result.returncode == 0, result.stderr
        events = [json.loads(line) for line in result.stdout.splitlines()]
        return SimpleNamespace(folder=self.place / out, events=events)

    def kill(self, out, kind, count):
        """Run in a process of its own, and kill it at the n-th event of a kind that `train` emits."""
        words = [sys.executable, "-m", "vflow.engine", *map(str, self.words(out))]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        env = os.environ | environment(self.store)
        with subprocess.Popen(words, env=env, cwd=self.place, **how) as process:
            for line in process.stdout:
                event = json.loads(line)
                count -= (event["kind"], event["node"]) == (kind, "train")
                if not count:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    return Runner(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def trained(runner):
    return runner.run("run")


def test_the_loss_on_held_out_clips_falls(trained):
    losses = [event["values"]["eval/loss"] for event in trained.events if "eval/loss" in event.get("values", ())]
    assert losses[-1] < 0.75 * losses[0]


def test_the_folder_in_diffusers_own_pipeline_draws_the_clip_of_validate_bit_for_bit(runner, trained, tmp_path):
    import torch
    from diffusers import SanaVideoPipeline, SanaVideoTransformer3DModel

    from vflow.nodes.data.decode import write_video
    from vflow.nodes.families.drawing import as_bytes

    transformer = SanaVideoTransformer3DModel.from_pretrained(trained.folder / OUT)
    checkpoint = next(path for path in (runner.place / "store/models").iterdir() if (path / "vae").is_dir())
    pipe = SanaVideoPipeline.from_pretrained(
        checkpoint, transformer=transformer.float(), torch_dtype=torch.float32, local_files_only=True
    )
    frames = pipe(
        prompt="a red circle moving from left to right on a dark background",
        width=96,
        height=64,
        frames=13,
        num_inference_steps=6,
        guidance_scale=2.0,
        use_resolution_binning=False,
        generator=torch.Generator().manual_seed(42),
        output_type="np",
    ).frames[0]
    write_video(tmp_path / "theirs.mp4", as_bytes(frames), 16.0)
    (ours,) = (trained.folder / "outputs/videos").glob("*.mp4")
    assert ours.read_bytes() == (tmp_path / "theirs.mp4").read_bytes()


def test_the_same_again_computes_nothing(runner, trained):
    again = runner.run("again")
    nodes = json.loads((again.folder / "summary.json").read_text())["nodes"]
    assert {node["state"] for node in nodes.values()} <= {"light", "reused", "not needed"}
    assert (again.folder / WEIGHTS).read_bytes() == (trained.folder / WEIGHTS).read_bytes()


@pytest.mark.long
def test_killed_on_the_way_and_run_again_it_ends_with_the_same_bytes(trained, tmp_path):
    runner = Runner(tmp_path)
    runner.kill("run", "published", 2)  # the first checkpoint is there
    after = runner.run("run")
    assert min(e["done"] for e in after.events if (e["kind"], e["node"]) == ("progress", "train")) > 12
    assert (after.folder / WEIGHTS).read_bytes() == (trained.folder / WEIGHTS).read_bytes()
