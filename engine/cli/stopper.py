"""What signals do to a command that runs a graph: the first asks it to stop, the second stops it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from vflow.engine.contexts import World

_HANG_UP = getattr(signal, "SIGHUP", None)
#: Seconds for what the second signal leaves to be done (a summary); within them further ones count for nothing.
_CLEARING = 5.0


class Stopper:
    """While entered: the first interrupt or SIGTERM asks the run to stop at the end of a step, the second stops it.

    A terminal that vanishes (SIGHUP) counts as SIGTERM, unless whoever started the process has it ignored (`nohup`).
    """

    def __init__(self) -> None:
        self.world: World | None = None
        self.signal = 0
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []
        self._twice: float | None = None

    def __enter__(self) -> Stopper:
        self._terminals = [stream for stream in (0, 1, 2) if os.isatty(stream)]
        for number in (signal.SIGINT, signal.SIGTERM, _HANG_UP):
            if number is not None and not (number == _HANG_UP and signal.getsignal(number) is signal.SIG_IGN):
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def code(self) -> int:
        """The exit code of what was stopped."""
        return TERMINATED if self.signal in (signal.SIGTERM, _HANG_UP) else INTERRUPTED

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if number == _HANG_UP:
            self._leave_terminal()
        if self._twice is not None:
            if time.monotonic() - self._twice > _CLEARING:
                os._exit(self.code)  # nothing is ever half-written
        elif self.signal or self.world is None:
            self.signal, self._twice = self.signal or number, time.monotonic()
            raise KeyboardInterrupt(self.code)
        else:
            self._ask(number, self.world)

    def _ask(self, number: int, world: World) -> None:
        from vflow.engine.cli.text import say
        from vflow.engine.stopping import GRACE

        self.signal = number
        say("stopping at the end of this step; once more stops now, and still loses nothing that was kept")
        try:
            world.stop.ask(GRACE)
        except KeyboardInterrupt:  # it stops at once, for nothing is lost by that
            self._twice = time.monotonic()
            raise

    def _leave_terminal(self) -> None:
        """Write into nothing from now on: what is written to a terminal that is gone would be an error."""
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in self._terminals:
                os.dup2(nothing, stream)
            os.close(nothing)
