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
from diffusers import ClassifierFreeGuidance, FlowMatchEulerDiscreteScheduler, HunyuanVideo15Transformer3DModel
from diffusers.utils import logging
from transformers.utils import logging as transformers_logging

from vflow.engine.problems import Failure
from vflow.nodes.families import loading
from vflow.nodes.families.hunyuan15 import attention
from vflow.nodes.families.loading import load_network, read
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    from diffusers import AutoencoderKLHunyuanVideo15
    from transformers import (
        ByT5Tokenizer,
        Qwen2_5_VLTextModel,
        Qwen2Tokenizer,
        SiglipImageProcessorPil,
        SiglipVisionModel,
        T5EncoderModel,
    )


@dataclass(repr=False)
class Denoiser:
    """The transformer, and the scheduler and guider with which its checkpoint is sampled."""

    transformer: HunyuanVideo15Transformer3DModel
    scheduler: FlowMatchEulerDiscreteScheduler
    guider: ClassifierFreeGuidance

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the module that is placed, trained and transformed."""
        return {"transformer": self.transformer}


@dataclass(repr=False)
class VideoVAE:
    """The video autoencoder."""

    vae: AutoencoderKLHunyuanVideo15

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the network."""
        return {"vae": self.vae}


@dataclass(repr=False)
class TextStack:
    """Both text encoders: Qwen2.5-VL reads the whole caption, ByT5 what stands in quotes."""

    tokenizer: Qwen2Tokenizer
    text_encoder: Qwen2_5_VLTextModel
    tokenizer_2: ByT5Tokenizer
    text_encoder_2: T5EncoderModel

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the two networks."""
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}


@dataclass(repr=False)
class Vision:
    """The vision encoder, and what makes its input of a picture: the processor that needs no torchvision."""

    image_encoder: SiglipVisionModel
    feature_extractor: SiglipImageProcessorPil

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the network."""
        return {"image_encoder": self.image_encoder}


Live = Denoiser | VideoVAE | TextStack | Vision


def load(part: Part, folder: Path, dtype: DType) -> Live:
    """Load a part from a checkpoint's folder onto the CPU, frozen, in evaluation mode.

    Raises:
        Failure: a file is missing, is no safetensors, or lacks weights of the class; or the checkpoint is one that is
            not trained here.
    """
    loaders: dict[Part, Callable[[Path, torch.dtype], Live]] = {
        "transformer": _load_denoiser,
        "vae": _load_vae,
        "text_encoder": _load_text,
        "image_encoder": _load_vision,
    }
    return loaders[part](folder, getattr(torch, dtype))


def _load_denoiser(folder: Path, dtype: torch.dtype) -> Denoiser:
    model = load_network(HunyuanVideo15Transformer3DModel, folder / "transformer", torch_dtype=dtype)
    if model.config.use_meanflow:
        raise Failure(
            f"{folder} is step-distilled: its transformer is told two times at once, which nothing here trains with",
            "use a checkpoint that is not step-distilled",
        )
    attention.install(model)
    model.time_embed.timestep_embedder.register_forward_pre_hook(_in_the_weights_dtype)
    with quiet_guiders():
        # the makers' own layout has none, and guidance is the sampler's to say
        given = (folder / "guider").is_dir()
        guider = read(ClassifierFreeGuidance, folder / "guider") if given else ClassifierFreeGuidance()
    return Denoiser(model, read(FlowMatchEulerDiscreteScheduler, folder / "scheduler"), guider)


def _in_the_weights_dtype(embedder: Any, waves: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    # the transformer turns the sines of a timestep into the timestep's own dtype; given in bfloat16, 999 would be 1000
    return (waves[0].to(embedder.linear_1.weight.dtype), *waves[1:])


def _load_vae(folder: Path, dtype: torch.dtype) -> VideoVAE:
    from diffusers import AutoencoderKLHunyuanVideo15

    return VideoVAE(load_network(AutoencoderKLHunyuanVideo15, folder / "vae", torch_dtype=dtype))


def _load_text(folder: Path, dtype: torch.dtype) -> TextStack:
    from transformers import ByT5Tokenizer, Qwen2_5_VLTextModel, Qwen2Tokenizer, T5EncoderModel

    tokenizer = read(Qwen2Tokenizer, folder / "tokenizer")
    tokenizer.padding_side = "right"  # the system message is cut off at the front by a fixed number of tokens
    with without_notices():  # of the whole Qwen2.5-VL the vision half is left out
        encoder = load_network(Qwen2_5_VLTextModel, folder / "text_encoder", dtype=dtype)
    return TextStack(
        tokenizer,
        encoder,
        read(ByT5Tokenizer, folder / "tokenizer_2"),
        load_network(T5EncoderModel, folder / "text_encoder_2", dtype=dtype),
    )


def _load_vision(folder: Path, dtype: torch.dtype) -> Vision:
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    with without_notices():  # of the whole SigLIP the text half is left out
        encoder = load_network(SiglipVisionModel, folder / "image_encoder", dtype=dtype)
    return Vision(
        encoder,
        read(SiglipImageProcessorPil, folder / "feature_extractor"),
    )


@contextmanager
def without_notices() -> Iterator[None]:
    """Keep transformers from saying what it would rather have installed."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def quiet_guiders() -> Iterator[None]:
    """Keep diffusers from saying of every guider that guiders are experimental."""
    logger = logging.get_logger("diffusers.guiders.guider_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def transformer_of(live: Any) -> Any:
    """Return the transformer of what `load` returned; a module, wrapped for training or not, stands for itself."""
    return live.transformer if isinstance(live, Denoiser) else live


def unwrapped(live: Any) -> HunyuanVideo15Transformer3DModel:
    """Return the diffusers model itself, below whatever wraps it (data parallelism, compilation)."""
    model: HunyuanVideo15Transformer3DModel = loading.unwrapped(transformer_of(live), HunyuanVideo15Transformer3DModel)
    return model
