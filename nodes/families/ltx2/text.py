"""From a caption to what the transformer reads: tokenizer, Gemma 3 with all its layers, connectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from vflow.nodes.families.loading import device_of
from vflow.nodes.families.ltx2.parts import TextStack

#: What `LTX2Pipeline` pads and cuts prompts to.
MAX_LENGTH = 1024


def sequence_length(stack: TextStack, tokens: int | None = None) -> int:
    """Return the padded length: `tokens`, or 1024, or less where the tokenizer says so, in multiples of registers."""
    config = stack.connectors.config
    registers = math.lcm(
        config.video_connector_num_learnable_registers or 1, config.audio_connector_num_learnable_registers or 1
    )
    longest = min(tokens or MAX_LENGTH, int(stack.tokenizer.model_max_length))
    return max(longest // registers, 1) * registers


@torch.no_grad()
def encode(stack: TextStack, captions: Sequence[str], tokens: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Encode captions as `LTX2Pipeline.encode_prompt` and the pipeline's connectors do, cut and padded to `tokens`.

    Returns for each caption, on the CPU: `video` (L, D) and `audio` (L, D) in the connectors' dtype, `mask` (L,) int64.
    """
    read = stack.tokenizer(
        [caption.strip() for caption in captions],
        padding="max_length",
        padding_side="left",
        max_length=sequence_length(stack, tokens),
        truncation=True,
        add_special_tokens=True,
        return_tensors="pt",
    )
    device = device_of(stack.text_encoder)
    # the words that Gemma would say next are not wanted: their logits alone would take a gigabyte
    layers = stack.text_encoder(
        input_ids=read.input_ids.to(device),
        attention_mask=read.attention_mask.to(device),
        output_hidden_states=True,
        use_cache=False,
        logits_to_keep=1,
    ).hidden_states
    stacked = torch.stack(layers, dim=-1).flatten(2, 3).to(stack.text_encoder.dtype)
    device = device_of(stack.connectors)
    video, audio, mask = stack.connectors(
        stacked.to(device), read.attention_mask.to(device), padding_side=stack.tokenizer.padding_side
    )
    rows = zip(video.cpu(), audio.cpu(), mask.cpu(), strict=True)
    return [{"video": v.clone(), "audio": a.clone(), "mask": m.clone()} for v, a, m in rows]
