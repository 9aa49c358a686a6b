"""Clip windows through a VAE, one record each, decoded in threads beside the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine import keys
from vflow.engine.problems import Failure
from vflow.nodes.data.located import frames_of, located
from vflow.nodes.encoding.ahead import ahead
from vflow.nodes.encoding.tensors import kept_as, to_bytes
from vflow.nodes.values import Latent

if TYPE_CHECKING:
    import numpy as np

    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeVideo
    from vflow.nodes.values import VAE, Window

Decoded = tuple["Window", torch.Tensor]


def encode(node: EncodeVideo, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[Latent]:
    """Yield the latents of each window, in order.

    Raises:
        Failure: a clip cannot be decoded, or encodes to values that are not finite.
    """
    family, done = vae.family, 0
    posterior = node.posterior or family.posterior
    decoded = ahead(lambda job: (job[0], pixels_of(*job)), located(clips, context), node.decode_workers)
    with context.load(vae) as live, tiled(live, node.tiling):
        for batch in _of_equal_size(decoded, node.batch_size):
            if context.stopping:
                context.interrupted()
            windows = [window for window, _ in batch]
            noise = [posterior_noise(window) for window in windows] if posterior == "sample" else None
            with torch.no_grad():
                pixels = torch.stack([pixels for _, pixels in batch])
                latents = family.encode_video(live, pixels, posterior, noise).cpu()
            del pixels
            for window, latent in zip(windows, latents, strict=True):
                kept = _kept(latent, window, node, context)
                done += 1
                context.progress(done, len(clips), "clip")
                yield kept


def pixels_of(window: Window, path: Path, name: str) -> torch.Tensor:
    """Decode a window of the clip at `path` to (3, F, H, W) float32 in [-1, 1].

    Raises:
        Failure: the clip cannot be decoded; `name` is what people call it.
    """
    return as_pixels(frames_of(window, path, name))


def as_pixels(frames: np.ndarray) -> torch.Tensor:
    """Turn frames (F, H, W, 3) uint8 into (3, F, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float().div_(127.5).sub_(1)


def posterior_noise(window: Window) -> torch.Generator:
    """Return the generator of a window's posterior noise: it depends on what the window is, and on nothing else."""
    seed = keys.digest([window.identity, "posterior"])
    return torch.Generator().manual_seed(int(seed[:16], 16))


def _kept(latent: torch.Tensor, window: Window, node: EncodeVideo, context: Context) -> Latent:
    if not torch.isfinite(latent).all():
        name = context.label_of(window.clip)
        raise Failure(f"{name} encodes to latents that are not finite", "load the VAE with dtype: float32")
    blob = context.put(to_bytes({"latents": kept_as(latent, node.dtype)}), ".safetensors")
    return Latent(blob=blob, frames=window.frames, height=window.height, width=window.width, fps=window.fps)


def _of_equal_size(decoded: Iterable[Decoded], size: int) -> Iterator[Sequence[Decoded]]:
    """Group neighbours of equal shape, at most `size` of them, keeping the order."""
    batch: list[Decoded] = []
    for entry in decoded:
        if batch and (len(batch) == size or entry[1].shape != batch[0][1].shape):
            yield batch
            batch = []
        batch.append(entry)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def tiled(live: Any, tiling: bool) -> Iterator[None]:
    """Switch the VAE's tiling on while encoding, and off again: the base is lent to others afterwards."""
    if not tiling:
        yield
        return
    module = live.modules()["vae"]
    module.enable_tiling()
    try:
        yield
    finally:
        module.disable_tiling()
