"""The sampler: how clips are drawn, as a recipe. Light."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, Unit
from vflow.engine.problems import GraphError, Problem, suggest
from vflow.engine.values import Items
from vflow.nodes.data import buckets
from vflow.nodes.data.rules import FRAME_STEP, ROUND, SIZE_MULTIPLE, Resolution, Rounding, Ruled
from vflow.nodes.families.base import Family
from vflow.nodes.models.first_frames import encoder_problems, is_given, task_problems
from vflow.nodes.validation.pairing import paired, size_problems
from vflow.nodes.values import EMPTY_ROW, NEGATIVE_ROW, VAE, Embedding, Image, ImageEncoder, Sampling

#: outside of these, clips of the families that are guided tend to come out black, burnt or noisy
_USUAL_GUIDANCE = 2.0, 6.0


class Sampler(Node):
    """Say how clips are drawn: prompts, size, length, steps, guidance, seed. Draws nothing itself.

    `TrainLoop` observes it for clips on the way, `Validate` draws with it. What is left empty is the family's own.
    With `images` every clip begins with one: that of the prompt's row, or the only one, or the one in the same place.
    """

    light: ClassVar[bool] = True

    resolution: Resolution | None = Field(
        None,
        description="`WxH`; or the short side in pixels, or an area like `0.4MP`, in the family's usual shape; empty: "
        "the family's own.",
    )
    round: Rounding = Field("refuse", description=ROUND)
    size_multiple: Annotated[int | None, Unit("pixels")] = Field(None, ge=1, le=1024, description=SIZE_MULTIPLE)
    frame_step: Annotated[int | None, Unit("frames")] = Field(None, ge=1, le=1024, description=FRAME_STEP)
    frames: Annotated[int | None, Unit("frames")] = Field(
        None, ge=1, le=4096, description="How many frames a clip has; empty: the family's own."
    )
    fps: Annotated[float | None, Unit("frames/s")] = Field(
        None, gt=0, le=240, description="Frames per second; empty: the family's own."
    )
    steps: Annotated[int | None, Unit("steps")] = Field(
        None, ge=1, le=1000, description="Denoising steps; empty: the family's own."
    )
    guidance: float | None = Field(
        None, ge=0, le=100, description="Classifier-free guidance; 1 is none; empty: the family's own."
    )
    sound: bool | None = Field(
        None, description="Whether clips get sound; empty: they do, where the family draws sound."
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Of the noise; the same for every prompt and every adapter.")
    options: dict[str, float | int | bool | str] = Field(
        {}, description="Settings of sampling that only this family knows, by name."
    )

    def run(
        self,
        context: Context,
        vae: VAE,
        prompts: Items[Embedding],
        images: Items[Image] | None = None,
        image_encoder: ImageEncoder | None = None,
    ) -> Sampling:
        """Return the recipe: with images of image to video, without them of text to video.

        Raises:
            GraphError: a size or number of frames that the family does not take, no prompt, or images that fit neither
                the size nor the prompts.
        """
        family = vae.family
        given = {name for name, value in (("images", images), ("image_encoder", image_encoder)) if value is not None}
        stills = self._image_problems(vae, images, image_encoder, given)
        if wrong := [*self._problems(vae), *stills, *_no_prompt(prompts)]:
            raise GraphError(wrong)
        if family.sound:
            context.report({"sound": "off" if self.sound is False else "drawn with the clips"})
        sampling = Sampling.with_prompts(
            prompts, vae=vae, seed=self.seed, options=self.options, **self._sizes(vae), **self._way(vae)
        )
        if images is None:
            return sampling
        first_frames = paired([row for row, _ in sampling.prompts], images)
        return sampling.model_copy(update={"images": first_frames, "image_encoder": image_encoder})

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what the family does not take, before anything is encoded."""
        vae: VAE | None = inputs.get("vae")
        if vae is not None:
            yield from self._problems(vae)
            yield from self._warnings(vae)
            yield from self._other_names(vae.family)
            given = {port for port in ("images", "image_encoder") if is_given(port, context, inputs)}
            yield from self._image_problems(vae, inputs.get("images"), inputs.get("image_encoder"), given)
            if "images" in given:
                yield from self._other_size(vae)

    def _warnings(self, vae: VAE) -> Iterator[Problem]:
        if vae.source.kind == "tiny" and vae.source.files:
            return  # what is usual is so of the real model: a trained miniature follows its captions without guidance
        usual, (least, most) = vae.family.sampling_of(vae.source).guidance, _USUAL_GUIDANCE
        if self.guidance is None or least <= self.guidance <= most or not least <= usual <= most:
            return
        seen = "washed out or black" if self.guidance < least else "burnt or noisy"
        told = f"guidance {self.guidance:g}: clips of {vae.family.title} often come out {seen}"
        yield Problem(told, f"{least:g} to {most:g} is usual, {usual:g} its own", "guidance", "warning")

    def _other_size(self, vae: VAE) -> Iterator[Problem]:
        """Yield a hint if the family's pipeline, used by itself, would draw another size than this."""
        sizes, family = self._sizes(vae), vae.family
        chosen = family.image_size(vae.source, sizes["width"], sizes["height"])
        if chosen != (sizes["width"], sizes["height"]):
            asked, own = f"{sizes['width']}x{sizes['height']}", f"{chosen[0]}x{chosen[1]}"
            found = f"clips from images are drawn at {asked}; the pipeline of {family.title} would make that {own}"
            yield Problem(found, f"use {own} for clips that it draws alike", "resolution", "hint")

    def _other_names(self, family: Family) -> Iterator[Problem]:
        for name, value in self.options.items():
            option = family.sampling_options.get(name)
            if option is not None and option.instead:
                told = f"{name} is {option.about}; it is taken for {option.instead}"
                yield Problem(told, f"write {option.instead}: {value!r}", f"options.{name}", "warning")

    def _ruled(self, vae: VAE) -> Ruled:
        return Ruled.of(vae, self.round, self.size_multiple, self.frame_step)

    def _written(self, vae: VAE) -> tuple[int | str, int]:
        """Return size and number of frames as they are written, or the family's own, rounded where that is wanted."""
        ruled, usual = self._ruled(vae), vae.family.sampling_of(vae.source)
        size = f"{usual.width}x{usual.height}" if self.resolution is None else self.resolution
        frames = usual.frames if self.frames is None else self.frames
        return ruled.resolution(size), ruled.frames(frames)

    def _sizes(self, vae: VAE) -> dict[str, int]:
        """Return the size in pixels; of those that a short side or an area allows, the nearest to the usual shape."""
        (size, frames), usual = self._written(vae), vae.family.sampling_of(vae.source)
        own = usual.width, usual.height
        allowed = buckets.sizes_of(size, self._ruled(vae).rules) or [own]  # an area too small is told by `_problems`
        width, height = buckets.best_fit(own, allowed).size
        return {"width": width, "height": height, "frames": frames}

    def _way(self, vae: VAE) -> dict[str, Any]:
        usual = vae.family.sampling_of(vae.source)
        return {
            "fps": vae.rules.fps if self.fps is None else self.fps,
            "steps": usual.steps if self.steps is None else self.steps,
            "guidance": usual.guidance if self.guidance is None else self.guidance,
            "sound": vae.family.sound if self.sound is None else self.sound,
        }

    def _problems(self, vae: VAE) -> Iterator[Problem]:
        family, (size, frames) = vae.family, self._written(vae)
        if self.sound and not family.sound:
            yield Problem(f"{family.title} draws no sound", "leave `sound` out", "sound")
        yield from self._ruled(vae).problems([("frames", frames)], [("resolution", size)])
        least = family.sampling_of(vae.source).least_steps
        if self.steps is not None and self.steps < least:
            found = f"{self.steps} denoising steps: {family.title} needs {least}"
            yield Problem(found, f"use {least} or more", "steps")
        yield from self._option_problems(family)

    def _image_problems(
        self, vae: VAE, images: Items[Image] | None, image_encoder: ImageEncoder | None, given: Set[str]
    ) -> Iterator[Problem]:
        """Yield where model, first frames and image encoder do not go together; what is given may not be known yet."""
        if "images" not in given:
            yield from task_problems(vae, False, "link Images or Stills to images")
            if "image_encoder" in given:
                yield Problem("there is an image encoder but no images", "link images, or leave it out", "inputs")
            return
        yield from task_problems(vae, True, "")
        yield from encoder_problems(vae, image_encoder, "image_encoder" in given)
        sizes, least = self._sizes(vae), vae.family.sampling_of(vae.source).least_image_frames
        if sizes["frames"] < least:
            found = f"{sizes['frames']} frames: {vae.family.title} goes on from an image with {least} or more"
            yield Problem(found, f"use {least}", "frames")
        if images is not None:
            yield from size_problems(images, sizes["width"], sizes["height"])

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
