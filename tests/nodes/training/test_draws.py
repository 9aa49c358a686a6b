"""Counted randomness."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.training.draws import CountedDraws, chance, seed_globals

counts = st.integers(0, 2**31)


@given(seed=counts, step=counts, purpose=st.text(max_size=10))
def test_a_draw_depends_on_seed_step_position_and_purpose_only(seed, step, purpose):
    draws = CountedDraws(seed, step, range(3))
    draws.uniform("drawn before")
    whole = draws.normal(purpose, (2, 3))
    assert whole.shape == (3, 2, 3)
    assert torch.equal(CountedDraws(seed, step, [2]).normal(purpose, (2, 3))[0], whole[2])
    assert not torch.equal(CountedDraws(seed, step + 1, range(3)).normal(purpose, (2, 3)), whole)
    assert not torch.equal(CountedDraws(seed + 1, step, range(3)).normal(purpose, (2, 3)), whole)
    assert not torch.equal(draws.normal(purpose + "!", (2, 3)), whole)


def test_draws_are_distributed_as_they_say():
    normal = CountedDraws(1, 2, range(100)).normal("n", (1000,))
    uniform = CountedDraws(1, 2, range(100)).uniform("u", (1000,))
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs(uniform.mean() - 0.5) < 0.01
    assert 0 <= uniform.min() < uniform.max() < 1
    single = torch.cat([CountedDraws(0, step, range(10)).normal("n", ()) for step in range(1000)])
    assert abs(single.mean()) < 0.05
    assert abs(single.std() - 1) < 0.05


def test_a_chance_comes_true_as_often_as_it_says():
    for probability in (0.0, 0.1, 0.5, 1.0):
        share = sum(chance(probability, 7, step, "caption") for step in range(5000)) / 5000
        assert abs(share - probability) < 0.02
        assert 0 < share < 1 or share == probability


def test_dropout_draws_the_same_in_the_same_step():
    def drawn(step):
        seed_globals(3, step, torch.device("cpu"))
        return torch.rand(4)

    first = drawn(1)
    assert not torch.equal(drawn(2), first)
    assert torch.equal(drawn(1), first)
