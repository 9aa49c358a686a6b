"""Work done in threads a little ahead of whoever reads the results, in order and bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(work: Callable[[A], B], items: Iterable[A], workers: int) -> Generator[B]:
    """Yield `work(item)` for every item, in order; `workers` threads are at most `workers` + 1 items ahead.

    With 0 workers nothing is done ahead. `items` is read in the reader's thread, and may be endless. An exception in
    `work` is raised where its result would have been; closing the iterator cancels what has not begun.
    """
    if workers == 0:
        yield from map(work, items)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="vflow-ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
