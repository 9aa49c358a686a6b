"""The learning rate by step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.training.schedule import factor
from vflow.nodes.training.settings import ScheduleSettings


def factors(steps=100, **settings):
    return [factor(ScheduleSettings(**settings), step, steps) for step in range(steps)]


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_a_warm_up_rises_in_equal_parts_to_the_full_rate(name):
    found = factors(name=name, warmup_steps=10)
    assert found[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert max(found) == 1.0


def test_constant_stays():
    assert set(factors(name="constant")) == {1.0}


def test_linear_falls_in_equal_parts_to_its_end():
    found = factors(name="linear", warmup_steps=20, end=0.2)
    assert found[20] == 1.0
    assert found[60] == pytest.approx(0.6)
    assert factor(ScheduleSettings(name="linear", warmup_steps=20, end=0.2), 100, 100) == pytest.approx(0.2)


def test_cosine_is_half_way_in_the_middle():
    found = factors(name="cosine", end=0.5)
    assert found[50] == pytest.approx(0.75)
    assert found[25] == pytest.approx(0.5 + 0.5 * (1 + math.cos(math.pi / 4)) / 2)


@given(st.sampled_from(["constant", "linear", "cosine"]), st.integers(0, 50), st.floats(0, 1), st.integers(1, 200))
def test_after_the_warm_up_the_rate_never_rises_and_stays_in_range(name, warmup, end, steps):
    found = factors(steps, name=name, warmup_steps=warmup, end=end)
    assert all(0 <= value <= 1 for value in found)
    after = found[warmup:]
    assert after == sorted(after, reverse=True)
