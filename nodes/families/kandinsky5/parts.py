"""The live parts of a checkpoint, loaded by `from_pretrained` of the real classes.

What only one part needs is imported when that part is loaded: training waits for no text encoder's modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5Transformer3DModel

from vflow.nodes.families import loading
from vflow.nodes.families.kandinsky5 import islands
from vflow.nodes.families.loading import load_network, read
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    from diffusers import AutoencoderKLHunyuanVideo
    from transformers import CLIPTextModel, CLIPTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer


@dataclass(repr=False)
class Denoiser:
    """The transformer, and the scheduler with which its checkpoint is sampled."""

    transformer: Kandinsky5Transformer3DModel
    scheduler: FlowMatchEulerDiscreteScheduler

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the module that is placed, trained and transformed."""
        return {"transformer": self.transformer}


@dataclass(repr=False)
class VideoVAE:
    """The video autoencoder."""

    vae: AutoencoderKLHunyuanVideo

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the network."""
        return {"vae": self.vae}


@dataclass(repr=False)
class TextStack:
    """Both text encoders: Qwen2.5-VL gives a row of tokens, CLIP one vector."""

    tokenizer: Qwen2Tokenizer
    text_encoder: Qwen2_5_VLForConditionalGeneration
    tokenizer_2: CLIPTokenizer
    text_encoder_2: CLIPTextModel

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the two networks."""
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}


def load(part: Part, folder: Path, dtype: DType) -> Denoiser | VideoVAE | TextStack:
    """Load a part from a checkpoint's folder onto the CPU, frozen, in evaluation mode.

    Raises:
        Failure: a file is missing, is no safetensors, or lacks weights of the class.
    """
    loaders: dict[str, Callable[[Path, torch.dtype], Denoiser | VideoVAE | TextStack]] = {
        "transformer": _load_denoiser,
        "vae": _load_vae,
        "text_encoder": _load_text,
    }
    return loaders[part](folder, getattr(torch, dtype))


def _load_denoiser(folder: Path, dtype: torch.dtype) -> Denoiser:
    # its class keeps time embeddings and modulation in float32, whatever the others are loaded as
    model = load_network(Kandinsky5Transformer3DModel, folder / "transformer", torch_dtype=dtype)
    islands.protect(model)
    return Denoiser(model, read(FlowMatchEulerDiscreteScheduler, folder / "scheduler"))


def _load_vae(folder: Path, dtype: torch.dtype) -> VideoVAE:
    from diffusers import AutoencoderKLHunyuanVideo

    return VideoVAE(load_network(AutoencoderKLHunyuanVideo, folder / "vae", torch_dtype=dtype))


#: weights of Qwen2.5-VL that no caption passes through
UNUSED = ("model.visual.", "visual.", "lm_head.")


def _load_text(folder: Path, dtype: torch.dtype) -> TextStack:
    from transformers import CLIPTextModel, CLIPTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

    # the checkpoint names a processor, which needs torchvision for images; for text it is this tokenizer
    tokenizer = read(Qwen2Tokenizer, folder / "tokenizer")
    tokenizer.padding_side = "right"  # the system message is cut off at the front by a fixed number of tokens
    return TextStack(
        tokenizer,
        load_network(Qwen2_5_VLForConditionalGeneration, folder / "text_encoder", UNUSED, dtype=dtype),
        read(CLIPTokenizer, folder / "tokenizer_2"),
        load_network(CLIPTextModel, folder / "text_encoder_2", dtype=dtype),
    )


def transformer_of(live: Any) -> Any:
    """Return the transformer of what `load` returned; a module, wrapped for training or not, stands for itself."""
    return live.transformer if isinstance(live, Denoiser) else live


def unwrapped(live: Any) -> Kandinsky5Transformer3DModel:
    """Return the diffusers model itself, below whatever wraps it (data parallelism, compilation)."""
    return loading.unwrapped(transformer_of(live), Kandinsky5Transformer3DModel)
