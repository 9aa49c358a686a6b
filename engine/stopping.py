"""Asking a run to stop: at the end of a step where something would be lost, at once where nothing would."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vflow.engine.problems import Interrupted

if TYPE_CHECKING:
    from vflow.engine.problems import Failure

#: Seconds that a node has to finish its step. A machine that is taken away gives 30: the rest is for keeping the state.
GRACE = 20.0


class Stop:
    """Whether a run is to stop, by when, and why. `because` is None where the user or the system asked for it."""

    def __init__(self) -> None:
        self.because: Failure | None = None
        self._asked, self._until = False, math.inf
        self._lock = threading.RLock()
        self._loose: set[int] = set()  #: threads that may be torn out of what they do

    @property
    def asked(self) -> bool:
        """True once somebody asked."""
        return self._asked

    @asked.setter
    def asked(self, asked: bool) -> None:
        self._asked = asked
        if not asked:
            self._until, self.because = math.inf, None

    @property
    def seconds_left(self) -> float:
        """Seconds in which a node may still finish what it does; infinite while nobody asked, or nobody is in haste."""
        return max(0.0, self._until - time.monotonic())

    def ask(self, seconds: float = math.inf, because: Failure | None = None) -> None:
        """Ask the run to stop, giving its node so many seconds to finish a step. The first to ask counts."""
        with self._lock:
            if not self._asked:
                self._until, self.because, self._asked = time.monotonic() + seconds, because, True
            me = threading.get_ident()
            for thread in self._loose - {me}:
                _raise_in(thread)
            if me in self._loose:
                raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While entered, a request to stop tears this thread out of what it does: nothing is there that could be lost.

        Raises:
            Interrupted: the run is to stop, or was asked to before.
        """
        if self._asked:
            raise Interrupted("interrupted; what was finished is kept")
        me = threading.get_ident()
        outermost = me not in self._loose
        try:
            self._loose.add(me)
            try:
                yield
            finally:
                if outermost:
                    self._loose.discard(me)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; what was finished is kept") from None


def _raise_in(thread: int) -> None:
    """Have a thread raise KeyboardInterrupt at its next step in Python."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
