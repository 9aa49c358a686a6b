"""What a family demands of clips, held against what was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vflow.engine.problems import Problem
from vflow.nodes.data import buckets
from vflow.nodes.families.base import Family, VideoRules

if TYPE_CHECKING:
    from vflow.nodes.data.bucket_videos import BucketVideos


def broken_rules(node: BucketVideos, family: Family, rules: VideoRules) -> Iterator[Problem]:
    """Yield which settings break the rules on frames and sizes, with the nearest that do not."""
    written = {"frames": (node.frames,), "frame_buckets": node.frame_buckets}
    for name, numbers in written.items():
        for frames in numbers:
            if not rules.frames_fit(frames):
                rule = f"{rules.frames_step}k+{rules.frames_rest}" if rules.frames_rest else f"{rules.frames_step}k"
                nearest = " or ".join(str(n) for n in rules.nearest_frames(frames))
                yield Problem(f"{family.title} takes {rule} frames, not {frames}", f"use {nearest}", name)
    multiple = f"{family.title} takes sizes that are multiples of {rules.size_multiple}"
    if isinstance(node.resolution, int):
        nearest_sides = rules.nearest_sizes(node.resolution)
        if node.resolution not in nearest_sides:
            sides = " or ".join(str(side) for side in nearest_sides)
            yield Problem(f"{multiple}, not {node.resolution}", f"use {sides}", "resolution")
        return
    for width, height in buckets.sizes_of(node.resolution, rules):
        nearest_sizes = buckets.nearest_sizes((width, height), rules)
        if f"{width}x{height}" not in nearest_sizes:
            yield Problem(f"{multiple}, not {width}x{height}", f"use {' or '.join(nearest_sizes)}", "resolution")
