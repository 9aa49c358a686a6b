"""The miniature: a whole checkpoint of the real classes with small random weights, made from a seed.

Its configurations are the JSON files in `configs/miniature`. What is not left to chance: the tokenizer knows the words
of the drawn sample clips, and latents come out with unit variance and little posterior noise, as real ones do; those
of sound too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GemmaTokenizer

from vflow.nodes.families import gemma
from vflow.nodes.families.loading import without_bars
from vflow.nodes.families.ltx2 import sound
from vflow.nodes.families.miniatures import drawn_clips

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
            audio_vae=make_audio_vae(),
            text_encoder=make_text_encoder(tokenizer, _config("text_encoder")),
            tokenizer=tokenizer,
            connectors=LTX2TextConnectors(**_config("connectors")),
            transformer=LTX2VideoTransformer3DModel(**_config("transformer")),
            vocoder=LTX2Vocoder(**_config("vocoder")),
        )
    with without_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)


def make_tokenizer(config: Mapping[str, Any]) -> GemmaTokenizer:
    """Train a tokenizer of Gemma's kind on captions of the drawn clips, with the tokens of images."""
    images = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    return gemma.make_tokenizer(config, _SPECIAL, extra_special_tokens=images)


def make_text_encoder(tokenizer: GemmaTokenizer, config: Mapping[str, Any]) -> Gemma3ForConditionalGeneration:
    """Make a Gemma 3 with random weights for a tokenizer's words; `config` says how large."""
    config = {**config, "text_config": {**config["text_config"], "vocab_size": len(tokenizer)}}
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
    means = torch.cat([vae.encode(clip).latent_dist.mean.flatten(2) for clip in drawn_clips()], dim=2)[0]
    vae.latents_mean.copy_(means.mean(1))
    vae.latents_std.copy_(means.std(1))
    # the encoder's last channel is the logarithm of the posterior's variance
    last = vae.encoder.conv_out.conv
    last.weight[-1].zero_()
    last.bias[-1] = 2 * torch.log(_POSTERIOR_NOISE * vae.latents_std.mean())
    return vae


@torch.no_grad()
def make_audio_vae() -> AutoencoderKLLTX2Audio:
    """Make an audio VAE with random weights whose latents have unit variance."""
    vae = AutoencoderKLLTX2Audio(**_config("audio_vae")).eval()
    rate, hop, bins = vae.config.sample_rate, vae.config.mel_hop_length, vae.config.mel_bins
    mels = sound.log_mel(_tones(rate), rate, hop, bins)
    tokens = sound.pack(vae.encode(mels).latent_dist.mode()).flatten(0, 1)
    vae.latents_mean.copy_(tokens.mean(0))
    vae.latents_std.copy_(tokens.std(0))
    return vae


def _tones(rate: int) -> torch.Tensor:
    """Return a second of sounds (B, 2, rate) like those of the drawn clips: tones that swell, and wander sideways."""
    time = torch.arange(rate) / rate
    tones = [
        torch.stack([time, 1 - time]) * torch.sin(2 * torch.pi * pitch * time) * torch.sin(torch.pi * time)
        for pitch in (220.0, 330.0, 494.0, 740.0)
    ]
    return 0.7 * torch.stack(tones)


def _config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    return data
