"""From a caption to what the transformer reads, by the pipeline's own functions: template, crop, both encoders.

No token is padding: the transformer has no mask for text, so that padding would be read as words.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import torch
from diffusers import Kandinsky5T2VPipeline
from torch.nn.utils.rnn import pad_sequence

from vflow.nodes.families.kandinsky5.parts import TextStack
from vflow.nodes.families.loading import device_of

#: to how many tokens the pipeline cuts a prompt when it is not told otherwise
MAX_LENGTH: int = inspect.signature(Kandinsky5T2VPipeline.__call__).parameters["max_sequence_length"].default


@torch.no_grad()
def encode(stack: TextStack, captions: Sequence[str], tokens: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Encode captions as `Kandinsky5T2VPipeline.encode_prompt` does each of them alone, cut at `tokens`.

    Returns for each, on the CPU and in the encoder's dtype: `text` (L, D) without padding, and `pooled` (D2,).
    """
    pipeline, longest = pipeline_of(stack), tokens or MAX_LENGTH
    device = device_of(stack.text_encoder)
    rows = []
    for group in _together(pipeline, captions, longest):
        text, pooled, ends = pipeline.encode_prompt(list(group), max_sequence_length=longest, device=device)
        lengths = ends.diff().tolist()
        rows += [
            {"text": row[:length].cpu().clone(), "pooled": vector.cpu().clone()}
            for row, vector, length in zip(text, pooled, lengths, strict=True)
        ]
    return rows


def pipeline_of(stack: TextStack) -> Kandinsky5T2VPipeline:
    """Return the pipeline with nothing but its text encoders."""
    return Kandinsky5T2VPipeline(
        transformer=None,
        vae=None,
        text_encoder=stack.text_encoder,
        tokenizer=stack.tokenizer,
        text_encoder_2=stack.text_encoder_2,
        tokenizer_2=stack.tokenizer_2,
        scheduler=None,
    )


def _together(pipeline: Kandinsky5T2VPipeline, captions: Sequence[str], most: int) -> Sequence[Sequence[str]]:
    """Return which captions go through the encoders at once: all, unless one has more than `most` tokens.

    The pipeline would cut shorter ones beside it too, by what their padding decodes to.
    """
    texts = [pipeline.prompt_template.format(caption) for caption in captions]
    longest = max(map(len, pipeline.tokenizer(text=texts)["input_ids"]))
    fits = longest <= pipeline.prompt_template_encode_start_idx + most
    return [captions] if fits else [[caption] for caption in captions]


def stack(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Put embeddings together: `text` (B, L, D) with zeros behind each row's `length` (B,), and `pooled` (B, D2)."""
    return {
        "text": pad_sequence([row["text"] for row in rows], batch_first=True),
        "length": torch.tensor([len(row["text"]) for row in rows]),
        "pooled": torch.stack([row["pooled"] for row in rows]),
    }
