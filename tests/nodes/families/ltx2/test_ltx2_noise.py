import math

import pytest
import torch

from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.families.ltx2 import FAMILY, noise

from .conftest import SeededDraws

N = 40_000


def draw(shape, **options):
    batch = Batch(torch.empty(N, 1, *shape, device="meta"), {}, 1, 1, 1, 25.0)
    return FAMILY.draw_sigmas(batch, SeededDraws(N), FlowOptions(**options))


@pytest.mark.parametrize(
    ("shape", "mean", "std", "points"),
    [
        ((3, 2, 3), 0.576, 0.240, (0.228, 0.604, 0.876)),
        ((4, 16, 16), 0.626, 0.236, (0.275, 0.669, 0.903)),
        ((16, 16, 16), 0.743, 0.218, (0.417, 0.812, 0.953)),
        ((16, 16, 24), 0.789, 0.208, (0.490, 0.863, 0.967)),
    ],
)
def test_golden_statistics_of_the_familys_own_noise_levels(shape, mean, std, points):
    sigmas = draw(shape)
    assert sigmas.dtype == torch.float32
    assert sigmas.mean().item() == pytest.approx(mean, abs=0.01)
    assert sigmas.std().item() == pytest.approx(std, abs=0.01)
    quantiles = sigmas.quantile(torch.tensor([0.1, 0.5, 0.9]))
    assert quantiles.tolist() == pytest.approx(points, abs=0.015)


def test_the_normals_mean_is_a_line_through_both_anchors_and_is_not_clamped():
    assert noise.mean_of(1024) == pytest.approx(0.95)
    assert noise.mean_of(4096) == pytest.approx(2.05)
    assert noise.mean_of(6144) == pytest.approx(2.783, abs=1e-3)
    assert noise.mean_of(18) < 0.6


@pytest.mark.parametrize("tokens", [18, 1024, 6144])
def test_the_stretch_equals_its_plain_formula(tokens):
    class NeverUniform(SeededDraws):
        def uniform(self, purpose, shape=()):
            return torch.ones(self.batch, *shape)

    n, mu = SeededDraws(N).normal("sigma", ()).double(), noise.mean_of(tokens)
    low, high = (1 / (1 + math.exp(-(mu + point))) for point in (-2.5758, 3.0902))
    plain = (torch.sigmoid(n + mu) - low) / (high - low)
    plain = torch.where(plain >= 1e-3, plain, 2e-3 - plain).clamp(0, 1)
    ours = noise.stretched_logit_normal(noise.mean_of(tokens), NeverUniform(N)).double()
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 3), (16, 16, 24), (64, 40, 64)])
def test_noise_levels_stay_in_range_and_a_tenth_is_uniform(shape):
    sigmas = draw(shape)
    assert torch.isfinite(sigmas).all()
    assert 0 < sigmas.min() <= sigmas.max() <= 1
    # of 163,840 tokens hardly anything but the uniform tenth lies this low
    share = (sigmas < 0.2).float().mean().item()
    assert share > 0.1 * 0.19
    if shape == (64, 40, 64):
        assert share < 0.1 * 0.21 + 0.02


def test_plain_distributions_take_the_static_shift():
    torch.testing.assert_close(draw((3, 2, 3), distribution="uniform").mean(), torch.tensor(0.5), atol=0.01, rtol=0)
    normal = draw((3, 2, 3), distribution="logit_normal")
    assert normal.quantile(0.5).item() == pytest.approx(0.5, abs=0.01)
    shifted = draw((3, 2, 3), distribution="logit_normal", shift=3.0)
    torch.testing.assert_close(shifted, 3 * normal / (1 + 2 * normal))


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ValueError, match="cauchy"):
        draw((3, 2, 3), distribution="cauchy")


def test_equal_draws_give_equal_noise_levels():
    assert torch.equal(draw((3, 2, 3)), draw((3, 2, 3)))
