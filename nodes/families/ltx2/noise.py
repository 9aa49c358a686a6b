"""The noise level of each training sample."""

from __future__ import annotations

import math

import torch

from vflow.nodes.families.exchange import Batch, Draws, FlowOptions
from vflow.nodes.families.noise import plain

# the official trainer of LTX-2: `shifted_logit_normal`
_TOKENS, _MEANS = (1024, 4096), (0.95, 2.05)
_LOWEST, _HIGHEST = -2.5758, 3.0902  # a standard normal's 0.5 % and 99.9 % points
_SMALLEST = 1e-3
_UNIFORM_SHARE = 0.1


def draw_sigmas(batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
    """Draw noise levels (B,) in (0, 1], float32.

    Raises:
        ValueError: the options name an unknown distribution.
    """
    if options.distribution == "family":
        # sigmoid(n + mu) is a logit-normal shifted by exp(mu)
        own = mean_of(math.prod(batch.latents.shape[2:]))
        return stretched_logit_normal(own if options.shift is None else math.log(options.shift), draws)
    return plain(draws, options)


def mean_of(tokens: int) -> float:
    """Return the normal's mean for a number of video tokens: 0.95 at 1024, 2.05 at 4096, on one straight line."""
    slope = (_MEANS[1] - _MEANS[0]) / (_TOKENS[1] - _TOKENS[0])
    return _MEANS[0] + slope * (tokens - _TOKENS[0])


def stretched_logit_normal(mu: float, draws: Draws) -> torch.Tensor:
    """Draw as the official trainer does: sigmoid(N(mu, 1)), its middle 99.4 % stretched over [0, 1], 10 % uniform.

    With a = sigmoid(mu + n), lo and hi the values at the two percentiles, (a - lo) / (hi - lo) is written as
    a/hi * (1 - exp(l - n)) / (1 - exp(l - h)), which is the same and does not cancel where many tokens make mu large.
    What falls below 1e-3 is reflected there, what lies above 1 is cut.
    """
    n = draws.normal("sigma", ())
    highest = torch.sigmoid(torch.tensor(mu + _HIGHEST))
    stretched = torch.sigmoid(n + mu) / highest * torch.expm1(_LOWEST - n) / math.expm1(_LOWEST - _HIGHEST)
    reflected = torch.where(stretched >= _SMALLEST, stretched, 2 * _SMALLEST - stretched).clamp(max=1.0)
    uniform = _SMALLEST + (1 - _SMALLEST) * draws.uniform("sigma uniform")
    return torch.where(draws.uniform("sigma mixture") < _UNIFORM_SHARE, uniform, reflected)
