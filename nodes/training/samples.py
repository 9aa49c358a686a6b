"""Which samples there are, and in which order they are trained on. Light: rows and values only, no tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.engine.values import Items
from vflow.nodes.values import EMPTY_ROW, Embedding, Latent

_NAMED = 5  # so many samples are named in a message, the others are counted

Shape = tuple[int, int, int, float]


@dataclass(frozen=True)
class Sample:
    """One training sample: a window's latents and its caption's embedding, joined by row."""

    row: str
    latent: Latent
    embedding: Embedding

    @property
    def shape(self) -> Shape:
        """Frames, height and width in pixels, and frames per second: what must be equal within a batch."""
        return self.latent.frames, self.latent.height, self.latent.width, self.latent.fps


def join(latents: Items[Latent], captions: Items[Embedding], context: Context) -> tuple[Sample, ...]:
    """Join latents and embeddings by row, ordered by row; the row of the empty caption stands alone.

    Raises:
        Failure: a row has latents but no embedding or the other way round (names them), or there is no sample.
    """
    clips, texts = latents.by_row(), captions.by_row()
    texts.pop(EMPTY_ROW, None)
    for missing, what in ((clips.keys() - texts.keys(), "caption"), (texts.keys() - clips.keys(), "clip")):
        if missing:
            names = named(sorted(missing), context)
            raise Failure(f"samples without an encoded {what}: {names}", "link clips and captions of the same node")
    if not clips:
        raise Failure("there is no sample to train on", "look at what the node of the clips left out, and why")
    return tuple(Sample(row, clips[row], texts[row]) for row in sorted(clips))


def named(rows: Sequence[str], context: Context) -> str:
    """Return the names of some rows for people, the first few of them."""
    names = ", ".join(context.label_of(row) for row in rows[:_NAMED])
    return f"{names} and {len(rows) - _NAMED} more" if len(rows) > _NAMED else names


@dataclass(frozen=True)
class Planned:
    """The samples of one micro-step, by their index, and the micro-step's number counted from 0."""

    micro_step: int
    indices: tuple[int, ...]


class Order:
    """The sequence of micro-batches: it depends on seed, rows, shapes and batch size, and on nothing that happened.

    An epoch goes once through all samples. Within each bucket of equal shape they are shuffled and cut into batches; a
    last batch that is short is filled from the beginning of the bucket's order, so that some samples come twice in that
    epoch; then the batches of all buckets are shuffled. Shuffling sorts by a hash of (seed, epoch, row).
    """

    def __init__(self, samples: Sequence[Sample], batch_size: int, seed: int) -> None:
        self._rows = [sample.row for sample in samples]
        self._size, self._seed = batch_size, seed
        buckets: dict[Shape, list[int]] = {}
        for index, sample in enumerate(samples):
            buckets.setdefault(sample.shape, []).append(index)
        self.buckets = {shape: tuple(buckets[shape]) for shape in sorted(buckets)}
        self.batches_per_epoch = sum(-(-len(indices) // batch_size) for indices in self.buckets.values())
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def at(self, micro_step: int) -> Planned:
        """Return the batch of a micro-step, counted from 0."""
        epoch, index = divmod(micro_step, self.batches_per_epoch)
        return Planned(micro_step, self._epoch(epoch)[index])

    def between(self, first: int, end: int) -> Iterator[Planned]:
        """Yield the batches of the micro-steps from `first` up to `end`, which is not one of them."""
        return map(self.at, range(first, end))

    def _make_epoch(self, epoch: int) -> tuple[tuple[int, ...], ...]:
        batches: list[tuple[bytes, tuple[int, ...]]] = []
        for shape, indices in self.buckets.items():
            order = sorted(indices, key=lambda index: self._rank(epoch, "sample", self._rows[index]))
            for number, start in enumerate(range(0, len(order), self._size)):
                batch = tuple(order[place % len(order)] for place in range(start, start + self._size))
                batches.append((self._rank(epoch, "batch", f"{shape}/{number}"), batch))
        return tuple(batch for _, batch in sorted(batches))

    def _rank(self, epoch: int, what: str, name: str) -> bytes:
        return hashlib.blake2b(f"{self._seed}/{epoch}/{what}/{name}".encode(), digest_size=16).digest()
