"""Space: which size a clip is brought to, and how it is scaled and cropped to get there. Sizes are (width, height)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import isqrt

from vflow.nodes.families.rules import VideoRules

Size = tuple[int, int]

#: The most elongated size that is made from a short side; clips beyond it are cropped to it.
WIDEST = Fraction(5, 2)


@dataclass(frozen=True)
class Fit:
    """How a clip is brought to a size: scaled to `scaled`, then `size` is cut out at `offset` (left, top).

    `crop` is the share of the picture that is lost, 0 to 1; `upscaled` is true where pixels are made up.
    """

    size: Size
    scaled: Size
    offset: Size
    crop: float
    upscaled: bool


def parse_size(text: str) -> Size:
    """Read `WxH`."""
    width, height = text.split("x")
    return int(width), int(height)


def is_area(text: str) -> bool:
    """Tell whether a text is an area (`0.4MP`) and no size."""
    return text.endswith("MP")


def sizes_of(resolution: int | str | Sequence[str], rules: VideoRules) -> list[Size]:
    """Return the sizes that clips are brought to, upright and across, up to 5:2.

    A number is the short side: the sizes are the square and every longer side that the family takes. An area is the
    most that a size may have: the sizes are the longest that the family takes for every short side. Other texts are
    sizes themselves.
    """
    if isinstance(resolution, str):
        return _of_area(resolution, rules.size_multiple) if is_area(resolution) else [parse_size(resolution)]
    if not isinstance(resolution, int):
        return list(dict.fromkeys(parse_size(text) for text in resolution))
    long_sides = range(resolution, int(resolution * WIDEST) + 1, rules.size_multiple)
    return _both_ways([(long_side, resolution) for long_side in long_sides])


def _of_area(text: str, step: int) -> list[Size]:
    pixels = int(Fraction(text.removesuffix("MP")) * 1_000_000)
    longest = [(pixels // short // step * step, short) for short in range(step, isqrt(pixels) + 1, step)]
    return _both_ways([(long_side, short) for long_side, short in longest if long_side <= short * WIDEST])


def _both_ways(across: Sequence[Size]) -> list[Size]:
    return [*across, *((height, width) for width, height in across if width != height)]


def best_fit(clip: Size, sizes: Iterable[Size]) -> Fit:
    """Return the fit that loses the least of a clip; of equal ones the largest."""
    fits = (fit(clip, size) for size in sizes)
    return min(fits, key=lambda f: (f.crop, -f.size[0] * f.size[1], f.size))


def fit(clip: Size, size: Size) -> Fit:
    """Scale a clip so that it just covers a size, and cut from the middle."""
    scale = max(Fraction(size[0], clip[0]), Fraction(size[1], clip[1]))
    scaled = max(size[0], round(clip[0] * scale)), max(size[1], round(clip[1] * scale))
    offset = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    kept = Fraction(size[0] * size[1], clip[0] * clip[1]) / scale**2
    return Fit(size, scaled, offset, float(1 - kept), upscaled=scale > 1)


def nearest_sizes(size: Size, rules: VideoRules) -> list[str]:
    """Return the nearest sizes that a family takes, as `WxH`; the size itself where it is one of them."""
    nearest = product(rules.nearest_sizes(size[0]), rules.nearest_sizes(size[1]))
    return [f"{width}x{height}" for width, height in nearest]
