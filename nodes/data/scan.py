"""The whole scan: a folder in, training samples out, with everything that is wrong told at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.keys import digest
from vflow.engine.problems import GraphError, Problem
from vflow.engine.values import Item, Items
from vflow.nodes.data import advice
from vflow.nodes.data.buckets import Size
from vflow.nodes.data.clips import read_clips
from vflow.nodes.data.cut import Cutter, LeaveOut, Sample
from vflow.nodes.data.rules import Measures
from vflow.nodes.data.samples import folder_of
from vflow.nodes.values import VAE, Caption, Window

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.data.bucket_videos import BucketVideos


def read_samples(node: BucketVideos, context: Context, vae: VAE) -> tuple[list[Sample], list[Sample]]:
    """Scan the folder and return the samples to train on and those held out, each ordered by row.

    Raises:
        GraphError: settings break the family's rules, the folder or its captions are not as they must be, or nothing
            is left to train on. Carries every problem that was found.
    """
    left_out: list[tuple[str, str]] = []

    def leave_out(name: str, reason: str) -> None:
        left_out.append((name, reason))
        context.leave_out(name, reason)

    measures = Measures.of(node, vae)
    problems = measures.problems()
    folder = _folder(node, context, problems)
    clips, found = read_clips(node, context, folder, leave_out) if folder else ([], [])
    problems += found
    if problems:
        raise GraphError(problems)
    cutter = Cutter(node, measures, leave_out)
    samples = sorted(_unique(cutter.samples(clips), leave_out), key=lambda sample: sample.row)
    if not samples:
        raise GraphError(cutter.too_short() or _nothing_left(left_out))
    held = {clip.digest for clip in clips if is_held_out(clip.digest, node.hold_out)}
    held_out = [sample for sample in samples if sample.clip.digest in held]
    kept = [sample for sample in samples if sample.clip.digest not in held]
    if not kept:
        raise GraphError(Problem("every clip is held out, none is left to train on", "lower hold_out", "hold_out"))
    for warning in [*cutter.warnings(), *_hold_out_warning(node.hold_out, held_out), *_of_captions(samples, vae)]:
        context.log(warning, "warning")
    context.report(facts(cutter.fps, kept, held_out))
    return kept, held_out


def is_held_out(clip: str, share: float) -> bool:
    """Tell whether a clip is held out: by a hash of its content alone, so that other clips change nothing."""
    return int(digest(["hold out", clip])[:13], 16) < share * 16**13


def facts(fps: Fraction, kept: Sequence[Sample], held_out: Sequence[Sample]) -> dict[str, Any]:
    """Return what a plan shows of the samples: sizes as they really are, per bucket."""
    found: dict[tuple[Size, int], list[Sample]] = {}
    for sample in (*kept, *held_out):
        found.setdefault((sample.fit.size, sample.window.frames), []).append(sample)
    held = {sample.row for sample in held_out}
    return {
        "clips": len({sample.clip.digest for sample in (*kept, *held_out)}),
        "windows": len(kept) + len(held_out),
        "held_out": len(held_out),
        "fps": float(fps),
        "windows_with_sound": sum(sample.clip.footage.sound for sample in (*kept, *held_out)),
        "buckets": [
            {
                "size": f"{width}x{height}",
                "frames": frames,
                "windows": len(samples),
                "held_out": sum(sample.row in held for sample in samples),
                "crop": round(sum(sample.fit.crop for sample in samples) / len(samples), 4),
                "crop_most": round(max(sample.fit.crop for sample in samples), 4),
                "upscaled": sum(sample.fit.upscaled for sample in samples),
            }
            for ((width, height), frames), samples in sorted(found.items())
        ],
    }


def as_items(samples: Sequence[Sample], context: Context) -> tuple[Items[Window], Items[Caption]]:
    """Return windows and captions under the same rows; tell where the clips lie and what to call them."""
    for sample in samples:
        context.locate(sample.clip.digest, sample.clip.path)
        context.label(sample.clip.digest, sample.clip.name)
        context.label(sample.window.identity, sample.label)
        context.label(sample.row, sample.label)
    return (
        Items(Item(sample.row, sample.window) for sample in samples),
        Items(Item(sample.row, sample.caption) for sample in samples),
    )


def _folder(node: BucketVideos, context: Context, problems: list[Problem]) -> Path | None:
    try:
        return folder_of(node.source, context)
    except GraphError as error:
        problems += error.problems
        return None


def _unique(samples: Iterable[Sample], leave_out: LeaveOut) -> Iterator[Sample]:
    seen: dict[str, Sample] = {}
    for sample in samples:
        first = seen.setdefault(sample.row, sample)
        if first is sample:
            yield sample
        else:
            leave_out(sample.label, f"has the same frames and caption as {first.label}")


def _nothing_left(left_out: Sequence[tuple[str, str]]) -> Problem:
    shown = "; ".join(f"{name} {reason}" for name, reason in left_out[:3])
    return Problem(f"no clip is left, {len(left_out)} were left out: {shown}", "see the reasons", "source")


def _of_captions(samples: Sequence[Sample], vae: VAE) -> Iterator[str]:
    captions = list({sample.clip.name: (sample.clip.name, sample.clip.caption) for sample in samples}.values())
    said = [(name, caption) for name, caption in captions if caption]
    yield from advice.still(said)
    yield from advice.short(said, vae.family.least_prompt_words, vae.family.title, "captions")


def _hold_out_warning(share: float, held_out: Sequence[Sample]) -> Iterator[str]:
    if share and not held_out:
        yield f"hold_out: {share:g} holds out none of these clips; raise it, or add clips"
