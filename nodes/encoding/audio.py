"""The sound of clip windows through an audio VAE, one record each, decoded in threads beside the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vflow.engine.problems import Failure, VflowError
from vflow.nodes.data.clips import footage_of
from vflow.nodes.data.located import REMEDY, located
from vflow.nodes.data.windows import exact_fps
from vflow.nodes.encoding.ahead import ahead
from vflow.nodes.encoding.tensors import kept_as, to_bytes
from vflow.nodes.values import AudioLatent

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeAudio
    from vflow.nodes.values import VAE, Window

#: a window, its clip's path and name, and when its first frame is shown, in seconds
Job = tuple["Window", Path, str, Fraction]


def encode(node: EncodeAudio, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[AudioLatent]:
    """Yield the latents of each window's sound, in order.

    Raises:
        Failure: the family has no sound, a clip's sound cannot be decoded, is missing where it must not, or encodes to
            values that are not finite.
    """
    family = vae.family
    with context.load(vae) as live:
        rate, channels = family.sound_format(live)
        jobs = timed(clips, context)
        heard = ahead(lambda job: (job, samples_of(*job, rate, channels)), jobs, node.decode_workers)
        for done, ((window, _, name, _), samples) in enumerate(heard, 1):
            if context.stopping:
                context.interrupted()
            latents = None
            if samples is not None:
                with torch.no_grad():
                    latents = family.encode_audio(live, samples[None], window.frames / window.fps)[0].cpu()
            kept = _kept(latents, window, name, node, context)
            context.progress(done, len(clips), "clip")
            yield kept


def samples_of(window: Window, path: Path, name: str, start: Fraction, rate: int, channels: int) -> torch.Tensor | None:
    """Decode a window's sound to (channels, samples) float32 in [-1, 1]; None where it has none.

    Raises:
        Failure: it cannot be decoded; `name` is what people call the clip.
    """
    from vflow.nodes.data import sound

    try:
        wave = sound.cut(path, start, window.frames / exact_fps(window.fps), rate, channels)
    except MemoryError:
        raise
    except VflowError as error:
        raise Failure(f"{name} {error}", REMEDY) from error
    except Exception as error:
        raise Failure(f"the sound of {name} cannot be decoded: {error}", REMEDY) from error
    return None if wave is None else torch.from_numpy(wave)


def timed(clips: Iterable[Window], context: Context) -> Iterator[Job]:
    """Yield each window with its clip's path and name, and when it begins."""
    for window, path, name in located(clips, context):
        try:
            footage = footage_of(context, window.clip, path)
        except VflowError as error:
            raise Failure(f"{name} {error}", REMEDY) from error
        yield window, path, name, footage.timeline.time_of(window.indices[0])


def _kept(latents: torch.Tensor | None, window: Window, name: str, node: EncodeAudio, context: Context) -> AudioLatent:
    """Keep the latents; windows without sound, or too short for any latent of it, are kept as silent."""
    silent = latents is None or not len(latents)
    if silent and node.silent == "error":
        raise Failure(
            f"{name} has no sound during its window", "give a clip with sound, or write silent: isolate for EncodeAudio"
        )
    if latents is not None and not torch.isfinite(latents).all():
        raise Failure(f"the sound of {name} encodes to latents that are not finite", REMEDY)
    tensors = {} if silent or latents is None else {"latents": kept_as(latents, node.dtype)}
    blob = context.put(to_bytes(tensors), ".safetensors")
    return AudioLatent(blob=blob, silent=silent, seconds=window.frames / window.fps)
