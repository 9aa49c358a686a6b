"""Encoders: captions to what the transformer reads, clip windows to normalised latents. One record per item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, Unit, added, placement
from vflow.engine.problems import Problem
from vflow.engine.values import Item, Items
from vflow.nodes.models.first_frames import encoder_problems, is_given
from vflow.nodes.values import (
    EMPTY_ROW,
    VAE,
    AudioLatent,
    Caption,
    Embedding,
    Image,
    ImageEmbedding,
    ImageEncoder,
    Latent,
    TextEncoder,
    Window,
)

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.engine.rehearsal import Check


class EncodeText(Node):
    """Encode every caption to what the transformer reads of it.

    The empty caption is always encoded as well, under the row `empty`: caption dropout puts it in a caption's place,
    and it is the negative prompt where none is given.
    """

    dtype: Literal["encoder", "float32", "bfloat16"] = Field(
        "encoder",
        description="How floating-point results are kept; `encoder`: as the encoder computed them.",
    )
    max_tokens: Annotated[int | None, Unit("tokens")] = added(
        None, first=None, ge=1, description="Where a caption is cut; empty: the family's own number of tokens."
    )
    batch_size: int = placement(
        1, exact=False, ge=1, description="Captions encoded at once; more than 1 changes the last bits."
    )

    def run(self, context: Context, text_encoder: TextEncoder, captions: Items[Caption]) -> Iterator[Embedding]:
        """Yield one embedding per caption."""
        from vflow.nodes.encoding import text

        yield from text.encode(self, context, text_encoder, captions)

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield a number of tokens that the family does not take."""
        text_encoder: TextEncoder | None = inputs.get("text_encoder")
        if text_encoder is None or self.max_tokens is None:
            return
        takes = text_encoder.family.prompt_tokens
        if self.max_tokens > takes.most or self.max_tokens % takes.multiple:
            rule = f"multiples of {takes.multiple} " if takes.multiple > 1 else ""
            nearest = max(min(self.max_tokens, takes.most) // takes.multiple, 1) * takes.multiple
            told = f"{text_encoder.family.title} reads {rule}up to {takes.most} tokens, not {self.max_tokens}"
            yield Problem(told, f"use {nearest}", "max_tokens")

    def also(self, items: Items[Any]) -> Items[Any]:
        """Return the empty caption."""
        return Items([Item(EMPTY_ROW, Caption(text=""))])

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Hold embeddings against what the pipeline's `encode_prompt` gives."""
        from vflow.nodes.rehearsal import text

        yield from text.checks(self, context, output, inputs["text_encoder"], inputs["captions"])


class EncodeVideo(Node):
    """Encode every clip window to normalised VAE latents.

    Clips are decoded in threads beside the encoder, never more than `decode_workers` + 1 windows ahead.
    """

    posterior: Literal["sample", "mode"] | None = Field(
        None,
        description="Draw from the VAE's posterior, with noise that depends on the window alone, or take its mode; "
        "empty: the family's own.",
    )
    tiling: bool = Field(
        False, description="Encode in overlapping tiles: less memory, slightly other latents where clips are large."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="How latents are kept.")
    batch_size: int = placement(
        1, exact=False, ge=1, description="Windows of equal size encoded at once; more than 1 changes the last bits."
    )
    decode_workers: Annotated[int, Unit("threads")] = placement(
        2, exact=True, ge=0, le=64, description="Threads that decode ahead; 0 decodes between two encodings."
    )

    def run(self, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[Latent]:
        """Yield the latents of one window after the other.

        Raises:
            Failure: a clip cannot be decoded, or encodes to values that are not finite; names the clip.
        """
        from vflow.nodes.encoding import video

        yield from video.encode(self, context, vae, clips)

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Hold the latents of one window against what the pipeline decodes."""
        from vflow.nodes.rehearsal import video

        yield from video.checks(self, context, output, inputs["vae"], inputs["clips"])


class EncodeImage(Node):
    """Encode stills to what image to video reads of a first frame: its normalised latent, and features where needed.

    A training joins them with its clips by row, so that stills of the same clips belong here (`Images`).
    """

    batch_size: int = placement(
        1, exact=False, ge=1, description="Stills of equal size encoded at once; more than 1 changes the last bits."
    )

    def run(
        self, context: Context, vae: VAE, images: Items[Image], image_encoder: ImageEncoder | None = None
    ) -> Iterator[ImageEmbedding]:
        """Yield what the transformer needs of one still after the other.

        Raises:
            Failure: a still encodes to values that are not finite.
        """
        from vflow.nodes.encoding import images as heavy

        yield from heavy.encode(self, context, vae, image_encoder, images)

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Encode one still again."""
        from vflow.nodes.rehearsal import again

        given = inputs["vae"], inputs["images"], inputs["image_encoder"]
        yield from again.of_images(self, context, output, *given)

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what the family does not take."""
        vae: VAE | None = inputs.get("vae")
        if vae is not None:
            encoder: ImageEncoder | None = inputs.get("image_encoder")
            yield from encoder_problems(vae, encoder, is_given("image_encoder", context, inputs))


class EncodeAudio(Node):
    """Encode the sound of every clip window to normalised latents, for families that learn sound.

    The sound is cut out by time: it begins with the window's first frame and lasts as long as the window. A training
    gives clips with sound and those without to the model in batches of their own.
    """

    silent: Literal["isolate", "error"] = Field(
        "isolate",
        description="A clip without sound: `isolate` trains its picture alone, kept apart from all sound; `error` "
        "refuses it.",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="How latents are kept.")
    decode_workers: Annotated[int, Unit("threads")] = placement(
        1, exact=True, ge=0, le=64, description="Threads that decode ahead; 0 decodes between two encodings."
    )

    def run(self, context: Context, vae: VAE, clips: Items[Window]) -> Iterator[AudioLatent]:
        """Yield the latents of one window's sound after the other.

        Raises:
            Failure: the sound cannot be decoded, there is none and `silent` is `error`, or it encodes to values that
                are not finite; names the clip.
        """
        from vflow.nodes.encoding import audio

        yield from audio.encode(self, context, vae, clips)

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Encode one sound again, and hold it against what the pipeline decodes."""
        from vflow.nodes.rehearsal import again

        yield from again.of_sound(self, context, output, inputs["vae"], inputs["clips"])

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Say which clips have sound, as far as that is known."""
        from vflow.nodes.data import soundness

        yield from soundness.problems(self, context, inputs.get("vae"), inputs.get("clips"))
