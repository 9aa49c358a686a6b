"""Drawing a clip with diffusers' own pipeline, fed from kept prompt embeddings instead of a text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaImageToVideoPipeline, SanaVideoPipeline
from PIL import Image

from vflow.engine.problems import Failure
from vflow.nodes.families.drawing import as_bytes, evaluating, read_options, step_teller, tell_pipeline, tiling
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.sana.declaration import SanaVideo
from vflow.nodes.families.sana.parts import SHIFTS, Denoiser, VideoVAE, unwrapped


@torch.no_grad()
def draw(denoiser: Denoiser, vae: VideoVAE, request: SamplingRequest) -> np.ndarray:
    """Draw one clip; returns (F, H, W, 3) uint8. The noise comes from a generator on the CPU, seeded by the request.

    Raises:
        Failure: guidance without a negative prompt, or an option that does not exist or fit.
    """
    options = read_options(SanaVideo, request.options)
    guided = request.guidance > 1.0
    if guided and request.negative is None:
        raise Failure("guidance above 1 needs the encoded negative prompt", "give one, or set `guidance: 1`")
    pipeline = make_pipeline(denoiser, vae, options["shift"], request.image is not None)
    image = {} if request.image is None else {"image": Image.fromarray(request.image)}
    tell_pipeline(request, pipeline)
    device = pipeline._execution_device
    prompt = _embeddings(request.embeddings, "", device)
    if guided and request.negative is not None:
        prompt |= _embeddings(request.negative, "negative_", device)
    with evaluating(unwrapped(denoiser)), tiling(vae.vae, bool(options["vae_tiling"])):
        output = pipeline(
            **prompt,
            **image,
            negative_prompt=None,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            frames=request.frames,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=step_teller(request),
            use_resolution_binning=False,  # else another size is drawn, and scaled
            output_type="np",
        )
    return as_bytes(output.frames[0])


def make_pipeline(
    denoiser: Denoiser, vae: VideoVAE, shift: float = 0.0, first_frame: bool = False
) -> SanaVideoPipeline | SanaImageToVideoPipeline:
    """Put the pipeline together from live parts, with a schedule of its own; `shift` 0 is the checkpoint's.

    With a first frame the schedule is Euler's: that pipeline steps all frames but the first, and asks for noise levels
    that are no whole thousandths, as other solvers have them.
    """
    kind, config = type(denoiser.scheduler), denoiser.scheduler.config
    shift = float(shift) or float(config[SHIFTS[kind]])
    if first_frame:
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=config.num_train_timesteps, shift=shift)
    else:
        scheduler = kind.from_config(config, **{SHIFTS[kind]: shift})
    made = SanaImageToVideoPipeline if first_frame else SanaVideoPipeline
    pipeline = made(None, None, vae.vae, unwrapped(denoiser), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _embeddings(kept: Mapping[str, torch.Tensor], kind: str, device: torch.device) -> dict[str, Any]:
    return {
        f"{kind}prompt_embeds": kept["text"][None].to(device),
        f"{kind}prompt_attention_mask": kept["mask"][None].to(device),
    }
