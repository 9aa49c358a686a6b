"""Noise levels that every family knows."""

from __future__ import annotations

import torch

from vflow.nodes.families.exchange import Draws, FlowOptions


def shift(sigmas: torch.Tensor, k: float) -> torch.Tensor:
    """Return k*s / (1 + (k-1)*s)."""
    return k * sigmas / (1 + (k - 1) * sigmas)


def logit_normal(draws: Draws, k: float) -> torch.Tensor:
    """Draw shift(sigmoid(N(0, 1)), k), (B,) float32."""
    return shift(torch.sigmoid(draws.normal("sigma", ())), k)


def plain(draws: Draws, options: FlowOptions) -> torch.Tensor:
    """Draw one of the two plain distributions, (B,) float32 in (0, 1].

    Raises:
        ValueError: the options name another distribution.
    """
    k = 1.0 if options.shift is None else options.shift
    match options.distribution:
        case "logit_normal":
            return logit_normal(draws, k)
        case "uniform":
            return shift(1.0 - draws.uniform("sigma"), k)
    raise ValueError(f"unknown distribution of noise levels {options.distribution!r}")
