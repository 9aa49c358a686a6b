"""Latents: encoding, and scaling by the factor in the VAE's configuration. There is no mean and no shift."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from vflow.nodes.families.hunyuan15.parts import VideoVAE
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
    pixels = pixels.to(device_of(vae.vae), vae.vae.dtype)
    # clip by clip: the mask of the VAE's attention does not go with several
    moments = torch.cat([vae.vae.encode(clip).latent_dist.parameters for clip in pixels.split(1)])
    distribution = DiagonalGaussianDistribution(moments.float())
    if posterior == "mode":
        raw: torch.Tensor = distribution.mode()
    elif posterior == "sample" and noise is not None and len(noise) == len(pixels):
        raw = distribution.sample(generator=list(noise))
    else:
        raise ValueError(f"posterior {posterior!r} with {noise and len(noise)} generators for {len(pixels)} clips")
    return (raw * float(vae.vae.config.scaling_factor)).cpu()


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, C, f, h, w) into tokens (B, f*h*w, C): the transformer's patches are single positions."""
    return latents.flatten(2).transpose(1, 2)
