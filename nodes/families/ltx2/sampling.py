"""Drawing a clip with diffusers' own pipeline, fed from kept prompt embeddings instead of a text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTX2ImageToVideoPipeline, LTX2Pipeline
from PIL import Image

from vflow.engine.problems import Failure
from vflow.nodes.families import drawing
from vflow.nodes.families.drawing import (
    as_bytes,
    encoding_in_its_dtype,
    evaluating,
    step_teller,
    tell_pipeline,
    tiling,
)
from vflow.nodes.families.exchange import Drawn, SamplingRequest, Sound
from vflow.nodes.families.ltx2.declaration import LTX2
from vflow.nodes.families.ltx2.parts import Denoiser, VideoVAE, unwrapped


class KeptConnectors(torch.nn.Module):
    """Stands in the pipeline where the connectors stand: takes apart what they said when the prompt was encoded."""

    place: torch.Tensor

    def __init__(self, video_width: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.video_width = video_width
        self.register_buffer("place", torch.empty(0, device=device, dtype=dtype), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the pipeline believes the connectors to be."""
        return self.place.device

    @property
    def dtype(self) -> torch.dtype:
        """In what the pipeline believes them to compute."""
        return self.place.dtype

    def forward(
        self, kept: torch.Tensor, mask: torch.Tensor, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Split (B, L, D_video + D_audio) and hand the mask through."""
        return kept[..., : self.video_width], kept[..., self.video_width :], mask


@torch.no_grad()
def draw(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> Drawn:
    """Draw one clip with its sound. The noise comes from a generator on the CPU, seeded by the request.

    Raises:
        Failure: guidance without a negative prompt, a single step, or an option that does not exist or fit.
    """
    if request.steps < LTX2.sampling.least_steps:
        raise Failure(f"{request.steps} denoising step gives no clip", f"take {LTX2.sampling.least_steps} or more")
    options = read_options(request.options, denoiser)
    guided = max(request.guidance, options["audio_guidance"]) > 1.0
    if guided and request.negative is None:
        raise Failure("guidance above 1 needs the encoded negative prompt", "give one, or set `guidance: 1`")
    pipeline = make_pipeline(denoiser, vae, request)
    tell_pipeline(request, pipeline)
    device = pipeline._execution_device
    prompt = _joined(request.embeddings, "prompt", device, unwrapped(denoiser).dtype)
    if guided and request.negative is not None:
        prompt |= _joined(request.negative, "negative_prompt", device, unwrapped(denoiser).dtype)
    tiled = tiling(vae.vae, bool(options["vae_tiling"]))
    with evaluating(unwrapped(denoiser)), tiled, encoding_in_its_dtype(vae.vae):
        output = pipeline(
            **prompt,
            **_first_frame(vae, request),
            **_guidance(request.guidance, options),
            width=request.width,
            height=request.height,
            num_frames=request.frames,
            frame_rate=request.fps,
            motion_speed=options["motion_speed"],
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=step_teller(request),
            output_type="np",
        )
    return Drawn(as_bytes(output.frames[0]), _sound(output.audio[0], pipeline) if request.sound else None)


def read_options(given: Mapping[str, Any], denoiser: Denoiser) -> dict[str, Any]:
    """Return all options, those that were not given at their defaults.

    Raises:
        Failure: an unknown option, a value of another kind, or a block that the transformer does not have.
    """
    options = drawing.read_options(LTX2, given)
    blocks = len(unwrapped(denoiser).transformer_blocks)
    if options["stg_scale"] > 0 and not 0 <= options["stg_block"] < blocks:
        raise Failure(
            f"sampling option stg_block is {options['stg_block']}, but the transformer has {blocks} blocks",
            f"write a number from 0 to {blocks - 1}",
        )
    return options


def make_pipeline(
    denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest
) -> LTX2Pipeline | LTX2ImageToVideoPipeline:
    """Put the pipeline together from live parts; those beside the transformer and the VAE go where it computes."""
    transformer = unwrapped(denoiser)
    audio_vae, vocoder = vae.sound()
    kind = LTX2Pipeline if request.image is None else LTX2ImageToVideoPipeline
    pipeline = kind(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config),
        vae=vae.vae,
        audio_vae=audio_vae,
        text_encoder=None,
        tokenizer=None,
        connectors=KeptConnectors(request.embeddings["video"].shape[-1], torch.device("cpu"), transformer.dtype),
        transformer=transformer,
        vocoder=vocoder,
    )
    device = pipeline._execution_device
    for module in (audio_vae, vocoder, pipeline.connectors):
        module.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _first_frame(vae: VideoVAE, request: SamplingRequest) -> dict[str, Any]:
    """Return the image and how it is to be compressed: the pipeline would ask its text encoder, and has none."""
    return {} if request.image is None else {"image": Image.fromarray(request.image), "image_crf": vae.image_crf}


def _sound(wave: torch.Tensor, pipeline: LTX2Pipeline | LTX2ImageToVideoPipeline) -> Sound:
    """Return what the vocoder said, (channels, N); what is no number (of a diverged transformer) becomes silence."""
    samples = np.nan_to_num(wave.float().cpu().numpy()).clip(-1, 1)
    return Sound(samples, pipeline.vocoder.config.output_sampling_rate)


def _guidance(guidance: float, options: Mapping[str, Any]) -> dict[str, Any]:
    # the pipeline's own defaults run up to four forwards a step; a value of 0 for audio falls back to the video's
    audio = options["audio_guidance"] or guidance
    stg, modality, rescale = (options[name] for name in ("stg_scale", "modality_scale", "guidance_rescale"))
    return {
        "guidance_scale": guidance,
        "audio_guidance_scale": audio,
        "guidance_rescale": rescale,
        "audio_guidance_rescale": rescale,
        "stg_scale": stg,
        "audio_stg_scale": stg,
        "spatio_temporal_guidance_blocks": [options["stg_block"]] if stg > 0 else None,
        "modality_scale": modality,
        "audio_modality_scale": modality,
    }


def _joined(
    kept: Mapping[str, torch.Tensor], name: str, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    joined = torch.cat([kept["video"], kept["audio"]], dim=-1)[None].to(device, dtype)
    return {f"{name}_embeds": joined, f"{name}_attention_mask": kept["mask"][None].to(device)}
