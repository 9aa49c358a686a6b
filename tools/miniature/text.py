"""Train the miniature's text side: from what the connectors say, every property of the scene is to be read off.

A real text encoder knows all words before any model of video meets it. So does this one: it is trained on captions of
the whole drawn world, also of what the transformer will not be shown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from itertools import islice
from pathlib import Path

import torch
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from transformers import Gemma3ForConditionalGeneration, GemmaTokenizer

from vflow.nodes.data import world
from vflow.nodes.families.ltx2 import miniature

HERE = Path(__file__).parent
STEPS, BATCH, RATE = 600, 64, 3e-3
#: share of the tokens that the properties are read from: a few say what all of them say
READ = 0.15
_PROPERTIES = {
    "colour": tuple(world.COLOURS),
    "shape": world.SHAPES,
    "motion": tuple(world.MOTIONS),
    "ground": tuple(world.GROUNDS),
    "size": (*world.SIZES, ""),
    "speed": (*world.SPEEDS, ""),
}


def main() -> None:
    """Train and write tokenizer, text encoder and connectors as sub-folders of the work folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for results")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    train(given.work, given.seed)


def train(work: Path, seed: int) -> None:
    """Train from nothing: it takes minutes."""
    torch.manual_seed(seed)
    tokenizer = miniature.make_tokenizer(_config("tokenizer"))
    tokenizer.padding_side = "left"
    encoder = miniature.make_text_encoder(tokenizer, _config("text_encoder"))
    connectors = LTX2TextConnectors(**_config("connectors"))
    width = connectors.config.caption_channels
    readers = torch.nn.ModuleDict({name: torch.nn.Linear(width, len(known)) for name, known in _PROPERTIES.items()})
    trained = [*encoder.model.language_model.parameters(), *connectors.parameters(), *readers.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=1e-3)
    scenes = world.anything(seed + 10)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        shown = list(islice(scenes, BATCH))
        said = torch.cat(speak(tokenizer, encoder, connectors, [scene.caption for scene in shown]), dim=0)
        chosen = (torch.rand(said.shape[:2]) < READ).float()[..., None]
        pooled = (said * chosen).sum(1) / chosen.sum(1).clamp(min=1)
        losses, right = [], []
        for name, known in _PROPERTIES.items():
            target = torch.tensor([known.index(getattr(scene, name)) for scene in shown]).repeat(2)
            logits = readers[name](pooled)
            losses.append(torch.nn.functional.cross_entropy(logits, target))
            right.append((logits.argmax(1) == target).float().mean())
        loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if step % 100 == 0 or step + 1 == STEPS:
            print(f"{step} loss {loss.item():.4f} right {min(right):.3f}", flush=True)
    tokenizer.save_pretrained(work / "tokenizer")
    encoder.save_pretrained(work / "text_encoder")
    connectors.save_pretrained(work / "connectors")


def speak(
    tokenizer: GemmaTokenizer,
    encoder: Gemma3ForConditionalGeneration,
    connectors: LTX2TextConnectors,
    captions: list[str],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the connectors say of captions to the video and to the audio, each (B, L, D), with gradients."""
    read = tokenizer(
        captions,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    layers = encoder(**read, output_hidden_states=True, use_cache=False, logits_to_keep=1).hidden_states
    video, audio, _ = connectors(torch.stack(layers, dim=-1).flatten(2, 3), read.attention_mask, padding_side="left")
    return video, audio


def _config(name: str) -> dict[str, object]:
    config: dict[str, object] = json.loads((HERE / "configs" / f"{name}.json").read_text())
    return config


if __name__ == "__main__":
    main()
