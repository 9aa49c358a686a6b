"""The size that the image-to-video pipeline chooses, which takes none. Light: plans ask for it.

It is what `HunyuanVideo15ImageProcessor.calculate_default_height_width` gives, by a test.
"""

from __future__ import annotations

from collections.abc import Iterator

_PATCH, _LONGEST = 16, 4.0


def chosen_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return (width, height) of the clip for an image of this size.

    Of the native sizes it is the one nearest in shape that is not further from a square. `side` is the root of the
    checkpoint's native area, in pixels.
    """
    shape = height / width
    sizes = [(w, h, round(h / w, 5)) for w, h in _native_sizes(side)]
    nearer_square = [size for size in sizes if (size[2] <= shape if shape >= 1 else size[2] >= shape)]
    found = min(nearer_square, key=lambda size: abs(size[2] - shape))
    return found[:2]


def _native_sizes(side: int) -> Iterator[tuple[int, int]]:
    """Yield all (width, height) in patches of 16 that fill the area as well as possible, up to 4:1, tallest first."""
    patches = round((side / _PATCH) ** 2)
    for height in range(patches, 0, -1):
        for width in range(max(patches // (height + 1), 1), patches // height + 1):
            if max(width, height) / min(width, height) <= _LONGEST:
                yield width * _PATCH, height * _PATCH
