"""From a caption to what the transformer reads: Qwen2.5-VL for all of it, ByT5 for what stands in quotes.

Both are asked through the pipeline's own functions, so that system message, lengths, layer and cut are the pipeline's.
Kept are valid tokens only: of 1,256 tokens a usual caption has some 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import HunyuanVideo15Pipeline

from vflow.nodes.families.hunyuan15.parts import TextStack
from vflow.nodes.families.loading import device_of

NAMES = ("text", "glyph")


@torch.no_grad()
def encode(stack: TextStack, captions: Sequence[str], tokens: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Encode captions as `HunyuanVideo15Pipeline.encode_prompt` does, those of Qwen2.5-VL cut at `tokens`.

    Returns for each caption, on the CPU, in the encoders' dtype: `text` (L, D), L >= 1, and `glyph` (G, D2), which is
    empty where nothing stands in quotes.
    """
    cut = {} if tokens is None else {"tokenizer_max_length": tokens}
    texts, text_mask = HunyuanVideo15Pipeline._get_mllm_prompt_embeds(
        stack.text_encoder, stack.tokenizer, list(captions), device_of(stack.text_encoder), **cut
    )
    glyphs, glyph_mask = HunyuanVideo15Pipeline._get_byt5_prompt_embeds(
        stack.tokenizer_2, stack.text_encoder_2, list(captions), device_of(stack.text_encoder_2)
    )
    return [
        {"text": text[text_valid.bool()].cpu(), "glyph": glyph[glyph_valid.bool()].cpu()}
        for text, text_valid, glyph, glyph_valid in zip(texts, text_mask, glyphs, glyph_mask, strict=True)
    ]


def stack(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stack embeddings, padded with zeros to the longest, each with its mask (B, L) int64: 1 where a token is."""
    stacked: dict[str, torch.Tensor] = {}
    for name in NAMES:
        tensors = [row[name] for row in rows]
        longest = max(len(tensor) for tensor in tensors)
        stacked[name] = torch.stack([padded(tensor, longest) for tensor in tensors])
        lengths = torch.tensor([[len(tensor)] for tensor in tensors])
        stacked[f"{name}_mask"] = (torch.arange(longest) < lengths).long()
    return stacked


def padded(tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Return tokens (L, D) with zeros behind, (length, D)."""
    return torch.cat([tokens, tokens.new_zeros(length - len(tokens), tokens.shape[1])])
