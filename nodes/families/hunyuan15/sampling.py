"""Drawing a clip with diffusers' own pipeline, fed from kept prompt embeddings instead of text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideo15Pipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.drawing import as_bytes, evaluating, read_options, tell_pipeline, tiling
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.hunyuan15.declaration import HunyuanVideo15
from vflow.nodes.families.hunyuan15.parts import Denoiser, VideoVAE, quiet_guiders, unwrapped
from vflow.nodes.families.hunyuan15.text import padded


class TellingScheduler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]  # diffusers is untyped
    """The checkpoint's scheduler, which tells of each step: the pipeline takes no callback."""

    request: SamplingRequest | None = None
    done = 0

    def step(self, *arguments: Any, **named: Any) -> Any:
        """Step as ever, then tell."""
        stepped = super().step(*arguments, **named)
        self.done += 1
        if self.request is not None and self.request.on_step is not None:
            self.request.on_step(self.done, self.request.steps)
        return stepped


class KeptPrompts:
    """What makes a pipeline take encoded prompts as they are; its own reshaping would not take what has no token."""

    def encode_prompt(self, **given: Any) -> tuple[torch.Tensor, ...]:
        """Return the tokens and masks that `draw` gave."""
        return tuple(given[f"prompt_embeds{name}"] for name in ("", "_mask", "_2", "_mask_2"))


class TextPipeline(KeptPrompts, HunyuanVideo15Pipeline):  # type: ignore[misc]  # diffusers is untyped
    """The pipeline of text to video, to which prompts come encoded."""


@torch.no_grad()
def draw(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> np.ndarray:
    """Draw one clip; returns (F, H, W, 3) uint8. The noise comes from a generator on the CPU, seeded by the request.

    With an image the clip goes on from it, at exactly the size that is asked for: where the plain pipeline would take
    another, its clip is another. Guidance leaves the image in place and takes away the text alone.

    Raises:
        Failure: guidance without a negative prompt, an image without a vision encoder, or an option that does not exist
            or fit.
    """
    options = read_options(HunyuanVideo15, request.options)
    pipeline = make_pipeline(denoiser, vae, request)
    tell_pipeline(request, pipeline)
    if options["trim_text"]:
        # the last is how many zeros stand in the place of an image
        pipeline.tokenizer_max_length = pipeline.tokenizer_2_max_length = pipeline.vision_num_semantic_tokens = 0
    prompt = _tokens(request.embeddings, "", pipeline)
    if pipeline.guider.num_conditions > 1:
        if request.negative is None:
            raise Failure("guidance needs the encoded negative prompt", "give one, or set `guidance: 1`")
        prompt |= _tokens(request.negative, "negative_", pipeline)
    with evaluating(unwrapped(denoiser)), tiling(vae.vae, bool(options["vae_tiling"])):
        output = pipeline(
            **prompt,
            **_begin(request),
            num_frames=request.frames,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="np",
        )
    return as_bytes(output.frames[0])


def make_pipeline(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> Any:
    """Put the pipeline together from live parts; guidance is set on its guider, as it is no argument of the call.

    Raises:
        Failure: an image without a vision encoder.
    """
    scheduler = TellingScheduler.from_config(denoiser.scheduler.config)
    scheduler.request = request
    with quiet_guiders():
        parts = {
            "text_encoder": None,
            "tokenizer": None,
            "transformer": unwrapped(denoiser),
            "vae": vae.vae,
            "scheduler": scheduler,
            "text_encoder_2": None,
            "tokenizer_2": None,
            "guider": denoiser.guider.new(guidance_scale=request.guidance),
        }
        pipeline = TextPipeline(**parts) if request.image is None else _image_pipeline(request, parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _image_pipeline(request: SamplingRequest, parts: Mapping[str, Any]) -> Any:
    from vflow.nodes.families.hunyuan15.images import ImagePipeline

    class KeptPromptsImagePipeline(KeptPrompts, ImagePipeline):
        """The pipeline of image to video, to which prompts come encoded."""

    return KeptPromptsImagePipeline.of(request.image_encoder, **parts)


def _begin(request: SamplingRequest) -> dict[str, Any]:
    """Return what the pipeline begins with: an image, which has a size, or a size alone."""
    if request.image is None:
        return {"width": request.width, "height": request.height}
    from vflow.nodes.families.hunyuan15.images import picture

    return {"image": picture(request.image)}


def _tokens(kept: Mapping[str, torch.Tensor], prefix: str, pipeline: Any) -> dict[str, torch.Tensor]:
    """Return what the pipeline takes for one prompt, padded with zeros to the lengths that it has."""
    text, text_mask = _padded(kept["text"], pipeline.tokenizer_max_length, pipeline)
    glyph, glyph_mask = _padded(kept["glyph"], pipeline.tokenizer_2_max_length, pipeline)
    return {
        f"{prefix}prompt_embeds": text,
        f"{prefix}prompt_embeds_mask": text_mask,
        f"{prefix}prompt_embeds_2": glyph,
        f"{prefix}prompt_embeds_mask_2": glyph_mask,
    }


def _padded(tokens: torch.Tensor, length: int, pipeline: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (1, L, D) and the mask (1, L), of at least `length` tokens."""
    device, dtype = pipeline._execution_device, pipeline.transformer.dtype
    longest = max(length, len(tokens))
    mask = torch.arange(longest, device=device) < len(tokens)
    return padded(tokens, longest)[None].to(device, dtype), mask[None].to(dtype)
