"""Clips: normalised latents against what the pipeline's decoding makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.rehearsal import Check, Cost, failed, passed, skipped
from vflow.engine.values import Items
from vflow.nodes.data.located import located
from vflow.nodes.encoding.video import pixels_of, tiled
from vflow.nodes.families.loading import device_of as device_of_module
from vflow.nodes.families.parity import difference
from vflow.nodes.models.live import device_of
from vflow.nodes.rehearsal.checking import guarded, listed, measured
from vflow.nodes.values import VAE, Latent, Window

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.encode import EncodeVideo


def checks(
    node: EncodeVideo, context: RehearsalContext, output: Items[Latent], vae: VAE, clips: Items[Window]
) -> Iterator[Check]:
    """Encode one window, measured, and undo its normalisation in the pipeline's way."""
    with context.load(vae) as live, tiled(live, node.tiling):
        yield from guarded("latents", context, _latents(context, output, vae, live, clips))


@torch.no_grad()
def _latents(
    context: RehearsalContext, output: Items[Latent], vae: VAE, live: Any, clips: Items[Window]
) -> Iterator[Check]:
    (window, path, name) = next(iter(located(clips[:1], context)))
    pixels = pixels_of(window, path, name)[None]
    with measured(device_of(vae)) as found:
        ours = vae.family.encode_video(live, pixels, "mode", None).cpu()
    cost = Cost(found.seconds, max(latent.blob.size for latent in output), found.peaks)
    size = f"{window.width}x{window.height}, {window.frames} frames"
    measured_words = f"{found.seconds:.2g} s for a window of {size}"
    parity = vae.family.parity()
    if parity is None:
        yield passed("encoding", measured_words, cost)
        yield skipped("latents", f"{vae.family.title} does not say what they are compared with")
        return
    network = live.modules()["vae"]
    raw = network.encode(pixels.to(device_of_module(network), network.dtype)).latent_dist.mode()
    wrong = list(difference("latents", parity.raw_latents(live, ours), raw.cpu(), type_matters=False))
    if not torch.isfinite(ours).all():
        wrong.append("latents are not finite")
    yield passed("encoding", f"{measured_words}; spread {float(ours.std()):.2f} around {float(ours.mean()):.2f}", cost)
    if wrong:
        yield failed("latents", listed(wrong), "the VAE's statistics are not those that the pipeline undoes")
    else:
        yield passed("latents", "the pipeline's decoding undoes their normalisation")
