"""The values of a video trainer: recipes of models, clips and captions, and what is made of them.

Sizes are in pixels, frames are counted, rates are frames per second. Digests and identities are SHA-256 in hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializeAsAny, field_validator

from vflow.engine.values import Artifact, Blob, Items, Recipe, Value, elsewhere

if TYPE_CHECKING:
    from vflow.engine.carried import Carried
    from vflow.engine.context import Context
    from vflow.nodes.families.base import Family, VideoRules

Part = Literal["transformer", "vae", "text_encoder"]
DType = Literal["float32", "bfloat16", "float16"]

#: The row of the empty caption in a list of captions or embeddings: what caption dropout puts in a caption's place.
EMPTY_ROW = "empty"
#: The row of the negative prompt in a list of prompts.
NEGATIVE_ROW = "negative"


class Source(Value):
    """Where the weights of one part of a model come from, resolved: its identity is the content of its files.

    `content` is the digest of the names and hashes of the files that are loaded (of a random miniature: of family,
    builder version and seed). `model` is what the user wrote; `repository` and `commit` are set for a hub repository.
    """

    family: str
    part: Part
    content: str
    model: str = elsewhere()
    kind: Literal["hub", "folder", "tiny"] = elsewhere()
    repository: str = elsewhere("")
    commit: str = elsewhere("")
    #: files of the part, relative to the model's folder, with size in bytes and SHA-256 ("" where not known yet)
    files: tuple[tuple[str, int, str], ...] = elsewhere(())

    @field_validator("content", "commit", "family")
    @classmethod
    def _check_word(cls, value: str) -> str:
        # these become names of folders, and a recipe may come from a stranger
        if not re.fullmatch(r"[\w-]*", value):
            raise ValueError("must be letters and digits")
        return value

    @field_validator("files")
    @classmethod
    def _check_files(cls, value: tuple[tuple[str, int, str], ...]) -> tuple[tuple[str, int, str], ...]:
        for name, _, _ in value:
            if not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
                raise ValueError("a file lies outside the model's folder")
        return value

    def described(self) -> dict[str, Any]:
        """Return what people know it by, besides what is in the identity."""
        names = {name: said for name, said in (("model", self.model), ("commit", self.commit[:12])) if said}
        return names | super().described() | {"content": self.content[:12]}


class Transformation(Value):
    """Something done to a model between loading and use. `stage` orders them, whatever their order in the graph.

    `places` is True when it only places weights, so that it is no part of the model's identity.
    """

    stage: ClassVar[int] = 50
    places: ClassVar[bool] = False

    def apply(self, module: Any, context: Context) -> Any:
        """Do it to the live module (and return it)."""
        raise NotImplementedError

    def undo(self, module: Any) -> bool:
        """Undo it. Return False when the module cannot be made bit-equal to before and has to be dropped."""
        return False


class Model(Recipe):
    """A part of a checkpoint, and what is to be done to it."""

    part: ClassVar[Part]

    source: Source
    dtype: DType = "bfloat16"
    transformations: tuple[SerializeAsAny[Transformation], ...] = ()
    device: str = elsewhere("auto")

    def identity_data(self) -> Any:
        """Return content, dtype and those transformations that change what comes out, by stage."""
        done = sorted((t for t in self.transformations if not t.places), key=lambda t: t.stage)
        return [self.source.identity, self.dtype, [t.identity for t in done]]

    def described(self) -> dict[str, Any]:
        """Return the fields; of the transformations those that change what comes out."""
        return {**super().described(), "transformations": tuple(t for t in self.transformations if not t.places)}

    @property
    def computes_on(self) -> str:
        """`cuda` for any GPU, else `cpu`."""
        from vflow.nodes.models.device import on_accelerator

        return "cuda" if on_accelerator(self.device) else "cpu"

    def having(self, transformation: Transformation) -> Model:
        """Return this recipe with one more transformation."""
        return self.model_copy(update={"transformations": (*self.transformations, transformation)})

    @property
    def family(self) -> Family:
        """The declaration of the model's family."""
        from vflow.nodes.families import family

        return family(self.source.family)

    @property
    def rules(self) -> VideoRules:
        """What the checkpoint demands of clips."""
        return self.family.rules_of(self.source)

    @property
    def base(self) -> str:
        """The weights as loaded: content, dtype and device."""
        from vflow.engine.keys import digest

        return digest([self.source.identity, self.dtype, self.device])

    # the heavy side lives in models/live.py and models/fetch.py

    def files_needed(self) -> tuple[str, ...]:
        """Name the part and its model."""
        return (f"{self.source.part} of {self.source.model}",)

    def is_fetched(self, context: Context) -> bool:
        """Tell whether the part's files are on this machine."""
        from vflow.nodes.models import fetch

        return fetch.is_fetched(self.source, context)

    def bytes_to_fetch(self, context: Context) -> int:
        """Return how many bytes the download would bring."""
        from vflow.nodes.models import fetch

        return fetch.bytes_to_fetch(self.source, context)

    def fetch(self, context: Context) -> None:
        """Download the part, or build the miniature."""
        from vflow.nodes.models import fetch

        fetch.fetch(self.source, context)

    def open_base(self, context: Context) -> Any:
        """Load the part through the family's classes."""
        from vflow.nodes.models import live

        return live.open_base(self, context)

    def prepare(self, base: Any, context: Context) -> Any:
        """Place the base on its device and apply the transformations by stage."""
        from vflow.nodes.models import live

        return live.prepare(self, base, context)

    def restore(self, base: Any, live_module: Any, context: Context) -> bool:
        """Undo the transformations, last first."""
        from vflow.nodes.models import live

        return live.restore(self, base)

    def close_base(self, base: Any) -> None:
        """Free the memory."""
        from vflow.nodes.models import live

        live.close_base(base)


class Transformer(Model):
    """The denoiser."""

    part: ClassVar[Part] = "transformer"


class VAE(Model):
    """The video autoencoder (with the family's audio parts, where it has some)."""

    part: ClassVar[Part] = "vae"


class TextEncoder(Model):
    """Text encoder with its tokenizer, and whatever else stands between a caption and the transformer."""

    part: ClassVar[Part] = "text_encoder"


class Window(Value):
    """What is cut out of a clip: frames by number and geometry. Decoding it gives (frames, height, width, 3) uint8.

    `indices` are frame numbers in order of presentation, one per frame at `fps`. Decoded frames are turned by
    `rotation` degrees clockwise, scaled to `scaled` (width, height), then cropped to `width` x `height` at `offset`
    (left, top).
    """

    clip: str
    indices: tuple[int, ...]
    fps: float
    rotation: Literal[0, 90, 180, 270] = 0
    scaled: tuple[int, int]
    offset: tuple[int, int]
    width: int
    height: int

    @property
    def frames(self) -> int:
        """How many frames the window has."""
        return len(self.indices)


class Caption(Value):
    """A caption or prompt; its identity is its final text.

    `negative`: it says what guidance steers away from, which some families encode in another way.
    """

    text: str
    negative: bool = False

    def identity_data(self) -> Any:
        """Return the text, and for what it is where it is no plain caption."""
        return {"text": self.text} | ({"negative": True} if self.negative else {})


class Latent(Artifact):
    """Normalised VAE latents of one window: safetensors with `latents`, float32 or bfloat16, (C, f, h, w).

    `frames`, `height` and `width` are those of the pixels.
    """

    blob: Blob
    frames: int
    height: int
    width: int
    fps: float


class Embedding(Artifact):
    """What the transformer needs of one caption: safetensors whose tensors are named by the family."""

    blob: Blob
    caption: str = elsewhere("", words=True)


class Adapter(Artifact):
    """A LoRA in diffusers' own form: a safetensors file with its configuration in the metadata."""

    blob: Blob
    family: str
    rank: int
    step: int = elsewhere(0)
    base_content: str = elsewhere("")

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield the file under the name that diffusers looks for."""
        yield "pytorch_lora_weights.safetensors", self.blob

    def card(self, carried: Carried) -> str:
        """Return the model card."""
        from vflow.nodes.carrying import card

        return card.text(self, carried)


class Video(Value):
    """One drawn clip: H.264 in an `.mp4`."""

    blob: Blob
    prompt: str = elsewhere("")
    row: str = elsewhere("")
    seed: int = elsewhere(0)
    step: int | None = elsewhere(None)


class Videos(Artifact):
    """The clips drawn for one adapter, one per prompt."""

    videos: tuple[Video, ...]
    step: int | None = elsewhere(None)

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield one `.mp4` per prompt, named by its row."""
        for number, video in enumerate(self.videos, 1):
            yield f"{video.row or f'{number:02d}'}.mp4", video.blob


class Sampling(Recipe):
    """How to draw clips: the VAE, the encoded prompts, and the sampler's settings. Sizes in pixels."""

    vae: VAE
    prompts: tuple[tuple[str, Embedding], ...]
    negative: Embedding | None = None
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    options: dict[str, float | int | bool | str] = {}

    @classmethod
    def with_prompts(cls, prompts: Items[Embedding], **fields: Any) -> Sampling:
        """Make the recipe from a list of encoded prompts; the row `negative` is the negative prompt."""
        rows = prompts.by_row()
        negative = rows.pop(NEGATIVE_ROW, rows.get(EMPTY_ROW))
        rows.pop(EMPTY_ROW, None)
        return cls(prompts=tuple(rows.items()), negative=negative, **fields)

    def files_needed(self) -> tuple[str, ...]:
        """Name what the VAE needs."""
        return self.vae.files_needed()

    def is_fetched(self, context: Context) -> bool:
        """Tell whether the VAE is on this machine."""
        return self.vae.is_fetched(context)

    def bytes_to_fetch(self, context: Context) -> int:
        """Return what the VAE's download would bring."""
        return self.vae.bytes_to_fetch(context)

    def fetch(self, context: Context) -> None:
        """Fetch the VAE."""
        self.vae.fetch(context)

    def recipes(self) -> Iterator[Recipe]:
        """Yield the recipes inside."""
        yield self.vae
