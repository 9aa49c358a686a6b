"""Light nodes that run beside the node that computes, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class _Call:
    """A call in a thread: when it began, and what came of it."""

    call: Callable[[], Any]
    began: float = field(default_factory=time.monotonic)
    result: Any = None
    error: BaseException | None = None

    def make(self, over: threading.Condition, ended: Callable[[], None]) -> None:
        try:
            self.result = self.call()
        except BaseException as error:
            self.error = error
        with over:
            ended()
            over.notify_all()

    def taken(self) -> Any:
        """Return or raise what came of it."""
        if self.error is not None:
            raise self.error
        return self.result


class Beside:
    """Calls under names, each in a thread; what came of them is taken by the thread that asks."""

    def __init__(self) -> None:
        self._over = threading.Condition(threading.RLock())
        self._running: dict[str, _Call] = {}
        self._ended: dict[str, _Call] = {}

    @property
    def busy(self) -> bool:
        """True while there are calls whose results were not taken."""
        return bool(self._running or self._ended)

    def start(self, name: str, call: Callable[[], Any]) -> None:
        """Begin a call. What an earlier one of this name gives is never taken."""
        made = _Call(call)

        def ended() -> None:
            if self._running.get(name) is made:
                self._ended[name] = self._running.pop(name)

        with self._over:
            self.forget(name)
            self._running[name] = made
        # the end of the process waits for none of them
        threading.Thread(target=made.make, args=(self._over, ended), name=f"vflow-{name}", daemon=True).start()

    def forget(self, name: str) -> None:
        """Let what a call gives never be taken."""
        with self._over:
            self._running.pop(name, None)
            self._ended.pop(name, None)

    def take(self, patience: float, longest: float = 0.0) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield name and result (a call that returns or raises it) of those that have ended.

        Waits for each until it has run for `patience` seconds, and `longest` for the first where none has ended then.
        """
        until = time.monotonic() + longest
        with self._over:
            while self._running:
                youngest = max(made.began for made in self._running.values()) + patience
                left = max(youngest, until if not self._ended else 0.0) - time.monotonic()
                if left <= 0 or not self._over.wait(left):
                    break
            ended, self._ended = self._ended, {}
        for name, made in ended.items():
            yield name, made.taken
