"""The miniature: a whole checkpoint of the real classes with small random weights, made from a seed.

Its configurations are the JSON files in `configs/miniature`. What is not left to chance: the tokenizer knows the words
of the drawn sample clips, and latents come out with unit variance and little posterior noise, as real ones do.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GemmaTokenizer

from vflow.nodes.families.ltx2.parts import without_bars

_CONFIGS = Path(__file__).with_name("configs") / "miniature"
_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<image_soft_token>", "<start_of_image>", "<end_of_image>")
#: standard deviation of the posterior, as a share of the latents' own
_POSTERIOR_NOISE = 0.05


def build(folder: Path, seed: int) -> None:
    """Write the checkpoint into `folder` in the layout of the real repository: equal seeds give equal bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = make_tokenizer(_config("tokenizer"))
        pipeline = LTX2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(**_config("scheduler")),
            vae=_make_vae(),
            audio_vae=AutoencoderKLLTX2Audio(**_config("audio_vae")),
            text_encoder=_make_text_encoder(tokenizer),
            tokenizer=tokenizer,
            connectors=LTX2TextConnectors(**_config("connectors")),
            transformer=LTX2VideoTransformer3DModel(**_config("transformer")),
            vocoder=LTX2Vocoder(**_config("vocoder")),
        )
    with without_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)


def make_tokenizer(config: Mapping[str, Any]) -> GemmaTokenizer:
    """Train a tokenizer of Gemma's kind on captions of the drawn clips; unknown characters fall back to bytes."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=config["vocabulary_size"],
        special_tokens=[AddedToken(token, special=True) for token in (*_SPECIAL, *bytes_)],
        show_progress=False,
    )
    trained.train_from_iterator(_captions(config), trainer)
    learned = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        model_max_length=config["model_max_length"],
        extra_special_tokens={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
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


def _make_text_encoder(tokenizer: GemmaTokenizer) -> Gemma3ForConditionalGeneration:
    config = _config("text_encoder")
    config["text_config"]["vocab_size"] = len(tokenizer)
    ids = tokenizer.convert_tokens_to_ids
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            **config,
            boi_token_index=ids("<start_of_image>"),
            eoi_token_index=ids("<end_of_image>"),
            image_token_index=ids("<image_soft_token>"),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


@torch.no_grad()
def _make_vae() -> AutoencoderKLLTX2Video:
    vae = AutoencoderKLLTX2Video(**_config("vae")).eval()
    means = torch.cat([vae.encode(clip).latent_dist.mean.flatten(2) for clip in _drawn_clips()], dim=2)[0]
    vae.latents_mean.copy_(means.mean(1))
    vae.latents_std.copy_(means.std(1))
    # the encoder's last channel is the logarithm of the posterior's variance
    last = vae.encoder.conv_out.conv
    last.weight[-1].zero_()
    last.bias[-1] = 2 * torch.log(_POSTERIOR_NOISE * vae.latents_std.mean())
    return vae


def _drawn_clips() -> Iterator[torch.Tensor]:
    """Yield clips (1, 3, 17, 64, 96) in [-1, 1]: a bright rectangle of each colour crosses a dark ground."""
    for number, colour in enumerate(itertools.product((-0.8, 0.9), repeat=3)):
        clip = torch.full((1, 3, 17, 64, 96), -0.7)
        for frame in range(17):
            left, top = (frame * 4, 8 + 3 * number) if number % 2 else (10 * number, frame * 2)
            clip[0, :, frame, top : top + 20, left : left + 20] = torch.tensor(colour)[:, None, None]
        yield clip


def _config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    return data
