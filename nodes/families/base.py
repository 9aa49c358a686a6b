"""What a model family is: one declaration (light) and one small protocol (heavy, imported when called).

A family is a folder under `nodes/families/` whose `__init__` exposes `FAMILY`. Nothing else in vflow knows it by name.
Files of a family's folder, the same in each: `declaration.py` (light: flavours, parts, rules), and, importing torch,
`parts.py` (loading), `text.py`, `latents.py`, `training.py`, `sampling.py`, `miniature.py` with JSON beside it.

Notation of shapes: B batch, F pixel frames, C latent channels, f h w latent sizes, S = f*h*w video tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vflow.nodes.values import DType, Part, Source

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class VideoRules:
    """What a family's VAE and transformer demand of clips: F % frames_step == frames_rest, sizes by size_multiple."""

    frames_step: int
    frames_rest: int
    size_multiple: int
    temporal_ratio: int
    spatial_ratio: int
    latent_channels: int
    fps: float

    def frames_fit(self, frames: int) -> bool:
        """Tell whether a number of frames is allowed."""
        return frames > 0 and frames % self.frames_step == self.frames_rest % self.frames_step

    def nearest_frames(self, frames: int) -> tuple[int, ...]:
        """Return the nearest allowed numbers of frames, below and above (61 gives 57 and 65)."""
        below = max(frames - (frames - self.frames_rest) % self.frames_step, self.frames_rest)
        return (below,) if below >= frames else (below, below + self.frames_step)

    def nearest_sizes(self, size: int) -> tuple[int, ...]:
        """Return the nearest allowed widths or heights, below and above."""
        below = max(size // self.size_multiple * self.size_multiple, self.size_multiple)
        return (below,) if below >= size else (below, below + self.size_multiple)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return (f, h, w) of the latents of a clip."""
        return (frames - 1) // self.temporal_ratio + 1, height // self.spatial_ratio, width // self.spatial_ratio


@dataclass(frozen=True)
class Flavour:
    """A published checkpoint of a family, and the repository that holds it in diffusers' layout.

    `later` says why it cannot be used yet; empty: it can. `rules` are its own, where the family's are not its.
    """

    repository: str
    about: str = ""
    licence_url: str = ""
    later: str = ""
    rules: VideoRules | None = None


@dataclass(frozen=True)
class SamplingDefaults:
    """A family's usual sampling settings, and the fewest steps with which its schedule gives anything."""

    steps: int
    guidance: float
    width: int
    height: int
    frames: int
    least_steps: int = 1


class Draws(Protocol):
    """Counted randomness of one micro-step: every draw comes from (seed, step, position in the global batch, purpose).

    All return float32 on the CPU, with the batch as first dimension.
    """

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        """Draw standard normals of shape (B, *shape)."""

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Draw uniforms in [0, 1) of shape (B, *shape)."""


@dataclass
class Batch:
    """Samples of equal shape. `latents` (B, C, f, h, w) float32, normalised; `embeddings` by name, each (B, ...).

    All of it lies where the transformer computes. `frames`, `height`, `width` are those of the pixels; `fps` is the
    clips' own rate.
    """

    latents: torch.Tensor
    embeddings: Mapping[str, torch.Tensor]
    frames: int
    height: int
    width: int
    fps: float


@dataclass
class Prediction:
    """What the transformer said and should have said, float32 (B, S, C), and the weight of each token (B, S, 1).

    The loss of a sample is mean(error * weight) / mean(weight).
    """

    prediction: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True)
class FlowOptions:
    """How training noise is drawn; None takes the family's own.

    `distribution`: `family`, `logit_normal`, `uniform`. `shift`: static k in s <- k*s / (1 + (k-1)*s), for the two
    plain ones. `first_frame_probability`: how often latent frame 0 stays clean, as in image to video.
    """

    distribution: str = "family"
    shift: float = 1.0
    first_frame_probability: float | None = None


@dataclass(frozen=True)
class LoRATarget:
    """A named choice of modules: a regular expression that must match the module's whole name."""

    pattern: str
    about: str = ""


@dataclass(frozen=True)
class SamplingOption:
    """A setting of sampling that only some families know."""

    default: float | int | bool | str
    about: str = ""

    def fits(self, value: object) -> bool:
        """Tell whether a value is of the option's kind: a truth value, a number (whole or not) or text."""

        def kind(one: object) -> type:
            return float if isinstance(one, (int, float)) and not isinstance(one, bool) else type(one)

        return kind(value) is kind(self.default)


@dataclass(frozen=True)
class SamplingRequest:
    """One clip to draw: sizes in pixels, `embeddings` as `encode_text` gave them (without batch dimension).

    `options` are some of the family's `sampling_options`. `on_step` is called after each step with how many are done
    and how many there are; an exception that it raises ends the drawing.
    """

    embeddings: Mapping[str, torch.Tensor]
    negative: Mapping[str, torch.Tensor] | None
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    options: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    on_step: Callable[[int, int], None] | None = None


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
    rules: VideoRules
    sampling: SamplingDefaults
    #: what `SamplingRequest.options` may hold, by name
    sampling_options: Mapping[str, SamplingOption] = {}
    lora_targets: Mapping[str, LoRATarget]
    default_lora_target: str
    #: inputs of the attention, real and in the miniature: they tell adapters apart whose layers have equal names
    widths: frozenset[int] = frozenset()
    #: what a pipeline `pipe` of the family is asked to load an adapter that `save_adapter` wrote into a folder
    loads_adapter_by: str = 'load_lora_weights("{folder}", weight_name="{file}")'
    #: rises when the miniature would come out otherwise
    miniature_version: int

    # --- what is known of a checkpoint before it is loaded -----------------------------------------------------------

    def refusal(self, classes: Mapping[str, str]) -> str:
        """Say why a checkpoint cannot be used, from its class names by sub-folder; empty: it can.

        Under `_class_name` stands the pipeline's class, where the checkpoint's index names one.
        """
        return ""

    def rules_of(self, source: Source) -> VideoRules:
        """Return what a checkpoint demands of clips: its flavour's own rules, where it has some, else the family's."""
        for name, flavour in self.flavours.items():
            named = source.model.partition("@")[0] == f"{self.name}/{name}"
            if flavour.rules is not None and (named or source.repository == flavour.repository):
                return flavour.rules
        return self.rules

    # --- loading ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part from a folder in diffusers layout, on the CPU, in evaluation mode, frozen.

        Only safetensors are opened. Returns an object with `modules() -> dict[str, torch.nn.Module]`; for a transformer
        that is the diffusers model itself under `transformer`.
        """

    @abstractmethod
    def build_miniature(self, folder: Path, seed: int) -> None:
        """Write the miniature checkpoint, all parts, in the layout of the real repository."""

    # --- encoding --------------------------------------------------------------------------------------------------

    @abstractmethod
    def encode_text(self, text_encoder: Any, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """Encode captions (one forward for all of them); returns one dict of tensors per caption, without batch.

        The empty caption stands for no caption at all: it is what dropout and unconditional guidance use.
        """

    def encode_negative(self, text_encoder: Any, prompts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """Encode negative prompts, as `encode_text`; families whose pipeline treats them otherwise override it."""
        return self.encode_text(text_encoder, prompts)

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
