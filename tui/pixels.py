"""Pixels as text: half-blocks, two pixels to a cell, or shades of characters. Pure; reads picture files too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style

from vflow.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from PIL.Image import Image

#: the longest side of what is kept of a file, in pixels
_LARGEST = 1600
#: a file of more pixels is not opened
_TOO_MANY = 200_000_000
_SHADES = " .:-=+*#%@"
_UPPER = "▀"
#: 32 levels of each colour, the lowest and the highest at their ends: half the time and bytes of all 256
_COARSE = bytes(level & 0xF8 | level >> 5 for level in range(256))


class Unreadable(Exception):
    """A picture or clip cannot be shown; the text says why, and completes "a.png ..."."""


@dataclass(frozen=True)
class Pixels:
    """An image as it is drawn: `rgb` has three bytes for each pixel, row by row. Pixels are square."""

    width: int
    height: int
    rgb: bytes

    def coarser(self) -> Pixels:
        """Return it with fewer colours, for what moves: several times fewer of them are new in each frame."""
        return replace(self, rgb=self.rgb.translate(_COARSE))

    def within(self, columns: int, rows: int) -> Pixels:
        """Return it as large as fits into so many cells."""
        size = fitted((self.width, self.height), columns, rows)
        if size == (self.width, self.height):
            return self
        from PIL import Image

        return scaled(Image.frombytes("RGB", (self.width, self.height), self.rgb), size)


def fitted(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """Return the largest size (width, height) in pixels of this shape in so many cells of one by two pixels.

    The height is that of whole cells.
    """
    width, height = max(1, size[0]), max(1, size[1])
    columns, lines = max(1, columns), max(1, 2 * rows)
    if width * lines > height * columns:
        return columns, min(lines, 2 * max(1, round(height * columns / width / 2)))
    return min(columns, max(1, round(width * lines / height))), lines


def scaled(image: Image, size: tuple[int, int]) -> Pixels:
    """Scale an image; where it gets smaller, a pixel is the mean of those that it stands for."""
    from PIL.Image import Resampling

    smaller = size[0] <= image.width and size[1] <= image.height
    done = image.resize(size, Resampling.BOX if smaller else Resampling.BICUBIC)
    return Pixels(*size, done.convert("RGB").tobytes())


def read_image(path: Path) -> Image:
    """Read a picture, no larger than a screen can show; what is transparent becomes grey.

    Raises:
        Unreadable: it is gone, damaged, no picture, or has far too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > _TOO_MANY:
                raise Unreadable(f"has {opened.width}x{opened.height} pixels: too many to show here")
            opened.draft("RGB", (_LARGEST, _LARGEST))
            opened.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
            if opened.mode not in ("RGB", "L"):
                seen = opened.convert("RGBA")
                ground = Image.new("RGBA", seen.size, (128, 128, 128, 255))
                return Image.alpha_composite(ground, seen).convert("RGB")
            return opened.convert("RGB")
    except FileNotFoundError:
        raise Unreadable("is gone") from None
    except UnidentifiedImageError:
        raise Unreadable("is no picture, or is not whole yet") from None
    except Image.DecompressionBombError:
        raise Unreadable("has too many pixels to show here") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged or not whole yet"
        raise Unreadable(f"cannot be read: {reason}") from error


def drawn(pixels: Pixels, glyphs: Glyphs, *, dark: bool = True) -> Iterator[list[Segment]]:
    """Draw pixels, two rows of them to a row of cells.

    In ASCII the brightness becomes a character: on a dark screen (`dark`) much ink is bright, else dark.
    """
    rows = range(0, pixels.height, 2)
    if glyphs.ascii:
        shades = _SHADES if dark else _SHADES[::-1]
        return ([Segment(_shaded(pixels, row, shades))] for row in rows)
    return (_blocks(pixels, row) for row in rows)


def _blocks(pixels: Pixels, row: int) -> list[Segment]:
    """Draw two rows of pixels: the upper one as ink, the lower one as ground; equal neighbours in one piece."""
    stride = 3 * pixels.width
    upper = pixels.rgb[row * stride : (row + 1) * stride]
    lower = pixels.rgb[(row + 1) * stride : (row + 2) * stride]
    segments = []
    before: tuple[bytes, bytes] | None = None
    many = 0
    for place in range(0, stride, 3):
        pair = upper[place : place + 3], lower[place : place + 3]
        if pair == before:
            many += 1
            continue
        if before is not None:
            segments.append(_block(before, many))
        before, many = pair, 1
    if before is not None:
        segments.append(_block(before, many))
    return segments


def _block(pair: tuple[bytes, bytes], many: int) -> Segment:
    upper, lower = pair
    if upper == lower:
        return Segment(" " * many, _style(None, lower))
    return Segment(_UPPER * many, _style(upper, lower or None))


@lru_cache(16384)
def _style(ink: bytes | None, ground: bytes | None) -> Style:
    return Style.from_color(_colour(ink) if ink else None, _colour(ground) if ground else None)


@lru_cache(16384)
def _colour(rgb: bytes) -> Color:
    return Color(rgb.hex(), ColorType.TRUECOLOR, triplet=ColorTriplet(*rgb))  # Color.from_rgb takes thrice as long


def _shaded(pixels: Pixels, row: int, shades: str) -> str:
    stride = 3 * pixels.width
    top = len(shades) - 1
    first, rgb = row * stride, pixels.rgb
    second = first + stride if row + 1 < pixels.height else first
    text = []
    for place in range(0, stride, 3):
        upper, lower = first + place, second + place
        red, green, blue = rgb[upper] + rgb[lower], rgb[upper + 1] + rgb[lower + 1], rgb[upper + 2] + rgb[lower + 2]
        bright = (299 * red + 587 * green + 114 * blue) / 510_000  # as the eye weighs colours (ITU-R BT.601)
        text.append(shades[round(bright * top)])
    return "".join(text)
