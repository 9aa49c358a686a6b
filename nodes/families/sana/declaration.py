"""What the family is: flavours, parts, rules, LoRA targets. Light; the heavy modules are imported when called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction, SamplingRequest
from vflow.nodes.families.rules import (
    Anatomy,
    Flavour,
    LoRATarget,
    PromptTokens,
    SamplingDefaults,
    SamplingOption,
    SingleFile,
    VideoRules,
)
from vflow.nodes.families.sana.layer_names import NAMES
from vflow.nodes.values import DType, Part, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vflow.nodes.families.sana.rehearsal import Parity

_PROJECTIONS = r"(?:to_q|to_k|to_v|to_out\.0)"
_ATTENTION = rf"transformer_blocks\.\d+\.attn[12]\.{_PROJECTIONS}"
_EMBEDDINGS = (
    r"time_embed\.(?:emb\.timestep_embedder\.linear_[12]|linear)",
    r"caption_projection\.linear_[12]",
    "proj_out",
)


class SanaVideo(Family):
    """Sana Video of NVIDIA and MIT, 2 billion parameters."""

    name = "sana"
    title = "Sana Video"
    flavours: Mapping[str, Flavour] = {
        "2b-480p": Flavour(
            "Efficient-Large-Model/SANA-Video_2B_480p_diffusers",
            about="2B, text and image to video; 16 frames per second, sizes by 32, 4k+1 frames",
            licence_url="https://huggingface.co/Efficient-Large-Model/SANA-Video_2B_480p_diffusers",
        )
    }
    classes: Mapping[Part, frozenset[str]] = {
        "transformer": frozenset({"SanaVideoTransformer3DModel"}),
        "vae": frozenset({"AutoencoderKLWan"}),
        "text_encoder": frozenset({"Gemma2Model"}),
    }
    folders: Mapping[Part, tuple[str, ...]] = {
        "transformer": ("transformer", "scheduler"),
        "vae": ("vae",),
        "text_encoder": ("text_encoder", "tokenizer"),
    }
    #: one checkpoint: with a first frame, its tokens are clean
    task: Task = "either"
    #: the transformer takes multiples of 16, the pipeline refuses what is no multiple of 32
    rules = VideoRules(
        frames_step=4,
        frames_rest=1,
        size_multiple=32,
        temporal_ratio=4,
        spatial_ratio=8,
        latent_channels=16,
        fps=16.0,
    )
    sampling = SamplingDefaults(steps=50, guidance=6.0, width=832, height=480, frames=81)
    prompt_tokens = PromptTokens(usual=300, most=300)
    #: its captions are long; a few words leave it to invent the rest
    least_prompt_words = 12
    noise = "logit-normal, shifted by 3, as its authors train"
    # linear attention in float32 and gated convolutions hold more than attention and feed-forward do
    anatomy = Anatomy(parameters=2.06e9, width=2240, blocks=20, patch=2, block_bytes=110)
    #: its VAE is published in float32, and its authors train on the mode
    dtypes: Mapping[Part, DType] = {"vae": "float32"}
    posterior = "mode"
    sampling_options: Mapping[str, SamplingOption] = {
        "shift": SamplingOption(0.0, "shift of the schedule, whatever its class calls it; 0: the checkpoint's own"),
        "flow_shift": SamplingOption(0.0, "what one class of schedules calls it, and others pass over", "shift"),
        "vae_tiling": SamplingOption(False, "decode in tiles: less memory, other pixels at the seams"),
    }
    lora_targets: Mapping[str, LoRATarget] = {
        "attention": LoRATarget(_ATTENTION, "self- and text attention (160 modules of the 2B)"),
        "self_attention": LoRATarget(_ATTENTION.replace("[12]", "1"), "linear self-attention alone (80 modules)"),
        "text_attention": LoRATarget(_ATTENTION.replace("[12]", "2"), "text attention alone (80 modules)"),
        "all_linear": LoRATarget(
            "|".join((_ATTENTION, *_EMBEDDINGS)), "attention, embeddings of time and text, last layer (166 modules)"
        ),
    }
    default_lora_target = "attention"
    widths = frozenset({2240, 96})
    layer_names = NAMES
    #: Wan's VAE; diffusers loads the transformer of Sana's images from one file, not that of its videos
    single_files = {"vae": SingleFile("decoder.middle.0.residual.0.gamma")}
    miniature_version = 1

    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part: a `Denoiser`, a `VideoVAE` or a `TextStack` of `parts.py`."""
        from vflow.nodes.families.sana import parts

        return parts.load(part, folder, dtype)

    def build_miniature(self, folder: Path, seed: int, task: Task = "t2v") -> None:
        """Write the miniature checkpoint, all parts."""
        from vflow.nodes.families.sana import miniature

        miniature.build(folder, seed)

    def encode_text(
        self, text_encoder: Any, captions: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return what Gemma 2 says of each caption, behind the pipeline's instruction: `text` (L, D), `mask` (L,).

        The empty caption stands without the instruction, as in the unconditional half of guidance.
        """
        from vflow.nodes.families.sana import text

        return text.encode(text_encoder, captions, tokens)

    def encode_negative(
        self, text_encoder: Any, prompts: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return the same of negative prompts, without the instruction."""
        from vflow.nodes.families.sana import text

        return text.encode_bare(text_encoder, prompts, tokens)

    def encode_video(
        self, vae: Any, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        """Encode pixels (B, 3, F, H, W) in [-1, 1] to normalised latents (B, 16, f, h, w), float32, on the CPU."""
        from vflow.nodes.families.sana import latents

        return latents.encode(vae, pixels, posterior, noise)

    def encode_image(self, vae: Any, image_encoder: Any, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return the `latent` (16, 1, h, w) of each first frame (B, 3, H, W): the mode, normalised."""
        from vflow.nodes.families.sana import latents

        return latents.encode_first_frames(vae, pixels)

    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw noise levels (B,): by default the official trainer's logit-normal, shifted by 3."""
        from vflow.nodes.families.sana import training

        return training.draw_sigmas(draws, options)

    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Run the transformer on noised latents; the target is noise minus latents."""
        from vflow.nodes.families.sana import training

        return training.predict(transformer, batch, sigmas, draws, options)

    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip with `SanaVideoPipeline`, or `SanaImageToVideoPipeline` where there is a first frame."""
        from vflow.nodes.families.sana import sampling

        return sampling.draw(transformer, vae, request)

    def parity(self) -> Parity:
        """Return what has to be equal between training and the pipeline."""
        from vflow.nodes.families.sana.rehearsal import Parity

        return Parity()

    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write `pytorch_lora_weights.safetensors` as `SanaVideoPipeline.load_lora_weights` reads it."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.sana.parts import unwrapped

        return adapters.save(unwrapped(transformer), folder, self)

    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, checked against its modules first."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.sana.parts import unwrapped

        adapters.load(unwrapped(transformer), file, weight, self)
