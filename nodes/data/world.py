"""The drawn world of the miniatures: one shape that moves over a plain ground, 64 x 64 pixels, 17 frames.

Wider than what the trained miniature was shown, so that there is something to teach: `is_known` tells which is which.
Captions leave size and speed out now and then; what they leave out varies. Imports av and numpy.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vflow.nodes.data.decode import write_video

SIDE, FRAMES, FPS = 64, 17, 25
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (226, 52, 46),
    "green": (62, 190, 84),
    "blue": (58, 106, 232),
    "yellow": (240, 206, 60),
    "purple": (182, 72, 206),
    "white": (232, 232, 228),
}
GROUNDS: Mapping[str, tuple[int, int, int]] = {"dark": (24, 26, 30), "grey": (92, 94, 98), "brown": (88, 56, 34)}
SHAPES = ("circle", "square", "triangle", "cross")
#: radius in pixels
SIZES: Mapping[str, float] = {"small": 7.5, "large": 11.0}
#: share of the way from edge to edge that is covered
SPEEDS: Mapping[str, float] = {"slowly": 0.45, "quickly": 0.95}
_HALF = math.sqrt(0.5)
#: to where each motion goes, in turns of a unit; x to the right, y down
MOTIONS: Mapping[str, tuple[float, float]] = {
    "from left to right": (1, 0),
    "from right to left": (-1, 0),
    "from top to bottom": (0, 1),
    "from bottom to top": (0, -1),
    "diagonally down": (_HALF, _HALF),
    "diagonally up": (_HALF, -_HALF),
    "diagonally back down": (-_HALF, _HALF),
    "diagonally back up": (-_HALF, -_HALF),
}
#: what the trained miniature has been shown; everything else is left for adapters to teach
KNOWN_SHAPES = SHAPES[:3]
KNOWN_MOTIONS = tuple(MOTIONS)[:4]
#: the motion that `sample://lesson` teaches, and the colours that it shows it in; the rest are not taught
LESSON_MOTION = "diagonally down"
LESSON_COLOURS = ("red", "green", "blue", "purple")


@dataclass(frozen=True)
class Scene:
    """What one clip shows. Lengths are in pixels; `radius` is that of the circle, other shapes have about its area."""

    shape: str
    colour: str
    motion: str
    ground: str
    size: str  #: as the caption says it; "": it does not
    speed: str  #: likewise
    radius: float
    travel: float  #: share of the way from edge to edge that is covered
    aside: float  #: how far the way lies from the middle, -1 to 1

    @property
    def caption(self) -> str:
        """The scene in words."""
        words = ("a", self.size, self.colour, self.shape, "moving", self.speed, self.motion, "on a", self.ground)
        return " ".join(word for word in (*words, "background") if word)

    @property
    def name(self) -> str:
        """The scene as the stem of a file."""
        words = (self.size, self.colour, self.shape, self.speed, *self.motion.split(), self.ground)
        return "_".join(word for word in words if word)

    def centres(self) -> np.ndarray:
        """Return where the shape's middle is in each frame, (FRAMES, 2): x and y in pixels."""
        dx, dy = MOTIONS[self.motion]
        room = SIDE / 2 - self.radius
        # a slanting way has room beside it only where it is short
        reach = room * (1 if dx * dy == 0 else math.sqrt(2) * (1 - 0.3 * abs(self.aside)))
        beside = room * self.aside * (1 if dx * dy == 0 else 0.3)
        along = np.linspace(-1, 1, FRAMES) * self.travel * reach
        ways = np.stack([SIDE / 2 + along * dx - beside * dy, SIDE / 2 + along * dy + beside * dx], axis=1)
        return ways.astype(np.float32)


def is_known(scene: Scene) -> bool:
    """Tell whether the trained miniature may have been shown such a scene.

    Of colour, shape and motion together one combination in six is kept back, each shape in each colour and each colour
    in each motion being there.
    """
    if scene.shape not in KNOWN_SHAPES or scene.motion not in KNOWN_MOTIONS:
        return False
    places = (list(COLOURS).index(scene.colour), SHAPES.index(scene.shape), list(MOTIONS).index(scene.motion))
    return (places[0] + 2 * places[1] + places[2]) % 6 != 0


def general(clips: int, seed: int) -> Iterator[Scene]:
    """Yield scenes that the trained miniature knows, combinations going round in an order of the seed's."""
    of_all = [
        (colour, shape, motion, ground)
        for colour, shape, motion, ground in itertools.product(COLOURS, KNOWN_SHAPES, KNOWN_MOTIONS, GROUNDS)
        if is_known(_scene(shape, colour, motion, ground, np.random.default_rng(0)))
    ]
    orders = np.random.default_rng([seed, 2])
    order: list[int] = []
    for number in range(clips):
        order = order or list(orders.permutation(len(of_all)))
        colour, shape, motion, ground = of_all[order.pop()]
        yield _scene(shape, colour, motion, ground, np.random.default_rng([seed, 3, number]))


def lesson(clips: int, seed: int) -> Iterator[Scene]:
    """Yield scenes of the lesson; every second one shows what is known, since what is not shown is forgotten."""
    new, old = taught(clips, seed), general(clips, seed)
    for number in range(clips):
        yield next(old if number % 2 else new)


def taught(clips: int, seed: int) -> Iterator[Scene]:
    """Yield scenes of the lesson's motion, its colours and the known shapes taking turns."""
    shown = list(itertools.product(KNOWN_SHAPES, LESSON_COLOURS))
    for number in range(clips):
        shape, colour = shown[number % len(shown)]
        ground = list(GROUNDS)[number // len(shown) % len(GROUNDS)]
        yield _scene(shape, colour, LESSON_MOTION, ground, np.random.default_rng([seed, 4, number]))


def anything(seed: int) -> Iterator[Scene]:
    """Yield scenes of the whole world without end, each drawn by chance: for networks that are to see all of it."""
    chance = np.random.default_rng([seed, 5])
    pools = (SHAPES, tuple(COLOURS), tuple(MOTIONS), tuple(GROUNDS))
    while True:
        shape, colour, motion, ground = (pool[chance.integers(len(pool))] for pool in pools)
        yield _scene(shape, colour, motion, ground, chance)


def named(shape: str, colour: str, motion: str, ground: str, seed: int) -> Scene:
    """Return a scene with these properties, size, speed and place of the seed's."""
    return _scene(shape, colour, motion, ground, np.random.default_rng([seed, 6]))


def draw_clips(folder: Path, scenes: Iterable[Scene]) -> None:
    """Write clips and captions into an existing folder; equal scenes give equal files.

    Raises:
        OSError: the folder cannot be written to.
    """

    def one(numbered: tuple[int, Scene]) -> None:
        number, scene = numbered
        path = folder / f"{number:05d}_{scene.name}.mp4"
        write_video(path, draw(scene), FPS, preset="veryfast")
        path.with_suffix(".txt").write_text(scene.caption + "\n", encoding="utf-8")

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "draw") as pool:
        list(pool.map(one, enumerate(scenes)))


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene: (FRAMES, SIDE, SIDE, 3) uint8, edges smoothed over one pixel."""
    places = np.arange(SIDE, dtype=np.float32) + 0.5
    x, y = scene.centres().T
    across, down = (places - x[:, None])[:, None, :], (places - y[:, None])[:, :, None]
    cover = np.clip(0.5 - outside(scene.shape, across, down, scene.radius), 0, 1)[..., None]
    ground, colour = (np.array(tints, np.float32) for tints in (GROUNDS[scene.ground], COLOURS[scene.colour]))
    return np.rint(ground + cover * (colour - ground)).astype(np.uint8)


def outside(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Return how far points, seen from the shape's middle, lie outside of it (negative: inside), near its edge."""
    distance: np.ndarray
    size = np.float32(radius)
    if shape == "circle":
        distance = np.sqrt(x * x + y * y) - size
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - size * np.float32(0.88)
    elif shape == "triangle":  # upright: the base, and two sides at 60 degrees
        sides = np.abs(x) * np.float32(0.866) - y * np.float32(0.5)
        distance = np.maximum(sides, y) - size * np.float32(0.66)
    else:  # a cross: two bars
        wide, narrow = size * np.float32(1.1), size * np.float32(0.42)
        lying = np.maximum(np.abs(x) - wide, np.abs(y) - narrow)
        distance = np.minimum(lying, np.maximum(np.abs(x) - narrow, np.abs(y) - wide))
    return distance


def _scene(shape: str, colour: str, motion: str, ground: str, chance: np.random.Generator) -> Scene:
    # of three captions, one says nothing of the size, and one nothing of the speed
    size = ("small", "large", "")[chance.integers(3)]
    speed = ("slowly", "quickly", "")[chance.integers(3)]
    radius = SIZES[size or ("small", "large")[chance.integers(2)]]
    travel = SPEEDS[speed or ("slowly", "quickly")[chance.integers(2)]]
    return Scene(shape, colour, motion, ground, size, speed, radius, travel, aside=float(chance.uniform(-0.8, 0.8)))
