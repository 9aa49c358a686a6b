"""How Sana Video is held against `SanaVideoPipeline` and its image-to-video twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
)
from transformers import Gemma2Model, GemmaTokenizer

from vflow.nodes.families import parity
from vflow.nodes.families.exchange import Batch
from vflow.nodes.families.loading import device_of, read
from vflow.nodes.families.parity import difference
from vflow.nodes.families.sana.latents import denormalise
from vflow.nodes.families.sana.parts import SHIFTS, TABLE, TextStack
from vflow.nodes.families.sana.text import instruction

_NAMES = (
    "hidden_states",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "timestep",
    "return_dict",
    "attention_kwargs",
)


class Parity(parity.Parity):
    """What has to be equal: all of it."""

    networks: Mapping[str, tuple[Any, ...]] = {
        "transformer": (SanaVideoTransformer3DModel,),
        "vae": (AutoencoderKLWan,),
        "text_encoder": (Gemma2Model,),
    }
    reshaped = {"transformer": (TABLE,)}
    prompts = ("A RED Ball  rolls to the LEFT",)

    def encode_prompt(
        self, stack: TextStack, folder: Path, prompt: str, negative: bool, tokens: int | None
    ) -> dict[str, torch.Tensor]:
        """Return what a prompt is as the pipeline's positive one, or a negative (or empty) one as its negative."""
        tokenizer = read(GemmaTokenizer, folder / "tokenizer")
        pipeline = SanaVideoPipeline(tokenizer, stack.text_encoder, vae=None, transformer=None, scheduler=None)
        positive = prompt if not negative and prompt.strip() else "a clip"
        said = pipeline.encode_prompt(
            positive,
            do_classifier_free_guidance=True,
            negative_prompt=prompt,
            device=device_of(stack.text_encoder),
            complex_human_instruction=instruction(),
            **({} if tokens is None else {"max_sequence_length": tokens}),
        )
        text, mask = said[:2] if positive == prompt else said[2:]
        return {"text": text[0].cpu(), "mask": mask[0].cpu()}

    def raw_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Undo normalisation by the statistics in the VAE's configuration."""
        return denormalise(latents, vae.vae)

    def schedule_doubts(self, scheduler: Any, written: Mapping[str, Any], batch: Batch) -> Iterator[str]:
        """Compare; the shift may be written under another class's name, which a scheduler passes over by itself.

        Image to video has a scheduler of its own, Euler's, of which nothing but the shift is written.
        """
        own = SHIFTS.get(type(scheduler))
        shifts = {name: written[name] for name in SHIFTS.values() if name in written}
        rest = {name: value for name, value in written.items() if name not in SHIFTS.values()}
        if batch.image:
            rest = {"_class_name": FlowMatchEulerDiscreteScheduler.__name__}
        if own is not None and shifts:
            rest[own] = shifts.get(own, next(iter(shifts.values())))
        yield from super().schedule_doubts(scheduler, rest, batch)

    def noised(self, given: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Take the latents as they are."""
        return given["hidden_states"]  # type: ignore[no-any-return]

    def differences(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any], batch: Batch, model: Any
    ) -> Iterator[str]:
        """Compare all arguments."""
        for name in _NAMES:
            yield from difference(name, ours.get(name), theirs.get(name))
