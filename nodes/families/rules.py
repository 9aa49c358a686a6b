"""What is known of a model family before anything is loaded: sizes, flavours, defaults, LoRA targets, options."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vflow.nodes.values import Task


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

    @property
    def frames_words(self) -> str:
        """The rule on frames as people write it: `8k+1`."""
        return f"{self.frames_step}k+{self.frames_rest}" if self.frames_rest else f"{self.frames_step}k"

    def nearest_sizes(self, size: int) -> tuple[int, ...]:
        """Return the nearest allowed widths or heights, below and above."""
        below = max(size // self.size_multiple * self.size_multiple, self.size_multiple)
        return (below,) if below >= size else (below, below + self.size_multiple)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return (f, h, w) of the latents of a clip."""
        return (frames - 1) // self.temporal_ratio + 1, height // self.spatial_ratio, width // self.spatial_ratio


@dataclass(frozen=True)
class Anatomy:
    """The measures of a real transformer, from which memory is estimated while its files are not here.

    Tokens are `width` wide in each of `blocks` blocks, and one token is `patch` x `patch` latent pixels of one latent
    frame. `block_bytes` is what the backward pass of one block holds, per token and unit of width.
    """

    parameters: float
    width: int
    blocks: int
    patch: int = 1
    block_bytes: int = 60


@dataclass(frozen=True)
class Flavour:
    """A published checkpoint of a family, and the repository that holds it in diffusers' layout.

    `task`, `rules`, `sampling` and `anatomy` are its own, where the family's are not its.
    """

    repository: str
    about: str = ""
    licence_url: str = ""
    task: Task | None = None
    rules: VideoRules | None = None
    sampling: SamplingDefaults | None = None
    anatomy: Anatomy | None = None


@dataclass(frozen=True)
class PromptTokens:
    """How many tokens of a caption are read: usually, at most, and in multiples of what."""

    usual: int
    most: int
    multiple: int = 1


@dataclass(frozen=True)
class SamplingDefaults:
    """A family's usual sampling settings, and what its pipeline needs to give anything.

    `least_steps` are the fewest denoising steps, `least_image_frames` the fewest frames of a clip that goes on from an
    image.
    """

    steps: int
    guidance: float
    width: int
    height: int
    frames: int
    least_steps: int = 1
    least_image_frames: int = 1


@dataclass(frozen=True)
class LoRATarget:
    """A named choice of modules: a regular expression that must match the module's whole name."""

    pattern: str
    about: str = ""


#: the name under which a network's sub-folder has its weights in the layout of its makers' own code
ORIGINAL = "original.safetensors"


@dataclass(frozen=True)
class SingleFile:
    """How a network is told in one file of the original layout, in which there may be others too.

    `marker` is the name of one of its tensors, `prefix` what stands before all of them where several networks share
    the file.
    """

    marker: str
    prefix: str = ""

    def is_in(self, names: Collection[str]) -> bool:
        """Tell whether a file with tensors of these names holds the network."""
        return self.marker in names or self.prefix + self.marker in names

    def own(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of the tensors are the network's: name in the file -> name without the prefix."""
        given = list(names)
        mine = [name for name in given if self.prefix and name.startswith(self.prefix)] or given
        return {name: name.removeprefix(self.prefix) for name in mine}


@dataclass(frozen=True)
class SamplingOption:
    """A setting of sampling that only some families know.

    `instead` names the option that this one is another name of: what is given here is taken for that, with a warning.
    """

    default: float | int | bool | str
    about: str = ""
    instead: str = ""

    def fits(self, value: object) -> bool:
        """Tell whether a value is of the option's kind: a truth value, a number (whole or not) or text."""

        def kind(one: object) -> type:
            return float if isinstance(one, (int, float)) and not isinstance(one, bool) else type(one)

        return kind(value) is kind(self.default)
