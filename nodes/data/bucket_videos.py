"""The node that turns a folder of clips into training samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vflow.engine.context import Context
from vflow.engine.node import Node, Outputs, Unit, private
from vflow.engine.problems import Problem
from vflow.engine.values import Items
from vflow.nodes.data.rules import FRAME_STEP, ROUND, SIZE_MULTIPLE, Frames, Resolution, Rounding, Size
from vflow.nodes.values import VAE, Caption, Window

#: the share by which a rate may differ from the family's without a warning
_OTHER_RATE = 0.1


class VideoSet(Outputs):
    """Windows and their captions, under the same rows; those held out stand apart."""

    clips: Items[Window]
    captions: Items[Caption]
    held_out_clips: Items[Window]
    held_out_captions: Items[Caption]


class BucketVideos(Node):
    """Cut a folder of clips into windows of equal length and allowed sizes, with the captions beside them.

    Every clip is brought to `fps` by taking, for each time, the frame shown nearest to it; then to the size of
    `resolution` that loses the least of it, by scaling until it is covered and cutting from the middle. Clips that
    cannot be used are left out and told with the reason; nothing is ever deleted or changed.
    """

    light: ClassVar[bool] = True

    source: str = private(
        when="path",
        min_length=1,
        description="Folder of clips (.mp4 .mov .mkv .webm .avi), sub-folders too, relative to the current folder; or "
        "drawn ones: sample://shapes, sample://shapes?clips=24&seed=0, sample://sounding, sample://world, "
        "sample://lesson.",
    )
    resolution: Resolution | Annotated[tuple[Size, ...], Field(min_length=1)] | None = Field(
        None,
        description="A number is the short side in pixels, `0.4MP` an area in millions of pixels, the shape following "
        "the clip up to 5:2; or one size `WxH`, or a list of sizes to choose from; empty: the family's own short side.",
    )
    frames: Annotated[Frames | None, Unit("frames")] = Field(
        None, description="Frames of a window; empty: as many as the family usually draws."
    )
    round: Rounding = Field("refuse", description=ROUND)
    size_multiple: Annotated[int | None, Unit("pixels")] = Field(None, ge=1, le=1024, description=SIZE_MULTIPLE)
    frame_step: Annotated[int | None, Unit("frames")] = Field(None, ge=1, le=1024, description=FRAME_STEP)
    fps: Annotated[float | None, Unit("frames/s")] = Field(
        None, gt=0, le=1000, description="Frames per second; none: what the family was made for."
    )
    windows: Literal["start", "middle", "uniform", "random", "all"] = Field(
        "start",
        description="Which stretches of a longer clip: its start, its middle, some spread evenly or drawn at random "
        "(windows_per_clip), or all (stride).",
    )
    windows_per_clip: Annotated[int, Unit("windows")] = Field(
        1, ge=1, le=10_000, description="How many windows, for `uniform` and `random`."
    )
    stride: Annotated[int | None, Unit("frames")] = Field(
        None, ge=1, description="Frames from the start of one window to the next, for `all`; none: end to end."
    )
    seed: int = Field(
        0, ge=0, description="Seed of `random` windows; each clip draws its own, whatever others there are."
    )
    group: Literal["aspect", "size_frames"] = Field(
        "aspect",
        description="`aspect`: every window has `frames` frames, shorter clips are left out. `size_frames`: groups are "
        "`WxH@F`, a clip takes the longest of frame_buckets that it can fill.",
    )
    frame_buckets: tuple[Frames, ...] = Field(
        (), description="Numbers of frames for `size_frames`; empty: all that the family takes, from 2 up to `frames`."
    )
    hold_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the clips held out for evaluation, chosen by a hash of each clip's content.",
    )
    max_crop: float = Field(
        1.0, ge=0, le=1, description="Leave out clips that would lose more than this share of their picture."
    )
    upscale: Literal["warn", "leave_out"] = Field(
        "warn", description="What to do with clips smaller than their bucket."
    )
    on_error: Literal["skip", "stop"] = Field(
        "skip", description="What to do with a broken file: leave it out, or stop."
    )
    on_missing_caption: Literal["stop", "skip", "empty"] = Field(
        "stop", description="A clip without caption: stop, leave it out, or train it with the empty caption."
    )
    caption_extension: str = Field(".txt", pattern=r"^\.[^/\\\x00]+$", description="Ending of the caption files.")

    @model_validator(mode="after")
    def _settings_that_belong_together(self) -> BucketVideos:
        if self.windows_per_clip > 1 and self.windows not in ("uniform", "random"):
            raise ValueError(f"windows_per_clip is for windows: uniform or random, not {self.windows}")
        if self.stride is not None and self.windows != "all":
            raise ValueError(f"stride is for windows: all, not {self.windows}")
        if self.frame_buckets and self.group != "size_frames":
            raise ValueError("frame_buckets is for group: size_frames")
        return self

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield a warning of a rate that the family was not made for."""
        vae: VAE | None = inputs.get("vae")
        if vae is not None and self.fps is not None and abs(self.fps - vae.rules.fps) > vae.rules.fps * _OTHER_RATE:
            yield Problem(
                f"clips at {self.fps:g} frames per second: {vae.family.title} was made for {vae.rules.fps:g}",
                "motion may jitter or run at another speed: leave fps out, unless that is what is wanted",
                "fps",
                "warning",
            )

    def run(self, context: Context, vae: VAE) -> VideoSet:
        """Scan the folder. The VAE's recipe carries the family's rules on frames and sizes.

        Raises:
            GraphError: settings, folder or captions are not as they must be; carries everything that was found.
        """
        from vflow.nodes.data.scan import as_items, read_samples

        kept, held_out = read_samples(self, context, vae)
        clips, captions = as_items(kept, context)
        held_out_clips, held_out_captions = as_items(held_out, context)
        return VideoSet(
            clips=clips, captions=captions, held_out_clips=held_out_clips, held_out_captions=held_out_captions
        )
