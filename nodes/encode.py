"""Encoders: captions to what the transformer reads, clip windows to normalised latents. One record per item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, placement
from vflow.engine.values import Item, Items
from vflow.nodes.values import EMPTY_ROW, VAE, Caption, Embedding, Latent, TextEncoder, Window


class EncodeText(Node):
    """Encode every caption to what the transformer reads of it.

    The empty caption is always encoded as well, under the row `empty`: caption dropout puts it in a caption's place,
    and it is the negative prompt where none is given.
    """

    dtype: Literal["encoder", "float32", "bfloat16"] = Field(
        "encoder",
        description="How floating-point results are kept; `encoder`: as the encoder computed them.",
    )
    batch_size: int = placement(
        1, exact=False, ge=1, description="Captions encoded at once; more than 1 changes the last bits."
    )

    def run(self, context: Context, text_encoder: TextEncoder, captions: Items[Caption]) -> Iterator[Embedding]:
        """Yield one embedding per caption."""
        from vflow.nodes.encoding import text

        yield from text.encode(self, context, text_encoder, captions)

    def also(self, items: Items[Any]) -> Items[Any]:
        """Return the empty caption."""
        return Items([Item(EMPTY_ROW, Caption(text=""))])


class EncodeVideo(Node):
    """Encode every clip window to normalised VAE latents.

    Clips are decoded in threads beside the encoder, never more than `decode_workers` + 1 windows ahead.
    """

    posterior: Literal["sample", "mode"] = Field(
        "sample",
        description="Draw from the VAE's posterior, with noise that depends on the window alone, or take its mode.",
    )
    tiling: bool = Field(
        False, description="Encode in overlapping tiles: less memory, slightly other latents where clips are large."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="How latents are kept.")
    batch_size: int = placement(
        1, exact=False, ge=1, description="Windows of equal size encoded at once; more than 1 changes the last bits."
    )
    decode_workers: int = placement(
        2, exact=True, ge=0, le=64, description="Threads that decode ahead; 0 decodes between two encodings."
    )

    def run(self, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[Latent]:
        """Yield the latents of one window after the other.

        Raises:
            Failure: a clip cannot be decoded, or encodes to values that are not finite; names the clip.
        """
        from vflow.nodes.encoding import video

        yield from video.encode(self, context, vae, clips)
