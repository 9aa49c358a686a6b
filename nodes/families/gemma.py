"""Tokenizers of Gemma's kind for miniatures, trained on the captions of the drawn clips."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GemmaTokenizer


def make_tokenizer(config: Mapping[str, Any], special: Sequence[str], **arguments: Any) -> GemmaTokenizer:
    """Train a tokenizer on the sentences in `config`; unknown characters fall back to bytes.

    `config` holds `vocabulary_size`, `model_max_length`, `sentences` with places `{name}` in them and `words`, a list
    for each name. `special` begins with <pad>, <eos>, <bos>, <unk>; `arguments` go to `GemmaTokenizer`.
    """
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=config["vocabulary_size"],
        special_tokens=[AddedToken(token, special=True) for token in (*special, *bytes_)],
        show_progress=False,
    )
    trained.train_from_iterator(_captions(config), trainer)
    learned = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        model_max_length=config["model_max_length"],
        **arguments,
    )
    # the real checkpoint's tokenizer puts <bos> first by this, and its class does not by itself
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    return tokenizer


def _captions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield every filling of every sentence, a word list walked once for each place that it has there."""
    words: Mapping[str, list[str]] = config["words"]
    for sentence in config["sentences"]:
        used = [name for name in words if f"{{{name}}}" in sentence]
        for chosen in itertools.product(*(words[name] for name in used)):
            yield sentence.format(**dict(zip(used, chosen, strict=True)))
