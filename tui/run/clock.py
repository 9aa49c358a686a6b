"""The time of clips that play together. Pure: who draws says what time it is."""

from __future__ import annotations

#: frames a second that are drawn at most, and pieces of one colour a second (each some forty bytes to the terminal)
MOST_DRAWN = 12.0
MOST_PIECES = 25_000


class Clock:
    """Where in its clips a player is: `at` seconds from their beginning."""

    def __init__(self) -> None:
        self.at = 0.0
        self.playing = False
        self._now = 0.0

    def start(self, now: float) -> None:
        """Let time pass from now on."""
        self.playing, self._now = True, now

    def stop(self) -> None:
        """Stand still."""
        self.playing = False

    def tick(self, now: float, length: float, *, whole: bool) -> None:
        """Pass on to `now`. After `length` seconds it begins again; it waits where not all is there yet (`whole`)."""
        passed, self._now = now - self._now, now
        later = self.at + passed
        if later < length:
            self.at = later
        elif whole:
            self.at = later % length if length else 0.0

    def step(self, by: int, rate: float, length: float) -> None:
        """Stand still, and go so many frames on, or back; no further than the first and the last."""
        self.stop()
        last = max(0, round(length * rate) - 1)
        self.at = min(max(int(self.at * rate + 1e-6) + by, 0), last) / rate


def drawn_rate(fps: float, cost: int) -> float:
    """Return how many frames to draw a second of clips of this rate, when the last one took `cost` pieces."""
    return max(1.0, min(fps or MOST_DRAWN, MOST_DRAWN, MOST_PIECES / max(1, cost)))
