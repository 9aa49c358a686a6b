"""A training that is asked to stop in haste: what is unfinished is dropped, and the bytes at the end are the same."""

import math

import pytest

from vflow.engine.problems import Interrupted
from vflow.nodes.training import checkpoints
from vflow.nodes.training.loop import Training

SETTINGS = {"accumulation": 3, "steps": 4, "seed": 3, "batch_size": 1}


@pytest.fixture
def in_haste(monkeypatch):
    """Have a signal come after so many micro-steps, each of which seems to take as many seconds as are left or more."""

    def when(bench, count, seconds=math.inf):
        gradients, begun = Training._gradients, []

        def slow(self, planned, batch):
            gradients(self, planned, batch)
            begun.append(planned)
            if len(begun) == count:
                bench.world.stop.ask(seconds)

        monkeypatch.setattr(Training, "_gradients", slow)
        return begun

    return when


@pytest.fixture(scope="module")
def straight(miniature):
    return miniature.bytes_of(miniature.train("haste straight", **SETTINGS).adapter)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_without_time_the_last_micro_steps_are_dropped_and_the_bytes_are_the_same(bench, straight, in_haste, count):
    work, step = f"haste {count}", count // 3
    begun = in_haste(bench, count, 0.0)
    with pytest.raises(Interrupted):
        bench.train(work, **SETTINGS)
    assert len(begun) == count  # not one more
    assert [(s.step, s.kind) for s in checkpoints.states(bench.context(work).work)] == [(1, "stopped")] * step
    assert any("micro-steps are dropped" in event.message for event in bench.said("log"))
    assert bench.bytes_of(bench.train(work, **SETTINGS).adapter) == straight
    assert [event.step for event in bench.said("metrics")] == list(range(step + 1, 5))


def test_with_time_the_step_is_finished(bench, straight, in_haste):
    begun = in_haste(bench, 4, 3600.0)
    with pytest.raises(Interrupted):
        bench.train("no haste", **SETTINGS)
    assert len(begun) == 6
    assert [state.step for state in checkpoints.states(bench.context("no haste").work)] == [2]
    assert bench.bytes_of(bench.train("no haste", **SETTINGS).adapter) == straight


def test_a_checkpoint_that_a_training_went_on_from_stays_one(bench, straight, in_haste):
    settings = {**SETTINGS, "checkpoint_every": 2}
    bench.train("kept", **{**settings, "steps": 2})
    in_haste(bench, 1, 0.0)
    with pytest.raises(Interrupted):
        bench.train("kept", **settings)
    assert [(s.step, s.kind) for s in checkpoints.states(bench.context("kept").work)] == [(2, "kept")]
    assert bench.bytes_of(bench.train("kept", **settings).adapter) == straight


@pytest.mark.parametrize("at", [2, 4])
def test_an_evaluation_that_was_left_is_made_up_for(bench, straight, at):
    watch = {"held_out_latents": bench.latents, "held_out_captions": bench.captions}
    settings = {**SETTINGS, "evaluation": {"every": 2}}

    def figures(work):
        bench.train(work, watch=watch, **settings)
        return {event.step: event.values for event in bench.said("metrics") if "eval/loss" in event.values}

    with pytest.raises(Interrupted):
        bench.train(f"left {at}", watch=watch, stop_at=at, **settings)
    assert [state.step for state in checkpoints.states(bench.context(f"left {at}").work)] == [at]
    made_up = figures(f"left {at}")
    whole = figures(f"never left {at}")
    assert made_up == {step: values for step, values in whole.items() if step >= at}
    assert bench.bytes_of(bench.train(f"left {at}", watch=watch, **settings).adapter) == straight
