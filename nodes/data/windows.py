"""Time: from the frames a clip has to the frames that are wanted, and which stretches of a clip are taken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vflow.engine.keys import digest

Choice = Literal["start", "middle", "uniform", "random", "all"]


@dataclass(frozen=True)
class Timeline:
    """When the frames of a clip are shown: rising `times` and `last`, for how long the last one is, in ticks.

    `tick` is in seconds.
    """

    times: Sequence[int]
    last: Fraction
    tick: Fraction

    @property
    def fps(self) -> Fraction:
        """The clip's own rate, on average; 0 for a single frame."""
        span = (self.times[-1] - self.times[0]) * self.tick
        return (len(self.times) - 1) / span if span else Fraction(0)

    def time_of(self, index: int) -> Fraction:
        """Return when a frame is shown, in seconds as the file counts them."""
        return self.times[index] * self.tick

    def count(self, fps: Fraction) -> int:
        """Return how many frames the clip has at another rate: those times i/fps that lie before its end.

        The end is where the last frame has been shown, less half a frame of the faster of the two rates, so that
        rounded time stamps neither add nor cost a frame. A single frame stays one frame.
        """
        if len(self.times) == 1:
            return 1
        last = self.last * self.tick
        seconds = (self.times[-1] - self.times[0]) * self.tick + last - min(last, 1 / fps) / 2
        return int(seconds * fps) + 1

    def indices(self, start: int, frames: int, fps: Fraction) -> tuple[int, ...]:
        """Return the frames shown nearest to the times start/fps, (start+1)/fps, ...; of two as near, the earlier."""
        step = 1 / (fps * self.tick)
        return tuple(self._nearest(i * step.numerator, step.denominator) for i in range(start, start + frames))

    def _nearest(self, above: int, below: int) -> int:
        """Return the frame nearest to above/below ticks after the first, in whole numbers throughout."""
        first = self.times[0]
        after = bisect_right(self.times, first + above // below)
        if after == len(self.times):
            return after - 1
        middle = self.times[after - 1] + self.times[after] - 2 * first
        return after - 1 if 2 * above <= middle * below else after


def exact_fps(fps: float) -> Fraction:
    """Return a rate as the fraction that its decimal digits say (29.97 is 2997/100)."""
    return Fraction(repr(fps))


def choose(
    choice: Choice, total: int, frames: int, *, count: int = 1, stride: int | None = None, seed: int = 0, clip: str = ""
) -> list[int]:
    """Return at which frames of a clip of `total` frames windows of `frames` start, rising, each once.

    `uniform` spreads `count` windows from the clip's start to its end; `random` draws `count` different starts from
    (seed, clip), whatever other clips there are; `all` takes one every `stride` frames (None: end to end). A clip with
    room for fewer windows gives fewer; one that is too short gives none.
    """
    room = total - frames
    if room < 0:
        return []
    if choice == "start":
        return [0]
    if choice == "middle" or (choice == "uniform" and count == 1):
        return [room // 2]
    if choice == "uniform":
        return sorted({(2 * i * room + count - 1) // (2 * (count - 1)) for i in range(count)})
    if choice == "all":
        return list(range(0, room + 1, stride or frames))
    return _draw(room + 1, min(count, room + 1), seed, clip)


def _draw(places: int, count: int, seed: int, clip: str) -> list[int]:
    """Draw `count` different numbers below `places` (Floyd's algorithm), the same on every machine and version."""
    drawn: set[int] = set()
    for top in range(places - count, places):
        number = int(digest(["window", seed, clip, top]), 16) % (top + 1)
        drawn.add(top if number in drawn else number)
    return sorted(drawn)
