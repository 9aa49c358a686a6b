"""Drawing the clips of a sampler with live models, and writing them as H.264 with their sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.data.decode import write_video
from vflow.nodes.data.pictures import from_png
from vflow.nodes.encoding.tensors import read
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.values import Video, Videos

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.values import Learned, Sampling, Transformer


@dataclass(frozen=True)
class Clip:
    """One drawn clip: a file in a scratch folder."""

    row: str
    prompt: str
    file: Path


def validate(
    context: Context, transformer: Transformer, sampler: Sampling, adapters: Items[Learned]
) -> Iterator[Videos]:
    """Yield the clips of each adapter; the base is loaded once, and bit-equal again between two adapters.

    Whole weights are loaded in place of the base, and let go of before the next.

    Raises:
        GraphError: one is of another family.
        Failure: one does not fit the transformer.
    """
    recipes = [(adapter.onto(transformer), adapter.step) for adapter in adapters]
    yield from draw(context, transformer, sampler, recipes)


def draw(
    context: Context, transformer: Transformer, sampler: Sampling, recipes: Sequence[tuple[Transformer, int | None]]
) -> Iterator[Videos]:
    """Yield the clips of each recipe, which comes with the step that it was trained to; None: it was not.

    Of the models that are loaded for it, only the transformer's own base stays loaded.

    Raises:
        Failure: one cannot be loaded.
    """
    done, total = 0, len(recipes) * len(sampler.prompts)

    def stop_if_asked(_step: int, _steps: int) -> None:
        if context.stopping:
            context.interrupted()

    with context.load(sampler.vae) as vae, seeing(context, sampler) as encoder, context.scratch() as folder:
        for recipe, step in recipes:
            videos = []
            with context.load(recipe, keep=recipe.base == transformer.base) as live:
                for clip in clips(context, live, vae, sampler, folder, stop_if_asked, encoder):
                    blob = context.put(clip.file, ".mp4")
                    videos.append(Video(blob=blob, prompt=clip.prompt, row=clip.row, seed=sampler.seed, step=step))
                    done += 1
                    context.progress(done, total, "clip")
            yield Videos(videos=tuple(videos), step=step)


def clips(
    context: Context,
    transformer: Any,
    vae: Any,
    sampler: Sampling,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
    image_encoder: Any = None,
) -> Iterator[Clip]:
    """Draw every prompt of the sampler, each from the same seed, and yield the files as they are written.

    `transformer`, `vae` and, where the sampler has one, `image_encoder` are what `context.load` lent. `on_step` is
    called after each denoising step.
    """
    family = sampler.vae.family
    for number, (row, embedding) in enumerate(sampler.prompts):
        drawn = family.draw_clip(transformer, vae, request_of(sampler, row, context, on_step, image_encoder))
        file = folder / f"{number:04d}.mp4"
        write_video(file, drawn.frames, sampler.fps, sound=drawn.sound)
        yield Clip(row, embedding.caption, file)


def seeing(context: Context, sampler: Sampling, keep: bool = True) -> AbstractContextManager[Any]:
    """Lend the sampler's image encoder; None where it has none."""
    encoder = sampler.image_encoder
    return nullcontext() if encoder is None else context.load(encoder, keep=keep)


def request_of(
    sampler: Sampling,
    row: str,
    context: Context,
    on_step: Callable[[int, int], None] | None = None,
    image_encoder: Any = None,
) -> SamplingRequest:
    """Return what a family is asked to draw for the prompt of a row."""
    negative, image = sampler.negative, sampler.image_of(row)
    embedding = dict(sampler.prompts)[row]
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
        sound=sampler.sound,
        options=sampler.options,
        image=from_png(context.blob_path(image.blob)) if image is not None else None,
        image_encoder=image_encoder,
        on_step=on_step,
    )
