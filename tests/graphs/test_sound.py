"""`vflow run ltx2_audio_lora --profile tiny`: clips with and without sound, both losses, clips that are heard."""

import json
from types import SimpleNamespace

import pytest
import yaml

from .conftest import ROOT, run_here

GRAPH = ROOT / "graphs/ltx2_audio_lora.yaml"


@pytest.fixture(scope="module")
def sounding(tmp_path_factory):
    """The graph's cold run."""
    place = tmp_path_factory.mktemp("sounding")
    words = ("run", GRAPH, "--profile", "tiny", "--out")
    result = run_here(*words, place / "run", store=place / "store", cwd=place)
    assert result.returncode == 0, result.stderr
    return SimpleNamespace(place=place, store=place / "store", run=place / "run", words=words)


def plan(sounding, *words):
    result = run_here("plan", *words, store=sounding.store, cwd=sounding.place)
    return result.returncode, result.stdout + result.stderr


def test_both_losses_fall_and_both_are_told(sounding, read):
    found = [event["values"] for event in read.events(sounding.run, "metrics")]
    for name in ("eval/loss_video", "eval/loss_audio"):
        losses = [values[name] for values in found if name in values]
        assert len(losses) >= 3
        assert losses[-1] < losses[0]
    assert any("train/loss_audio" in values for values in found)
    assert read.summary(sounding.run)["nodes"]["sound"]["items"]["computed"] >= 12


def test_the_clips_have_sound(sounding):
    import av

    clips = [*(sounding.run / "outputs/videos").glob("*.mp4"), *sounding.run.glob("samples/*/*.mp4")]
    assert len(clips) >= 2
    for clip in clips:
        with av.open(str(clip)) as file:
            assert sum(frame.samples for frame in file.decode(audio=0)) > 12000


def test_the_adapter_has_layers_in_both_streams(sounding):
    from safetensors import safe_open

    with safe_open(sounding.run / "outputs/lora/pytorch_lora_weights.safetensors", "pt") as file:
        names = set(file.keys())
    for part in (".attn1.", ".audio_attn1.", ".audio_to_video_attn.", ".video_to_audio_attn."):
        assert any(part in name for name in names), part


def test_the_same_again_imports_nothing_heavy(sounding, read, vflow_process, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    again = sounding.place / "again"
    result = vflow_process(*sounding.words, again, store=sounding.store, cwd=sounding.place)
    assert result.returncode == 0, result.stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "vflow" in imported
    assert not imported & {"torch", "diffusers", "av", "numpy"}
    assert {node["state"] for node in read.summary(again)["nodes"].values()} <= {"light", "reused", "not needed"}


def test_the_plan_shows_sound_and_a_demand_for_it_names_the_silent_clips(sounding):
    code, text = plan(sounding, GRAPH, "--profile", "tiny", "--set", "rank=2")
    assert code == 0
    assert "windows_with_sound: 20" in text
    assert "clips train with theirs" in text
    data = yaml.safe_load(GRAPH.read_text())
    data["nodes"]["sound"]["silent"] = "error"
    (sounding.place / "strict.yaml").write_text(json.dumps(data))
    code, text = plan(sounding, "strict.yaml", "--profile", "tiny")
    assert code == 2
    assert "4 clips have no sound track: 0" in text
    assert "silent: isolate" in text
