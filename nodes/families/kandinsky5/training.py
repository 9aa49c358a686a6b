"""The training forward: noise the latents, run the transformer as the pipeline does, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families import noise
from vflow.nodes.families.base import Batch, Draws, FlowOptions, Prediction
from vflow.nodes.families.kandinsky5.attention import sparse_params
from vflow.nodes.families.kandinsky5.latents import channels_last
from vflow.nodes.families.kandinsky5.parts import transformer_of, unwrapped

#: Noise levels are told to the transformer in thousandths.
TIMESTEPS = 1000.0
#: No recipe of training is published. 5 is the shift of the schedule with which the Lite checkpoints are sampled.
SHIFT = 5.0


def draw_sigmas(draws: Draws, options: FlowOptions) -> torch.Tensor:
    """Draw noise levels (B,) in (0, 1], float32; the family's own are logit-normal, shifted by 5.

    Raises:
        ValueError: the options name an unknown distribution.
    """
    if options.distribution == "family":
        return noise.logit_normal(draws, SHIFT)
    return noise.plain(draws, options)


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight 1.

    Captions of equal length go through the transformer together. Mixing is done in float32.

    Raises:
        Failure: the first frame is to stay clean, which a checkpoint for text to video does not know.
    """
    if options.first_frame_probability:
        raise Failure("Kandinsky 5 Video: image to video comes later", "set flow.first_frame_probability: 0")
    device = batch.latents.device
    latents = channels_last(batch.latents.float())
    drawn = channels_last(draws.normal("noise", batch.latents.shape[1:]).to(device))
    sigmas = sigmas.to(device, torch.float32)
    levels = sigmas[:, None, None, None, None]
    noised = (1 - levels) * latents + levels * drawn
    said = torch.empty_like(noised)
    for rows in of_equal_length(batch.embeddings["length"]):
        given = arguments(live, batch, noised, sigmas, rows)
        said = said.index_copy(0, rows.to(device), transformer_of(live)(**given).float())
    return Prediction(
        said.flatten(1, 3), (drawn - latents).flatten(1, 3), torch.ones_like(latents[..., :1]).flatten(1, 3)
    )


def of_equal_length(lengths: torch.Tensor) -> list[torch.Tensor]:
    """Return the rows (indices, on the CPU) of each length of `lengths` (B,), the shortest first."""
    lengths = lengths.cpu()
    return [torch.nonzero(lengths == length).flatten() for length in lengths.unique()]


def arguments(
    live: Any, batch: Batch, noised: torch.Tensor, sigmas: torch.Tensor, rows: torch.Tensor
) -> dict[str, Any]:
    """Return the transformer's arguments for some rows, of captions of one length, of noised latents (B, f, h, w, C).

    Raises:
        Failure: a size that the transformer has no positions for, or sparse attention no blocks.
    """
    model = unwrapped(live)
    dtype, device = model.dtype, noised.device
    on_device = rows.to(device)
    length = int(batch.embeddings["length"][int(rows[0])])
    hidden = with_condition(model, noised[on_device])
    _, frames, height, width, _ = hidden.shape
    return {
        "hidden_states": hidden.to(dtype),
        "encoder_hidden_states": batch.embeddings["text"].to(device)[on_device, :length].to(dtype),
        "pooled_projections": batch.embeddings["pooled"].to(device)[on_device].to(dtype),
        "timestep": sigmas[on_device] * TIMESTEPS,  # the pipeline rounds it to the transformer's dtype
        "visual_rope_pos": positions(model, frames, height, width, device),
        "text_rope_pos": torch.arange(length, device=device),
        "scale_factor": Kandinsky5T2VPipeline._get_scale_factor(None, batch.height, batch.width),
        "sparse_params": sparse_params(model, hidden, device),
        "return_dict": False,
    }


def with_condition(model: Any, noised: torch.Tensor) -> torch.Tensor:
    """Append what image to video would condition on, zeros: as many channels again, and a mask (33 of 16)."""
    if not model.visual_cond:
        return noised
    return torch.cat([noised, torch.zeros_like(noised), torch.zeros_like(noised[..., :1])], dim=-1)


def positions(model: Any, frames: int, height: int, width: int, device: torch.device) -> list[torch.Tensor]:
    """Return the positions of a clip's tokens along each axis; sizes are those of the latents.

    Raises:
        Failure: an axis is longer than the transformer's table of positions.
    """
    sizes = [size // patch for size, patch in zip((frames, height, width), model.config.patch_size, strict=True)]
    limits = model.visual_rope_embeddings.max_pos
    if any(size > limit for size, limit in zip(sizes, limits, strict=True)):
        raise Failure(
            f"a clip of {' x '.join(map(str, sizes))} tokens is beyond the {' x '.join(map(str, limits))} positions "
            "that Kandinsky 5 Video knows",
            "use fewer frames or a smaller size",
        )
    return [torch.arange(size, device=device) for size in sizes]
