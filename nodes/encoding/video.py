"""Clip windows through a VAE, one record each, decoded in threads beside the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine import keys
from vflow.engine.problems import Failure, VflowError
from vflow.nodes.encoding.ahead import ahead
from vflow.nodes.encoding.tensors import kept_as, to_bytes
from vflow.nodes.values import Latent

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeVideo
    from vflow.nodes.values import VAE, Window

Job = tuple["Window", Path, str]
Decoded = tuple["Window", torch.Tensor]


def encode(node: EncodeVideo, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[Latent]:
    """Yield the latents of each window, in order.

    Raises:
        Failure: a clip cannot be decoded, or encodes to values that are not finite.
    """
    family, done = vae.family, 0
    decoded = ahead(lambda job: (job[0], pixels_of(*job)), _located(clips, context), node.decode_workers)
    with context.load(vae) as live, _tiled(live, node.tiling):
        for batch in _of_equal_size(decoded, node.batch_size):
            if context.stopping:
                context.interrupted()
            windows = [window for window, _ in batch]
            noise = [posterior_noise(window) for window in windows] if node.posterior == "sample" else None
            with torch.no_grad():
                pixels = torch.stack([pixels for _, pixels in batch])
                latents = family.encode_video(live, pixels, node.posterior, noise).cpu()
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
    from vflow.nodes.data.decode import decode

    try:
        frames = decode(path, window)
    except MemoryError:
        raise
    except VflowError as error:
        raise Failure(f"{name} {error}", _REMEDY) from error
    except Exception as error:
        raise Failure(f"{name} cannot be decoded: {error}", _REMEDY) from error
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float().div_(127.5).sub_(1)


def _located(windows: Iterable[Window], context: Context) -> Iterator[Job]:
    """Yield each window with its clip's path and name, as long as the clip is the one that was looked at.

    Raises:
        Failure: the clip is gone, or its content has changed since.
    """
    for window in windows:
        name = context.label_of(window.clip)
        try:
            path = context.path_of(window.clip)
            same = context.digest_of(path) == window.clip
        except KeyError:
            raise Failure(f"{name} was not found in this run", "run the whole graph, not this node alone") from None
        if not same:
            raise Failure(f"{name} has changed since the folder was read", "run again: it is then read anew")
        yield window, path, name


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
def _tiled(live: Any, tiling: bool) -> Iterator[None]:
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


_REMEDY = "repair it or take it out of the folder, then run again: what is encoded stays encoded"
