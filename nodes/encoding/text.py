"""Captions through a text encoder, one record each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from vflow.nodes.encoding.tensors import kept_as, to_bytes
from vflow.nodes.values import Embedding

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeText
    from vflow.nodes.families.base import Family
    from vflow.nodes.values import Caption, TextEncoder


def encode(
    node: EncodeText, context: Context, text_encoder: TextEncoder, captions: Items[Caption]
) -> Iterator[Embedding]:
    """Yield one embedding per caption, in order."""
    family, done = text_encoder.family, 0
    with context.load(text_encoder) as live:
        for start in range(0, len(captions), node.batch_size):
            if context.stopping:
                context.interrupted()
            batch = captions[start : start + node.batch_size]
            for caption, tensors in zip(batch, _encoded(family, live, batch, node.max_tokens), strict=True):
                kept = {name: kept_as(tensor, node.dtype) for name, tensor in tensors.items()}
                embedding = Embedding(blob=context.put(to_bytes(kept), ".safetensors"), caption=caption.text)
                done += 1
                context.progress(done, len(captions), "caption")
                yield embedding


@torch.no_grad()
def _encoded(family: Family, live: Any, batch: Sequence[Caption], tokens: int | None) -> list[dict[str, torch.Tensor]]:
    """Encode captions, the negative ones among them in their own way, and return them in their order."""
    found: dict[int, dict[str, torch.Tensor]] = {}
    for negative, encode_some in ((False, family.encode_text), (True, family.encode_negative)):
        places = [place for place, caption in enumerate(batch) if caption.negative == negative]
        if places:
            encoded = encode_some(live, [batch[place].text for place in places], tokens)
            found |= dict(zip(places, encoded, strict=True))
    return [found[place] for place in range(len(batch))]
