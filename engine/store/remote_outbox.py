"""What is still to be sent: a journal of one empty file per record, and a few threads that work it off.

The journal is the truth. A key stands in it before its record is published and until the remote has the record, so
whatever ends a process (a kill, a remote that does not answer), the next one finds what is left. The queue in memory
only says what to send first: what does not fit in it is found in the journal again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from vflow.engine.store.files import make_folder, names_in, sync
from vflow.engine.store.remote_link import Unreachable

_THREADS = 4
_QUEUE = 1000
#: Seconds without trying after a failure; doubled with each failure on end.
_REST, _LONGEST_REST = 30.0, 600.0
#: A key without a record may be about to get one; after so many seconds it is not.
_STALE = 3600.0


class Outbox:
    """Sends records in the background. `send(key)` brings one there and says False where there is no such record.

    `on_trouble(why)` is told when the remote cannot be reached, `on_success()` when a record arrived.
    """

    def __init__(
        self,
        folder: str,
        send: Callable[[str], bool],
        on_trouble: Callable[[str], None],
        on_success: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._send, self._on_trouble, self._on_success = send, on_trouble, on_success
        self._changed = threading.Condition()
        self._queue: deque[str] = deque()
        self._hand: set[str] = set()  # being sent just now
        self._given_up: set[str] = set()  # by this process
        self._more = False  # the journal may hold what the queue does not
        self._threads: list[threading.Thread] = []
        self._rest, self._wake = _REST, 0.0

    def note(self, keys: Iterable[str]) -> None:
        """Write down, durably, that these records are to be sent. Raises `OSError`."""
        make_folder(self._folder)
        for key in keys:
            os.close(os.open(f"{self._folder}/{key}", os.O_WRONLY | os.O_CREAT, 0o644))
        sync(self._folder)

    def push(self, keys: Iterable[str]) -> None:
        """Send records that were noted before; returns at once."""
        with self._changed:
            for key in keys:
                if len(self._queue) < _QUEUE:
                    self._queue.append(key)
                else:
                    self._more = True
            self._start()

    def resume(self) -> None:
        """Send what earlier processes left; returns at once."""
        if self.waiting():
            with self._changed:
                self._more = True
                self._start()

    def waiting(self) -> int:
        """Return how many records are still to be sent."""
        return len(names_in(self._folder))

    def flush(self, seconds: float | None) -> int:
        """Wait until all is sent, the remote fails or the time is up; return how many records are left.

        Without a time it is waited for as long as records arrive.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle() or self._wake > time.monotonic(), seconds)
        return self.waiting()

    # --- in the threads ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        while len(self._threads) < _THREADS:
            # a daemon: a remote that never answers must not hold the process
            self._threads.append(threading.Thread(target=self._work, name="vflow-outbox", daemon=True))
            self._threads[-1].start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            key = self._next()
            try:
                self._send_one(key)
            finally:
                with self._changed:
                    self._hand.discard(key)
                    self._changed.notify_all()

    def _next(self) -> str:
        with self._changed:
            while True:
                rest = self._wake - time.monotonic()
                if rest <= 0:
                    self._refill()
                    while self._queue:
                        key = self._queue.popleft()
                        if key not in self._hand:
                            self._hand.add(key)
                            return key
                self._changed.wait(rest if rest > 0 else None)

    def _refill(self) -> None:
        if not self._queue and self._more:
            found = [k for k in names_in(self._folder) if k not in self._hand and k not in self._given_up]
            self._queue.extend(found[:_QUEUE])
            self._more = len(found) > _QUEUE
            self._changed.notify_all()

    def _is_idle(self) -> bool:
        return not (self._queue or self._hand or self._more)

    def _send_one(self, key: str) -> None:
        path = f"{self._folder}/{key}"
        try:
            if self._send(key) or _is_stale(path):
                with suppress(FileNotFoundError):
                    os.unlink(path)
                self._rest = _REST
                self._on_success()
            else:
                self._given_up.add(key)
        except Unreachable as error:
            with self._changed:
                self._more = True
                if self._wake < time.monotonic():  # all threads fail at once, and that is one failure
                    self._wake = time.monotonic() + self._rest
                    self._rest = min(2 * self._rest, _LONGEST_REST)
            self._on_trouble(str(error))
        except Exception:  # of this machine's disk, for instance: it stays in the journal
            self._given_up.add(key)


def _is_stale(path: str) -> bool:
    with suppress(OSError):
        return time.time() - os.stat(path).st_mtime > _STALE
    return True
