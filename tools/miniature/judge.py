"""Draw prompts with a miniature, and score the clips by their pixels."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vflow.nodes.data import scores, world
from vflow.nodes.families import family
from vflow.nodes.families.exchange import SamplingRequest

STEPS = 20


@dataclass
class Judged:
    """Shares over a set of prompts, and medians."""

    right: float
    colour: float
    motion: float
    centre_error: float
    strays: float


def main() -> None:
    """Score prompts that the base knows and those of the lesson."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the miniature")
    parser.add_argument("--adapter", type=Path, help="a file of an adapter to put on")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--stills", type=Path, help="where to write a picture of the first clips")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    bench = Bench(given.model, given.adapter, given.steps, given.guidance)
    untaught = [name for name in world.COLOURS if name not in world.LESSON_COLOURS]
    sets = {
        "known": list(world.general(given.prompts, 9000)),
        "lesson": list(world.taught(given.prompts // 2, 9000)),
        "lesson, untaught colour": [
            world.named(shape, colour, world.LESSON_MOTION, ground, 9000)
            for colour in untaught
            for shape in world.KNOWN_SHAPES
            for ground in world.GROUNDS
        ],
    }
    drawn = {
        name: [bench.draw(scene, 100 + number) for number, scene in enumerate(scenes)] for name, scenes in sets.items()
    }
    for name, scenes in sets.items():
        print(name, json.dumps(judge(drawn[name], scenes).__dict__), flush=True)
    if given.stills:
        rows = [np.concatenate(list(clip[::4]), axis=1) for clips in drawn.values() for clip in islice(clips, 6)]
        Image.fromarray(np.concatenate(rows)).resize((5 * 128, len(rows) * 128), Image.Resampling.NEAREST).save(
            given.stills
        )


class Bench:
    """A miniature's parts, loaded, and its prompts encoded as they come."""

    def __init__(self, folder: Path, adapter: Path | None = None, steps: int = STEPS, guidance: float = 1.0) -> None:
        self.family = family("ltx2")
        self.transformer, self.vae, self.text = (
            self.family.load(part, folder, "float32") for part in ("transformer", "vae", "text_encoder")
        )
        if adapter is not None:
            self.family.load_adapter(self.transformer, adapter, 1.0)
        self.steps, self.guidance = steps, guidance

    def draw(self, scene: world.Scene, seed: int) -> np.ndarray:
        """Draw a scene's caption: (F, H, W, 3) uint8."""
        prompt, empty = self.family.encode_text(self.text, [scene.caption, ""])
        request = SamplingRequest(
            prompt, empty, world.SIDE, world.SIDE, world.FRAMES, world.FPS, self.steps, self.guidance, seed
        )
        return self.family.draw(self.transformer, self.vae, request)


def judge(clips: Iterable[np.ndarray], scenes: Iterable[world.Scene]) -> Judged:
    """Score clips against the scenes that they should show."""
    pairs = [(scores.measure(clip), scene) for clip, scene in zip(clips, scenes, strict=True)]
    return Judged(
        right=float(np.mean([scores.is_right(shown, scene) for shown, scene in pairs])),
        colour=float(np.mean([shown.colour == scene.colour for shown, scene in pairs])),
        motion=float(np.mean([shown.motion == scene.motion for shown, scene in pairs])),
        centre_error=float(np.median([scores.centre_error(shown, scene) for shown, scene in pairs])),
        strays=float(np.median([shown.strays for shown, _ in pairs])),
    )


if __name__ == "__main__":
    main()
