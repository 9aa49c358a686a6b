"""Which windows have sound, known before anything heavy starts. Light."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vflow.engine.context import Context
from vflow.engine.problems import Problem
from vflow.engine.values import Items
from vflow.nodes.data.clips import counted, known_footage, named
from vflow.nodes.values import VAE, Window

if TYPE_CHECKING:
    from vflow.nodes.encode import EncodeAudio


def problems(node: EncodeAudio, context: Context, vae: VAE | None, clips: Items[Window] | None) -> Iterator[Problem]:
    """Report how many windows have sound, and yield what is wrong with that; None stands for what is not known yet."""
    if vae is not None and not vae.family.sound:
        yield Problem(f"{vae.family.title} has no sound", "leave EncodeAudio out, and what is linked to it")
        return
    if clips is None or not len(clips):
        return
    silent = without_sound(clips, context)
    windows = sum(window.clip in silent for window in clips)
    context.report({"windows with sound": len(clips) - windows, "windows without": windows})
    if silent and node.silent == "error":
        names = named([context.label_of(clip) for clip in silent])
        remedy = "give clips with sound, or write silent: isolate, which trains their picture alone"
        yield Problem(f"{counted(silent)} no sound track: {names}", remedy, "silent")
    elif windows == len(clips):
        found = "none of the clips has a sound track"
        yield Problem(found, "leave EncodeAudio out", "inputs.clips", severity="warning")


def without_sound(clips: Iterable[Window], context: Context) -> tuple[str, ...]:
    """Return the clips, by digest, that have no sound track; those that nobody has looked at are not among them."""
    found = {clip: known_footage(context, clip) for clip in dict.fromkeys(window.clip for window in clips)}
    return tuple(clip for clip, footage in found.items() if footage is not None and not footage.sound)
