"""What is gathered from one log: its end first, then how the run stands, then what was long ago."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vflow.engine.following.log import LogIndex
from vflow.engine.following.pages import Pages
from vflow.engine.following.published import Published
from vflow.engine.following.reading import Block, Event, Key, StateBefore, read_block
from vflow.engine.following.series import Series
from vflow.engine.following.standing import Standing

_TAIL = 2**18  # bytes at the end that are read at once
_BLOCK = 2**17  # larger ones do not fit into a cache of the processor, and take twice as long
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError)  # an event is not what it should be


class Gathering:
    """One log file, and what was read of it so far. Used by one thread; series and log may be read from any."""

    def __init__(self, path: Path) -> None:
        """Open the log and read its end.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        self.pages = Pages(path)
        self.log = LogIndex(self.pages)
        self.standing = Standing()
        self.series: dict[Key, Series] = {}
        self.starts = 0  #: starts of a process that were seen
        self.damaged = 0  #: lines that are no events
        self._older_files: list[Published] = []
        self._newer_files: list[Published] = []
        start, data = self.pages.before(self.pages.end, _TAIL)
        self._state_end = self._old_end = start
        self._before = StateBefore() if start else None
        self._since: list[Event] = []  # events of the state that were taken before what was before them
        self._take_new(read_block(start, data, state=True))

    @property
    def known(self) -> bool:
        """True when the state of the run is known."""
        return self._before is None

    @property
    def complete(self) -> bool:
        """True when the whole log was read."""
        return self._before is None and not self._old_end

    @property
    def share_read(self) -> float:
        """How much of the log was read, from 0 to 1."""
        return 1.0 - (self._old_end / self.pages.end if self.pages.end else 0.0)

    @property
    def published(self) -> list[Published]:
        """The files that were published, oldest first."""
        return [*reversed(self._older_files), *self._newer_files]

    def read_new(self) -> bool:
        """Read a block of what the file grew by; returns whether there was a whole line."""
        offset, data = self.pages.new(_BLOCK)
        if data:
            self._take_new(read_block(offset, data, state=True))
        return bool(data)

    def read_old(self) -> None:
        """Read a block of what stands before: for the state first, then for everything else."""
        if self._before is None:
            start, data = self.pages.before(self._old_end, _BLOCK)
            self._old_end = start if data else 0
            self._take_old(read_block(start, data, state=False))
            return
        self._state_end, data = self.pages.before(self._state_end, _BLOCK)
        self._before.take(self._state_end, data)
        if self._before.found:
            self._take_state(self._before)

    def _take_new(self, block: Block) -> None:
        for event in block.events:
            with suppress(*_WRONG):
                if self.standing.take(event) and self._before is not None:
                    self._since.append(event)
        if block.starts:  # all that makes the state is there
            self._before = None
            self._since.clear()
        for key, (steps, values) in block.metrics.items():
            self._series_of(key).add(steps, values)
        for offset, node, level in block.log:
            self.log.add(offset, node, level)
        self._newer_files += block.published
        self._count(block)

    def _take_old(self, block: Block) -> None:
        for key, (steps, values) in block.metrics.items():
            self._series_of(key).add_older(steps[::-1], values[::-1])
        for offset, node, level in reversed(block.log):
            self.log.add_older(offset, node, level)
        self._older_files += reversed(block.published)
        self._count(block)

    def _take_state(self, before: StateBefore) -> None:
        """Take what the state is made of from the last start on, and then once more what came after it."""
        standing, running = Standing(), ""
        for event in before.events:
            with suppress(*_WRONG):
                standing.take(event)
                running = str(event["node"]) if event["kind"] == "node_started" else running
        standing.add_items(running, before.items)
        for event in self._since:
            with suppress(*_WRONG):
                standing.take(event)
        standing.newest = max(standing.newest, self.standing.newest)
        self.standing, self._before = standing, None
        self._since.clear()

    def _count(self, block: Block) -> None:
        self.starts += block.starts
        self.damaged += block.damaged

    def _series_of(self, key: Key) -> Series:
        if (found := self.series.get(key)) is None:
            found = self.series[key] = Series(*key)
        return found
