"""The training forward: noise the latents, run the transformer as the pipelines do, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction
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
    if options.distribution == "family":
        return logit_normal(draws, SHIFT if options.shift is None else options.shift)
    return plain(draws, options)


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight.

    Some rows keep a clean latent frame 0 (see `clean_frames`): with images it is the image's. It has timestep 0 and
    weight 0, since the pipeline never steps it. Mixing is done in float32.

    Raises:
        Failure: there are images, and clips of one frame, of which nothing would be left to learn.
    """
    device = batch.latents.device
    clean = clean_frames(batch, draws, options)
    latents = batch.latents.float()
    if clean is not None and batch.image:
        image = batch.image["latent"].to(device, torch.float32)
        first = torch.where(clean[:, :, :1].to(device) > 0, image, latents[:, :, :1])
        latents = torch.cat([first, latents[:, :, 1:]], dim=2)
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
    """Draw which rows have a clean latent frame 0; returns 1 there, (B, 1, f, h, w) on the CPU, or None for no row.

    As many as the options say; where they say nothing all with images, and none without.

    Raises:
        Failure: there are images, and clips of one frame.
    """
    frames, height, width = batch.latents.shape[2:]
    if batch.image and frames == 1:
        raise Failure("image to video with clips of one frame has nothing to learn", "use clips of 5 frames or more")
    probability = options.first_frame_probability
    if probability is None:
        probability = 1.0 if batch.image else 0.0
    if frames == 1 or probability <= 0:
        return None  # of a single frame nothing would be left to learn
    chosen = draws.uniform("first frame") < probability
    if not chosen.any():
        return None
    clean = torch.zeros(len(chosen), 1, frames, height, width)
    clean[chosen, :, 0] = 1.0
    return clean
