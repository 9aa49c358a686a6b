"""Which samples there are, and in which order they are trained on. Light: rows and values only, no tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.engine.values import Items
from vflow.nodes.values import EMPTY_ROW, AudioLatent, Caption, Embedding, ImageEmbedding, Latent

_NAMED = 5  # so many samples are named in a message, the others are counted

_SAME_CLIPS = "link EncodeAudio and EncodeVideo to the same clips"

Shape = tuple[int | float, ...]


@dataclass(frozen=True)
class Sample:
    """One training sample, joined by row: a window's latents, its caption's embedding, its first frame where given.

    `audio`: the latents of its sound; None: it is silent.
    """

    row: str
    latent: Latent
    embedding: Embedding
    image: ImageEmbedding | None = None
    audio: AudioLatent | None = None

    @property
    def shape(self) -> Shape:
        """Frames, height and width in pixels, and frames per second: what must be equal within a batch.

        Sounding samples have a 1 behind them, so that no batch mixes them with silent ones.
        """
        picture = self.latent.frames, self.latent.height, self.latent.width, self.latent.fps
        return picture if self.audio is None else (*picture, 1)


def join(
    latents: Items[Latent],
    captions: Items[Embedding],
    context: Context,
    images: Items[ImageEmbedding] | None = None,
    audio: Items[AudioLatent] | None = None,
) -> tuple[Sample, ...]:
    """Join what belongs to a clip by row, ordered by row; the row of the empty caption stands alone.

    Raises:
        Failure: a row has latents but no embedding, first frame or sound, or the other way round (names them), a first
            frame is of another size, or there is no sample.
    """
    clips, texts = latents.by_row(), captions.by_row()
    texts.pop(EMPTY_ROW, None)
    for missing, what in ((clips.keys() - texts.keys(), "caption"), (texts.keys() - clips.keys(), "clip")):
        if missing:
            names = named(sorted(missing), context)
            raise Failure(f"samples without an encoded {what}: {names}", "link clips and captions of the same node")
    if not clips:
        raise Failure("there is no sample to train on", "look at what the node of the clips left out, and why")
    stills = _stills(images, clips, context)
    sounds = _sounds(audio, clips, context)
    return tuple(Sample(row, clips[row], texts[row], stills.get(row), sounds.get(row)) for row in sorted(clips))


def _sounds(audio: Items[AudioLatent] | None, clips: Mapping[str, Latent], context: Context) -> dict[str, AudioLatent]:
    """Return the sound of every clip that has some, by its row; none where no sound is given."""
    if audio is None:
        return {}
    sounds = audio.by_row()
    if missing := clips.keys() ^ sounds.keys():
        names = named(sorted(missing), context)
        raise Failure(f"clips whose sound was not encoded, or sound without a clip: {names}", _SAME_CLIPS)
    return {row: sound for row, sound in sounds.items() if not sound.silent}


def _stills(
    images: Items[ImageEmbedding] | None, clips: Mapping[str, Latent], context: Context
) -> dict[str, ImageEmbedding]:
    """Return the first frame of every clip by its row; none where no images are given."""
    if images is None:
        return {}
    stills = images.by_row()
    if missing := clips.keys() - stills.keys():
        names = named(sorted(missing), context)
        raise Failure(f"clips without an encoded first frame: {names}", "link EncodeImage of Images of the same clips")
    other = [row for row, clip in clips.items() if (clip.width, clip.height) != (stills[row].width, stills[row].height)]
    if other:
        clip, still = clips[other[0]], stills[other[0]]
        raise Failure(
            f"first frames of another size than their clips: {named(sorted(other), context)} "
            f"({still.width}x{still.height}, not {clip.width}x{clip.height})",
            "leave `resolution` of their Images empty",
        )
    return stills


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


def largest(known: Mapping[str, Items[Any]], count: int) -> tuple[str, ...]:
    """Return the rows of at most `count` samples of the largest size, those with the longest captions first.

    `known` are lists at the ports of a training, or what they are computed from: windows and texts instead of latents
    and embeddings.
    """
    clips = known["latents"].by_row() if "latents" in known else {}
    texts = known["captions"].by_row() if "captions" in known else {}

    def size(clip: Any) -> tuple[int, int, int]:
        return clip.frames * clip.height * clip.width, clip.height, clip.width

    most = max((size(clip) for clip in clips.values()), default=None)
    rows = [row for row, clip in clips.items() if size(clip) == most and (not texts or row in texts)]
    return tuple(sorted(rows, key=lambda row: (-len(_text(texts.get(row))), row))[:count])


def _text(caption: Any) -> str:
    return caption.text if isinstance(caption, Caption) else getattr(caption, "caption", "")
