"""Drawing the clips of a sampler with live models, and writing them as H.264."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.data.decode import write_video
from vflow.nodes.encoding.tensors import read
from vflow.nodes.families.base import SamplingRequest
from vflow.nodes.models.adapters import with_adapter
from vflow.nodes.values import Video, Videos

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.values import Adapter, Embedding, Sampling, Transformer


@dataclass(frozen=True)
class Clip:
    """One drawn clip: a file in a scratch folder."""

    row: str
    prompt: str
    file: Path


def validate(
    context: Context, transformer: Transformer, sampler: Sampling, adapters: Items[Adapter]
) -> Iterator[Videos]:
    """Yield the clips of each adapter; the base is loaded once, and bit-equal again between two adapters.

    Raises:
        GraphError: an adapter is of another family.
        Failure: it does not fit the transformer.
    """
    done, total = 0, len(adapters) * len(sampler.prompts)

    def stop_if_asked(_step: int, _steps: int) -> None:
        if context.stopping:
            context.interrupted()

    with context.load(sampler.vae) as vae, context.scratch() as folder:
        for adapter in adapters:
            videos = []
            with context.load(with_adapter(transformer, adapter)) as live:
                for clip in clips(context, live, vae, sampler, folder, stop_if_asked):
                    blob, step = context.put(clip.file, ".mp4"), adapter.step
                    videos.append(Video(blob=blob, prompt=clip.prompt, row=clip.row, seed=sampler.seed, step=step))
                    done += 1
                    context.progress(done, total, "clip")
            yield Videos(videos=tuple(videos), step=adapter.step)


def clips(
    context: Context,
    transformer: Any,
    vae: Any,
    sampler: Sampling,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[Clip]:
    """Draw every prompt of the sampler, each from the same seed, and yield the files as they are written.

    `transformer` and `vae` are what `context.load` lent. `on_step` is called after each denoising step.
    """
    family = sampler.vae.family
    for number, (row, embedding) in enumerate(sampler.prompts):
        frames = family.draw(transformer, vae, request_of(sampler, embedding, context, on_step))
        file = folder / f"{number:04d}.mp4"
        write_video(file, frames, sampler.fps)
        yield Clip(row, embedding.caption, file)


def request_of(
    sampler: Sampling, embedding: Embedding, context: Context, on_step: Callable[[int, int], None] | None = None
) -> SamplingRequest:
    """Return what a family is asked to draw for one prompt."""
    negative = sampler.negative
    return SamplingRequest(
        embeddings=read(context.blob_path(embedding.blob)),
        negative=read(context.blob_path(negative.blob)) if negative is not None else None,
        width=sampler.width,
        height=sampler.height,
        frames=sampler.frames,
        fps=sampler.fps,
        steps=sampler.steps,
        guidance=sampler.guidance,
        seed=sampler.seed,
        options=sampler.options,
        on_step=on_step,
    )
