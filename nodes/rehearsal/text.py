"""Captions: what is kept of them against the pipeline's own `encode_prompt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.rehearsal import Check, Cost, failed, passed, skipped
from vflow.engine.values import Items
from vflow.nodes.encoding.tensors import kept_as, read
from vflow.nodes.families.parity import difference
from vflow.nodes.models import fetch
from vflow.nodes.models.live import device_of
from vflow.nodes.rehearsal.checking import guarded, listed, measured
from vflow.nodes.values import Caption, Embedding, TextEncoder

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.encode import EncodeText
    from vflow.nodes.families.base import Family
    from vflow.nodes.families.parity import Parity

_REMEDY = "its tokenizer or text encoder is not the one of this family: fetch the checkpoint again"


def checks(
    node: EncodeText,
    context: RehearsalContext,
    output: Items[Embedding],
    text_encoder: TextEncoder,
    captions: Items[Caption],
) -> Iterator[Check]:
    """Check embeddings, what the pipeline cuts off, and measure one encoding."""
    parity = text_encoder.family.parity()
    with context.load(text_encoder) as live:
        yield from guarded("encoding", context, _cost(node, live, text_encoder, output, captions))
        if parity is None:
            yield skipped("text embeddings", f"{text_encoder.family.title} does not say what they are compared with")
            return
        folder = fetch.folder_of(text_encoder.source, context)
        yield from guarded("template", context, _template(parity, live, folder))
        yield from guarded(
            "text embeddings", context, _embeddings(node, context, parity, live, text_encoder, folder, output, captions)
        )


def _cost(
    node: EncodeText, live: Any, text_encoder: TextEncoder, output: Items[Embedding], captions: Items[Caption]
) -> Iterator[Check]:
    longest = max(captions, key=lambda caption: len(caption.text))
    family = text_encoder.family
    _encoded(family, live, longest, node.max_tokens)  # the first includes what happens once
    with measured(device_of(text_encoder)) as found:
        _encoded(family, live, longest, node.max_tokens)
    disk = max(embedding.blob.size for embedding in output)
    cost = Cost(found.seconds, disk, found.peaks)
    yield passed("encoding", f"{found.seconds:.2g} s for the longest caption", cost)


def _template(parity: Parity, live: Any, folder: Any) -> Iterator[Check]:
    doubts = list(parity.text_doubts(live, folder))
    if doubts:
        yield failed("template", listed(doubts), _REMEDY)
    else:
        yield passed("template", "tokenizers, encoders and the pipeline's fixed lengths fit together")


@torch.no_grad()
def _embeddings(
    node: EncodeText,
    context: RehearsalContext,
    parity: Parity,
    live: Any,
    text_encoder: TextEncoder,
    folder: Any,
    output: Items[Embedding],
    captions: Items[Caption],
) -> Iterator[Check]:
    kept = output.by_row()
    wrong: list[str] = []
    some = _some(captions)
    for row, caption in some.items():
        ours = _encoded(text_encoder.family, live, caption, node.max_tokens)
        there = read(context.blob_path(kept[row].blob))
        here = {name: kept_as(tensor, node.dtype) for name, tensor in ours.items()}
        wrong += [f"{_short(caption)}: what was kept of {line}" for line in _apart(there, here)]
    # the pipeline lacks no way that a prompt may take: plain, empty, negative, and the family's own turns
    asked = {(caption.text, caption.negative) for caption in some.values()} | {("", False), ("", True)}
    asked |= {(prompt, False) for prompt in parity.prompts}
    for text, negative in sorted(asked):
        caption = Caption(text=text, negative=negative)
        ours = _encoded(text_encoder.family, live, caption, node.max_tokens)
        theirs = parity.encode_prompt(live, folder, text, negative, node.max_tokens)
        wrong += [f"{_short(caption)}: {line}" for line in _apart(ours, theirs)]
    if wrong:
        yield failed("text embeddings", listed(wrong), _REMEDY)
    else:
        yield passed("text embeddings", f"{len(asked)} prompts are encoded as the pipeline's encode_prompt does")


def _some(captions: Items[Caption]) -> dict[str, Caption]:
    """Return the longest caption and the longest negative prompt, by row."""
    some: dict[str, Caption] = {}
    for negative in (False, True):
        of_kind = [(row, caption) for row, caption in captions.items() if caption.negative == negative]
        some |= dict(sorted(of_kind, key=lambda pair: len(pair[1].text))[-1:])
    return some


def _apart(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> Iterator[str]:
    for name in sorted(ours.keys() | theirs.keys()):
        yield from difference(name, ours.get(name), theirs.get(name), type_matters=False)


def _encoded(family: Family, live: Any, caption: Caption, tokens: int | None) -> dict[str, torch.Tensor]:
    encode = family.encode_negative if caption.negative else family.encode_text
    return encode(live, [caption.text], tokens)[0]


def _short(caption: Caption) -> str:
    text = caption.text if len(caption.text) <= 30 else f"{caption.text[:27]}..."
    return f"negative {text!r}" if caption.negative else repr(text)
