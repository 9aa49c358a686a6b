"""How Kandinsky 5 Video is held against `Kandinsky5T2VPipeline` and its image-to-video twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLHunyuanVideo, Kandinsky5Transformer3DModel
from transformers import CLIPTextModel, CLIPTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from vflow.nodes.families import parity
from vflow.nodes.families.exchange import Batch, Draws
from vflow.nodes.families.kandinsky5.attention import kernel_for
from vflow.nodes.families.kandinsky5.latents import channels_first
from vflow.nodes.families.kandinsky5.parts import UNUSED, TextStack
from vflow.nodes.families.kandinsky5.text import MAX_LENGTH, pipeline_of
from vflow.nodes.families.loading import device_of, read
from vflow.nodes.families.parity import GivenDraws, difference, noise_between, precision

_SAME = ("encoder_hidden_states", "pooled_projections", "visual_rope_pos", "text_rope_pos", "scale_factor")


class Parity(parity.Parity):
    """What has to be equal: all of it, but for the timestep, which the pipeline rounds to the transformer's type."""

    networks: Mapping[str, tuple[Any, ...]] = {
        "transformer": (Kandinsky5Transformer3DModel,),
        "vae": (AutoencoderKLHunyuanVideo,),
        "text_encoder": (Qwen2_5_VLForConditionalGeneration,),
        "text_encoder_2": (CLIPTextModel,),
    }
    unused = {"text_encoder": UNUSED}
    expected = {"transformer": {"visual_cond": (True,)}}

    def encode_prompt(
        self, stack: TextStack, folder: Path, prompt: str, negative: bool, tokens: int | None
    ) -> dict[str, torch.Tensor]:
        """Return what both encoders make of a prompt alone, without any padding."""
        tokenizers = (read(Qwen2Tokenizer, folder / "tokenizer"), read(CLIPTokenizer, folder / "tokenizer_2"))
        pipeline = pipeline_of(TextStack(tokenizers[0], stack.text_encoder, tokenizers[1], stack.text_encoder_2))
        text, pooled, _ = pipeline.encode_prompt(
            [prompt], max_sequence_length=tokens or MAX_LENGTH, device=device_of(stack.text_encoder)
        )
        return {"text": text[0].cpu(), "pooled": pooled[0].cpu()}

    def text_doubts(self, stack: TextStack, folder: Path) -> Iterator[str]:
        """Compare the number of tokens that are cut off with the system message."""
        pipeline = pipeline_of(stack)
        template, cut = pipeline.prompt_template, pipeline.prompt_template_encode_start_idx
        tokens = [stack.tokenizer(text=template.format(caption))["input_ids"] for caption in ("a", "b")]
        same = next((place for place, pair in enumerate(zip(*tokens, strict=False)) if pair[0] != pair[1]), 0)
        if same != cut:
            yield f"the system message takes {same} tokens, of which the pipeline cuts {cut} off"

    def raw_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Divide by the VAE's factor."""
        raw: torch.Tensor = latents / vae.vae.config.scaling_factor
        return raw

    def noised(self, given: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Take the first channels, before those of the condition."""
        return channels_first(given["hidden_states"][..., : batch.latents.shape[1]])

    def draws(self, given: Mapping[str, Any], batch: Batch, sigma: float) -> Draws:
        """Return the noise and, with an image, with what its latent was drawn from its posterior."""
        noised = self.noised(given, batch)
        drawn = {"noise": noise_between(noised, batch.latents, sigma)}
        if batch.image:
            mean, deviation = (batch.image[name].float() for name in ("latent", "deviation"))
            drawn["image"] = (noised[:, :, :1].float() - mean) / deviation
        return GivenDraws(drawn)

    def differences(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any], batch: Batch, model: Any
    ) -> Iterator[str]:
        """Compare all arguments, and see that sparse attention is used where the checkpoint was trained with it."""
        yield from difference("hidden_states", ours["hidden_states"], theirs["hidden_states"])
        for name in _SAME:
            yield from difference(name, ours[name], theirs[name])
        if precision(ours["timestep"]) > torch.finfo(torch.float32).eps:
            kind = ours["timestep"].dtype
            yield f"timestep is {kind}, in which levels of noise near 1 are told in steps of several thousandths"
        yield from difference("timestep", ours["timestep"], theirs["timestep"])
        yield from difference("sparse_params", ours["sparse_params"], theirs["sparse_params"])
        sparse = model.config.attention_type == "nabla"
        device = ours["hidden_states"].device.type
        if sparse and ours["sparse_params"] is None and kernel_for(device, sum(model.config.axes_dims)) is not None:
            yield "sparse_params are missing, though the checkpoint has sparse attention and it runs here"
