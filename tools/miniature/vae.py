"""Train the miniature's video VAE on the whole drawn world; it can be stopped at any time and taken up again.

In four parts. Stills first: they cost a tenth of clips and teach the networks space, which from clips alone takes
very long to begin. Then short clips, for time, and whole ones. Then the encoder rests, its statistics are written
into the buffers, the folder `vae-encoder` is written (enough to train a transformer with), and the decoder goes on
alone on whole clips.

Until then a linear reader beside the decoder is asked where and what the shape is: without it the networks
draw the empty ground for a long time. It is thrown away.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLLTX2Video

from vflow.nodes.data import world

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Stage:
    """A part of the training: rates fall along a cosine."""

    steps: int
    frames: int
    batch: int
    rate: float
    last_rate: float
    encoder: bool = True  #: whether the encoder is trained


STAGES = (
    Stage(1200, 1, 32, 1.5e-3, 1.5e-3),
    Stage(1400, 9, 8, 1.5e-3, 1.4e-3),
    Stage(2600, 17, 4, 1.4e-3, 3e-4),
    Stage(4800, 17, 4, 8e-4, 0.0, encoder=False),
)
WARM_UP = 50
#: how much more an error on the shape counts than one on the ground
ON_SHAPE = 5.0
ABSOLUTE, ENERGY, READING = 0.2, 1e-4, 1.0
#: standard deviation of what is added to the latents between encoder and decoder
LATENT_NOISE = 0.05
#: standard deviation of the posterior, as a share of the latents' own
POSTERIOR_NOISE = 0.05
SAVE_SECONDS = 120.0
#: frames of a latent frame
_RATIO = 8


@dataclass(frozen=True)
class Shown:
    """A batch: what is seen, and what a reader of its latents should say."""

    pixels: torch.Tensor  #: (B, 3, F, H, W) in [-1, 1]
    weight: torch.Tensor  #: (B, 1, F, H, W), how much each pixel counts
    told: torch.Tensor  #: (B, f, 2 * 8 + 7): places in the frames of each latent frame, two colours, size; about 1
    shape: torch.Tensor  #: (B,) which shape


def main() -> None:
    """Train, or go on training, up to the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for states and results")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    given.work.mkdir(parents=True, exist_ok=True)
    train(given.work, given.seed)


def train(work: Path, seed: int) -> None:
    """Train up to the last step from the state that is in `work`, if there is one."""
    torch.manual_seed(seed)
    vae = AutoencoderKLLTX2Video(**json.loads((HERE / "configs" / "vae.json").read_text()))
    reader = torch.nn.Linear(4 * vae.config.latent_channels, 2 * _RATIO + 7 + len(world.SHAPES))
    weights = [*vae.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=STAGES[0].rate, betas=(0.9, 0.99), weight_decay=1e-4)
    kept = {"vae": vae, "reader": reader, "optimizer": optimizer}
    file = work / "vae.pt"
    first = _restore(file, kept)
    saved = time.monotonic()
    for step, stage, share in islice(_steps(), first, None):
        if not stage.encoder and vae.encoder.conv_in.conv.weight.requires_grad:
            if not (work / "vae-encoder").exists():
                settle(vae, seed)
                vae.save_pretrained(work / "vae-encoder")
            vae.encoder.requires_grad_(False)
        for group in optimizer.param_groups:
            group["lr"] = rate(stage, share) * min(1.0, (step + 1) / WARM_UP)
        torch.manual_seed(seed * 1_000_003 + step)
        loss, quality = one_step(vae, reader, batch(stage.frames, stage.batch, seed * 1_000_003 + step), stage)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"{step} loss {loss.item():.4f} psnr {quality:.2f} cpu {time.process_time():.0f} s", flush=True)
        if time.monotonic() - saved > SAVE_SECONDS:
            _keep(file, kept, step + 1)
            saved = time.monotonic()
    _keep(file, kept, sum(stage.steps for stage in STAGES))
    vae.save_pretrained(work / "vae")
    print(f"unseen clips: {reconstruction(vae, seed):.2f} dB", flush=True)


def rate(stage: Stage, share: float) -> float:
    """Return the learning rate where a share of the stage is over."""
    return stage.last_rate + (stage.rate - stage.last_rate) * (1 + math.cos(math.pi * share)) / 2


def batch(frames: int, size: int, seed: int) -> Shown:
    """Return scenes by chance, of each a window of so many frames at a place by chance."""
    chance = np.random.default_rng([seed, 1])
    rows = [_row(scene, frames, chance) for scene in islice(world.anything(seed), size)]
    pixels, weight, told, shape = zip(*rows, strict=True)
    return Shown(torch.stack(pixels), torch.stack(weight), torch.stack(told), torch.tensor(shape))


def one_step(
    vae: AutoencoderKLLTX2Video, reader: torch.nn.Module, shown: Shown, stage: Stage
) -> tuple[torch.Tensor, float]:
    """Return the loss of a batch, and how well it was reconstructed, in dB."""
    with torch.autocast("cpu", torch.bfloat16):
        with torch.set_grad_enabled(stage.encoder):
            latents = vae.encode(shown.pixels).latent_dist.mean.float()
        heard = latents + LATENT_NOISE * torch.randn_like(latents)
        said = vae.decode(heard).sample.float()
    error = said - shown.pixels
    loss = (shown.weight * (error.square() + ABSOLUTE * error.abs())).mean() / shown.weight.mean()
    if stage.encoder:
        read = reader(heard.transpose(1, 2).flatten(2))
        amounts, shape = read[..., : shown.told.shape[-1]], read[..., shown.told.shape[-1] :]
        which = shown.shape.repeat_interleave(shape.shape[1])
        named = torch.nn.functional.cross_entropy(shape.flatten(0, 1), which)
        loss = loss + ENERGY * latents.square().mean()
        loss = loss + READING * ((amounts - shown.told).square().mean() + 0.1 * named)
    return loss, decibels(error.detach())


@torch.no_grad()
def settle(vae: AutoencoderKLLTX2Video, seed: int) -> None:
    """Write mean and deviation of the latents into the VAE's buffers, and give it a posterior of little noise."""
    shown = (batch(world.FRAMES, 4, seed * 1_000_003 + 500_000 + number) for number in range(100))
    latents = torch.cat([vae.encode(one.pixels).latent_dist.mean for one in shown]).transpose(0, 1).flatten(1)
    vae.latents_mean.copy_(latents.mean(1))
    vae.latents_std.copy_(latents.std(1))
    # the encoder's last channel is the logarithm of the posterior's variance
    last = vae.encoder.conv_out.conv
    last.weight[-1].zero_()
    last.bias[-1] = 2 * torch.log(POSTERIOR_NOISE * vae.latents_std.mean())


@torch.no_grad()
def reconstruction(vae: AutoencoderKLLTX2Video, seed: int, clips: int = 200) -> float:
    """Return how well clips that it never saw come back, in dB."""
    shown = (batch(world.FRAMES, 1, seed * 1_000_003 + 600_000 + number).pixels for number in range(clips))
    return float(np.mean([decibels(vae.decode(vae.encode(one).latent_dist.mean).sample - one) for one in shown]))


def decibels(error: torch.Tensor) -> float:
    """Return the mean over clips of their peak signal to noise ratio, of errors on a scale of [-1, 1]."""
    return float((-10 * torch.log10(error.square().flatten(1).mean(1) / 4)).mean())


def _row(scene: world.Scene, frames: int, chance: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, Any, int]:
    first = int(chance.integers(world.FRAMES - frames + 1))
    pixels = world.draw(scene)[first : first + frames]
    ground, colour = (np.array(tints) for tints in (world.GROUNDS[scene.ground], world.COLOURS[scene.colour]))
    moved = torch.from_numpy(np.abs(pixels.astype(np.int16) - ground).max(-1) > 10)
    # the first latent frame is of a single frame
    centres = scene.centres()[first : first + frames] * 2 / world.SIDE - 1
    places = np.concatenate([np.repeat(centres[:1], _RATIO, 0), centres[1:]]).reshape(-1, 2 * _RATIO)
    rest = np.concatenate([colour / 127.5 - 1, ground / 127.5 - 1, [(scene.radius - 9) / 2]])
    told = np.concatenate([places, np.tile(rest, (len(places), 1))], axis=1)
    return (
        torch.from_numpy(pixels).permute(3, 0, 1, 2).float() / 127.5 - 1,
        1 + (ON_SHAPE - 1) * moved.float()[None],
        torch.from_numpy(told).float(),
        world.SHAPES.index(scene.shape),
    )


def _steps() -> Iterator[tuple[int, Stage, float]]:
    """Yield every step with its stage and how much of that stage is over."""
    step = 0
    for stage in STAGES:
        for within in range(stage.steps):
            yield step, stage, within / stage.steps
            step += 1


def _keep(file: Path, kept: dict[str, Any], step: int) -> None:
    new = file.with_suffix(".new")
    torch.save({name: one.state_dict() for name, one in kept.items()} | {"step": step}, new)
    new.replace(file)


def _restore(file: Path, kept: dict[str, Any]) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    for name, one in kept.items():
        one.load_state_dict(state[name])
    return int(state["step"])


if __name__ == "__main__":
    main()
