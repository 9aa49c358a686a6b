"""Latents: encoding, normalisation by the statistics in the VAE's configuration, and tokens for the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from vflow.nodes.families.loading import device_of
from vflow.nodes.families.sana.parts import VideoVAE

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan


@torch.no_grad()
def encode(
    vae: VideoVAE, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
) -> torch.Tensor:
    """Encode pixels (B, 3, F, H, W) in [-1, 1] to normalised latents (B, C, f, h, w), float32, on the CPU.

    The network computes in its own dtype; drawing from the posterior and normalising are done in float32.

    Raises:
        ValueError: `posterior` is neither `sample`, with one generator per row, nor `mode`.
    """
    moments = vae.vae.encode(pixels.to(device_of(vae.vae), vae.vae.dtype)).latent_dist.parameters
    distribution = DiagonalGaussianDistribution(moments.float())
    if posterior == "mode":
        raw = distribution.mode()
    elif posterior == "sample" and noise is not None and len(noise) == len(pixels):
        raw = distribution.sample(generator=list(noise))
    else:
        raise ValueError(f"posterior {posterior!r} with {noise and len(noise)} generators for {len(pixels)} clips")
    return normalise(raw, vae.vae).cpu()


def encode_first_frames(vae: VideoVAE, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Encode images (B, 3, H, W) in [-1, 1] as the pipeline does a clip's first frame: `latent` (C, 1, h, w) of each.

    Its time is causal: a clip's own first latent frame is that of its first picture alone.
    """
    return [{"latent": latent} for latent in encode(vae, pixels[:, :, None], "mode", None)]


def normalise(raw: torch.Tensor, vae: AutoencoderKLWan) -> torch.Tensor:
    """Return (raw - mean) * (1 / std) by channel, for latents (B, C, f, h, w)."""
    mean, inverse = _statistics(raw, vae)
    return (raw - mean) * inverse


def denormalise(latents: torch.Tensor, vae: AutoencoderKLWan) -> torch.Tensor:
    """Undo `normalise`."""
    mean, inverse = _statistics(latents, vae)
    return latents / inverse + mean


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, C, f, h, w) into tokens (B, f*h*w, C)."""
    return latents.flatten(2).transpose(1, 2)


def _statistics(like: torch.Tensor, vae: AutoencoderKLWan) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and 1 / std, in the order of operations that the pipelines have."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    return mean, inverse
