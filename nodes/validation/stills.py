"""Drawing the picture of a `Strip` (imports av, numpy and Pillow)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from vflow.engine.problems import Failure
from vflow.nodes.data import reading
from vflow.nodes.data.pictures import to_png
from vflow.nodes.values import Picture, Video, Videos

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.validation.strip import Strip

_GAP, _TEXT = 4, 16  #: pixels between stills, and of a line of text
_GROUND, _INK = (255, 255, 255), (40, 40, 40)


def picture(node: Strip, context: Context, drawings: Sequence[Videos]) -> Picture:
    """Put the clips of all drawings together, prompt by prompt.

    Raises:
        Failure: there is no clip, or one cannot be decoded.
    """
    by_prompt: dict[str, list[Video]] = {}
    for drawing in drawings:
        for video in drawing.videos:
            by_prompt.setdefault(video.row, []).append(video)
    if not by_prompt:
        raise Failure("there are no clips to take stills from", "link what Validate draws, with a prompt at least")
    blocks = [_block(node, context, videos) for videos in by_prompt.values()]
    return Picture(blob=context.put(to_png(_stacked(blocks)), ".png"))


def _block(node: Strip, context: Context, videos: Iterable[Video]) -> np.ndarray:
    """Return the prompt in words above a line of stills for each clip."""
    lines, prompt = [], ""
    for video in videos:
        prompt = prompt or video.prompt
        try:
            frames = _spread(context.blob_path(video.blob), node.stills)
        except reading.Unreadable as error:
            raise Failure(f"the clip of {video.prompt!r} {error}", "draw it again") from error
        lines.append(_beside([_scaled(frame, node.height) for frame in frames]))
    return np.concatenate([_words(prompt, max(line.shape[1] for line in lines)), _stacked(lines)], axis=0)


def _spread(path: Path, count: int) -> list[np.ndarray]:
    """Return so many frames of a clip, evenly spread from its first to its last; fewer of a shorter clip."""
    with reading.open_video(path) as (container, stream):
        frames = [frame.to_ndarray(format="rgb24") for frame in reading.frames_in_order(container, stream)]
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return [frames[index] for index in chosen]


def _scaled(frame: np.ndarray, height: int) -> np.ndarray:
    width = round(frame.shape[1] * height / frame.shape[0])
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def _words(text: str, width: int) -> np.ndarray:
    label = Image.new("RGB", (width, _TEXT), _GROUND)
    plain = text.encode("latin-1", "replace").decode("latin-1")  # what Pillow's own font has
    ImageDraw.Draw(label).text((0, 2), plain, fill=_INK)
    return np.asarray(label)


def _beside(stills: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((len(stills[0]), _GAP, 3), _GROUND, np.uint8)
    return np.concatenate([piece for still in stills for piece in (still, gap)][:-1], axis=1)


def _stacked(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Put pieces below each other, narrower ones filled up on the right."""
    width = max(piece.shape[1] for piece in pieces)
    filled = [
        np.stack(
            [
                np.pad(piece[..., part], ((0, _GAP), (0, width - piece.shape[1])), constant_values=_GROUND[part])
                for part in range(3)
            ],
            axis=-1,
        )
        for piece in pieces
    ]
    return np.concatenate(filled)
