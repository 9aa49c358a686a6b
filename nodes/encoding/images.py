"""Stills through a VAE, and the family's vision encoder where it has one; one record each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from vflow.engine.problems import Failure
from vflow.nodes.data.pictures import from_png
from vflow.nodes.encoding.tensors import to_bytes
from vflow.nodes.encoding.video import as_pixels
from vflow.nodes.values import ImageEmbedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vflow.engine.context import Context
    from vflow.engine.values import Items
    from vflow.nodes.encode import EncodeImage
    from vflow.nodes.values import VAE, Image, ImageEncoder


def encode(
    node: EncodeImage, context: Context, vae: VAE, image_encoder: ImageEncoder | None, images: Items[Image]
) -> Iterator[ImageEmbedding]:
    """Yield what the transformer needs of each still, in order.

    Raises:
        Failure: the family has no image to video, or a still encodes to values that are not finite.
    """
    family, done = vae.family, 0
    seeing = context.load(image_encoder) if image_encoder else nullcontext()
    with context.load(vae) as live, seeing as encoder:
        for batch in _of_equal_size(images, node.batch_size):
            if context.stopping:
                context.interrupted()
            pixels = torch.cat([as_pixels(from_png(context.blob_path(image.blob))[None])[None] for image in batch])
            with torch.no_grad():
                encoded = family.encode_image(live, encoder, pixels[:, :, 0])
            for image, tensors in zip(batch, encoded, strict=True):
                kept = _kept(tensors, image, context)
                done += 1
                context.progress(done, len(images), "image")
                yield kept


def _kept(tensors: dict[str, torch.Tensor], image: Image, context: Context) -> ImageEmbedding:
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise Failure("an image encodes to values that are not finite", "load the VAE with dtype: float32")
    blob = context.put(to_bytes(tensors), ".safetensors")
    return ImageEmbedding(blob=blob, width=image.width, height=image.height)


def _of_equal_size(images: Items[Image], most: int) -> Iterator[Sequence[Image]]:
    """Group neighbours of equal size, at most `most` of them, keeping the order."""
    batch: list[Image] = []
    for image in images:
        if batch and (len(batch) == most or (image.width, image.height) != (batch[0].width, batch[0].height)):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch
