"""What a clip of the drawn world shows, by plain measurements of its pixels (numpy): does it follow its caption?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vflow.nodes.data import world

#: how far a pixel's colour is from the ground's where the shape is, as Euclidean distance in RGB of 0 to 255
_APART = 50.0
#: pixels further than this from the shape's middle are strays: the largest shape reaches no further
_REACH = 17.0
#: a shape that moves less than this in all, in pixels, moves nowhere
_LEAST_WAY = 8.0
#: fewer pixels than this in a frame are no shape
_LEAST_PIXELS = 20
#: at most this share of strays in a clip that counts as right
STRAYS = 0.1
#: the least that counts as exact: how steady the size is, and how far the way may be off, in parts of the width
STEADY, OFF = 0.75, 0.05


@dataclass(frozen=True)
class Measured:
    """What a clip shows. Lengths are in pixels."""

    ground: str  #: the nearest of the world's grounds
    colour: str  #: the nearest of the world's colours; "" where there is no shape
    motion: str  #: the nearest of the world's motions; "" where nothing moves straight
    centres: np.ndarray  #: (F, 2), x and y of the shape's middle; NaN where a frame shows none
    radius: float  #: of a circle with the shape's area, median over the frames
    steady: float  #: its smallest area in a frame, in parts of the median
    strays: float  #: share of the pixels unlike the ground that lie apart from the shape


def measure(clip: np.ndarray) -> Measured:
    """Measure a clip (F, H, W, 3) uint8."""
    pixels = clip.astype(np.float32)
    ground = np.median(_border(pixels), axis=0)
    apart = np.linalg.norm(pixels - ground, axis=-1)
    unlike = apart > _APART
    middles = [_middle(frame) for frame in unlike]
    near = np.stack([_within(middle, frame.shape) for middle, frame in zip(middles, unlike, strict=True)]) & unlike
    areas = near.sum((1, 2))
    known = areas >= _LEAST_PIXELS
    centres = np.full((len(clip), 2), np.nan)
    # each pixel counts as much as it is unlike the ground: smooth edges are halves
    for number in np.flatnonzero(known):
        rows, columns = np.nonzero(near[number])
        share = np.minimum(apart[number][rows, columns], _APART * 2)
        centres[number] = [np.average(columns + 0.5, weights=share), np.average(rows + 0.5, weights=share)]
    seen = pixels[near & known[:, None, None]]
    return Measured(
        ground=_nearest(ground, world.GROUNDS),
        colour=_nearest(_body(seen, ground), world.COLOURS) if len(seen) else "",
        motion=_motion(centres),
        centres=centres,
        radius=float(np.median(np.sqrt(areas / math.pi))),
        steady=float(areas.min() / max(1.0, np.median(areas))),
        strays=float(1 - near.sum() / unlike.sum()) if unlike.any() else 0.0,
    )


def is_right(shown: Measured, scene: world.Scene) -> bool:
    """Tell whether a clip has a scene's colour and motion, in every frame, and little that does not belong to it."""
    whole = not np.isnan(shown.centres).any()
    return whole and shown.colour == scene.colour and shown.motion == scene.motion and shown.strays <= STRAYS


def is_exact(shown: Measured, scene: world.Scene) -> bool:
    """Tell whether a clip is right, on the caption's way, and of one size throughout."""
    return is_right(shown, scene) and shown.steady >= STEADY and centre_error(shown, scene) <= OFF


def centre_error(shown: Measured, scene: world.Scene) -> float:
    """Return how far the shape's middle is from where the caption lets it be, in parts of the width, mean over frames.

    The caption says how large the shape is and how fast it moves, but not how far from the middle: the nearest way
    counts. Where it leaves size or speed out, the nearest of them count too. Infinite where a frame shows no shape.
    """
    if np.isnan(shown.centres).any():
        return math.inf
    sizes = [world.SIZES[scene.size]] if scene.size else list(world.SIZES.values())
    speeds = [world.SPEEDS[scene.speed]] if scene.speed else list(world.SPEEDS.values())
    ways = [
        replace(scene, radius=radius, travel=travel, aside=aside).centres()
        for radius in sizes
        for travel in speeds
        for aside in np.linspace(-0.8, 0.8, 33)
    ]
    return float(min(np.linalg.norm(shown.centres - way, axis=1).mean() for way in ways) / world.SIDE)


def _border(pixels: np.ndarray) -> np.ndarray:
    edges = (pixels[:, :2], pixels[:, -2:], pixels[:, :, :2], pixels[:, :, -2:])
    return np.concatenate([edge.reshape(-1, 3) for edge in edges])


def _middle(unlike: np.ndarray) -> tuple[float, float]:
    """Return x and y about which most of a frame's pixels lie that are unlike the ground; strays move it little."""
    rows, columns = np.nonzero(unlike)
    if not len(rows):
        return math.inf, math.inf
    x, y = float(np.median(columns)) + 0.5, float(np.median(rows)) + 0.5
    for _ in range(3):
        near = np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= _REACH
        if not near.any():
            break
        x, y = float(columns[near].mean()) + 0.5, float(rows[near].mean()) + 0.5
    return x, y


def _within(middle: tuple[float, float], shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside: np.ndarray = np.hypot(columns - middle[0], rows - middle[1]) <= _REACH
    return inside


def _body(seen: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return the colour of those pixels of the shape that are not its edge: the half that is least like the ground."""
    apart = np.linalg.norm(seen - ground, axis=-1)
    body: np.ndarray = np.median(seen[apart >= np.median(apart)], axis=0)
    return body


def _nearest(colour: np.ndarray, known: Mapping[str, tuple[int, int, int]]) -> str:
    return min(known, key=lambda name: float(np.linalg.norm(colour - np.array(known[name]))))


def _motion(centres: np.ndarray) -> str:
    """Return the motion whose direction is nearest to that of a straight line through the centres."""
    there = np.flatnonzero(~np.isnan(centres[:, 0]))
    if len(there) < len(centres) / 2:
        return ""
    x, y = (np.polyfit(there, centres[there, axis], 1)[0] * (len(centres) - 1) for axis in (0, 1))
    if math.hypot(x, y) < _LEAST_WAY:
        return ""
    # directions are units, so that the largest product is the smallest angle: at most half of the 45 degrees between
    return max(world.MOTIONS, key=lambda name: float(x * world.MOTIONS[name][0] + y * world.MOTIONS[name][1]))
