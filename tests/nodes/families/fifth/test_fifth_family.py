"""A family of another distribution, installed in a temporary folder, in the ordinary nodes; none is known by name."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vflow.nodes.families import families

HERE = Path(__file__).parent
ROOT = HERE.parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the toy family as pip would put it there."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "toy_family", folder / "toy_family", ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / "toy_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vflow.families]\ntoy = toy_family:FAMILY\n")
    return folder


@pytest.fixture(scope="module")
def vflow(site, tmp_path_factory):
    """Call the command line in a process of its own, with the toy family beside this installation."""
    place = tmp_path_factory.mktemp("toy")
    (place / "toy.yaml").write_text((HERE / "toy.yaml").read_text())
    path = os.pathsep.join([str(ROOT / ".typing"), str(site)])
    env = {**os.environ, "PYTHONPATH": path, "VFLOW_HOME": str(place / "store"), "OMP_NUM_THREADS": "1"}

    def call(*words):
        words = [sys.executable, "-m", "vflow.engine", *words]
        return subprocess.run(words, cwd=place, env={**env, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)

    call.place = place
    return call


@pytest.fixture(scope="module")
def run(vflow):
    result = vflow("run", "toy.yaml", "--out", "run")
    assert result.returncode == 0, result.stderr
    return vflow.place / "run"


def test_it_trains_and_draws_through_the_ordinary_nodes(run):
    lines = [json.loads(line) for line in (run / "events.jsonl").open()]
    losses = [line["values"]["eval/loss"] for line in lines if "eval/loss" in line.get("values", {})]
    assert losses[-1] < 0.8 * losses[0]
    assert (run / "outputs/lora/pytorch_lora_weights.safetensors").stat().st_size > 1000
    import av

    (clip,) = (run / "outputs/videos").glob("*.mp4")
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9


def test_its_negative_prompt_is_encoded_where_the_graph_gives_none(run):
    items = json.loads((run / "summary.json").read_text())["nodes"]["prompts"]["items"]
    assert items["computed"] + items["reused"] == 3  # the prompt, the negative one, the empty one


def test_a_second_run_computes_nothing(run, vflow):
    nodes = json.loads(vflow("plan", "toy.yaml", "--json").stdout)["nodes"]
    assert {node["state"] for node in nodes.values()} <= {"light", "reused", "not needed"}


def test_its_rules_and_defaults_are_told_as_those_of_any_family(vflow):
    text = (HERE / "toy.yaml").read_text()
    (vflow.place / "wrong.yaml").write_text(text.replace("resolution: 64,", "resolution: 64, frames: 8,"))
    wrong = vflow("plan", "wrong.yaml")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    assert "Toy Video takes 2k+1 frames, not 8; use 7 or 9" in wrong.stderr
    told = json.loads(vflow("nodes", "--family", "toy/small", "--json").stdout)
    defaults = {(row["node"], row["setting"]): row["default"] for row in told["Toy Video: what a graph may leave open"]}
    assert defaults["Sampler", "frames"] == 9
    assert defaults["Sampler", "options.shift"] == 1.0
    assert [row["model"] for row in told["flavours"]] == ["toy/small"]


def test_a_batch_that_will_not_fit_the_profile_s_card_is_warned_of_before_anything_runs(run, vflow):
    folder = next((vflow.place / "store/models").iterdir())
    graph = (HERE / "toy.yaml").read_text().replace("tiny://toy", str(folder))
    (vflow.place / "large.yaml").write_text(
        graph + "profiles: {1gb: {}, 80gb: {}, large: {nodes: {train: {batch_size: 4096}}}}\n"
    )
    told = "a step on 4096 x 64x96, 9 frames takes about 9 GiB, the card has 1; use a smaller resolution"
    large = vflow("plan", "large.yaml", "--profile", "large", "--profile", "1gb")
    assert large.returncode == 0
    assert f"large.yaml:16:3: nodes.train: {told}" in large.stderr
    assert "train: about 9 GiB of GPU memory for 4096 x 64x96, 9 frames (weights 0.0," in large.stdout
    assert "the card has" not in vflow("plan", "large.yaml", "--profile", "large", "--profile", "80gb").stderr
    assert "the card has" not in vflow("plan", "large.yaml", "--profile", "80gb").stderr


def test_its_flavours_stand_for_their_repositories(vflow):
    text = (HERE / "toy.yaml").read_text()
    (vflow.place / "flavour.yaml").write_text(text.replace("tiny://toy", "toy/small"))
    assert "toymakers/toy-video" in vflow("plan", "flavour.yaml", "--offline").stderr
    (vflow.place / "flavour.yaml").write_text(text.replace("tiny://toy", "toy/smal"))
    assert "Toy Video has no flavour 'smal'; did you mean 'small'?" in vflow("plan", "flavour.yaml").stderr


def test_no_family_is_known_by_name_outside_its_folder():
    names = "|".join(re.escape(name) for name in families(third_party=False))
    words = re.compile(rf"{names}|ltx|hunyuan|kandinsky|\bsana|SanaVideo", re.IGNORECASE)
    found = []
    for folder in ("engine", "nodes", "tui"):
        for file in (ROOT / folder).rglob("*.py"):
            own = file.relative_to(ROOT).parts[:3]
            if own[:2] == ("nodes", "families") and len(own) == 3 and own[2] in families(third_party=False):
                continue
            lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
            found += [
                f"{file.relative_to(ROOT)}:{number}: {line.strip()}" for number, line in lines if words.search(line)
            ]
    assert found == []
