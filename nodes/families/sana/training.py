"""The training forward: noise the latents, run the transformer as the pipelines do, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch

from vflow.nodes.families.base import Batch, Draws, FlowOptions, Prediction
from vflow.nodes.families.noise import logit_normal, plain
from vflow.nodes.families.sana.latents import pack
from vflow.nodes.families.sana.parts import transformer_of, unwrapped

#: The official trainer's shift of its noise levels; sampling has a shift of its own.
SHIFT = 3.0
#: Noise levels are told to the transformer in thousandths.
TIMESTEPS = 1000.0
#: float32 noise levels lie this much off a whole thousandth, at most
_ROUNDING = 1e-3


def draw_sigmas(draws: Draws, options: FlowOptions) -> torch.Tensor:
    """Draw noise levels (B,) in (0, 1], float32.

    Raises:
        ValueError: the options name an unknown distribution.
    """
    return logit_normal(draws, SHIFT) if options.distribution == "family" else plain(draws, options)


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight.

    Where the first frame is kept clean, it has timestep 0 and weight 0. Mixing is done in float32.
    """
    device = batch.latents.device
    clean = clean_frames(batch, draws, options)
    latents = batch.latents.float()
    noise = draws.normal("noise", batch.latents.shape[1:]).to(device)
    sigmas = sigmas.to(device, torch.float32)
    levels = sigmas.view(-1, 1, 1, 1, 1)
    weight = torch.ones_like(latents[:, :1])
    if clean is not None:
        weight = weight - clean.to(device)
        levels = levels * weight
    noised = (1 - levels) * latents + levels * noise
    timestep = whole_timesteps(sigmas) if clean is None else _timesteps_by_token(live, levels)
    prediction = transformer_of(live)(**arguments(live, batch, noised, timestep))[0]
    return Prediction(pack(prediction.float()), pack(noise - latents), pack(weight))


def arguments(live: Any, batch: Batch, noised: torch.Tensor, timestep: torch.Tensor) -> dict[str, Any]:
    """Return the transformer's arguments for latents (B, C, f, h, w), which the pipelines give it too."""
    dtype, device = next(unwrapped(live).parameters()).dtype, noised.device
    return {
        "hidden_states": noised.to(dtype),
        "encoder_hidden_states": batch.embeddings["text"].to(device, dtype),
        "encoder_attention_mask": batch.embeddings["mask"].to(device),
        "timestep": timestep,
        "return_dict": False,
        "attention_kwargs": None,
    }


def whole_timesteps(sigmas: torch.Tensor) -> torch.Tensor:
    """Return noise levels in thousandths, cut to whole numbers as the checkpoint's scheduler cuts them, int64."""
    return (sigmas * TIMESTEPS + _ROUNDING).floor().long()


def _timesteps_by_token(live: Any, levels: torch.Tensor) -> torch.Tensor:
    """Return the timestep of each token, (B, 1, f, h / 2, w / 2) float32, from the levels of each position."""
    frames, height, width = unwrapped(live).config.patch_size
    return levels[:, :, ::frames, ::height, ::width] * TIMESTEPS


def clean_frames(batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor | None:
    """Draw which rows keep latent frame 0 clean; returns 1 there, (B, 1, f, h, w) on the CPU, or None for no row.

    Text to video keeps none, unless the options say so.
    """
    frames, height, width = batch.latents.shape[2:]
    probability = options.first_frame_probability or 0.0
    if frames == 1 or probability <= 0:
        return None  # of a single frame nothing would be left to learn
    chosen = draws.uniform("first frame") < probability
    if not chosen.any():
        return None
    clean = torch.zeros(len(chosen), 1, frames, height, width)
    clean[chosen, :, 0] = 1.0
    return clean
