"""What the family is: flavours, parts, rules, LoRA targets. Light; the heavy modules are imported when called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.families.base import (
    Batch,
    Draws,
    Family,
    Flavour,
    FlowOptions,
    LoRATarget,
    Prediction,
    SamplingDefaults,
    SamplingOption,
    SamplingRequest,
    VideoRules,
)
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    import numpy as np
    import torch

_REPOSITORY = "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-"
_LICENCE = "https://huggingface.co/tencent/HunyuanVideo-1.5"
_LATER = "image to video comes later"

_VIDEO = r"to_q|to_k|to_v|to_out\.0"
_TEXT = r"add_q_proj|add_k_proj|add_v_proj|to_add_out"
_BLOCKS = r"transformer_blocks\.\d+\."
_REFINER = r"context_embedder\.token_refiner\.refiner_blocks\.\d+\.attn\."


def _flavour(name: str, about: str, later: str = "") -> Flavour:
    return Flavour(_REPOSITORY + name, about=about, licence_url=_LICENCE, later=later)


class HunyuanVideo15(Family):
    """HunyuanVideo 1.5 of Tencent, 8.3 billion parameters."""

    name = "hunyuan15"
    title = "HunyuanVideo 1.5"
    flavours: Mapping[str, Flavour] = {
        "t2v-480p": _flavour(
            "480p_t2v", "8.3B, text to video, shift 5; 24 frames per second, sizes by 16, 4k+1 frames"
        ),
        "t2v-720p": _flavour("720p_t2v", "8.3B, text to video, shift 9"),
        "i2v-480p": _flavour("480p_i2v", "8.3B, image to video, shift 5", later=_LATER),
        "i2v-720p": _flavour("720p_i2v", "8.3B, image to video, shift 7", later=_LATER),
    }
    classes: Mapping[Part, frozenset[str]] = {
        "transformer": frozenset({"HunyuanVideo15Transformer3DModel"}),
        "vae": frozenset({"AutoencoderKLHunyuanVideo15"}),
        "text_encoder": frozenset({"Qwen2_5_VLTextModel"}),
    }
    folders: Mapping[Part, tuple[str, ...]] = {
        "transformer": ("transformer", "scheduler", "guider"),
        "vae": ("vae",),
        "text_encoder": ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"),
    }
    rules = VideoRules(
        frames_step=4,
        frames_rest=1,
        size_multiple=16,
        temporal_ratio=4,
        spatial_ratio=16,
        latent_channels=32,
        fps=24.0,
    )
    sampling = SamplingDefaults(steps=50, guidance=6.0, width=848, height=480, frames=121)
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
    miniature_version = 1

    def refusal(self, classes: Mapping[str, str]) -> str:
        """Refuse checkpoints for image to video: their transformer expects a first frame and its features."""
        return _LATER if "image_encoder" in classes else ""

    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part: a `Denoiser`, a `VideoVAE` or a `TextStack` of `parts.py`."""
        from vflow.nodes.families.hunyuan15 import parts

        return parts.load(part, folder, dtype)

    def build_miniature(self, folder: Path, seed: int) -> None:
        """Write the miniature checkpoint, all parts."""
        from vflow.nodes.families.hunyuan15 import miniature

        miniature.build(folder, seed)

    def encode_text(self, text_encoder: Any, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """Return the tokens of each caption without padding: `text` (L, 3584), `glyph` (G, 1472), G >= 0."""
        from vflow.nodes.families.hunyuan15 import text

        return text.encode(text_encoder, captions)

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

    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw noise levels (B,): by default logit-normal, shifted as the flavour of that size is sampled."""
        from vflow.nodes.families.hunyuan15 import noise

        return noise.draw_sigmas(batch, draws, options)

    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Run the transformer on noised latents without image condition; the target is noise minus latents."""
        from vflow.nodes.families.hunyuan15 import training

        return training.predict(transformer, batch, sigmas, draws, options)

    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip with `HunyuanVideo15Pipeline`."""
        from vflow.nodes.families.hunyuan15 import sampling

        return sampling.draw(transformer, vae, request)

    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write `pytorch_lora_weights.safetensors` as `transformer.load_lora_adapter(prefix=None)` reads it.

        The family's pipelines have no loader of their own.
        """
        from vflow.nodes.families.hunyuan15 import adapters

        return adapters.save(transformer, folder)

    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, checked against its modules first."""
        from vflow.nodes.families.hunyuan15 import adapters

        adapters.load(transformer, file, weight)
