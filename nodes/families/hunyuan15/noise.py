"""The noise level of each training sample."""

from __future__ import annotations

import torch

from vflow.nodes.families.exchange import Batch, Draws, FlowOptions
from vflow.nodes.families.noise import logit_normal, plain

# the schedules with which the flavours are sampled: their native areas in pixels, and their shifts there
_AREAS = (640 * 640, 960 * 960)
_FROM_TEXT, _FROM_IMAGES = (5.0, 9.0), (5.0, 7.0)


def draw_sigmas(batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
    """Draw noise levels (B,) in (0, 1], float32.

    Raises:
        ValueError: the options name an unknown distribution.
    """
    if options.distribution == "family":
        own = shift_of(batch.height, batch.width, bool(batch.image))
        return logit_normal(draws, own if options.shift is None else options.shift)
    return plain(draws, options)


def shift_of(height: int, width: int, from_image: bool = False) -> float:
    """Return the shift with which clips of this size are sampled: 5 up to 480p, 9 from 720p on, a line between.

    From an image on it is 7 from 720p on. No recipe for training is published; this one trains where sampling spends
    its steps.
    """
    share = (height * width - _AREAS[0]) / (_AREAS[1] - _AREAS[0])
    low, high = _FROM_IMAGES if from_image else _FROM_TEXT
    return low + min(max(share, 0.0), 1.0) * (high - low)
