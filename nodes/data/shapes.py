"""The sample clips: shapes of several colours that move over a dark background (imports av and numpy).

What a clip shows is in its caption: shape, colour and direction. Place, size and speed vary with the seed. Those of the
sounding set have a tone that belongs to their colour and comes from where the shape is; some of them are silent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vflow.nodes.data.decode import write_video
from vflow.nodes.families.exchange import Sound

FRAMES, FPS = 25, 25
SIZES = ((96, 64), (64, 96))  # (width, height)
SHAPES = ("circle", "square", "triangle")
COLOURS = {"red": (226, 52, 46), "green": (62, 190, 84), "blue": (58, 106, 232), "yellow": (240, 206, 60)}
TONES = {"red": 220.0, "green": 330.0, "blue": 494.0, "yellow": 740.0}  # hertz
RATE = 24000
#: of the sounding set, every so manieth clip is silent
SILENT = 5
DIRECTIONS = {
    "left to right": (1, 0),
    "right to left": (-1, 0),
    "top to bottom": (0, 1),
    "bottom to top": (0, -1),
}


@dataclass(frozen=True)
class Scene:
    """What one clip shows. Lengths are in pixels; `radius` is that of the circle, others have about its area."""

    shape: str
    colour: str
    direction: str
    width: int
    height: int
    radius: float
    travel: float  #: share of the way from edge to edge that is covered
    aside: float  #: how far the way lies from the middle, -1 to 1
    light: float  #: brightness of the background, 0 to 255

    @property
    def caption(self) -> str:
        """The scene in words."""
        return f"a {self.colour} {self.shape} moving from {self.direction} on a dark background"

    @property
    def name(self) -> str:
        """The scene as the stem of a file."""
        return f"{self.colour}_{self.shape}_{self.direction.replace(' ', '_')}"


def draw_shapes(folder: Path, clips: int, seed: int, sounding: bool = False) -> None:
    """Write clips and captions into an existing folder; equal arguments give equal files.

    Raises:
        OSError: the folder cannot be written to.
    """

    def one(numbered: tuple[int, Scene]) -> None:
        number, scene = numbered
        path = folder / f"{number:03d}_{scene.name}.mp4"
        sound = tone(scene) if sounding and number % SILENT != SILENT - 1 else None
        write_video(path, draw(scene), FPS, preset="veryfast", sound=sound)
        path.with_suffix(".txt").write_text(scene.caption + "\n", encoding="utf-8")

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "draw") as pool:
        list(pool.map(one, enumerate(scenes(clips, seed))))


def scenes(clips: int, seed: int) -> Iterator[Scene]:
    """Yield scenes: shape, colour and size take turns so that 24 show each combination once; directions go round."""
    ways, colours = list(DIRECTIONS), list(COLOURS)
    for number in range(clips):
        varied = np.random.default_rng([seed, number]).random(4)
        width, height = SIZES[number % 2]
        shape, colour, turn = number // 2 % 3, number // 6 % 4, number // 24
        yield Scene(
            shape=SHAPES[shape],
            colour=colours[colour],
            # no direction belongs to a shape, a colour or a size
            direction=ways[(shape + colour + turn + 2 * (number % 2)) % 4],
            width=width,
            height=height,
            radius=10 + 4 * float(varied[0]),
            travel=0.6 + 0.4 * float(varied[1]),
            aside=0.8 * (2 * float(varied[2]) - 1),
            light=16 + 24 * float(varied[3]),
        )


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene: (FRAMES, height, width, 3) uint8, edges smoothed over one pixel."""
    x, y = _places(scene)
    across = np.arange(scene.width, dtype=np.float32) + 0.5 - x[:, None]
    down = np.arange(scene.height, dtype=np.float32) + 0.5 - y[:, None]
    distance = _distance(scene.shape, across[:, None, :], down[:, :, None], np.float32(scene.radius))
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    shade = np.linspace(1.2, 0.8, scene.height, dtype=np.float32)[None, :, None, None] * np.float32(scene.light)
    colour = np.array(COLOURS[scene.colour], np.float32)
    return np.rint(shade + cover * (colour - shade)).astype(np.uint8)


def tone(scene: Scene) -> Sound:
    """Return the sound of a scene, in stereo: the tone of its colour, which swells, and moves with the shape."""
    time = np.arange(FRAMES * RATE // FPS) / RATE
    x, _ = _places(scene)
    right = np.interp(time * FPS, np.arange(FRAMES), x / scene.width)
    wave = 0.7 * np.sin(2 * np.pi * TONES[scene.colour] * time) * np.sin(np.pi * time * FPS / FRAMES)
    return Sound(np.stack([(1 - right) * wave, right * wave]).astype(np.float32), RATE)


def _places(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return where the shape's middle is in each frame: x and y, each (FRAMES,)."""
    way = np.linspace(-1, 1, FRAMES, dtype=np.float32) * np.float32(scene.travel)
    dx, dy = DIRECTIONS[scene.direction]
    room_x, room_y = scene.width / 2 - scene.radius, scene.height / 2 - scene.radius
    x = scene.width / 2 + room_x * (way * dx + scene.aside * abs(dy))
    y = scene.height / 2 + room_y * (way * dy + scene.aside * abs(dx))
    return x.astype(np.float32), y.astype(np.float32)


def _distance(shape: str, x: np.ndarray, y: np.ndarray, radius: np.float32) -> np.ndarray:
    """Return how far each pixel lies outside the shape (negative: inside), near enough at its edge."""
    distance: np.ndarray
    if shape == "circle":
        distance = np.sqrt(x * x + y * y) - radius
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - radius * np.float32(0.88)
    else:  # an upright triangle: the base, and two sides at 60 degrees
        sides = np.abs(x) * np.float32(0.866) - y * np.float32(0.5)
        distance = np.maximum(sides, y) - radius * np.float32(0.66)
    return distance
