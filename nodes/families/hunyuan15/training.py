"""The training forward: noise the latents, run the transformer as the pipeline does, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch

from vflow.engine.problems import Failure
from vflow.nodes.families.base import Batch, Draws, FlowOptions, Prediction
from vflow.nodes.families.hunyuan15.latents import pack
from vflow.nodes.families.hunyuan15.parts import transformer_of, unwrapped

#: Noise levels are told to the transformer in thousandths.
TIMESTEPS = 1000.0


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight (ones).

    Mixing is done in float32.

    Raises:
        Failure: the first frame is to stay clean, which text to video does not know.
    """
    if options.first_frame_probability:
        raise Failure(
            "HunyuanVideo 1.5 keeps no first frame clean: image to video has checkpoints of its own",
            "leave flow.first_frame_probability out",
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

    As in text to video: condition channels, their mask and image features are zero. Of the features there are none at
    all, instead of 729 that are masked, as padding of the text is left out where the batch needs none.
    """
    model = unwrapped(live)
    dtype, device = next(model.parameters()).dtype, noised.device
    noised = noised.to(dtype)
    text = {name: tensor.to(device) for name, tensor in batch.embeddings.items()}
    return {
        "hidden_states": torch.cat([noised, torch.zeros_like(noised), torch.zeros_like(noised[:, :1])], dim=1),
        "timestep": sigmas * TIMESTEPS,
        "encoder_hidden_states": text["text"].to(dtype),
        "encoder_attention_mask": text["text_mask"],
        "encoder_hidden_states_2": text["glyph"].to(dtype),
        "encoder_attention_mask_2": text["glyph_mask"],
        "image_embeds": noised.new_zeros(len(noised), 0, model.config.image_embed_dim),
        "attention_kwargs": None,
        "return_dict": False,
    }
