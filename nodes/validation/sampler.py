"""The sampler: how clips are drawn, as a recipe. Light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import GraphError, Problem, suggest
from vflow.engine.values import Items
from vflow.nodes.families.base import Family
from vflow.nodes.values import EMPTY_ROW, NEGATIVE_ROW, VAE, Embedding, Sampling


class Sampler(Node):
    """Say how clips are drawn: prompts, size, length, steps, guidance, seed. Draws nothing itself.

    `TrainLoop` observes it for clips on the way, `Validate` draws with it. What is left empty is the family's own.
    """

    light: ClassVar[bool] = True

    width: int | None = Field(None, ge=1, le=8192, description="Pixels; empty: the family's own.")
    height: int | None = Field(None, ge=1, le=8192, description="Pixels; empty: the family's own.")
    frames: int | None = Field(None, ge=1, le=4096, description="How many frames a clip has; empty: the family's own.")
    fps: float | None = Field(None, gt=0, le=240, description="Frames per second; empty: the family's own.")
    steps: int | None = Field(None, ge=1, le=1000, description="Denoising steps; empty: the family's own.")
    guidance: float | None = Field(
        None, ge=0, le=100, description="Classifier-free guidance; 1 is none; empty: the family's own."
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Of the noise; the same for every prompt and every adapter.")
    options: dict[str, float | int | bool | str] = Field(
        {}, description="Settings of sampling that only this family knows, by name."
    )

    def run(self, context: Context, vae: VAE, prompts: Items[Embedding]) -> Sampling:
        """Return the recipe.

        Raises:
            GraphError: a size or number of frames that the family does not take, or no prompt.
        """
        family = vae.family
        if wrong := [*self._problems(vae), *_no_prompt(prompts)]:
            raise GraphError(wrong)
        return Sampling.with_prompts(
            prompts, vae=vae, seed=self.seed, options=self.options, **self._sizes(family), **self._way(family)
        )

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what the family does not take, before anything is encoded."""
        vae: VAE | None = inputs.get("vae")
        if vae is not None:
            yield from self._problems(vae)

    def _sizes(self, family: Family) -> dict[str, int]:
        usual = family.sampling
        return {
            "width": usual.width if self.width is None else self.width,
            "height": usual.height if self.height is None else self.height,
            "frames": usual.frames if self.frames is None else self.frames,
        }

    def _way(self, family: Family) -> dict[str, Any]:
        usual = family.sampling
        return {
            "fps": family.rules.fps if self.fps is None else self.fps,
            "steps": usual.steps if self.steps is None else self.steps,
            "guidance": usual.guidance if self.guidance is None else self.guidance,
        }

    def _problems(self, vae: VAE) -> Iterator[Problem]:
        family, rules = vae.family, vae.rules
        sizes = self._sizes(family)
        if not rules.frames_fit(sizes["frames"]):
            rule = f"{family.title} takes {rules.frames_step}k+{rules.frames_rest} frames"
            yield Problem(f"{sizes['frames']} frames: {rule}", _either(rules.nearest_frames(sizes["frames"])), "frames")
        for name in ("width", "height"):
            if sizes[name] % rules.size_multiple:
                rule = f"{family.title} takes multiples of {rules.size_multiple}"
                yield Problem(f"{name} {sizes[name]}: {rule}", _either(rules.nearest_sizes(sizes[name])), name)
        least = family.sampling.least_steps
        if self.steps is not None and self.steps < least:
            found = f"{self.steps} denoising steps: {family.title} needs {least}"
            yield Problem(found, f"use {least} or more", "steps")
        yield from self._option_problems(family)

    def _option_problems(self, family: Family) -> Iterator[Problem]:
        for name, value in self.options.items():
            option = family.sampling_options.get(name)
            if option is None:
                known = suggest(name, family.sampling_options, "leave `options` empty")
                yield Problem(f"{family.title} has no sampling option {name!r}", known, f"options.{name}")
            elif not option.fits(value):
                usual = f"write a value like {option.default!r}: {option.about}"
                yield Problem(f"{value!r} is of another kind than the option takes", usual, f"options.{name}")


def _no_prompt(prompts: Items[Embedding]) -> Iterator[Problem]:
    if not set(prompts.rows) - {EMPTY_ROW, NEGATIVE_ROW}:
        yield Problem("there is no prompt to draw", "link encoded prompts")


def _either(values: tuple[int, ...]) -> str:
    return "use " + " or ".join(map(str, values))
