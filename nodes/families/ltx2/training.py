"""The training forward: noise the latents, run the transformer as the pipeline does, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch

from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction
from vflow.nodes.families.ltx2.latents import pack
from vflow.nodes.families.ltx2.parts import transformer_of, unwrapped

#: How often the official trainer keeps the first frame clean when it trains text to video.
FIRST_FRAME_PROBABILITY = 0.1
#: Noise levels are told to the transformer in thousandths.
TIMESTEPS = 1000.0


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight.

    Where the first frame is kept clean, it is the image's own latent if there is an image, and its tokens have timestep
    0 and weight 0. Sound is noised at the same level, with noise of its own, as the official trainer does. Mixing is
    done in float32.
    """
    device = batch.latents.device
    clean = clean_tokens(batch, draws, options)
    latents = pack(beginning(batch, clean))
    noise = pack(draws.normal("noise", batch.latents.shape[1:]).to(device))
    sigmas = sigmas.to(device, torch.float32)
    levels = sigmas[:, None] if clean is None else sigmas[:, None] * (1 - clean.to(device))  # (B, 1) or (B, S)
    noised = (1 - levels[..., None]) * latents + levels[..., None] * noise
    sound, sound_target = _noised_sound(batch, sigmas, draws)
    prediction, heard = transformer_of(live)(**arguments(live, batch, noised, levels, sigmas, sound))[:2]
    weight = torch.ones_like(latents[..., :1]) if clean is None else (1 - clean.to(device))[..., None]
    said = Prediction(prediction.float(), noise - latents, weight)
    if sound_target is not None:
        said.audio = Prediction(heard.float(), sound_target, torch.ones_like(sound_target[..., :1]))
    return said


def arguments(
    live: Any,
    batch: Batch,
    noised: torch.Tensor,
    levels: torch.Tensor,
    sigmas: torch.Tensor,
    sound: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Return the transformer's arguments for tokens (B, S, C) at `levels` (B, 1) or (B, S), and `sound` at `sigmas`.

    Without sound the two streams are kept apart, so that one token of audio with one token of text is as good as any.
    """
    model = unwrapped(live)
    dtype, device = next(model.parameters()).dtype, noised.device
    frames, height, width = batch.latents.shape[2:]
    video, audio, mask = (batch.embeddings[name].to(device) for name in ("video", "audio", "mask"))
    timestep = sigmas * TIMESTEPS
    silent = sound is None
    if sound is None:
        sound = noised.new_zeros(len(noised), 1, model.config.audio_in_channels)
    words = slice(0, 1) if silent else slice(None)
    return {
        "hidden_states": noised.to(dtype),
        "audio_hidden_states": sound.to(dtype),
        "encoder_hidden_states": video.to(dtype),
        "audio_encoder_hidden_states": audio[:, words].to(dtype),
        "timestep": timestep if levels.shape[1] == 1 else levels * TIMESTEPS,
        "audio_timestep": timestep,
        "sigma": timestep,
        "audio_sigma": timestep,
        "encoder_attention_mask": mask,
        "audio_encoder_attention_mask": mask[:, words],
        "num_frames": frames,
        "height": height,
        "width": width,
        "fps": batch.fps,
        "audio_num_frames": sound.shape[1],
        "isolate_modalities": silent,
        "use_cross_timestep": True,
        "return_dict": False,
    }


def _noised_sound(
    batch: Batch, sigmas: torch.Tensor, draws: Draws
) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
    """Return the sound (B, L, C) noised at `sigmas`, and what is to be said of it; Nones for silent clips."""
    if batch.audio is None:
        return None, None
    latents = batch.audio.float()
    noise = draws.normal("audio noise", latents.shape[1:]).to(latents.device)
    level = sigmas[:, None, None]
    return (1 - level) * latents + level * noise, noise - latents


def beginning(batch: Batch, clean: torch.Tensor | None) -> torch.Tensor:
    """Return the latents (B, C, f, h, w) float32; rows whose first frame stays clean begin with their image's latent.

    An image is encoded as at inference, by itself: not quite what the VAE makes of a clip's first frame.
    """
    latents = batch.latents.float()
    if clean is None or not batch.image:
        return latents
    rows = clean[:, 0].bool().to(latents.device)
    first = torch.where(rows[:, None, None, None, None], batch.image["latent"].float(), latents[:, :, :1])
    return torch.cat([first, latents[:, :, 1:]], dim=2)


def clean_tokens(batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor | None:
    """Draw which rows keep latent frame 0 clean; returns 1 at their tokens, (B, S) on the CPU, or None for no row.

    With images, all rows do where no probability is given.
    """
    frames, height, width = batch.latents.shape[2:]
    probability = options.first_frame_probability
    if probability is None:
        probability = 1.0 if batch.image else FIRST_FRAME_PROBABILITY
    if frames == 1 or probability <= 0:
        return None  # of a single frame nothing would be left to learn
    chosen = draws.uniform("first frame") < probability
    if not chosen.any():
        return None  # one timestep per row costs much less than one per token
    clean = torch.zeros(len(chosen), frames * height * width)
    clean[chosen, : height * width] = 1.0
    return clean
