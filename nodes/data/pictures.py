"""Pictures: read from files of the usual kinds, brought to a size, kept as PNG (imports numpy and Pillow)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vflow.nodes.data.reading import Unreadable

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


def read_picture(path: Path) -> np.ndarray:
    """Read a picture as it is meant to be seen, turned by its EXIF entry and on white: (H, W, 3) uint8.

    Raises:
        Unreadable: it is no picture, is damaged or too large, or its greys have more than 8 bits.
        OSError: it cannot be read at all.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.mode[0] in "IF":
                raise Unreadable("has greys of more than 8 bits; save it as an ordinary picture")
            return np.asarray(_on_white(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        raise Unreadable(f"is no picture ({', '.join(_FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise Unreadable(f"is too large ({error})") from error
    except (SyntaxError, ValueError, EOFError) as error:
        raise Unreadable(f"is damaged ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Unreadable(f"is damaged ({error})") from error


def covering(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a picture (H, W, 3) uint8 so that it just covers a size, and cut that from the middle."""
    if pixels.shape[:2] == (height, width):
        return pixels
    fitted = ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(fitted)


def to_png(pixels: np.ndarray) -> bytes:
    """Return the PNG file of pixels (H, W, 3) uint8: equal pixels give equal bytes with one build of zlib."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def from_png(path: Path) -> np.ndarray:
    """Return the pixels (H, W, 3) uint8 of a file that `to_png` wrote."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.array(image.convert("RGB"))  # a copy: torch wants memory that can be written


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
