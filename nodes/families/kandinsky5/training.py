"""The training forward: noise the latents, run the transformer as the pipeline does, say what it should have said."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families import noise
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction
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
        return noise.logit_normal(draws, SHIFT if options.shift is None else options.shift)
    return noise.plain(draws, options)


def predict(live: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions) -> Prediction:
    """Noise the batch at `sigmas` (B,), predict, and return prediction, target (noise - latents) and weight.

    With images, latent frame 0 is the image, clean at every noise level, and weighs nothing: the pipeline never steps
    it, so what is said of it is never used. Every other token weighs 1. Captions of equal length go through the
    transformer together. Mixing is done in float32.

    Raises:
        Failure: only some clips are to begin with an image, or clips are no longer than it.
    """
    device = batch.latents.device
    latents = channels_last(batch.latents.float())
    drawn = channels_last(draws.normal("noise", batch.latents.shape[1:]).to(device))
    sigmas = sigmas.to(device, torch.float32)
    levels = sigmas[:, None, None, None, None]
    noised = (1 - levels) * latents + levels * drawn
    weight = torch.ones_like(latents[..., :1])
    if options.first_frame_probability not in (None, float(bool(batch.image))):
        begins = "with an image" if batch.image else "without one"
        raise Failure(
            f"Kandinsky 5 Video has a checkpoint for each: here every clip begins {begins}, whatever the probability",
            "leave flow.first_frame_probability empty",
        )
    if batch.image:
        noised[:, :1], weight[:, :1] = _first_frames(batch, draws), 0
    said = torch.empty_like(noised)
    for rows in of_equal_length(batch.embeddings["length"]):
        given = arguments(live, batch, noised, sigmas, rows)
        said = said.index_copy(0, rows.to(device), transformer_of(live)(**given).float())
    return Prediction(said.flatten(1, 3), (drawn - latents).flatten(1, 3), weight.flatten(1, 3))


def _first_frames(batch: Batch, draws: Draws) -> torch.Tensor:
    """Return the first latent frames (B, 1, h, w, C), drawn from the images' posteriors as the pipeline draws them.

    Raises:
        Failure: the clips have one frame only, which is then no prediction's business.
    """
    if batch.latents.shape[2] == 1:
        raise Failure("image to video with clips of one frame has nothing to learn", "use clips of 5 frames or more")
    mean, deviation = batch.image["latent"].float(), batch.image["deviation"].float()
    return channels_last(mean + deviation * draws.normal("image", mean.shape[1:]).to(mean.device))


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
    hidden = with_condition(model, noised[on_device], bool(batch.image))
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


def with_condition(model: Any, noised: torch.Tensor, first_frame: bool) -> torch.Tensor:
    """Append the channels of a condition, zeros also with an image, and a mask: 1 where the first frame is clean.

    (B, f, h, w, 16) becomes (B, f, h, w, 33). The image itself stands in the noised channels alone, as in inference.
    """
    if not model.visual_cond:
        return noised
    mask = torch.zeros_like(noised[..., :1])
    mask[:, :1] = float(first_frame)
    return torch.cat([noised, torch.zeros_like(noised), mask], dim=-1)


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
