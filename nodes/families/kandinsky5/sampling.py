"""Drawing a clip with diffusers' own pipeline, fed from kept prompt embeddings instead of text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5I2VPipeline, Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.drawing import (
    as_bytes,
    encoding_in_its_dtype,
    evaluating,
    read_options,
    step_teller,
    tell_pipeline,
    tiling,
)
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.kandinsky5.attention import sparse_params
from vflow.nodes.families.kandinsky5.declaration import Kandinsky5
from vflow.nodes.families.kandinsky5.parts import Denoiser, VideoVAE, unwrapped
from vflow.nodes.families.kandinsky5.training import positions


class _Sparse:
    """Dense attention where sparse attention does not run."""

    transformer: Any

    def get_sparse_params(self, sample: torch.Tensor, device: torch.device) -> dict[str, Any] | None:
        """Return what the transformer's self-attention goes by; None is dense."""
        return sparse_params(self.transformer, sample, device)


class TextPipeline(_Sparse, Kandinsky5T2VPipeline):  # type: ignore[misc]
    """The pipeline of text to video."""


class ImagePipeline(_Sparse, Kandinsky5I2VPipeline):  # type: ignore[misc]
    """The pipeline of image to video.

    It ends by matching mean and deviation of the first four latent frames to those that follow (its
    `normalize_first_frame`). Nothing of that is in training: it is done to what was denoised, not while denoising.
    """


@torch.no_grad()
def draw(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> np.ndarray:
    """Draw one clip; returns (F, H, W, 3) uint8. The noise comes from a generator on the CPU, seeded by the request.

    With an image, the clip goes on from it: the checkpoint has to be one for image to video.

    Raises:
        Failure: guidance without a negative prompt, an option that does not exist or fit, a size out of reach, or an
            image with too few frames.
    """
    options = read_options(Kandinsky5, request.options)
    guided = request.guidance > 1.0
    if guided and request.negative is None:
        raise Failure("guidance above 1 needs the encoded negative prompt", "give one, or set `guidance: 1`")
    model = unwrapped(denoiser)
    shape = Kandinsky5.rules.latent_shape(request.frames, request.height, request.width)
    positions(model, *shape, torch.device("cpu"))  # here its message, instead of an index out of range
    image = {} if request.image is None else {"image": _image(request.image, request.frames)}
    pipeline = make_pipeline(denoiser, vae, ImagePipeline if image else TextPipeline)
    tell_pipeline(request, pipeline)
    prompt = _prompt(request.embeddings, "")
    if guided and request.negative is not None:
        prompt |= _prompt(request.negative, "negative_")
    prompt = {name: tensor.to(pipeline._execution_device) for name, tensor in prompt.items()}
    with evaluating(model), tiling(vae.vae, bool(options["vae_tiling"])), encoding_in_its_dtype(vae.vae):
        output = pipeline(
            **image,
            **prompt,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            num_frames=request.frames,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=step_teller(request),
            output_type="np",
        )
    return as_bytes(output.frames[0])


def make_pipeline(
    denoiser: Denoiser, vae: VideoVAE, kind: type[TextPipeline] | type[ImagePipeline] = TextPipeline
) -> TextPipeline | ImagePipeline:
    """Put a pipeline of a kind together from live parts."""
    pipeline = kind(
        transformer=unwrapped(denoiser),
        vae=vae.vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _image(image: np.ndarray, frames: int) -> PIL.Image.Image:
    least = Kandinsky5.sampling.least_image_frames
    if frames < least:
        raise Failure(
            f"Kandinsky 5 Video draws no clip of {frames} frames from an image: its pipeline matches the first 4 "
            "latent frames to those that follow",
            f"use {least} frames or more",
        )
    return PIL.Image.fromarray(image)


def _prompt(kept: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}prompt_embeds_qwen": kept["text"][None],
        f"{prefix}prompt_embeds_clip": kept["pooled"][None],
        f"{prefix}prompt_cu_seqlens": torch.tensor([0, len(kept["text"])], dtype=torch.int32),
    }
