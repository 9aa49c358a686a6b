"""What building a miniature needs in every family."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch


def drawn_clips(frames: int = 17) -> Iterator[torch.Tensor]:
    """Yield clips (1, 3, frames, 64, 96) in [-1, 1]: a bright rectangle of each colour crosses a dark ground."""
    stride = 64 // (frames - 1)  # pixels a frame
    for number, colour in enumerate(itertools.product((-0.8, 0.9), repeat=3)):
        clip = torch.full((1, 3, frames, 64, 96), -0.7)
        for frame in range(frames):
            left, top = (frame * stride, 8 + 3 * number) if number % 2 else (10 * number, frame * stride // 2)
            clip[0, :, frame, top : top + 20, left : left + 20] = torch.tensor(colour)[:, None, None]
        yield clip
