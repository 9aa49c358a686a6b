"""How sizes and lengths are written, and what a family's rules make of them. Light.

A size is written `832x480`, as its short side in pixels (`480`), or as an area in megapixels of 1,000,000 (`0.4MP`).
A written size or number of frames that breaks the rules is a problem that names the nearest ones, or is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vflow.engine.problems import Problem
from vflow.nodes.data import buckets
from vflow.nodes.families.rules import VideoRules

if TYPE_CHECKING:
    from vflow.nodes.data.bucket_videos import BucketVideos
    from vflow.nodes.values import Model

Frames = Annotated[int, Field(ge=1, le=100_000)]
ShortSide = Annotated[int, Field(ge=8, le=8192)]
#: `WxH`
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]
#: `WxH`, or an area
SizeOrArea = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}x[1-9][0-9]{0,4}|(0|[1-9][0-9]{0,2})(\.[0-9]{1,6})?MP)$")]
Resolution = ShortSide | SizeOrArea
Rounding = Literal["refuse", "nearest", "down"]

ROUND = (
    "A size or number of frames that the family does not take: `refuse` it and name the nearest, or take the `nearest` "
    "one, or the next one `down`."
)
SIZE_MULTIPLE = "Sizes are multiples of so many pixels; empty: the family's own rule, which it must be a multiple of."
FRAME_STEP = "Frames are so many times k and a rest; empty: the family's own rule, which it must be a multiple of."


@dataclass(frozen=True)
class Ruled:
    """A family's rules, made stricter where a graph says so, and what is done with what breaks them."""

    title: str
    own: VideoRules
    rules: VideoRules
    rounding: Rounding = "refuse"

    @classmethod
    def of(cls, model: Model, rounding: Rounding, size_multiple: int | None, frame_step: int | None) -> Ruled:
        """Return what holds for clips of a model; a size multiple or step of None is the family's own."""
        own = model.rules
        rules = replace(
            own, size_multiple=size_multiple or own.size_multiple, frames_step=frame_step or own.frames_step
        )
        return cls(model.family.title, own, rules, rounding)

    def frames(self, written: int) -> int:
        """Return a number of frames, rounded where that is wanted."""
        return self._rounded(written, self.rules.nearest_frames(written))

    def resolution(self, written: int | str) -> int | str:
        """Return a size as it is written, its sides rounded where that is wanted. An area always fits."""
        if isinstance(written, int):
            return self._rounded(written, self.rules.nearest_sizes(written))
        if buckets.is_area(written):
            return written
        sides = ((side, self.rules.nearest_sizes(side)) for side in buckets.parse_size(written))
        return "x".join(str(self._rounded(side, nearest)) for side, nearest in sides)

    def problems(
        self, frames: Sequence[tuple[str, int]] = (), resolutions: Sequence[tuple[str, int | str]] = ()
    ) -> Iterator[Problem]:
        """Yield what breaks the rules, of numbers of frames and of sizes, each with the setting where it is written.

        A graph's own rules, too, have to keep to what the model needs.
        """
        for where, given, need in (
            ("size_multiple", self.rules.size_multiple, self.own.size_multiple),
            ("frame_step", self.rules.frames_step, self.own.frames_step),
        ):
            if given % need:
                yield Problem(f"{self.title} needs multiples of {need}, not {given}", f"use {need}", where)
        for where, number in frames:
            if not self.rules.frames_fit(self.frames(number)):
                told = f"{self.title} takes {self.rules.frames_words} frames, not {number}"
                yield Problem(told, _use(self.rules.nearest_frames(number)), where)
        for where, written in resolutions:
            yield from self._of_size(where, self.resolution(written))

    def _of_size(self, where: str, written: int | str) -> Iterator[Problem]:
        multiple = f"{self.title} takes sizes that are multiples of {self.rules.size_multiple}"
        if isinstance(written, int):
            sides = self.rules.nearest_sizes(written)
            if written not in sides:
                yield Problem(f"{multiple}, not {written}", _use(sides), where)
        elif buckets.is_area(written):
            if not buckets.sizes_of(written, self.rules):
                least = self.rules.size_multiple**2 / 1e6
                yield Problem(f"no size of {self.title} is as small as {written}", f"use {least:.6f}MP or more", where)
        else:
            sizes = buckets.nearest_sizes(buckets.parse_size(written), self.rules)
            if written not in sizes:
                yield Problem(f"{multiple}, not {written}", _use(sizes), where)

    def _rounded(self, written: int, nearest: Sequence[int]) -> int:
        if self.rounding == "refuse":
            return written
        return nearest[0] if self.rounding == "down" else min(nearest, key=partial(_distance, written))


@dataclass(frozen=True)
class Measures:
    """How large and how long the windows of a scan are: what is written, or the family's own, rounded if wanted."""

    ruled: Ruled
    resolution: int | str | tuple[str, ...]
    frames: int
    frame_buckets: tuple[int, ...]

    @classmethod
    def of(cls, node: BucketVideos, model: Model) -> Measures:
        """Read them from the settings; `problems` says what of them breaks the rules."""
        ruled = Ruled.of(model, node.round, node.size_multiple, node.frame_step)
        usual = model.family.sampling_of(model.source)
        written = min(usual.width, usual.height) if node.resolution is None else node.resolution
        return cls(
            ruled,
            tuple(map(str, map(ruled.resolution, written)))
            if isinstance(written, tuple)
            else ruled.resolution(written),
            ruled.frames(usual.frames if node.frames is None else node.frames),
            tuple(map(ruled.frames, node.frame_buckets)),
        )

    def problems(self) -> list[Problem]:
        """Return which settings break the rules on frames and sizes, with the nearest that do not."""
        sizes = self.resolution if isinstance(self.resolution, tuple) else (self.resolution,)
        frames = [("frames", self.frames), *(("frame_buckets", number) for number in self.frame_buckets)]
        return list(self.ruled.problems(frames, [("resolution", size) for size in sizes]))


def _distance(written: int, candidate: int) -> tuple[int, int]:
    return abs(candidate - written), candidate


def _use(values: Sequence[object]) -> str:
    return "use " + " or ".join(map(str, values))
