"""The live parts of a checkpoint, loaded by `from_pretrained` of the real classes, and where they compute.

What only one part needs is imported when that part is loaded: training waits for no text encoder's modules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.utils import DEFAULT_IMAGE_CRF, LTX2_5_IMAGE_CRF

from vflow.nodes.families import loading
from vflow.nodes.families.loading import class_of, device_of, load_network, read
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder, LTX2VocoderWithBWE
    from transformers import Gemma3ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration, GemmaTokenizer


@dataclass(repr=False)
class Denoiser:
    """The transformer, and the scheduler with which its checkpoint is sampled."""

    transformer: LTX2VideoTransformer3DModel
    scheduler: FlowMatchEulerDiscreteScheduler

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the module that is placed, trained and transformed."""
        return {"transformer": self.transformer}


@dataclass(repr=False)
class VideoVAE:
    """The video VAE; the audio VAE and the vocoder come from the same folder when sound is encoded or a clip drawn."""

    vae: AutoencoderKLLTX2Video
    folder: Path
    dtype: torch.dtype
    _sound: tuple[AutoencoderKLLTX2Audio, LTX2Vocoder | LTX2VocoderWithBWE] | None = None
    _listener: AutoencoderKLLTX2Audio | None = None

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the video VAE, and the audio parts once they are loaded."""
        sound = dict(zip(("audio_vae", "vocoder"), self._sound, strict=True)) if self._sound else {}
        listener = {"listener": self._listener} if self._listener else {}
        return {"vae": self.vae, **sound, **listener}

    def listener(self) -> AutoencoderKLLTX2Audio:
        """Return the audio VAE as sound is encoded with it: in float32, whatever the others are in, where they are.

        In bfloat16 the latents of sound lose too much, say the model's authors.

        Raises:
            Failure: it is not in the folder, or does not load.
        """
        from diffusers import AutoencoderKLLTX2Audio

        if self._listener is None:
            self._listener = load_network(AutoencoderKLLTX2Audio, self.folder / "audio_vae", torch_dtype=torch.float32)
        if device_of(self._listener) != device_of(self.vae):
            self._listener.to(device_of(self.vae))
        return self._listener

    @property
    def image_crf(self) -> int:
        """How strongly first frames are compressed before they are encoded: as the checkpoint's text encoder tells.

        diffusers' pipelines go by that encoder's generation too, which here is not loaded along with the VAE.
        """
        index = self.folder / "model_index.json"
        text_encoder = json.loads(index.read_text())["text_encoder"][1] if index.is_file() else ""
        return int(LTX2_5_IMAGE_CRF if text_encoder.startswith("Gemma4") else DEFAULT_IMAGE_CRF)

    def sound(self) -> tuple[AutoencoderKLLTX2Audio, LTX2Vocoder | LTX2VocoderWithBWE]:
        """Return the audio VAE and the vocoder, loaded on the first call.

        Raises:
            Failure: they are not in the folder, or do not load.
        """
        from diffusers import AutoencoderKLLTX2Audio
        from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE

        if self._sound is None:
            audio_vae = load_network(AutoencoderKLLTX2Audio, self.folder / "audio_vae", torch_dtype=self.dtype)
            kind = class_of((LTX2Vocoder, LTX2VocoderWithBWE), self.folder / "vocoder")
            vocoder = load_network(kind, self.folder / "vocoder", torch_dtype=self.dtype)
            self._sound = (audio_vae, vocoder)
        return self._sound


@dataclass(repr=False)
class TextStack:
    """All that stands between a caption and the transformer: tokenizer, Gemma 3 (of LTX-2.5: Gemma 4), connectors."""

    tokenizer: GemmaTokenizer
    text_encoder: Gemma3ForConditionalGeneration | Gemma4UnifiedForConditionalGeneration
    connectors: LTX2TextConnectors

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the two networks."""
        return {"text_encoder": self.text_encoder, "connectors": self.connectors}


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
    return Denoiser(
        load_network(LTX2VideoTransformer3DModel, folder / "transformer", torch_dtype=dtype),
        read(FlowMatchEulerDiscreteScheduler, folder / "scheduler"),
    )


def _load_vae(folder: Path, dtype: torch.dtype) -> VideoVAE:
    from diffusers import AutoencoderKLLTX2Video

    return VideoVAE(load_network(AutoencoderKLLTX2Video, folder / "vae", torch_dtype=dtype), folder, dtype)


def _load_text(folder: Path, dtype: torch.dtype) -> TextStack:
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
    from transformers import Gemma3ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration, GemmaTokenizer

    encoders = (Gemma3ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration)
    tokenizer = read(GemmaTokenizer, folder / "tokenizer")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return TextStack(
        tokenizer,
        load_network(class_of(encoders, folder / "text_encoder"), folder / "text_encoder", UNUSED, dtype=dtype),
        load_network(LTX2TextConnectors, folder / "connectors", torch_dtype=dtype),
    )


#: weights of Gemma that no caption passes through
UNUSED = ("model.vision_tower.", "model.multi_modal_projector.", "lm_head.")


def transformer_of(live: Any) -> Any:
    """Return the transformer of what `load` returned; a module, wrapped for training or not, stands for itself."""
    return live.transformer if isinstance(live, Denoiser) else live


def unwrapped(live: Any) -> LTX2VideoTransformer3DModel:
    """Return the diffusers model itself, below whatever wraps it (data parallelism, compilation)."""
    return loading.unwrapped(transformer_of(live), LTX2VideoTransformer3DModel)
