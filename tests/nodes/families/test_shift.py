"""A static shift that a graph gives stands in the place of the family's own, in the family's own distribution."""

import hashlib

import pytest
import torch

from vflow.nodes.families import families
from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.families.noise import shift

ROWS = 4000
OWN = {"hunyuan15": 5.0, "kandinsky5": 5.0, "sana": 3.0}


class Draws:
    """The same draws for the same purpose."""

    def _generator(self, purpose):
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big"))

    def normal(self, purpose, shape):
        return torch.randn((ROWS, *shape), generator=self._generator(purpose))

    def uniform(self, purpose, shape=()):
        return torch.rand((ROWS, *shape), generator=self._generator(purpose))


def drawn(family, **options):
    rules = family.rules
    latents = torch.zeros(1, rules.latent_channels, *rules.latent_shape(17, 256, 256)).expand(ROWS, -1, -1, -1, -1)
    return family.draw_sigmas(Batch(latents, {}, 17, 256, 256, rules.fps), Draws(), FlowOptions(**options))


@pytest.mark.parametrize("name", sorted(OWN))
def test_of_the_logit_normal_families_it_is_the_static_shift(name):
    family = families()[name]
    assert torch.equal(drawn(family), drawn(family, shift=OWN[name]))
    unshifted = drawn(family, shift=1.0)
    assert torch.equal(unshifted, torch.sigmoid(Draws().normal("sigma", ())))
    torch.testing.assert_close(drawn(family, shift=7.0), shift(unshifted, 7.0))


def test_of_the_family_whose_mean_grows_it_puts_the_mean():
    family = families()["ltx2"]
    medians = [drawn(family, shift=k).median().item() for k in (1.0, 2.6, 8.0)]
    assert medians == sorted(medians)
    assert medians[0] == pytest.approx(0.5, abs=0.05)
    assert drawn(family).median().item() != pytest.approx(medians[2], abs=0.02)


@pytest.mark.parametrize("distribution", ["logit_normal", "uniform"])
def test_the_plain_distributions_are_unshifted_unless_told(distribution):
    family = families()["sana"]
    assert torch.equal(drawn(family, distribution=distribution), drawn(family, distribution=distribution, shift=1.0))
    torch.testing.assert_close(
        drawn(family, distribution=distribution, shift=4.0), shift(drawn(family, distribution=distribution), 4.0)
    )
