"""On untouched miniatures everything passes: of every family, for both tasks, in both precisions."""

import pytest

FAMILIES = ("ltx2", "hunyuan15", "kandinsky5", "sana")
TASKS = [(name, "t2v") for name in FAMILIES] + [(name, "i2v") for name in ("ltx2", "hunyuan15", "kandinsky5")]
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
