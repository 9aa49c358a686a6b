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
    from vflow.nodes.families.base import Family
    from vflow.nodes.families.rules import VideoRules

Part = Literal["transformer", "vae", "text_encoder", "image_encoder"]
#: what a checkpoint was made for; `either`: with and without a first frame
Task = Literal["t2v", "i2v", "either"]
DType = Literal["float32", "bfloat16", "float16"]

#: The row of the empty caption in a list of captions or embeddings: what caption dropout puts in a caption's place.
EMPTY_ROW = "empty"
#: The row of the negative prompt in a list of prompts.
NEGATIVE_ROW = "negative"


class Source(Value):
    """Where the weights of one part of a model come from, resolved: its identity is the content of its files.

    `content` is the digest of the names and hashes of the files that are loaded (of a random miniature: of family,
    builder version and seed). `model` is what the user wrote; `repository` and `commit` are set for a hub repository.
    `weights`: the network's own files are these, and the part's other sub-folders come from `base`. `components` are
    sub-folders that come from elsewhere, each a source of its own: `files` are those of the model itself.
    """

    family: str
    part: Part
    content: str
    model: str = elsewhere()
    kind: Literal["hub", "folder", "tiny", "weights", "joined", "single"] = elsewhere()
    repository: str = elsewhere("")
    commit: str = elsewhere("")
    task: Task = elsewhere("t2v")
    #: files of the part, relative to the model's folder, with size in bytes and SHA-256 ("" where not known yet)
    files: tuple[tuple[str, int, str], ...] = elsewhere(())
    components: tuple[tuple[str, Source], ...] = elsewhere(())
    base: Source | None = elsewhere(None)
    weights: Weights | None = elsewhere(None)

    @field_validator("content", "commit", "family")
    @classmethod
    def _check_word(cls, value: str) -> str:
        # these become names of folders, and a recipe may come from a stranger
        if not re.fullmatch(r"[\w-]*", value):
            raise ValueError("must be letters and digits")
        return value

    @field_validator("components")
    @classmethod
    def _check_components(cls, value: tuple[tuple[str, Source], ...]) -> tuple[tuple[str, Source], ...]:
        for name, _ in value:
            if not re.fullmatch(r"\w+", name):
                raise ValueError("a sub-folder is named by letters and digits")
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


class ImageEncoder(Model):
    """The vision encoder of families whose transformer reads features of the first frame, with its preprocessing."""

    part: ClassVar[Part] = "image_encoder"


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


class Image(Artifact):
    """A still: a PNG of (height, width, 3) uint8, of exactly the size at which a clip begins with it."""

    blob: Blob
    width: int
    height: int

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield the picture."""
        yield "image.png", self.blob


class ImageEmbedding(Artifact):
    """What the transformer needs of one first frame: safetensors whose tensors are named by the family.

    `height` and `width` are those of the pixels.
    """

    blob: Blob
    width: int
    height: int


class AudioLatent(Artifact):
    """Normalised latents of a window's sound: safetensors with `latents` (L, C) float32 or bfloat16.

    `silent`: there is no sound during the window; the file then holds no tensors. `seconds` is how long the window is.
    """

    blob: Blob
    silent: bool
    seconds: float


class Learned(Artifact):
    """What a training gives: an adapter, or whole weights. `step` is after how many steps, 0 where that is not known.

    `base_content` is the content of the weights that the training began with.
    """

    #: what people call one
    noun: ClassVar[str] = "a result of a training"
    #: what a model card says of it: its relation to the base model, and its tags
    relation: ClassVar[str] = "finetune"
    tags: ClassVar[tuple[str, ...]] = ()

    family: str
    step: int = elsewhere(0)
    base_content: str = elsewhere("")

    def onto(self, transformer: Transformer) -> Transformer:
        """Return the recipe with this in place of whatever was trained on it, to draw with it.

        Raises:
            GraphError: it is of another family.
        """
        raise NotImplementedError

    def title(self, of: str) -> str:
        """Say in a few words what it is; `of` is the name of the model that it was trained on."""
        raise NotImplementedError

    def use(self, base: str) -> list[str]:
        """Return lines of Python that load it from `path/to/this/folder` into a diffusers pipeline of `base`."""
        raise NotImplementedError

    def card(self, carried: Carried) -> str:
        """Return the model card."""
        from vflow.nodes.carrying import card

        return card.text(self, carried)


class Adapter(Learned):
    """A LoRA in diffusers' own form: a safetensors file with its configuration in the metadata."""

    noun: ClassVar[str] = "an adapter"
    relation: ClassVar[str] = "adapter"
    tags: ClassVar[tuple[str, ...]] = ("lora",)

    blob: Blob
    rank: int

    def onto(self, transformer: Transformer) -> Transformer:
        """Return the recipe with this adapter in place of those on it."""
        from vflow.nodes.models.adapters import with_adapter

        return with_adapter(transformer, self)

    def title(self, of: str) -> str:
        """Name the rank."""
        return f"A LoRA of rank {self.rank} for {of}"

    def use(self, base: str) -> list[str]:
        """Load the adapter as the family's pipeline does."""
        from vflow.nodes.families import families
        from vflow.nodes.families.base import Family

        known = families().get(self.family, Family).loads_adapter_by
        ((file, _),) = self.plain_files()
        return [
            "from diffusers import DiffusionPipeline",
            "",
            f'pipe = DiffusionPipeline.from_pretrained("{base}")',
            f"pipe.{known.format(folder='path/to/this/folder', file=file)}",
        ]

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield the file under the name that diffusers looks for."""
        yield "pytorch_lora_weights.safetensors", self.blob


class Weights(Learned):
    """The whole weights of a transformer: the files of a diffusers component folder, by name.

    `config.json` and safetensors, several with an index where they are large: what `from_pretrained` of the network's
    class loads.
    """

    noun: ClassVar[str] = "a set of weights"

    files: tuple[tuple[str, Blob], ...]

    @field_validator("files")
    @classmethod
    def _check_names(cls, value: tuple[tuple[str, Blob], ...]) -> tuple[tuple[str, Blob], ...]:
        # these become names of files, and a recipe may come from a stranger
        for name, _ in value:
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"{name!r} is no plain name of a file")
        return value

    def onto(self, transformer: Transformer) -> Transformer:
        """Return the recipe with these weights in place of the checkpoint's own."""
        from vflow.nodes.models.weights import with_weights

        return with_weights(transformer, self)

    def title(self, of: str) -> str:
        """Say that it is the whole network."""
        return f"The transformer of {of}"

    def use(self, base: str) -> list[str]:
        """Load the transformer by itself, and the pipeline around it."""
        return [
            "import torch",
            "from diffusers import AutoModel, DiffusionPipeline",
            "",
            'transformer = AutoModel.from_pretrained("path/to/this/folder", torch_dtype=torch.bfloat16)',
            f'pipe = DiffusionPipeline.from_pretrained("{base}", transformer=transformer, torch_dtype=torch.bfloat16)',
        ]

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield the files under their names."""
        yield from self.files


class Video(Value):
    """One drawn clip: H.264 in an `.mp4`, with its sound as AAC where there is some."""

    blob: Blob
    prompt: str = elsewhere("")
    row: str = elsewhere("")
    seed: int = elsewhere(0)
    step: int | None = elsewhere(None)


class Videos(Artifact):
    """The clips drawn for one adapter or set of weights, one per prompt."""

    videos: tuple[Video, ...]
    step: int | None = elsewhere(None)

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield one `.mp4` per prompt, named by its row."""
        for number, video in enumerate(self.videos, 1):
            yield f"{video.row or f'{number:02d}'}.mp4", video.blob


class Picture(Artifact):
    """A picture to look at: a PNG."""

    blob: Blob

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield the picture."""
        yield "picture.png", self.blob


class Sampling(Recipe):
    """How to draw clips: the VAE, the encoded prompts, and the sampler's settings. Sizes in pixels.

    `sound`: clips get the sound that is drawn with them.
    `images` are the first frames by the prompts' rows, of the sampler's size; empty: text to video. `image_encoder` is
    there where the family's pipeline needs it.
    """

    vae: VAE
    prompts: tuple[tuple[str, Embedding], ...]
    negative: Embedding | None = None
    images: tuple[tuple[str, Image], ...] = ()
    image_encoder: ImageEncoder | None = None
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    sound: bool = False
    options: dict[str, float | int | bool | str] = {}

    @classmethod
    def with_prompts(cls, prompts: Items[Embedding], **fields: Any) -> Sampling:
        """Make the recipe from a list of encoded prompts; the row `negative` is the negative prompt."""
        rows = prompts.by_row()
        negative = rows.pop(NEGATIVE_ROW, rows.get(EMPTY_ROW))
        rows.pop(EMPTY_ROW, None)
        return cls(prompts=tuple(rows.items()), negative=negative, **fields)

    def identity_data(self) -> Any:
        """Return the fields; those for first frames only where there are some, as they came later."""
        data = super().identity_data()
        return {name: data[name] for name in data if data[name] or name not in ("images", "image_encoder")}

    def image_of(self, row: str) -> Image | None:
        """Return the first frame of a prompt's clip; None for text to video."""
        return dict(self.images).get(row)

    def files_needed(self) -> tuple[str, ...]:
        """Name what the models inside need."""
        return tuple(name for recipe in self.recipes() for name in recipe.files_needed())

    def is_fetched(self, context: Context) -> bool:
        """Tell whether the models inside are on this machine."""
        return all(recipe.is_fetched(context) for recipe in self.recipes())

    def bytes_to_fetch(self, context: Context) -> int:
        """Return what the downloads would bring."""
        return sum(recipe.bytes_to_fetch(context) for recipe in self.recipes())

    def fetch(self, context: Context) -> None:
        """Fetch the models inside."""
        for recipe in self.recipes():
            recipe.fetch(context)

    def recipes(self) -> Iterator[Recipe]:
        """Yield the recipes inside."""
        yield self.vae
        if self.image_encoder is not None:
            yield self.image_encoder
