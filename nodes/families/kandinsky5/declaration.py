"""What the family is: flavours, parts, rules, LoRA targets. Light; the heavy modules are imported when called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction, SamplingRequest
from vflow.nodes.families.kandinsky5.layer_names import NAMES
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

    from vflow.nodes.families.kandinsky5.rehearsal import Parity

_SEEN = "this repository is known to exist: several public projects use it"
_RARE = "whether this repository exists is not certain: one or two public projects name it"

_RULES = VideoRules(
    frames_step=4, frames_rest=1, size_multiple=16, temporal_ratio=4, spatial_ratio=8, latent_channels=16, fps=24.0
)
#: sparse attention goes by blocks of 8 x 8 tokens, each of 16 x 16 pixels
_SPARSE_RULES = replace(_RULES, size_multiple=128)

# from an image, the pipeline matches the first 4 latent frames to those that follow, so that there must be a fifth
_SAMPLING = SamplingDefaults(
    steps=50, guidance=5.0, width=768, height=512, frames=121, least_image_frames=4 * _RULES.temporal_ratio + 1
)
_LITE = Anatomy(parameters=2.01e9, width=1792, blocks=32, patch=2)
_PRO = Anatomy(parameters=19.3e9, width=4096, blocks=60, patch=2)

_ATTENTION = r"\.(?:to_query|to_key|to_value|out_layer)"
_VISUAL, _TEXT = r"visual_transformer_blocks\.\d+\.", r"text_transformer_blocks\.\d+\."
_VISUAL_ATTENTION = rf"{_VISUAL}(?:self|cross)_attention{_ATTENTION}"
_ALL_ATTENTION = rf"{_VISUAL_ATTENTION}|{_TEXT}self_attention{_ATTENTION}"
_FEED_FORWARD = r"(?:visual|text)_transformer_blocks\.\d+\.feed_forward\.(?:in_layer|out_layer)"


def _flavour(name: str, about: str, seen: str, sparse: bool = False, task: Task = "t2v") -> Flavour:
    repository = f"kandinskylab/Kandinsky-5.0-{name}-Diffusers"
    rules = "sparse attention (NABLA), sizes by 128" if sparse else "sizes by 16"
    return Flavour(
        repository,
        about=f"{about}; {rules}, 4k+1 frames, 24 frames per second; {seen}",
        licence_url=f"https://huggingface.co/{repository}",
        task=task,
        rules=_SPARSE_RULES if sparse else None,
        sampling=replace(_SAMPLING, frames=241) if name.endswith("10s") else None,
        anatomy=_PRO if "-Pro-" in name else None,
    )


def _is_sparse(folder: Path) -> bool:
    try:
        config = json.loads((folder / "transformer" / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("attention_type") == "nabla"


class Kandinsky5(Family):
    """Kandinsky 5 Video: Lite with 2 billion parameters, Pro with 19 billion."""

    name = "kandinsky5"
    title = "Kandinsky 5 Video"
    flavours: Mapping[str, Flavour] = {
        "t2v-lite-sft-5s": _flavour("T2V-Lite-sft-5s", "Lite, tuned, 5 seconds: for LoRA", _SEEN),
        "t2v-lite-sft-10s": _flavour("T2V-Lite-sft-10s", "Lite, tuned, 10 seconds", _SEEN, sparse=True),
        "t2v-lite-pretrain-5s": _flavour("T2V-Lite-pretrain-5s", "Lite, not tuned, 5 seconds", _SEEN),
        "t2v-lite-pretrain-10s": _flavour("T2V-Lite-pretrain-10s", "Lite, not tuned, 10 seconds", _SEEN, sparse=True),
        "t2v-pro-sft-5s-hd": _flavour("T2V-Pro-sft-5s", "Pro, tuned, 5 seconds: for LoRA", _SEEN, sparse=True),
        "t2v-pro-sft-10s-hd": _flavour("T2V-Pro-sft-10s", "Pro, tuned, 10 seconds", _RARE, sparse=True),
        "t2v-pro-pretrain-5s-hd": _flavour("T2V-Pro-pretrain-5s", "Pro, not tuned, 5 seconds", _RARE, sparse=True),
        "t2v-pro-pretrain-10s-hd": _flavour("T2V-Pro-pretrain-10s", "Pro, not tuned, 10 seconds", _RARE, sparse=True),
        "i2v-lite-5s": _flavour("I2V-Lite-5s", "Lite, image to video, 5 seconds: for LoRA", _SEEN, task="i2v"),
        "i2v-pro-sft-5s": _flavour(
            "I2V-Pro-sft-5s", "Pro, tuned, image to video, 5 seconds: for LoRA", _SEEN, sparse=True, task="i2v"
        ),
    }
    classes: Mapping[Part, frozenset[str]] = {
        "transformer": frozenset({"Kandinsky5Transformer3DModel"}),
        "vae": frozenset({"AutoencoderKLHunyuanVideo"}),
        "text_encoder": frozenset({"Qwen2_5_VLForConditionalGeneration"}),
    }
    folders: Mapping[Part, tuple[str, ...]] = {
        "transformer": ("transformer", "scheduler"),
        "vae": ("vae",),
        "text_encoder": ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"),
    }
    pipelines: Mapping[str, Task] = {"Kandinsky5T2VPipeline": "t2v", "Kandinsky5I2VPipeline": "i2v"}
    miniatures: Mapping[str, Task] = {"kandinsky5-i2v": "i2v"}
    rules = _RULES
    sampling = _SAMPLING
    prompt_tokens = PromptTokens(usual=512, most=1024)
    #: the pipeline's, where it is told nothing else
    negative_prompt = (
        "Static, 2D cartoon, cartoon, 2d animation, paintings, images, worst quality, low quality, ugly, deformed, "
        "walking backwards"
    )
    noise = "logit-normal, shifted by 5"
    anatomy = _LITE
    sampling_options: Mapping[str, SamplingOption] = {
        "vae_tiling": SamplingOption(False, "decode in tiles: less memory, other pixels at the seams"),
    }
    lora_targets: Mapping[str, LoRATarget] = {
        "projections": LoRATarget(
            rf"{_VISUAL}(?:self|cross)_attention\.to_(?:query|key|value)"
            rf"|{_TEXT}self_attention\.to_(?:query|key|value)",
            "queries, keys and values of all attention (198 modules of Lite, 372 of Pro), as other trainers choose",
        ),
        "visual_attention": LoRATarget(
            _VISUAL_ATTENTION, "self- and text attention of the video (256 modules of Lite, 480 of Pro)"
        ),
        "attention": LoRATarget(_ALL_ATTENTION, "attention of video and text (264 modules of Lite, 496 of Pro)"),
        "attention_ff": LoRATarget(
            rf"{_ALL_ATTENTION}|{_FEED_FORWARD}", "all attention and feed-forward (332 modules of Lite, 624 of Pro)"
        ),
    }
    default_lora_target = "attention"
    widths = frozenset({1792, 4096, 64})
    layer_names = NAMES
    miniature_version = 1

    def rules_of(self, source: Source) -> VideoRules:
        """Return what a checkpoint demands of clips; a folder is asked whether its attention is sparse."""
        if source.kind == "folder" and _is_sparse(Path(source.model).expanduser()):
            return _SPARSE_RULES
        return super().rules_of(source)

    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part: a `Denoiser`, a `VideoVAE` or a `TextStack` of `parts.py`."""
        from vflow.nodes.families.kandinsky5 import parts

        return parts.load(part, folder, dtype)

    def build_miniature(self, folder: Path, seed: int, task: Task = "t2v") -> None:
        """Write the miniature checkpoint, all parts."""
        from vflow.nodes.families.kandinsky5 import miniature

        miniature.build(folder, seed, task)

    def encode_text(
        self, text_encoder: Any, captions: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return of each caption, without padding: `text` (L, 3584) of Qwen2.5-VL, `pooled` (768,) of CLIP."""
        from vflow.nodes.families.kandinsky5 import text

        return text.encode(text_encoder, captions, tokens)

    def stack_embeddings(self, rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Put rows together: `text` filled up with zeros to the longest, its lengths in `length` (B,), `pooled`."""
        from vflow.nodes.families.kandinsky5 import text

        return text.stack(rows)

    def encode_video(
        self, vae: Any, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        """Encode pixels (B, 3, F, H, W) in [-1, 1] to scaled latents (B, 16, f, h, w), float32, on the CPU."""
        from vflow.nodes.families.kandinsky5 import latents

        return latents.encode(vae, pixels, posterior, noise)

    def encode_image(self, vae: Any, image_encoder: Any, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return of each image the posterior from which clips draw their first frame: `latent` and `deviation`."""
        from vflow.nodes.families.kandinsky5 import latents

        return latents.encode_image(vae, pixels)

    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw noise levels (B,): by default logit-normal with the shift with which the checkpoints are sampled."""
        from vflow.nodes.families.kandinsky5 import training

        return training.draw_sigmas(draws, options)

    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Run the transformer on noised latents, captions of equal length together; the target is noise - latents.

        With images, the first latent frame is clean and no part of the loss.
        """
        from vflow.nodes.families.kandinsky5 import training

        return training.predict(transformer, batch, sigmas, draws, options)

    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip with `Kandinsky5T2VPipeline`, or from an image with `Kandinsky5I2VPipeline`."""
        from vflow.nodes.families.kandinsky5 import sampling

        return sampling.draw(transformer, vae, request)

    def parity(self) -> Parity:
        """Return what has to be equal between training and the pipeline."""
        from vflow.nodes.families.kandinsky5.rehearsal import Parity

        return Parity()

    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write `pytorch_lora_weights.safetensors` as `Kandinsky5T2VPipeline.load_lora_weights` reads it."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.kandinsky5.parts import unwrapped

        return adapters.save(unwrapped(transformer), folder, self)

    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, checked against its modules first."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.kandinsky5.parts import unwrapped

        adapters.load(unwrapped(transformer), file, weight, self)
