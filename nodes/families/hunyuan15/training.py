"""The training forward: noise the latents, run the transformer as the pipeline does, say what it should have said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction
from vflow.nodes.families.hunyuan15.latents import pack
from vflow.nodes.families.hunyuan15.parts import transformer_of, unwrapped

#: Noise levels are told to the transformer in thousandths.
TIMESTEPS = 1000.0


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight (ones).

    With images too, every frame is noised and counts: the image stands beside it, in channels of its own. Mixing is
    done in float32.

    Raises:
        Failure: only some rows are to be told their first frame.
    """
    if options.first_frame_probability not in (None, float(bool(batch.image))):
        told = "its first frame" if batch.image else "no first frame"
        raise Failure(
            f"HunyuanVideo 1.5 has a checkpoint for each: here every clip is told {told}, whatever the probability",
            "leave flow.first_frame_probability empty",
        )
    device = batch.latents.device
    latents = batch.latents.float()
    noise = draws.normal("noise", latents.shape[1:]).to(device)
    sigmas = sigmas.to(device, torch.float32)
    level = sigmas[:, None, None, None, None]
    noised = (1 - level) * latents + level * noise
    prediction = transformer_of(live)(**arguments(live, batch, noised, sigmas))[0]
    target = pack(noise - latents)
    return Prediction(pack(prediction.float()), target, torch.ones_like(target[..., :1]))


def arguments(live: Any, batch: Batch, noised: torch.Tensor, sigmas: torch.Tensor) -> dict[str, Any]:
    """Return the transformer's arguments for noised latents (B, C, f, h, w) at `sigmas` (B,).

    Whether rows are conditioned on an image is the batch's to say and never the configuration's `task_type`, which is
    `i2v` in a published checkpoint for text to video. Padding of the text is left out where the batch needs none.
    """
    model = unwrapped(live)
    dtype, device = next(model.parameters()).dtype, noised.device
    noised = noised.to(dtype)
    condition, features = _condition(batch.image, noised, model.config.image_embed_dim)
    text = {name: tensor.to(device) for name, tensor in batch.embeddings.items()}
    return {
        "hidden_states": torch.cat([noised, condition], dim=1),
        "timestep": sigmas * TIMESTEPS,
        "encoder_hidden_states": text["text"].to(dtype),
        "encoder_attention_mask": text["text_mask"],
        "encoder_hidden_states_2": text["glyph"].to(dtype),
        "encoder_attention_mask_2": text["glyph_mask"],
        "image_embeds": features,
        "attention_kwargs": None,
        "return_dict": False,
    }


def _condition(
    image: Mapping[str, torch.Tensor], noised: torch.Tensor, feature_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what follows the noised channels, (B, C + 1, f, h, w), and the image's features (B, T, D).

    With an image: its latent and a mask of 1 in latent frame 0, zeros in the others. Without: zeros, and no features at
    all, instead of 729 zeros that the transformer would mask.
    """
    latents, mask = torch.zeros_like(noised), torch.zeros_like(noised[:, :1])
    if not image:
        return torch.cat([latents, mask], dim=1), noised.new_zeros(len(noised), 0, feature_size)
    latents[:, :, :1], mask[:, :, :1] = image["latent"].to(noised), 1
    return torch.cat([latents, mask], dim=1), image["features"].to(noised)
