"""The live parts of a checkpoint, loaded by `from_pretrained` of the real classes, and where they compute.

What only one part needs is imported when that part is loaded: training waits for no text encoder's modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTX2VideoTransformer3DModel
from diffusers.hooks.group_offloading import _get_group_onload_device
from transformers.utils import logging

from vflow.engine.problems import Failure
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
    from transformers import Gemma3ForConditionalGeneration, GemmaTokenizer


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
    """The video VAE; the audio VAE and the vocoder come from the same folder when something is drawn."""

    vae: AutoencoderKLLTX2Video
    folder: Path
    dtype: torch.dtype
    _sound: tuple[AutoencoderKLLTX2Audio, LTX2Vocoder] | None = None

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the video VAE, and the audio parts once they are loaded."""
        sound = dict(zip(("audio_vae", "vocoder"), self._sound, strict=True)) if self._sound else {}
        return {"vae": self.vae, **sound}

    def sound(self) -> tuple[AutoencoderKLLTX2Audio, LTX2Vocoder]:
        """Return the audio VAE and the vocoder, loaded on the first call.

        Raises:
            Failure: they are not in the folder, or do not load.
        """
        from diffusers import AutoencoderKLLTX2Audio
        from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

        if self._sound is None:
            audio_vae = _load(AutoencoderKLLTX2Audio, self.folder / "audio_vae", torch_dtype=self.dtype)
            vocoder = _load(LTX2Vocoder, self.folder / "vocoder", torch_dtype=self.dtype)
            self._sound = (audio_vae, vocoder)
        return self._sound


@dataclass(repr=False)
class TextStack:
    """All that stands between a caption and the transformer: tokenizer, Gemma 3, connectors."""

    tokenizer: GemmaTokenizer
    text_encoder: Gemma3ForConditionalGeneration
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
        _load(LTX2VideoTransformer3DModel, folder / "transformer", torch_dtype=dtype),
        _read(FlowMatchEulerDiscreteScheduler, folder / "scheduler"),
    )


def _load_vae(folder: Path, dtype: torch.dtype) -> VideoVAE:
    from diffusers import AutoencoderKLLTX2Video

    return VideoVAE(_load(AutoencoderKLLTX2Video, folder / "vae", torch_dtype=dtype), folder, dtype)


def _load_text(folder: Path, dtype: torch.dtype) -> TextStack:
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
    from transformers import Gemma3ForConditionalGeneration, GemmaTokenizer

    tokenizer = _read(GemmaTokenizer, folder / "tokenizer")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return TextStack(
        tokenizer,
        _load(Gemma3ForConditionalGeneration, folder / "text_encoder", dtype=dtype),
        _load(LTX2TextConnectors, folder / "connectors", torch_dtype=dtype),
    )


#: weights of Gemma 3 that no caption passes through
_UNUSED = ("model.vision_tower.", "model.multi_modal_projector.", "lm_head.")


def _load(kind: Any, folder: Path, **dtype: torch.dtype) -> Any:
    """Load a network; weights that the files lack would else stay random without a word."""
    module, report = _read(kind, folder, use_safetensors=True, output_loading_info=True, **dtype)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED))
    if missing:
        raise Failure(
            f"{folder} lacks {len(missing)} weights of {kind.__name__} ({missing[0]}, ...)",
            "fetch the checkpoint again, or point `model` to a complete one",
        )
    return module.requires_grad_(False).eval()


def _read(kind: Any, folder: Path, **arguments: Any) -> Any:
    try:
        with without_bars():
            return kind.from_pretrained(folder, local_files_only=True, **arguments)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Failure(
            f"{kind.__name__} does not load from {folder}: {error}",
            "fetch the checkpoint again; only safetensors files are opened",
        ) from error


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars of its own into the run's."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def transformer_of(live: Any) -> Any:
    """Return the transformer of what `load` returned; a module, wrapped for training or not, stands for itself."""
    return live.transformer if isinstance(live, Denoiser) else live


def unwrapped(live: Any) -> LTX2VideoTransformer3DModel:
    """Return the diffusers model itself, below whatever wraps it (data parallelism, compilation)."""
    module = transformer_of(live)
    while not isinstance(module, LTX2VideoTransformer3DModel):
        module = module._orig_mod if hasattr(module, "_orig_mod") else module.module
    return module


def device_of(module: torch.nn.Module) -> torch.device:
    """Return where a module computes: with group offload that is not where its weights lie between uses."""
    try:
        return torch.device(_get_group_onload_device(module))
    except ValueError:
        return next(module.parameters()).device
