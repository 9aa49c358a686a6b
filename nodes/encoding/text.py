"""Captions through a text encoder, one record each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from vflow.nodes.encoding.tensors import kept_as, to_bytes
from vflow.nodes.values import Embedding

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeText
    from vflow.nodes.values import Caption, TextEncoder


def encode(
    node: EncodeText, context: Context, text_encoder: TextEncoder, captions: Items[Caption]
) -> Iterator[Embedding]:
    """Yield one embedding per caption, in order."""
    family, texts = text_encoder.family, [caption.text for caption in captions]
    done = 0
    with context.load(text_encoder) as live:
        for start in range(0, len(texts), node.batch_size):
            if context.stopping:
                context.interrupted()
            batch = texts[start : start + node.batch_size]
            with torch.no_grad():
                encoded = family.encode_text(live, batch)
            for text, tensors in zip(batch, encoded, strict=True):
                kept = {name: kept_as(tensor, node.dtype) for name, tensor in tensors.items()}
                embedding = Embedding(blob=context.put(to_bytes(kept), ".safetensors"), caption=text)
                done += 1
                context.progress(done, len(texts), "caption")
                yield embedding
