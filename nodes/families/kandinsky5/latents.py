"""Latents: encoded by HunyuanVideo's first VAE and scaled by one factor; the transformer wants channels last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from vflow.nodes.families.kandinsky5.parts import VideoVAE
from vflow.nodes.families.loading import device_of


@torch.no_grad()
def encode(
    vae: VideoVAE, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
) -> torch.Tensor:
    """Encode pixels (B, 3, F, H, W) in [-1, 1] to scaled latents (B, C, f, h, w), float32, on the CPU.

    The network computes in its own dtype; drawing from the posterior and scaling are done in float32.

    Raises:
        ValueError: `posterior` is neither `sample`, with one generator per row, nor `mode`.
    """
    distribution = _posterior(vae, pixels)
    if posterior == "mode":
        raw = distribution.mode()
    elif posterior == "sample" and noise is not None and len(noise) == len(pixels):
        raw = distribution.sample(generator=list(noise))
    else:
        raise ValueError(f"posterior {posterior!r} with {noise and len(noise)} generators for {len(pixels)} clips")
    scaled: torch.Tensor = raw * vae.vae.config.scaling_factor
    return scaled.cpu()


@torch.no_grad()
def encode_image(vae: VideoVAE, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Encode first frames (B, 3, H, W) in [-1, 1] to posteriors, from which the pipeline draws each clip's first frame.

    Returns for each, scaled as latents are, float32 on the CPU: `latent` (C, 1, h, w), the posterior's mean, and
    `deviation`, its standard deviation, of the same shape.
    """
    distribution = _posterior(vae, pixels[:, :, None])
    factor = vae.vae.config.scaling_factor
    means, deviations = (distribution.mean * factor).cpu(), (distribution.std * factor).cpu()
    return [
        {"latent": mean.clone(), "deviation": deviation.clone()}
        for mean, deviation in zip(means, deviations, strict=True)
    ]


def _posterior(vae: VideoVAE, pixels: torch.Tensor) -> DiagonalGaussianDistribution:
    moments = vae.vae.encode(pixels.to(device_of(vae.vae), vae.vae.dtype)).latent_dist.parameters
    return DiagonalGaussianDistribution(moments.float())


def channels_last(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, C, f, h, w) into (B, f, h, w, C)."""
    return latents.permute(0, 2, 3, 4, 1)


def channels_first(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, f, h, w, C) into (B, C, f, h, w)."""
    return latents.permute(0, 4, 1, 2, 3)
