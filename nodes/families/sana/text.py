"""From a caption to what the transformer reads, by the pipeline's own `encode_prompt`.

Positive prompts stand behind a long instruction, of which only the first token is kept; negative ones and the empty
caption stand alone. All are lower-cased.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from diffusers import SanaVideoPipeline

from vflow.nodes.families.loading import device_of
from vflow.nodes.families.sana.parts import TextStack


def instruction() -> list[str]:
    """Return the lines of the instruction, which are the pipeline's default and no constant of its module."""
    lines: list[str] = inspect.signature(SanaVideoPipeline.__call__).parameters["complex_human_instruction"].default
    return lines


def encode(stack: TextStack, captions: Sequence[str], tokens: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Encode captions as positive prompts, the empty one as no prompt at all, cut and padded to `tokens` (300).

    Returns for each, on the CPU: `text` (300, D) in the encoder's dtype, `mask` (300,) int64, 1 where a token is.
    """
    said = [caption for caption in captions if caption.strip()]
    encoded = iter(_encode(stack, said, instruction(), tokens) if said else [])
    empty = iter(encode_bare(stack, [""] * (len(captions) - len(said)), tokens) if len(said) < len(captions) else [])
    return [next(encoded) if caption.strip() else next(empty) for caption in captions]


def encode_bare(stack: TextStack, prompts: Sequence[str], tokens: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Encode prompts without the instruction, as guidance does with negative ones."""
    return _encode(stack, prompts, None, tokens)


@torch.no_grad()
def _encode(
    stack: TextStack, prompts: Sequence[str], lines: list[str] | None, tokens: int | None
) -> list[dict[str, torch.Tensor]]:
    cut = {} if tokens is None else {"max_sequence_length": tokens}
    pipeline = SanaVideoPipeline(stack.tokenizer, stack.text_encoder, vae=None, transformer=None, scheduler=None)
    text, mask, _, _ = pipeline.encode_prompt(
        list(prompts),
        do_classifier_free_guidance=False,
        device=device_of(stack.text_encoder),
        complex_human_instruction=lines,
        **cut,
    )
    return [{"text": t.clone(), "mask": m.clone()} for t, m in zip(text.cpu(), mask.cpu(), strict=True)]
