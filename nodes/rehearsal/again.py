"""Encodings that are held against the pipeline elsewhere, or only by their sound: done again, measured and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.rehearsal import Check, Cost, failed, passed, skipped
from vflow.engine.values import Artifact, Items
from vflow.nodes.encoding import audio, images
from vflow.nodes.families.parity import difference
from vflow.nodes.models.live import device_of
from vflow.nodes.rehearsal.checking import guarded, listed, measured
from vflow.nodes.values import VAE, AudioLatent, Image, ImageEmbedding, ImageEncoder, Window

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.encode import EncodeAudio, EncodeImage
    from vflow.nodes.families.base import Family
    from vflow.nodes.families.parity import Parity
    from vflow.nodes.values import Model


def of_images(
    node: EncodeImage,
    context: RehearsalContext,
    output: Items[ImageEmbedding],
    vae: VAE,
    stills: Items[Image],
    image_encoder: ImageEncoder | None,
) -> Iterator[Check]:
    """Encode one still again; that it is the pipeline's encoding shows in the transformer's input."""
    once = images.encode(node, context, vae, image_encoder, _first(stills))
    yield from guarded("encoding", context, _again(vae, output, once, "a still"))


def of_sound(
    node: EncodeAudio, context: RehearsalContext, output: Items[AudioLatent], vae: VAE, clips: Items[Window]
) -> Iterator[Check]:
    """Encode the sound of one window again, and undo its normalisation in the pipeline's way."""
    sounding = [(row, window) for row, window in clips.items() if not output.by_row()[row].silent]
    rows = Items.of(dict(sounding[:1] or list(clips.items())[:1]))
    kept = Items.of({row: output.by_row()[row] for row in rows.rows})
    yield from guarded("encoding", context, _again(vae, kept, audio.encode(node, context, vae, rows), "a sound"))
    parity = vae.family.parity()
    if not sounding:
        yield skipped("sound latents", "the clips of the largest size that were looked at are silent")
    elif parity is None:
        yield skipped("sound latents", f"{vae.family.title} does not say what they are compared with")
    else:
        yield from guarded("sound latents", context, _sound(context, vae, parity, rows))


def _again(model: Model, output: Items[Any], results: Iterator[Artifact], what: str) -> Iterator[Check]:
    with measured(device_of(model)) as found:
        (result,) = list(results)
    size = max(kept.blob.size for kept in output)
    cost = Cost(found.seconds, size, found.peaks)
    same = result.identity == output[0].identity
    if not same and device_of(model).type == "cpu":
        yield failed("encoding", f"{what} encoded again has other bits", "please report this")
        return
    bits = "the same bits" if same else "other bits, as this device rounds"
    yield passed("encoding", f"{found.seconds:.2g} s with loading for {what}; again, {bits}", cost)


def _sound(context: RehearsalContext, vae: VAE, parity: Parity, clips: Items[Window]) -> Iterator[Check]:
    with context.load(vae) as live:
        rate, channels = vae.family.sound_format(live)
        (job,) = audio.timed(clips, context)
        samples = audio.samples_of(*job, rate, channels)
        assert samples is not None
        yield compared(vae.family, parity, live, samples[None], job[0].frames / job[0].fps)


@torch.no_grad()
def compared(family: Family, parity: Parity, live: Any, samples: torch.Tensor, seconds: float) -> Check:
    """Compare normalised latents of sound (1, channels, N), made plain again, with what the encoder says."""
    ours = parity.raw_sound(live, family.encode_audio(live, samples, seconds))
    wrong = list(difference("sound", ours, parity.heard(live, samples, seconds), type_matters=False))
    if wrong:
        return failed("sound latents", listed(wrong), "the statistics of sound are not those that the pipeline undoes")
    return passed("sound latents", "the pipeline's decoding undoes their normalisation")


def _first(items: Items[Any]) -> Items[Any]:
    return Items.of(dict(list(items.items())[:1]))
