"""Latents: encoding, normalisation by the statistics in the VAE's own buffers, and packing to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.ltx2.utils import apply_image_conditioning_crf

from vflow.nodes.families.loading import device_of
from vflow.nodes.families.ltx2.parts import VideoVAE

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Video


@torch.no_grad()
def encode(
    vae: VideoVAE, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
) -> torch.Tensor:
    """Encode pixels (B, 3, F, H, W) in [-1, 1] to normalised latents (B, C, f, h, w), float32, on the CPU.

    The network computes in its own dtype; drawing from the posterior and normalising are done in float32.

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
    return normalise(raw, vae.vae).cpu()


@torch.no_grad()
def encode_image(vae: VideoVAE, pixels: torch.Tensor) -> torch.Tensor:
    """Encode first frames (B, 3, H, W) in [-1, 1] to normalised latents (B, C, 1, h, w), float32, on the CPU.

    As `LTX2ImageToVideoPipeline` does: compressed by H.264 first, as the images were that the model has learnt from,
    then the posterior's mode, normalised without the scaling factor.
    """
    stills = torch.stack([_compressed(still, vae.image_crf) for still in pixels])
    raw = _posterior(vae, stills[:, :, None]).mode()
    mean, std, _ = _statistics(raw, vae.vae)
    latents: torch.Tensor = (raw - mean) / std
    return latents.cpu()


def normalise(raw: torch.Tensor, vae: AutoencoderKLLTX2Video) -> torch.Tensor:
    """Return (raw - mean) * scaling_factor / std by channel, for latents (B, C, f, h, w)."""
    mean, std, factor = _statistics(raw, vae)
    return (raw - mean) * factor / std


def denormalise(latents: torch.Tensor, vae: AutoencoderKLLTX2Video) -> torch.Tensor:
    """Undo `normalise`."""
    mean, std, factor = _statistics(latents, vae)
    return latents * std / factor + mean


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, C, f, h, w) into tokens (B, f*h*w, C): the transformer's patches are single positions."""
    return latents.flatten(2).transpose(1, 2)


def unpack(tokens: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Turn tokens (B, f*h*w, C) into latents of `shape` (f, h, w)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *shape)


def _posterior(vae: VideoVAE, pixels: torch.Tensor) -> DiagonalGaussianDistribution:
    moments = vae.vae.encode(pixels.to(device_of(vae.vae), vae.vae.dtype)).latent_dist.parameters
    return DiagonalGaussianDistribution(moments.float())


def _compressed(pixels: torch.Tensor, crf: int) -> torch.Tensor:
    """Return a still (3, H, W) in [-1, 1] as it is after compression of this strength."""
    exact = ((pixels.cpu().float() + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    kept = torch.from_numpy(apply_image_conditioning_crf(exact.numpy(), crf))
    return (2 * (kept.float() / 255) - 1).permute(2, 0, 1)


def _statistics(like: torch.Tensor, vae: AutoencoderKLLTX2Video) -> tuple[torch.Tensor, torch.Tensor, float]:
    mean: torch.Tensor = vae.latents_mean.view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    std: torch.Tensor = vae.latents_std.view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    return mean, std, float(vae.config.scaling_factor)
