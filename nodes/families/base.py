"""What a model family is: one declaration (light) and one small protocol (heavy, imported when called).

A family is a folder under `nodes/families/` whose `__init__` exposes `FAMILY`. Nothing else in vflow knows it by name.
Files of a family's folder, the same in each: `declaration.py` (light: flavours, parts, rules), and, importing torch,
`parts.py` (loading), `text.py`, `latents.py`, `training.py`, `sampling.py`, `rehearsal.py` (what of these has to equal
the family's pipeline), `miniature.py` with JSON beside it. What is known of a family is made of `rules.py`, what
passes between it and its callers of `exchange.py`.

Notation of shapes: B batch, F pixel frames, C latent channels, f h w latent sizes, S = f*h*w video tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import Batch, Drawn, Draws, FlowOptions, Prediction, SamplingRequest
from vflow.nodes.families.layer_names import LayerNames
from vflow.nodes.families.rules import (
    Anatomy,
    Flavour,
    LoRATarget,
    PromptTokens,
    SamplingDefaults,
    SamplingOption,
    SingleFile,
    VideoRules,
)
from vflow.nodes.values import DType, Part, Source, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vflow.nodes.families.parity import Parity


class Family(ABC):
    """One model family. Attributes are light; the methods import torch and diffusers when they are called.

    Methods that take a `transformer`, `vae` or `text_encoder` take what `load` returned. `predict`, `save_adapter` and
    `load_adapter` also take the transformer's module itself, bare or wrapped for training (accelerate, compilation).
    """

    name: str
    title: str
    flavours: Mapping[str, Flavour]
    #: class names, as `model_index.json` or the parts' `config.json` write them, by which a checkpoint is recognised
    classes: Mapping[Part, frozenset[str]]
    #: sub-folders of a diffusers checkpoint that make up a part; the first is the one whose class is recognised
    folders: Mapping[Part, tuple[str, ...]]
    #: classes that sub-folders are taken as, where `classes` does not say it all; others are not asked for theirs
    component_classes: Mapping[str, frozenset[str]] = {}
    #: sub-folders that a checkpoint may lack
    optional_folders: frozenset[str] = frozenset()
    #: classes that the makers' own checkpoints name, which diffusers' classes do not load
    foreign_classes: frozenset[str] = frozenset()
    #: environment variables that name a folder with what a checkpoint may lack: by sub-folder, where it may lie there
    variables: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    rules: VideoRules
    #: what a checkpoint was made for, where nothing tells it of this one
    task: Task = "t2v"
    #: the same by the pipeline's class that `model_index.json` names
    pipelines: Mapping[str, Task] = {}
    #: the folder with a trained miniature, where one ships with the family: `tiny://FAMILY` is then this one
    trained_miniature: Path | None = None
    #: miniatures besides the one that has the family's own name and task, by name (`FAMILY-i2v`)
    miniatures: Mapping[str, Task] = {}
    sampling: SamplingDefaults
    #: in what type a part is loaded where a graph does not say; bfloat16 for what is not named
    dtypes: Mapping[Part, DType] = {}
    #: what of the VAE's posterior clips are trained on where a graph does not say: a draw from it, or its mode
    posterior: Literal["sample", "mode"] = "sample"
    #: how many tokens of a caption the transformer reads
    prompt_tokens: PromptTokens
    #: fewer words than these give poor clips; 0: as few as you like
    least_prompt_words: int = 0
    #: what guidance steers away from where a graph says nothing of it; empty: the empty caption
    negative_prompt: str = ""
    #: how noise levels are drawn in training, in words
    noise: str = ""
    anatomy: Anatomy | None = None
    #: what `SamplingRequest.options` may hold, by name
    sampling_options: Mapping[str, SamplingOption] = {}
    lora_targets: Mapping[str, LoRATarget]
    default_lora_target: str
    #: inputs of the attention, real and in the miniature: they tell adapters apart whose layers have equal names
    widths: frozenset[int] = frozenset()
    #: how other programs name the transformer's linear layers
    layer_names: LayerNames = LayerNames()
    #: sub-folders whose network diffusers also loads from one file in the original layout
    single_files: Mapping[str, SingleFile] = {}
    #: what stands before the layers' names in the files that `save_adapter` writes
    adapter_prefix: str = "transformer."
    #: whether the model learns and draws the sound of clips too
    sound: bool = False
    #: of a family with sound: a pattern of the modules that the sound passes through, between it and the video
    #: included, and the name of a LoRA target that has some of them
    sound_modules: str = ""
    sound_target: str = ""
    #: what a pipeline `pipe` of the family is asked to load an adapter that `save_adapter` wrote into a folder
    loads_adapter_by: str = 'load_lora_weights("{folder}", weight_name="{file}")'
    #: rises when the miniature would come out otherwise
    miniature_version: int

    # --- what is known of a checkpoint before it is loaded -----------------------------------------------------------

    def task_of(self, classes: Mapping[str, str], repository: str = "") -> Task:
        """Return what a checkpoint was made for, from its class names by sub-folder and its repository on the hub.

        Under `_class_name` stands the pipeline's class, where the checkpoint's index names one.
        """
        told = self.pipelines.get(classes.get("_class_name", ""))
        known = (flavour.task for flavour in self.flavours.values() if flavour.repository == repository)
        return told or next(known, None) or self.task

    def flavour_of(self, source: Source) -> Flavour | None:
        """Return the flavour that a checkpoint is, by the name that a graph gives it or by its repository, or None."""
        named = source.model.partition("@")[0]
        for name, flavour in self.flavours.items():
            if named == f"{self.name}/{name}" or source.repository == flavour.repository:
                return flavour
        return None

    @property
    def takes_images(self) -> bool:
        """Whether the family has image to video."""
        return type(self).encode_image is not Family.encode_image

    def rules_of(self, source: Source) -> VideoRules:
        """Return what a checkpoint demands of clips: its flavour's own rules, where it has some, else the family's."""
        flavour = self.flavour_of(source)
        return flavour.rules if flavour and flavour.rules else self.rules

    def sampling_of(self, source: Source) -> SamplingDefaults:
        """Return how a checkpoint is usually sampled."""
        flavour = self.flavour_of(source)
        return flavour.sampling if flavour and flavour.sampling else self.sampling

    def image_size(self, source: Source, width: int, height: int) -> tuple[int, int]:
        """Return the size that the family's pipeline draws from an image of this size, where it is told none."""
        return width, height

    def anatomy_of(self, source: Source) -> Anatomy | None:
        """Return the measures of a checkpoint's transformer; None for a miniature, and where they are not known."""
        flavour = self.flavour_of(source)
        return None if source.kind == "tiny" else flavour.anatomy if flavour and flavour.anatomy else self.anatomy

    # --- loading ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part from a folder in diffusers layout, on the CPU, in evaluation mode, frozen.

        Only safetensors are opened. Returns an object with `modules() -> dict[str, torch.nn.Module]`; for a transformer
        that is the diffusers model itself under `transformer`.
        """

    @abstractmethod
    def build_miniature(self, folder: Path, seed: int, task: Task = "t2v") -> None:
        """Write the miniature checkpoint for a task, all parts, in the layout of the real repository."""

    # --- encoding --------------------------------------------------------------------------------------------------

    @abstractmethod
    def encode_text(
        self, text_encoder: Any, captions: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Encode captions (one forward for all of them); returns one dict of tensors per caption, without batch.

        `tokens`, as `prompt_tokens` allows them, is where captions are cut; None: at the usual number. The empty
        caption stands for no caption at all: it is what dropout and unconditional guidance use.
        """

    def encode_negative(
        self, text_encoder: Any, prompts: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Encode negative prompts, as `encode_text`; families whose pipeline treats them otherwise override it."""
        return self.encode_text(text_encoder, prompts, tokens)

    def stack_embeddings(self, rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Put the embeddings of several captions together, each (B, ...).

        Raises:
            RuntimeError, KeyError: they are of different shapes.
        """
        import torch

        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    @abstractmethod
    def encode_video(
        self, vae: Any, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        """Encode pixels (B, 3, F, H, W) float32 in [-1, 1] to normalised latents (B, C, f, h, w) float32.

        `posterior` is `sample` (one generator per row of the batch) or `mode`.
        """

    def encode_image(self, vae: Any, image_encoder: Any, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Encode first frames (B, 3, H, W) float32 in [-1, 1] as the family's image-to-video pipeline does.

        Returns one dict of tensors per image, without batch; `latent` is the frame's normalised latent (C, 1, h, w)
        float32. `image_encoder` is None for families that have none.

        Raises:
            Failure: the family has no image to video.
        """
        raise Failure(f"{self.title} has no image to video", "leave the images out")

    def sound_format(self, vae: Any) -> tuple[int, int]:
        """Return samples per second and number of channels (1 or 2) of the sound that `encode_audio` takes.

        Raises:
            Failure: the family has no sound.
        """
        raise Failure(f"{self.title} has no sound", "leave EncodeAudio out")

    def encode_audio(self, vae: Any, samples: torch.Tensor, seconds: float) -> torch.Tensor:
        """Encode sound (B, channels, samples) float32 in [-1, 1] to normalised latents (B, L, C) float32.

        `seconds` is how long the clip is, which decides L as in the family's pipeline; L is 0 where it is too short.

        Raises:
            Failure: the family has no sound.
        """
        raise Failure(f"{self.title} has no sound", "leave EncodeAudio out")

    # --- training --------------------------------------------------------------------------------------------------

    @abstractmethod
    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw the noise level of each sample, (B,) float32 in (0, 1]; 1 is pure noise."""

    @abstractmethod
    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Noise the batch at `sigmas` (x = (1-s)*x0 + s*eps), run the transformer, and say what it should have said."""

    # --- sampling --------------------------------------------------------------------------------------------------

    @abstractmethod
    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip through the family's diffusers pipeline; returns (F, H, W, 3) uint8."""

    def draw_clip(self, transformer: Any, vae: Any, request: SamplingRequest) -> Drawn:
        """Draw one clip as `draw`, with its sound where that is wanted; families that have sound override it."""
        return Drawn(self.draw(transformer, vae, request))

    def parity(self) -> Parity | None:
        """Return how training is held against the family's pipeline, for rehearsals; None: it is not."""
        return None

    @abstractmethod
    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write the transformer's adapter as diffusers' pipeline loads it, and return the file.

        Equal adapters are equal bytes, in every process.
        """

    @abstractmethod
    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, frozen, under the name `default` where that is free.

        Raises:
            Failure: it does not fit (another family, nothing loaded).
        """
