"""The training that is rehearsed, and one of its samples with everything that its pipeline needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vflow.nodes.encoding.tensors import read
from vflow.nodes.encoding.video import as_pixels
from vflow.nodes.families.exchange import Batch
from vflow.nodes.families.parity import Parity, Watched, request_for, watch
from vflow.nodes.models.live import device_of
from vflow.nodes.models.trained import without_trained
from vflow.nodes.training import loop
from vflow.nodes.training.records import Records, moved
from vflow.nodes.training.samples import Sample, join
from vflow.nodes.validation.drawing import seeing

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.training.train_loop import TrainLoop

#: what to do about a difference that no user can have made
REPORT = "training would teach what inference does not ask for: do not train, and please report this"


@dataclass
class Subject:
    """A training with a few samples. `recipe` is its transformer with nothing on it that trains."""

    node: TrainLoop
    context: RehearsalContext
    inputs: loop.Inputs

    def __post_init__(self) -> None:
        self.family = self.inputs.transformer.family
        self.parity: Parity | None = self.family.parity()
        self.recipe = without_trained(self.inputs.transformer)
        self.device = device_of(self.inputs.transformer)
        self.dtype: torch.dtype = getattr(torch, self.recipe.dtype)

    @cached_property
    def sample(self) -> Sample:
        """The sample that is looked at: one with sound, where there is one."""
        given = self.inputs
        samples = join(given.latents, given.captions, self.context, given.images, given.audio)
        return max(samples, key=lambda sample: sample.audio is not None)

    @property
    def size(self) -> str:
        """The sample's size in words."""
        latent = self.sample.latent
        return f"{latent.width}x{latent.height}, {latent.frames} frames"

    def not_comparable(self) -> str:
        """Say why the training cannot be held against its pipeline; empty: it can."""
        if self.parity is None:
            return f"{self.family.title} does not say how it is compared with its pipeline"
        return "" if self.inputs.sampler else "no sampler is linked, which brings the VAE that the pipeline needs"

    def watched(self, live: Any, before: Callable[[Any], None] | None = None) -> tuple[Batch, Watched]:
        """Return the sample as a batch, and the pipeline watched while it begins a clip of the sample's caption.

        `live` is the transformer as it was lent; `before` is called with the pipeline before it begins. Of a first
        frame, a training keeps the latent only: batch and pipeline both get another picture of equal size.
        """
        assert self.inputs.sampler is not None
        with ExitStack() as lent:
            vae = lent.enter_context(self.context.load(self.inputs.sampler.vae, keep=False))
            encoder = lent.enter_context(seeing(self.context, self.inputs.sampler, keep=False))
            batch = moved(Records(self.context, self.family, [self.sample], None).batch([0], [False]), self.device)
            more: dict[str, Any] = {}
            if batch.image:
                still = _still(batch.width, batch.height)
                (image,) = self.family.encode_image(vae, encoder, as_pixels(still[None])[None, :, 0].to(self.device))
                batch = replace(batch, image={name: tensor[None].to(self.device) for name, tensor in image.items()})
                more = {"image": still, "image_encoder": encoder}
            row = read(self.context.blob_path(self.sample.embedding.blob))
            request = request_for(self.family, batch, row, **more)
            return batch, watch(self.family, live, vae, batch, request, before)


def in_words(seconds: float) -> str:
    """Return a short time in words."""
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _still(width: int, height: int) -> np.ndarray:
    """Return a picture of smooth colours, (H, W, 3) uint8: a first frame that is as good as any."""
    down, right = np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)[None]
    channels = (down + 0 * right, right + 0 * down, (down + right) / 2)
    return np.stack(channels, axis=-1).round().astype(np.uint8)
