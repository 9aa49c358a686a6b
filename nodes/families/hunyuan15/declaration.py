"""What the family is: flavours, parts, rules, LoRA targets. Light; the heavy modules are imported when called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction, SamplingRequest
from vflow.nodes.families.hunyuan15.layer_names import NAMES
from vflow.nodes.families.rules import (
    Anatomy,
    Flavour,
    LoRATarget,
    PromptTokens,
    SamplingDefaults,
    SamplingOption,
    VideoRules,
)
from vflow.nodes.values import DType, Part, Source, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vflow.nodes.families.hunyuan15.rehearsal import Parity

_REPOSITORY = "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-"
_LICENCE = "https://huggingface.co/tencent/HunyuanVideo-1.5"

_TASK = re.compile(r"(?:^|[_-])(t2v|i2v)(?:[_-]|$)")

_VIDEO = r"to_q|to_k|to_v|to_out\.0"
_TEXT = r"add_q_proj|add_k_proj|add_v_proj|to_add_out"
_BLOCKS = r"transformer_blocks\.\d+\."
_REFINER = r"context_embedder\.token_refiner\.refiner_blocks\.\d+\.attn\."


_SAMPLING = SamplingDefaults(steps=50, guidance=6.0, width=848, height=480, frames=121)


def _flavour(name: str, about: str, task: Task = "t2v") -> Flavour:
    sampling = replace(_SAMPLING, width=1280, height=720) if name.startswith("720p") else _SAMPLING
    if name.endswith("_distilled"):
        sampling = replace(sampling, guidance=1.0)
    return Flavour(_REPOSITORY + name, about=about, licence_url=_LICENCE, task=task, sampling=sampling)


def _vision_places(name: str) -> tuple[str, ...]:
    inside = "vision_encoder/siglip"
    return name, f"siglip/{name}", "siglip", f"{inside}/{name}", inside, ""


class HunyuanVideo15(Family):
    """HunyuanVideo 1.5 of Tencent, 8.3 billion parameters."""

    name = "hunyuan15"
    title = "HunyuanVideo 1.5"
    flavours: Mapping[str, Flavour] = {
        "t2v-480p": _flavour(
            "480p_t2v", "8.3B, text to video, shift 5; 24 frames per second, sizes by 16, 4k+1 frames"
        ),
        "t2v-720p": _flavour("720p_t2v", "8.3B, text to video, shift 9"),
        "i2v-480p": _flavour("480p_i2v", "8.3B, image to video, shift 5", "i2v"),
        "i2v-720p": _flavour("720p_i2v", "8.3B, image to video, shift 7", "i2v"),
        "t2v-480p-distilled": _flavour("480p_t2v_distilled", "8.3B, text to video, shift 5, without guidance"),
        "i2v-480p-distilled": _flavour("480p_i2v_distilled", "8.3B, image to video, shift 5, without guidance", "i2v"),
        "i2v-720p-distilled": _flavour("720p_i2v_distilled", "8.3B, image to video, shift 7, without guidance", "i2v"),
    }
    classes: Mapping[Part, frozenset[str]] = {
        "transformer": frozenset({"HunyuanVideo15Transformer3DModel"}),
        "vae": frozenset({"AutoencoderKLHunyuanVideo15"}),
        "text_encoder": frozenset({"Qwen2_5_VLTextModel"}),
        "image_encoder": frozenset({"SiglipVisionModel"}),
    }
    folders: Mapping[Part, tuple[str, ...]] = {
        "transformer": ("transformer", "scheduler", "guider"),
        "vae": ("vae",),
        "text_encoder": ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"),
        "image_encoder": ("image_encoder", "feature_extractor"),
    }
    component_classes: Mapping[str, frozenset[str]] = {
        # of the whole models the halves are loaded that are needed
        "text_encoder": frozenset({"Qwen2_5_VLTextModel", "Qwen2_5_VLForConditionalGeneration"}),
        "text_encoder_2": frozenset({"T5EncoderModel"}),
        "image_encoder": frozenset({"SiglipVisionModel", "SiglipModel"}),
        "scheduler": frozenset({"FlowMatchEulerDiscreteScheduler"}),
    }
    optional_folders = frozenset({"guider"})
    #: of tencent/HunyuanVideo-1.5
    foreign_classes = frozenset(
        {"HunyuanVideo_1_5_DiffusionTransformer", "AutoencoderKLConv3D", "FlowMatchDiscreteScheduler"}
    )
    #: where the makers' own instructions put the encoders; ByT5 lies there in a form of its own, as pickles
    variables: Mapping[str, Mapping[str, tuple[str, ...]]] = {
        "HUNYUANVIDEO_TEXT_ENCODER_PATH": {
            "text_encoder": ("text_encoder", "llm", "text_encoder/llm", ""),
            "tokenizer": ("tokenizer", "llm", "text_encoder/llm", ""),
            "text_encoder_2": ("text_encoder_2",),
            "tokenizer_2": ("tokenizer_2",),
        },
        "HUNYUANVIDEO_VISION_ENCODER_PATH": {
            "image_encoder": _vision_places("image_encoder"),
            "feature_extractor": _vision_places("feature_extractor"),
        },
    }
    miniatures: Mapping[str, Task] = {"hunyuan15-i2v": "i2v"}
    pipelines: Mapping[str, Task] = {"HunyuanVideo15Pipeline": "t2v", "HunyuanVideo15ImageToVideoPipeline": "i2v"}
    rules = VideoRules(
        frames_step=4,
        frames_rest=1,
        size_multiple=16,
        temporal_ratio=4,
        spatial_ratio=16,
        latent_channels=32,
        fps=24.0,
    )
    sampling = _SAMPLING
    prompt_tokens = PromptTokens(usual=1000, most=1000)
    noise = (
        "logit-normal, shifted as clips of that size are sampled: by 5 up to 480p, by 9 (from images 7) from 720p on"
    )
    anatomy = Anatomy(parameters=8.33e9, width=2048, blocks=54)
    sampling_options: Mapping[str, SamplingOption] = {
        "trim_text": SamplingOption(
            False,
            "leave padding out of the text (of 1,985 tokens some 100 remain): less memory and time, other last bits",
        ),
        "vae_tiling": SamplingOption(False, "decode in tiles: less memory, other pixels at the seams"),
    }
    lora_targets: Mapping[str, LoRATarget] = {
        "attention": LoRATarget(
            rf"{_BLOCKS}attn\.(?:{_VIDEO}|{_TEXT})", "joint attention of video and text (432 modules of the 8.3B)"
        ),
        "video_attention": LoRATarget(
            rf"{_BLOCKS}attn\.(?:{_VIDEO})", "its projections of the video alone (216 modules)"
        ),
        "attention_refiner": LoRATarget(
            rf"{_BLOCKS}attn\.(?:{_VIDEO}|{_TEXT})|{_REFINER}(?:{_VIDEO})",
            "joint attention, and that of the text refiner, as suffixes like to_q hit it (440 modules)",
        ),
        "attention_ff": LoRATarget(
            rf"{_BLOCKS}(?:attn\.(?:{_VIDEO}|{_TEXT})|ff(?:_context)?\.net\.(?:0\.proj|2))",
            "joint attention and feed-forward (648 modules)",
        ),
    }
    default_lora_target = "attention"
    #: its pipelines have no loader, and the transformer's own finds nothing with its default prefix
    loads_adapter_by = 'transformer.load_lora_adapter("{folder}", prefix=None, weight_name="{file}")'
    widths = frozenset({2048, 32})
    layer_names = NAMES
    adapter_prefix = ""
    miniature_version = 1

    def task_of(self, classes: Mapping[str, str], repository: str = "") -> Task:
        """Tell it by the place's name, as published ones have it (`480p_i2v`), else by the encoder of first frames.

        Only checkpoints for image to video have that encoder.
        """
        if told := _TASK.search(repository.rpartition("/")[2]):
            return "i2v" if told[1] == "i2v" else "t2v"
        return "i2v" if "image_encoder" in classes else super().task_of(classes, repository)

    def image_size(self, source: Source, width: int, height: int) -> tuple[int, int]:
        """Return the native size of the nearest shape; the same size for a checkpoint that is no flavour."""
        flavour = self.flavour_of(source)
        if flavour is None:
            return width, height
        from vflow.nodes.families.hunyuan15.sizes import chosen_size

        return chosen_size(width, height, 960 if "720p" in flavour.repository else 640)

    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part: a `Denoiser`, a `VideoVAE`, a `TextStack` or a `Vision` of `parts.py`."""
        from vflow.nodes.families.hunyuan15 import parts

        return parts.load(part, folder, dtype)

    def build_miniature(self, folder: Path, seed: int, task: Task = "t2v") -> None:
        """Write the miniature checkpoint for a task, all parts."""
        from vflow.nodes.families.hunyuan15 import miniature

        miniature.build(folder, seed, task)

    def encode_text(
        self, text_encoder: Any, captions: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return the tokens of each caption without padding: `text` (L, 3584), `glyph` (G, 1472), G >= 0."""
        from vflow.nodes.families.hunyuan15 import text

        return text.encode(text_encoder, captions, tokens)

    def stack_embeddings(self, rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Pad the rows to the longest: `text`, `glyph` and, 1 where a token is one, `text_mask`, `glyph_mask`."""
        from vflow.nodes.families.hunyuan15 import text

        return text.stack(rows)

    def encode_video(
        self, vae: Any, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        """Encode pixels (B, 3, F, H, W) in [-1, 1] to scaled latents (B, 32, f, h, w), float32, on the CPU."""
        from vflow.nodes.families.hunyuan15 import latents

        return latents.encode(vae, pixels, posterior, noise)

    def encode_image(self, vae: Any, image_encoder: Any, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Encode first frames (B, 3, H, W) to `latent` (32, 1, h, w), of the posterior's mode, and `features`.

        The features are the vision encoder's of the whole frame, (729, 1152).
        """
        from vflow.nodes.families.hunyuan15 import images

        return images.encode(vae, image_encoder, pixels)

    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw noise levels (B,): by default logit-normal, shifted as the flavour of that size is sampled."""
        from vflow.nodes.families.hunyuan15 import noise

        return noise.draw_sigmas(batch, draws, options)

    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Run the transformer on noised latents, and on first frames if there are any; the target is noise - latents.

        Every frame counts, the first one too.
        """
        from vflow.nodes.families.hunyuan15 import training

        return training.predict(transformer, batch, sigmas, draws, options)

    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip with `HunyuanVideo15Pipeline`, or from an image with `HunyuanVideo15ImageToVideoPipeline`."""
        from vflow.nodes.families.hunyuan15 import sampling

        return sampling.draw(transformer, vae, request)

    def parity(self) -> Parity:
        """Return what has to be equal between training and the pipeline."""
        from vflow.nodes.families.hunyuan15.rehearsal import Parity

        return Parity()

    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write `pytorch_lora_weights.safetensors` as `transformer.load_lora_adapter(prefix=None)` reads it.

        The family's pipelines have no loader of their own.
        """
        from vflow.nodes.families import adapters
        from vflow.nodes.families.hunyuan15.parts import unwrapped

        return adapters.save(unwrapped(transformer), folder, self)

    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, checked against its modules first."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.hunyuan15.parts import unwrapped

        adapters.load(unwrapped(transformer), file, weight, self)
