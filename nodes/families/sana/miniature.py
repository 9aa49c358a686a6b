"""The miniature: a whole checkpoint of the real classes with small random weights, made from a seed.

Its configurations are the JSON files in `configs/miniature`. What is not left to chance: the tokenizer knows the words
of the drawn sample clips, and latents come out with unit variance and little posterior noise, as real ones do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, DPMSolverMultistepScheduler, SanaVideoPipeline, SanaVideoTransformer3DModel
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

from vflow.nodes.families import gemma
from vflow.nodes.families.loading import without_bars
from vflow.nodes.families.miniatures import drawn_clips

_CONFIGS = Path(__file__).with_name("configs") / "miniature"
_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
#: standard deviation of the posterior, as a share of the latents' own
_POSTERIOR_NOISE = 0.05


def build(folder: Path, seed: int) -> None:
    """Write the checkpoint into `folder` in the layout of the real repository: equal seeds give equal bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = gemma.make_tokenizer(_config("tokenizer"), _SPECIAL)
        pipeline = SanaVideoPipeline(
            tokenizer=tokenizer,
            text_encoder=_make_text_encoder(tokenizer),
            vae=_make_vae(),
            transformer=SanaVideoTransformer3DModel(**_config("transformer")),
            scheduler=DPMSolverMultistepScheduler(**_config("scheduler")),
        )
    with without_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)


def _make_text_encoder(tokenizer: GemmaTokenizer) -> Gemma2Model:
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    return Gemma2Model(Gemma2Config(**_config("text_encoder"), vocab_size=len(tokenizer), **ids))


@torch.no_grad()
def _make_vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(**_config("vae")).eval()
    means = torch.cat([vae.encode(clip).latent_dist.mean.flatten(2) for clip in drawn_clips(frames=9)], dim=2)[0]
    deviations = means.std(1)
    vae.register_to_config(latents_mean=means.mean(1).tolist(), latents_std=deviations.tolist())
    # the encoder's upper channels are the logarithm of the posterior's variance
    channels = len(deviations)
    vae.quant_conv.weight[channels:].zero_()
    vae.quant_conv.bias[channels:] = 2 * torch.log(_POSTERIOR_NOISE * deviations)
    return vae


def _config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    return data
