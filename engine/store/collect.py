"""Housekeeping: which results may go, and letting them go beside runs in progress.

What is never taken: what a run in progress holds (see `uses.py`), what is pinned, and trainings with their states,
unless they are asked for. Of the rest, what was used last is kept longest. What goes is computed again when it is
missed.

A record goes before its blobs, and a blob only when no record, state or run needs it. Killed in between, a collection
leaves blobs that nobody refers to; those go next time, once they are old enough not to belong to a result that is just
being written.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from vflow.engine.problems import Failure
from vflow.engine.store.blobs import Blobs
from vflow.engine.store.files import Files, told_in_words
from vflow.engine.store.holdings import Entry, Holdings, Other, State, Survey, holders_of, used_by_last
from vflow.engine.store.leases import Leases
from vflow.engine.store.pins import Pins
from vflow.engine.store.records import Records
from vflow.engine.store.uses import Uses, record_name, work_name

#: What nobody refers to goes after so many seconds: a process that is no run may be about to write its record.
GRACE = 3600.0
_BATCH = 500


@dataclass(frozen=True)
class Limits:
    """What a collection is to reach. Without any limit only what nobody needs goes: left-over and damaged files.

    max_size: bytes that the store may hold; what was not used for longest goes first
    older_than: seconds; what was not used for so long goes
    keep_runs: what the last runs used stays; as the only limit, everything else goes
    trainings: take trainings too, with their states and those that were interrupted
    """

    max_size: int | None = None
    older_than: float | None = None
    keep_runs: int = 0
    trainings: bool = False
    grace: float = GRACE


@dataclass
class Taking:
    """What goes. `freed` and `left` are bytes; `refused` are results that were named and may not go, and why."""

    entries: list[Entry] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    freed: int = 0
    left: int = 0
    refused: list[tuple[Entry | State, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """True when anything goes."""
        return bool(self.entries or self.states or self.blobs or self.others)


class Chooser:
    """Decides what goes, from what the store holds. Touches nothing."""

    def __init__(self, found: Holdings, limits: Limits, now: float) -> None:
        self._found, self._limits, self._now = found, limits, now
        self._holders = holders_of(found)
        self._trained_by = Counter(e.record.work for e in found.entries.values() if e.record.work in found.states)
        self._unfinished = found.unfinished()
        self._gone: set[str] = set()
        self.taking = Taking(left=found.total)

    def choose(self) -> Taking:
        """Apply the limits."""
        self._take_leftovers()
        limits, last = self._limits, used_by_last(self._found.runs, self._limits.keep_runs)
        free = [entry for entry in self._found.entries.values() if not self.held_by(entry)]
        free = [entry for entry in free if record_name(entry.key) not in last]
        states = [s for s in self._unfinished if limits.trainings and not s.live and work_name(s.key) not in last]
        others = [other for other in self._found.others if other.kind != "damaged" and not self._found.runs_in_progress]
        ages: list[tuple[float, Entry | State | Other]] = [(entry.used, entry) for entry in free]
        ages += [(state.used, state) for state in states]
        if limits.keep_runs and limits.older_than is None and limits.max_size is None:
            for _, one in ages:
                self.take(one)
        ages += [(other.found.changed, other) for other in others]
        for used, one in sorted(ages, key=lambda pair: pair[0]):
            too_old = limits.older_than is not None and used <= self._now - limits.older_than
            if too_old or (limits.max_size is not None and self.taking.left > limits.max_size):
                self.take(one)
        return self.taking

    def named(self, keys: Iterable[str]) -> Taking:
        """Take the results of these keys, and states without a result of these names; trainings too."""
        states = {state.key: state for state in self._unfinished}
        for key in dict.fromkeys(keys):
            one: Entry | State | None = self._found.entries.get(key) or states.get(key)
            if one is None:
                continue
            reason = "a process works on it" if one.live else "it is pinned" if getattr(one, "pinned", False) else ""
            if reason:
                self.taking.refused.append((one, reason))
            else:
                self.take(one)
        return self.taking

    def unneeded(self, digests: Iterable[str]) -> Taking:
        """Take those of these blobs that no result, state or run in progress needs."""
        for digest in dict.fromkeys(digests):
            if digest in self._found.blobs and not self._holders[digest]:
                self._take_blob(digest)
        return self.taking

    def held_by(self, entry: Entry) -> str:
        """Say what keeps a result whatever the limits; "" where nothing does."""
        if entry.live:
            return "run"
        if entry.pinned:
            return "pin"
        return "training" if entry.training and not self._limits.trainings else ""

    def take(self, one: Entry | State | Other) -> None:
        """Take a result, a state or another folder, with all that nobody else needs then."""
        if isinstance(one, Other):
            self.taking.others.append(one)
            self._free(one.found.size)
        elif isinstance(one, State):
            self.taking.states.append(one)
            self._free(one.size)
            self._let_go(one.digests)
        elif one.key not in self._gone:
            self._gone.add(one.key)
            self.taking.entries.append(one)
            self._free(one.size - sum(one.record.sizes.values()))
            self._let_go(one.record.sizes)
            self._let_go_state(one.record.work)

    def _let_go_state(self, work: str) -> None:
        """A state goes with the last result that it belongs to."""
        self._trained_by[work] -= 1
        state = self._found.states.get(work)
        if state is not None and not self._trained_by[work] and not state.live:
            self.take(state)

    def _let_go(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._holders[digest] -= 1
            if not self._holders[digest] and digest in self._found.blobs:
                self._take_blob(digest)

    def _take_leftovers(self) -> None:
        before = self._now - self._limits.grace
        for digest, blob in self._found.blobs.items():
            if digest not in self._holders and blob.changed <= before:
                self._take_blob(digest)
        for other in self._found.others:
            if other.kind == "damaged" and other.found.changed <= before:
                self.take(other)

    def _take_blob(self, digest: str) -> None:
        self.taking.blobs.append(digest)
        self._free(self._found.blobs[digest].size)

    def _free(self, size: int) -> None:
        self.taking.freed += size
        self.taking.left -= size


def _unheard(_holder: str) -> None:
    """Hear who is waited for, and say nothing."""


def _never() -> bool:
    return False


class Keeper:
    """Keeps the store in order. Every method raises `Failure` where the disk, or a pin, cannot be read or written.

    Those that wait for another collection tell `on_wait` of it, and ask `should_stop`, upon which they raise
    `Interrupted`.
    """

    def __init__(self, files: Files, records: Records, blobs: Blobs, leases: Leases, uses: Uses) -> None:
        self._files, self._records, self._blobs, self._uses = files, records, blobs, uses
        self._survey = Survey(files, records, blobs, leases, uses)
        self._pins = Pins(files)

    def look(self) -> Holdings:
        """Return what the store holds."""
        with self._in_words():
            return self._survey.look()

    def total(self) -> int:
        """Return how many bytes the store holds."""
        with self._in_words():
            return self._survey.total()

    def choose(self, limits: Limits) -> Taking:
        """Return what `collect` would take just now."""
        return Chooser(self.look(), limits, time.time()).choose()

    def collect(
        self, limits: Limits, on_wait: Callable[[str], None] = _unheard, should_stop: Callable[[], bool] = _never
    ) -> Taking:
        """Let go of what the limits say; runs that look something up meanwhile wait for the end."""
        return self._sweep(lambda found: Chooser(found, limits, time.time()).choose(), on_wait, should_stop)

    def remove(
        self, keys: Iterable[str], on_wait: Callable[[str], None] = _unheard, should_stop: Callable[[], bool] = _never
    ) -> Taking:
        """Let go of the results of these keys (and interrupted states of these names), but what is pinned or in use."""
        wanted = list(keys)
        return self._sweep(lambda found: Chooser(found, Limits(), time.time()).named(wanted), on_wait, should_stop)

    def discard(self, digests: Iterable[str]) -> Taking:
        """Let go of those of these blobs that nobody needs."""
        wanted = list(digests)
        return self._sweep(lambda found: Chooser(found, Limits(), time.time()).unneeded(wanted), _unheard, _never)

    def pinned(self) -> dict[str, str]:
        """Return the pinned keys, each with the note that was given."""
        with self._in_words():
            return self._pins.keys()

    def pin(
        self,
        keys: Iterable[str],
        note: str = "",
        on_wait: Callable[[str], None] = _unheard,
        should_stop: Callable[[], bool] = _never,
    ) -> set[str]:
        """Pin results; return the keys of those that are there and stay."""
        wanted = list(keys)
        with self._in_words():
            self._pins.add(wanted, note)
            # a collection that goes on may not have seen the pin; those that begin from now on do
            self._uses.settle(on_wait, should_stop)
            return set(self._records.lookup(wanted, check_blobs=False))

    def unpin(self, keys: Iterable[str]) -> set[str]:
        """Unpin results; return the keys of those that were pinned."""
        with self._in_words():
            return self._pins.remove(keys)

    # --- letting go -------------------------------------------------------------------------------------------------

    def _sweep(
        self, choose: Callable[[Holdings], Taking], on_wait: Callable[[str], None], should_stop: Callable[[], bool]
    ) -> Taking:
        with self._in_words(), self._uses.collecting(on_wait, should_stop) as may_go_on:
            found = self._survey.look()
            taking = choose(found)
            steps = self._letting_go(taking, found)
            while may_go_on():
                if next(steps, None) is None:
                    self._uses.prune(found.runs)
                    return taking
        raise Failure("the collection stalled for so long that others went on without it", "collect once more")

    def _letting_go(self, taking: Taking, found: Holdings) -> Iterator[bool]:
        """Remove it bit by bit: records, then blobs, then folders."""
        keys = [entry.key for entry in taking.entries]
        for start in range(0, len(keys), _BATCH):
            self._records.remove(keys[start : start + _BATCH])
            yield True
        for digest in taking.blobs:
            path = self._blobs.path_of(digest)
            with suppress(FileNotFoundError):
                # another file than was looked at: a process wrote the same content again, for a new record
                if os.stat(path).st_ino == found.blobs[digest].inode:
                    os.unlink(path)
            yield True
        for state in taking.states:
            self._files.remove_tree(f"{self._files.root}/work/{state.key}")
            yield True
        for other in taking.others:
            path = f"{self._files.root}/{other.kind}/{other.name}"
            if os.path.isdir(path):
                self._files.remove_tree(path)
            else:
                self._files.discard(path)
            yield True

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        with told_in_words(self._files.root):
            try:
                yield
            except ValueError as error:
                raise Failure(f"the store cannot be kept in order: {error}", "remove that file") from error
