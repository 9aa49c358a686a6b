"""Batches from records: latents and embeddings are read memory-mapped, never decoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.engine.values import Blob
from vflow.nodes.encoding.tensors import read
from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import Batch
from vflow.nodes.training.samples import Sample, named
from vflow.nodes.values import Embedding

_OPEN = 4096  # mapped files kept open; the system allows a process some 65,000 maps


class Records:
    """Reads the tensors of samples and puts them together. Draws nothing; any number of threads may use it."""

    def __init__(
        self, context: Context, family: Family, samples: Sequence[Sample], empty: Embedding | None, pin: bool = False
    ) -> None:
        self._context, self._samples, self._empty, self._pin = context, samples, empty, pin
        self._stack = family.stack_embeddings
        self._tensors = lru_cache(maxsize=_OPEN)(self._read)

    def batch(self, indices: Sequence[int], dropped: Sequence[bool]) -> Batch:
        """Return the samples with these indices; where `dropped`, with the empty caption's embedding.

        Raises:
            Failure: embeddings have different shapes.
        """
        samples = [self._samples[index] for index in indices]
        captions = [
            self._empty if drop and self._empty is not None else sample.embedding
            for sample, drop in zip(samples, dropped, strict=True)
        ]
        first = samples[0].latent
        latents = [self._tensors(sample.latent.blob)["latents"].float() for sample in samples]
        return Batch(
            latents=self._ready(torch.stack(latents)),
            embeddings=self._stacked([self._tensors(caption.blob) for caption in captions], samples),
            frames=first.frames,
            height=first.height,
            width=first.width,
            fps=first.fps,
            image=self._stacked_images(samples),
            audio=self._stacked_audio(samples),
        )

    def _stacked_images(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        stills = [self._tensors(sample.image.blob) for sample in samples if sample.image is not None]
        return {name: self._ready(torch.stack([still[name] for still in stills])) for name in (stills or [{}])[0]}

    def _stacked_audio(self, samples: Sequence[Sample]) -> torch.Tensor | None:
        blobs = [sample.audio.blob for sample in samples if sample.audio is not None]
        if not blobs:
            return None
        return self._ready(torch.stack([self._tensors(blob)["latents"].float() for blob in blobs]))

    def _stacked(self, rows: list[Mapping[str, torch.Tensor]], samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        try:
            return {name: self._ready(tensor) for name, tensor in self._stack(rows).items()}
        except (RuntimeError, KeyError) as error:
            names = named([sample.row for sample in samples], self._context)
            raise Failure(
                f"captions of one batch have embeddings of different shapes: {names}", "batch_size: 1"
            ) from error

    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.pin_memory() if self._pin else tensor

    def _read(self, blob: Blob) -> dict[str, torch.Tensor]:
        return read(self._context.blob_path(blob))


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on another device."""
    if device.type == "cpu":
        return batch

    def there(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    return replace(
        batch,
        latents=batch.latents.to(device, non_blocking=True),
        embeddings=there(batch.embeddings),
        image=there(batch.image),
        audio=batch.audio.to(device, non_blocking=True) if batch.audio is not None else None,
    )
