"""On untouched miniatures everything passes: of every family, for both tasks, in both precisions."""

import pytest

from ..families.ltx2.test_ltx2_newer import write  # noqa: TID252 - what builds such a checkpoint stands there

FAMILIES = ("ltx2", "hunyuan15", "kandinsky5", "sana")
TASKS = [(name, "t2v") for name in FAMILIES] + [(name, "i2v") for name in FAMILIES]
long = pytest.mark.long


def statuses(found):
    return {name: (check.status, check.message) for name, check in found.items() if check.status != "passed"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in ("sana", "kandinsky5") else long) for n in FAMILIES])
def test_weights_and_text_pass(miniatures, name):
    rehearsed = miniatures(name)
    assert statuses(rehearsed.look("weights")) == {}
    found = rehearsed.look("text")
    assert statuses(found) == {}
    assert found.keys() == {"encoding", "template", "text embeddings"}
    assert found["encoding"].cost.seconds > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "task"), [pytest.param(*t, marks=() if t in TASKS[2:4] else long) for t in TASKS])
def test_the_forward_passes(miniatures, name, task, dtype):
    found = miniatures(name, task).look("forward", dtype)
    assert statuses(found) == {}
    assert found.keys() == {"weights as loaded", "schedule", "transformer input", "scheduler step"}


@pytest.mark.parametrize(
    ("name", "task"), [pytest.param(*t, marks=() if t == ("kandinsky5", "t2v") else long) for t in TASKS]
)
def test_the_steps_and_what_they_give_pass(miniatures, name, task):
    rehearsed = miniatures(name, task)
    steps = rehearsed.look("steps")
    assert statuses(steps) == {}
    assert "same bits" in steps["resume"].message
    cost = steps["first steps"].cost
    assert cost.peaks["host"] > 2**27
    assert cost.seconds > 0
    assert "per step" in cost.pace
    result = rehearsed.look("result")
    assert statuses(result) == {}
    assert "the same bits" in result["adapter"].message


@long
def test_sound_passes(miniatures):
    assert statuses(miniatures("ltx2").look("sound")) == {}


@long
@pytest.mark.parametrize("generation", ["2.3", "2.5"])
def test_newer_generations_of_ltx_pass(miniatures, tmp_path, monkeypatch, generation):
    """Their checkpoints have other connectors, attention, vocoder and text encoder."""
    rehearsed = miniatures("ltx2")
    write(rehearsed.checkpoint, tmp_path / generation, generation)
    monkeypatch.setattr(rehearsed, "checkpoint", tmp_path / generation)
    context = rehearsed.context()
    monkeypatch.setattr(rehearsed, "captions", rehearsed.encoded(context))
    monkeypatch.setattr(rehearsed, "blobs", context._blobs)
    for look in ("weights", "text", "forward", "sound"):
        assert statuses(rehearsed.look(look)) == {}
