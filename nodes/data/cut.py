"""From clips to samples: how many frames, which size, which windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vflow.engine.keys import digest
from vflow.engine.problems import Problem
from vflow.nodes.data import buckets, windows
from vflow.nodes.data.clips import Clip
from vflow.nodes.data.rules import Measures
from vflow.nodes.data.samples import SCHEME
from vflow.nodes.values import Caption, Window

if TYPE_CHECKING:
    from vflow.nodes.data.bucket_videos import BucketVideos

LeaveOut = Callable[[str, str], None]

#: how far a clip's rate may be from a multiple of the wanted one before the frames that are left out show
_UNEVEN = Fraction(2, 100)


@dataclass(frozen=True)
class Sample:
    """A window with its caption, and where it came from. `row` is the name of the sample in every list."""

    row: str
    window: Window
    caption: Caption
    clip: Clip
    fit: buckets.Fit

    @property
    def label(self) -> str:
        """The sample's name for people: the clip, and which of its frames."""
        return f"{self.clip.name} [{self.window.indices[0]}-{self.window.indices[-1]}]"


class Cutter:
    """Cuts clips into samples, and remembers what is worth telling of all of them."""

    def __init__(self, node: BucketVideos, measures: Measures, leave_out: LeaveOut) -> None:
        self._node, self._measures, self._leave_out = node, measures, leave_out
        self._rules = measures.ruled.rules
        self._sizes = buckets.sizes_of(measures.resolution, self._rules)
        self.fps = windows.exact_fps(node.fps or self._rules.fps)
        self._lengths = self._allowed_lengths()
        self._fits: dict[buckets.Size, buckets.Fit] = {}
        self._short: list[int] = []
        self._seen = 0
        self._notes: dict[str, list[str]] = {}

    def samples(self, clips: Iterable[Clip]) -> Iterator[Sample]:
        """Yield every sample of every clip; clips that give none are left out with the reason."""
        for clip in clips:
            self._seen += 1
            total = clip.footage.timeline.count(self.fps)
            frames = next((length for length in self._lengths if length <= total), None)
            fit = self._fit((clip.footage.width, clip.footage.height))
            if frames is None:
                self._short.append(total)
                self._leave_out(clip.name, f"has {total} frames at {_rate(self.fps)}, needs {self._lengths[-1]}")
            elif fit.crop > self._node.max_crop:
                self._leave_out(clip.name, f"would lose {fit.crop:.0%} of its picture, more than max_crop")
            elif fit.upscaled and self._node.upscale == "leave_out":
                width, height = clip.footage.width, clip.footage.height
                self._leave_out(clip.name, f"is {width}x{height}, smaller than {fit.size[0]}x{fit.size[1]}")
            else:
                yield from self._windows(clip, total, frames, fit)

    def too_short(self) -> Problem | None:
        """Return the problem that every clip is too short, if that is why no sample came out."""
        if not self._short or len(self._short) < self._seen:
            return None
        longest = max(self._short)
        fewer = [f"frames: {n} or fewer, or " for n in self._rules.nearest_frames(longest) if n <= longest]
        wanted = f"{self._lengths[-1]} frames at {_rate(self.fps)}"
        message = f"every clip is too short: none has {wanted}, the longest has {longest}"
        return Problem(message, f"use {''.join(fewer)}longer clips", "frames")

    def warnings(self) -> Iterator[str]:
        """Yield what is worth a warning, once for all clips that it is true of."""
        for note, names in self._notes.items():
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{note}: {', '.join(names[:3])}{more}"

    def _windows(self, clip: Clip, total: int, frames: int, fit: buckets.Fit) -> Iterator[Sample]:
        footage, caption = clip.footage, Caption(text=clip.caption)
        self._note(clip, fit)
        for start in windows.choose(
            self._node.windows,
            total,
            frames,
            count=self._node.windows_per_clip,
            stride=self._node.stride,
            seed=self._node.seed,
            clip=clip.digest,
        ):
            window = Window(
                clip=clip.digest,
                indices=footage.timeline.indices(start, frames, self.fps),
                fps=float(self.fps),
                rotation=footage.rotation,  # type: ignore[arg-type]
                scaled=fit.scaled,
                offset=fit.offset,
                width=fit.size[0],
                height=fit.size[1],
            )
            yield Sample(digest([window.identity, caption.text])[:32], window, caption, clip, fit)

    def _fit(self, size: buckets.Size) -> buckets.Fit:
        if size not in self._fits:
            self._fits[size] = buckets.best_fit(size, self._sizes)
        return self._fits[size]

    def _note(self, clip: Clip, fit: buckets.Fit) -> None:
        own = clip.footage.timeline.fps
        if own and own < self.fps * Fraction(999, 1000):
            self._add(f"slower than {_rate(self.fps)}, so frames are repeated", f"{clip.name} ({_rate(own)})")
        elif own and not self._node.source.startswith(SCHEME) and abs(own / self.fps - round(own / self.fps)) > _UNEVEN:
            self._add(f"no multiple of {_rate(self.fps)}, so motion may jitter", f"{clip.name} ({_rate(own)})")
        if fit.upscaled:
            size = f"{clip.footage.width}x{clip.footage.height}"
            self._add("smaller than their bucket, so enlarged", f"{clip.name} ({size})")
        if clip.footage.hdr:
            self._add("in HDR, of which the colours are taken without tone mapping", clip.name)

    def _add(self, note: str, name: str) -> None:
        self._notes.setdefault(note, []).append(name)

    def _allowed_lengths(self) -> list[int]:
        """Return the numbers of frames that a window may have, longest first."""
        measures = self._measures
        if self._node.group == "aspect":
            return [measures.frames]
        if measures.frame_buckets:
            return sorted(set(measures.frame_buckets), reverse=True)
        return [n for n in range(measures.frames, 1, -1) if self._rules.frames_fit(n)] or [measures.frames]


def _rate(fps: Fraction) -> str:
    return f"{float(fps):.6g} fps"
