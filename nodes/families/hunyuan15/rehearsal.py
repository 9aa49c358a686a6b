"""How HunyuanVideo 1.5 is held against `HunyuanVideo15Pipeline` and its image-to-video twin."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Pipeline, HunyuanVideo15Transformer3DModel
from diffusers.pipelines.hunyuan_video1_5.pipeline_hunyuan_video1_5 import format_text_input
from transformers import ByT5Tokenizer, Qwen2_5_VLTextModel, Qwen2Tokenizer, SiglipVisionModel, T5EncoderModel

from vflow.nodes.families import parity
from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.families.hunyuan15.parts import TextStack
from vflow.nodes.families.loading import device_of, read
from vflow.nodes.families.parity import difference, precision

_FUNCTION = inspect.signature(HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters


class Parity(parity.Parity):
    """What has to be equal; of text and image tokens, training leaves out what the transformer would mask anyway."""

    networks: Mapping[str, tuple[Any, ...]] = {
        "transformer": (HunyuanVideo15Transformer3DModel,),
        "vae": (AutoencoderKLHunyuanVideo15,),
        "text_encoder": (Qwen2_5_VLTextModel,),
        "text_encoder_2": (T5EncoderModel,),
        "image_encoder": (SiglipVisionModel,),
    }
    # halves of whole models that encoders of text and pictures are taken from
    unused = {
        "text_encoder": ("visual.", "model.visual.", "lm_head."),
        "text_encoder_2": ("decoder.", "lm_head."),
        "image_encoder": ("text_model.", "logit_"),
    }
    expected = {"vae": {"spatial_compression_ratio": (16,), "temporal_compression_ratio": (4,)}}
    prompts = ('a sign above the door says "OPEN"',)

    def encode_prompt(
        self, stack: TextStack, folder: Path, prompt: str, negative: bool, tokens: int | None
    ) -> dict[str, torch.Tensor]:
        """Return the valid tokens of what both encoders make of a prompt."""
        with torch.device("meta"):
            stand_in = AutoencoderKLHunyuanVideo15()  # the pipeline asks its VAE for sizes, which no prompt depends on
        pipeline = HunyuanVideo15Pipeline(
            text_encoder=stack.text_encoder,
            tokenizer=read(Qwen2Tokenizer, folder / "tokenizer"),
            transformer=None,
            vae=stand_in,
            scheduler=None,
            text_encoder_2=stack.text_encoder_2,
            tokenizer_2=read(ByT5Tokenizer, folder / "tokenizer_2"),
            guider=None,
        )
        pipeline.tokenizer_max_length = tokens or pipeline.tokenizer_max_length
        texts, mask, glyphs, glyph_mask = pipeline.encode_prompt(
            prompt, device=device_of(stack.text_encoder), dtype=stack.text_encoder.dtype
        )
        return {"text": texts[0][mask[0].bool()].cpu(), "glyph": glyphs[0][glyph_mask[0].bool()].cpu()}

    def text_doubts(self, stack: TextStack, folder: Path) -> Iterator[str]:
        """Compare the number of tokens that are cut off with the system message, and ByT5's vocabulary with its net."""
        cut, system = _FUNCTION["crop_start"].default, _FUNCTION["system_message"].default
        tokens = [_template(stack.tokenizer, system, caption) for caption in ("a", "b")]
        same = next((place for place, pair in enumerate(zip(*tokens, strict=False)) if pair[0] != pair[1]), 0)
        if same != cut:
            yield f"the system message takes {same} tokens, of which the pipeline cuts {cut} off"
        if stack.tokenizer.padding_side != "right":
            yield f"captions are padded on the {stack.tokenizer.padding_side}, where the system message is cut off"
        known, rows = len(stack.tokenizer_2), stack.text_encoder_2.get_input_embeddings().num_embeddings
        if known != rows:
            yield (
                f"tokenizer_2 knows {known} tokens, text_encoder_2 has {rows}: colours and fonts of quoted text are "
                "tokens of the checkpoint's own tokenizer_2"
            )

    def raw_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Divide by the VAE's factor."""
        raw: torch.Tensor = latents / vae.vae.config.scaling_factor
        return raw

    def noised(self, given: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Take the first channels, before those of the condition."""
        noised: torch.Tensor = given["hidden_states"][:, : batch.latents.shape[1]]
        return noised

    def options(self, batch: Batch) -> FlowOptions:
        """Leave first frames alone: an image stands beside the noise."""
        return FlowOptions()

    def differences(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any], batch: Batch, model: Any
    ) -> Iterator[str]:
        """Compare all arguments; tokens up to where ours end, behind which the pipeline's must all be masked."""
        yield from difference("hidden_states", ours["hidden_states"], theirs["hidden_states"])
        yield from timestep_difference(ours["timestep"], theirs["timestep"])
        for suffix in ("", "_2"):
            tokens, mask = f"encoder_hidden_states{suffix}", f"encoder_attention_mask{suffix}"
            length = ours[tokens].shape[1]
            yield from difference(tokens, ours[tokens], theirs[tokens][:, :length])
            yield from difference(mask, ours[mask].float(), theirs[mask][:, :length].float())
            if theirs[mask][:, length:].any():
                yield f"{tokens} lacks {int(theirs[mask][:, length:].sum())} tokens that the pipeline gives"
            if length and not ours[mask][:, -1].any():
                yield f"{tokens} ends in padding of every row, for which attention builds a mask"
        if batch.image:
            yield from difference("image_embeds", ours["image_embeds"], theirs["image_embeds"])
        elif ours["image_embeds"].any():
            yield "image_embeds are given for text to video"
        for name in ("attention_kwargs", "return_dict"):
            yield from difference(name, ours[name], theirs[name])

    def load_into(self, pipeline: Any, file: Path) -> None:
        """Load through the transformer: the pipelines have no loader."""
        pipeline.transformer.load_lora_adapter(str(file.parent), weight_name=file.name, prefix=None)


def timestep_difference(ours: torch.Tensor, theirs: torch.Tensor) -> Iterator[str]:
    """Compare timesteps: the pipeline rounds them to the transformer's type, training must not."""
    if precision(ours) > torch.finfo(torch.float32).eps:
        yield f"timestep is {ours.dtype}, in which levels of noise near 1 are told in steps of several thousandths"
    yield from difference("timestep", ours, theirs)


def _template(tokenizer: Qwen2Tokenizer, system: str, caption: str) -> list[int]:
    """Return the tokens of a caption in the pipeline's template."""
    (messages,) = format_text_input([caption], system)
    found = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    ids: list[int] = found["input_ids"]
    return ids
