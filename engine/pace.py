"""How fast something goes, and how long it will still take: what bars, plain lines and the terminal UI show."""

from __future__ import annotations

from collections import deque

from vflow.engine.cli.text import duration

_WINDOW = 30.0  # seconds over which the pace is taken


class Pace:
    """How fast a node is, over the last half minute: what came before (loading, a resumed start) does not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int, now: float) -> None:
        """Take how far the node was at a time in seconds: of the event, which may be read long after it happened.

        What goes back, in time or in what is done (a clock that was set, a count that began anew), starts over.
        """
        if self._seen and (now < self._seen[-1][0] or done < self._seen[-1][1]):
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 while it is not known."""
        if not self._seen:
            return 0.0
        (first, start), (last, done) = self._seen[0], self._seen[-1]
        return (done - start) / (last - first) if last > first else 0.0

    def remaining(self, total: int) -> float | None:
        """Return the seconds that are left until `total`; None while that is not known."""
        rate = self.rate
        if not rate:
            return None
        return max(0.0, (total - self._seen[-1][1]) / rate)


def rate_words(rate: float, unit: str) -> str:
    """Return a rate in units a second in words, nothing while it is not known: `3.2/s`, `4.1 s/step`."""
    if rate <= 0:
        return ""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"


def left_words(seconds: float | None) -> str:
    """Return what is left in words, nothing while it is not known: `3 min 20 s left`."""
    return f"{duration(seconds)} left" if seconds else ""
