import pytest
import torch

from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.families.hunyuan15 import FAMILY

from .conftest import SeededDraws

N = 40_000


def draw(height=480, width=848, **options):
    batch = Batch(torch.empty(N, 1, 3, 2, 3, device="meta"), {}, 9, height, width, 24.0)
    return FAMILY.draw_sigmas(batch, SeededDraws(N), FlowOptions(**options))


@pytest.mark.parametrize(("height", "width", "shift"), [(64, 96, 5.0), (480, 848, 5.0), (720, 1280, 9.0)])
def test_noise_levels_are_shifted_as_clips_of_that_size_are_sampled(height, width, shift):
    sigmas = draw(height, width)
    assert sigmas.dtype == torch.float32
    assert 0 < sigmas.min() <= sigmas.max() <= 1
    middle = shift * 0.5 / (1 + (shift - 1) * 0.5)
    assert sigmas.quantile(0.5).item() == pytest.approx(middle, abs=0.01)
    normal = draw(distribution="logit_normal")
    torch.testing.assert_close(sigmas, shift * normal / (1 + (shift - 1) * normal), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("height", "width", "shift"), [(480, 848, 5.0), (720, 1280, 7.0)])
def test_with_images_they_are_shifted_as_the_flavours_for_images_are_sampled(height, width, shift):
    image = {"latent": torch.empty(N, 1, 1, 2, 3, device="meta")}
    batch = Batch(torch.empty(N, 1, 3, 2, 3, device="meta"), {}, 9, height, width, 24.0, image)
    middle = FAMILY.draw_sigmas(batch, SeededDraws(N), FlowOptions()).quantile(0.5).item()
    assert middle == pytest.approx(shift * 0.5 / (1 + (shift - 1) * 0.5), abs=0.01)


def test_sizes_between_the_flavours_have_shifts_between():
    assert draw(480, 848).mean() < draw(600, 1040).mean() < draw(720, 1280).mean()


def test_golden_statistics_of_the_familys_own_noise_levels():
    sigmas = draw()
    assert sigmas.mean().item() == pytest.approx(0.790, abs=0.005)
    assert sigmas.std().item() == pytest.approx(0.146, abs=0.005)


def test_plain_distributions_take_the_static_shift():
    torch.testing.assert_close(draw(distribution="uniform").mean(), torch.tensor(0.5), atol=0.01, rtol=0)
    normal, shifted = draw(distribution="logit_normal"), draw(distribution="logit_normal", shift=3.0)
    torch.testing.assert_close(shifted, 3 * normal / (1 + 2 * normal))


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ValueError, match="cauchy"):
        draw(distribution="cauchy")
