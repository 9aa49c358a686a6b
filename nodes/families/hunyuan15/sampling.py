"""Drawing a clip with diffusers' own pipeline, fed from kept prompt embeddings instead of text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideo15Pipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.base import SamplingRequest
from vflow.nodes.families.drawing import as_bytes, evaluating, read_options, tiling
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


class KeptPromptPipeline(HunyuanVideo15Pipeline):  # type: ignore[misc]  # diffusers is untyped
    """The pipeline, to which prompts come encoded; its own reshaping would not take what has no token."""

    def encode_prompt(self, **given: Any) -> tuple[torch.Tensor, ...]:
        """Return the tokens and masks that `draw` gave."""
        return tuple(given[f"prompt_embeds{name}"] for name in ("", "_mask", "_2", "_mask_2"))


@torch.no_grad()
def draw(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> np.ndarray:
    """Draw one clip; returns (F, H, W, 3) uint8. The noise comes from a generator on the CPU, seeded by the request.

    Raises:
        Failure: guidance without a negative prompt, or an option that does not exist or fit.
    """
    options = read_options(HunyuanVideo15, request.options)
    pipeline = make_pipeline(denoiser, vae, request)
    if options["trim_text"]:
        pipeline.tokenizer_max_length = pipeline.tokenizer_2_max_length = pipeline.vision_num_semantic_tokens = 0
    prompt = _tokens(request.embeddings, "", pipeline)
    if pipeline.guider.num_conditions > 1:
        if request.negative is None:
            raise Failure("guidance needs the encoded negative prompt", "give one, or set `guidance: 1`")
        prompt |= _tokens(request.negative, "negative_", pipeline)
    with evaluating(unwrapped(denoiser)), tiling(vae.vae, bool(options["vae_tiling"])):
        output = pipeline(
            **prompt,
            width=request.width,
            height=request.height,
            num_frames=request.frames,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="np",
        )
    return as_bytes(output.frames[0])


def make_pipeline(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> HunyuanVideo15Pipeline:
    """Put the pipeline together from live parts; guidance is set on its guider, as it is no argument of the call."""
    scheduler = TellingScheduler.from_config(denoiser.scheduler.config)
    scheduler.request = request
    with quiet_guiders():
        pipeline = KeptPromptPipeline(
            text_encoder=None,
            tokenizer=None,
            transformer=unwrapped(denoiser),
            vae=vae.vae,
            scheduler=scheduler,
            text_encoder_2=None,
            tokenizer_2=None,
            guider=denoiser.guider.new(guidance_scale=request.guidance),
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _tokens(kept: Mapping[str, torch.Tensor], prefix: str, pipeline: HunyuanVideo15Pipeline) -> dict[str, torch.Tensor]:
    """Return what the pipeline takes for one prompt, padded with zeros to the lengths that it has."""
    text, text_mask = _padded(kept["text"], pipeline.tokenizer_max_length, pipeline)
    glyph, glyph_mask = _padded(kept["glyph"], pipeline.tokenizer_2_max_length, pipeline)
    return {
        f"{prefix}prompt_embeds": text,
        f"{prefix}prompt_embeds_mask": text_mask,
        f"{prefix}prompt_embeds_2": glyph,
        f"{prefix}prompt_embeds_mask_2": glyph_mask,
    }


def _padded(tokens: torch.Tensor, length: int, pipeline: HunyuanVideo15Pipeline) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (1, L, D) and the mask (1, L), of at least `length` tokens."""
    device, dtype = pipeline._execution_device, pipeline.transformer.dtype
    longest = max(length, len(tokens))
    mask = torch.arange(longest, device=device) < len(tokens)
    return padded(tokens, longest)[None].to(device, dtype), mask[None].to(dtype)
