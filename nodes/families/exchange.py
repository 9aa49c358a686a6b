"""What passes between a model family and those who call it: batches, noise, predictions, and clips to draw.

Notation of shapes: B batch, F pixel frames, C latent channels, f h w latent sizes, S = f*h*w video tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch


class Draws(Protocol):
    """Counted randomness of one micro-step: every draw comes from (seed, step, position in the global batch, purpose).

    All return float32 on the CPU, with the batch as first dimension.
    """

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        """Draw standard normals of shape (B, *shape)."""

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Draw uniforms in [0, 1) of shape (B, *shape)."""


@dataclass
class Batch:
    """Samples of equal shape. `latents` (B, C, f, h, w) float32, normalised; `embeddings` by name, each (B, ...).

    All of it lies where the transformer computes. `frames`, `height`, `width` are those of the pixels; `fps` is the
    clips' own rate. `image` holds what `encode_image` gave of the first frames, each (B, ...): all rows of a batch are
    conditioned on an image, or none is and it is empty. `audio` holds latents of the sound (B, L, C) float32,
    normalised: all rows have sound, or none has and it is None.
    """

    latents: torch.Tensor
    embeddings: Mapping[str, torch.Tensor]
    frames: int
    height: int
    width: int
    fps: float
    image: Mapping[str, torch.Tensor] = field(default_factory=dict)
    audio: torch.Tensor | None = None


@dataclass
class Prediction:
    """What the transformer said and should have said, float32 (B, S, C), and the weight of each token (B, S, 1).

    The loss of a sample is mean(error * weight) / mean(weight). `audio` says the same of the sound (B, L, C) where the
    batch has some.
    """

    prediction: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    audio: Prediction | None = None


@dataclass(frozen=True)
class FlowOptions:
    """How training noise is drawn; None takes the family's own.

    `distribution`: `family`, `logit_normal`, `uniform`. `shift`: static k in s <- k*s / (1 + (k-1)*s), in place of the
    family's own; the two plain ones have 1. `first_frame_probability`: how often latent frame 0 stays clean, as in
    image to video.
    """

    distribution: str = "family"
    shift: float | None = None
    first_frame_probability: float | None = None


@dataclass(frozen=True)
class Sound:
    """Sound as samples (channels, N) float32 in [-1, 1], at `rate` samples per second."""

    samples: np.ndarray
    rate: int


@dataclass(frozen=True)
class Drawn:
    """A drawn clip: frames (F, H, W, 3) uint8, and its sound where the family draws some and it is wanted."""

    frames: np.ndarray
    sound: Sound | None = None


@dataclass(frozen=True)
class SamplingRequest:
    """One clip to draw: sizes in pixels, `embeddings` as `encode_text` gave them (without batch dimension).

    `options` are some of the family's `sampling_options`. `image` (H, W, 3) uint8, of that size, is the first frame of
    image to video; `image_encoder` is then what `load` returned of that part, where the family has one. `sound` asks
    `draw_clip` for the clip's sound. `on_step` is called after each step with how many are done and how many there are;
    an exception that it raises ends the drawing. `on_pipeline` is called with the pipeline before it draws.
    """

    embeddings: Mapping[str, torch.Tensor]
    negative: Mapping[str, torch.Tensor] | None
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    options: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    image: np.ndarray | None = None
    image_encoder: Any = None
    sound: bool = False
    on_step: Callable[[int, int], None] | None = None
    on_pipeline: Callable[[Any], None] | None = None
