"""Making results durable in groups: quick results share one sync, slow ones are written at once.

A result is announced (by calling back), and the claim on its key given up, only after it is durable. At most `_LONGEST`
seconds pass between a result and its group's sync, so a crash loses that much of quick work, and of slow work nothing
but what was in flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure

if TYPE_CHECKING:
    from vflow.engine.store import Record, Store

Call = Callable[[], None]

_QUICK = 0.02  # seconds of work under which a result may wait for others
_LONGEST = 0.2
_MOST = 256  # results in a group


@dataclass(frozen=True)
class _Waiting:
    """A result on its way to the disk: `announce` is called when it is durable, `release` then or when it failed."""

    record: Record
    announce: Call
    release: Call
    claim: str


class Publisher:
    """Publishes records of one run. Its own thread writes groups whose time has come while the next node works."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._claims: set[str] = set()  # not given up yet
        self._since = 0.0
        self._lock = threading.Lock()  # over the list
        self._writing = threading.Lock()  # over a group's way to the disk, so that groups stay in order
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._told = False
        self._closed = False

    def add(self, record: Record, announce: Call, release: Call = lambda: None, claim: str = "") -> None:
        """Publish a record: at once if it took long, else with the next group.

        `announce` is called when it is durable; `release`, which gives up the claim of that key, after it and also
        when it could not be written.

        Raises:
            Failure: this record, or one of a group before it, cannot be written; nothing of the run can be any more.
        """
        with self._changed:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(_Waiting(record, announce, release, claim))
            self._claims.add(claim)
            waiting = len(self._waiting)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
                self._thread.start()
            elif waiting == 1:
                self._changed.notify()
        # usually the run's own thread writes: two threads in turn at every system call would cost more than the work
        if record.seconds > _QUICK or waiting >= _MOST or time.monotonic() - self._since > _LONGEST / 2:
            self.settle()
        self._raise_error()

    def flush(self) -> None:
        """Publish what waits.

        Raises:
            Failure: it cannot be written.
        """
        self.settle()
        self._raise_error()

    def settle(self, claim: str = "") -> None:
        """Publish what waits, or do so if it holds up the claim of that key; errors are told later."""
        if claim:
            with self._lock:
                if claim not in self._claims:
                    return
        self._write()  # after a group that is being written just now

    def close(self) -> BaseException | None:
        """Publish what waits, and end the thread. Returns what went wrong, if nobody was told yet."""
        self.settle()
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        return None if self._told else self._error

    def _work(self) -> None:
        while self._wait_for_group():
            self._write()

    def _wait_for_group(self) -> bool:
        """Wait until a group's time has come; False when there will be no more."""
        with self._changed:
            while not self._closed:
                rest = self._since + _LONGEST - time.monotonic()
                if self._waiting and rest <= 0:
                    break
                self._changed.wait(rest if self._waiting else None)
            return not self._closed

    def _write(self) -> None:
        with self._writing:
            with self._lock:
                group, self._waiting = self._waiting, []
            try:
                if group and self._error is None:
                    self._store.publish_many([waiting.record for waiting in group])
                    for waiting in group:
                        waiting.announce()
            except BaseException as error:  # told by the next call in the run's own thread
                if isinstance(error, Failure):
                    error.final = True  # whatever else is computed could not be kept either
                self._error = error
            finally:
                for waiting in group:
                    waiting.release()
                    self._claims.discard(waiting.claim)

    def _raise_error(self) -> None:
        if self._error is not None:
            self._told = True
            raise self._error
