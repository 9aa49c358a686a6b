"""A run's folder, going on or over, of any size: how it stands at once, what was long ago behind that."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

from vflow.engine import watching
from vflow.engine.detaching import CONSOLE
from vflow.engine.folder import EVENTS, GRAPH, SUMMARY
from vflow.engine.following.gathering import Gathering
from vflow.engine.following.log import LogIndex
from vflow.engine.following.published import Published, outputs
from vflow.engine.following.series import Series
from vflow.engine.following.standing import NodeRun, Standing
from vflow.engine.store import owners

Status = Literal["running", "done", "failed", "interrupted", "died", "unfinished"]

_JUDGE_SECONDS = 1.0  # between two looks at the process and the summary
_CLOCKS = 60.0  # seconds that two clocks may be apart before it is said
_ENDS: dict[str, Status] = {"done": "done", "failed": "failed", "interrupted": "interrupted"}
_STANDINGS: dict[str, Status] = {"running": "running", "died": "died", "unfinished": "unfinished"}


class Following:
    """Follows a run by its folder. Call `refresh` again and again, from one thread; the rest may be read from any.

    The end of the log is read first, then the few lines that make the state of the run; older lines of the log, older
    metrics and files fill in behind, until `complete`. Nothing is ever written, and nothing raises for what is wrong
    with the folder: `notes` says it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: Status = "unfinished"
        self.nodes: dict[str, NodeRun] = {}  #: in the order of the plan; never changed, replaced by another
        self.series: dict[str, Series] = {}  #: by name; with the node in brackets where several report the same
        self.published: list[Published] = []  #: oldest first, what was exported at the end last
        self.log = LogIndex()
        self.failure = ""  #: why it failed, and what to do about it
        self.gone = False  #: the folder, or the log in it, is not there (any more)
        self.process_bytes: int | None = None  #: memory of the run's process, where that can be seen
        self._read: Gathering | None = None
        self._outputs: list[Published] = []
        self._replaced = False
        self._judged = -_JUDGE_SECONDS
        self._heard, self._news = time.monotonic(), False
        self._summary: dict[str, Any] = {}
        self._summary_of: tuple[int, int] | None = None

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """True when the whole log was read, as far as it goes."""
        return self._read is not None and self._read.complete

    @property
    def known(self) -> bool:
        """True when the state of every node is known; older metrics and lines may still be missing."""
        return self._read is not None and self._read.known

    @property
    def reading(self) -> bool:
        """True while older parts of the log are still to be read."""
        return self._read is not None and not self._read.complete

    @property
    def share_read(self) -> float:
        """How much of the log was read, from 0 to 1."""
        return self._read.share_read if self._read is not None else 0.0

    @property
    def graph(self) -> str:
        """The graph's name."""
        return str(self._standing.start.get("graph", ""))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that were chosen."""
        return tuple(map(str, self._standing.start.get("profiles", ())))

    @property
    def process(self) -> str:
        """The name of the process that works on it, or did last."""
        return str(self._standing.start.get("process", ""))

    @property
    def started(self) -> float | None:
        """When the last process began, in seconds since the epoch; None while that is not known."""
        when = self._standing.start.get("time")
        return float(when) if when is not None else None

    @property
    def finished(self) -> float | None:
        """When it ended, in seconds since the epoch; None where it did not."""
        when = self._standing.finish.get("time")
        return float(when) if when is not None else None

    @property
    def starts(self) -> int:
        """How often a process began to work on it, as far as the log was read."""
        return self._read.starts if self._read is not None else 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began; of one that is over, or of another machine, until the last thing that it said."""
        if self.started is None:
            return 0.0
        until = time.time() if self.status == "running" else self._standing.newest
        return max(0.0, until - self.started)  # a clock may have been set back

    @property
    def silent_s(self) -> float:
        """Seconds since something new was read, by this process's own clock."""
        return time.monotonic() - self._heard

    @property
    def heard(self) -> bool:
        """True when something new was read since this began to follow."""
        return self._news

    @property
    def alive(self) -> bool | None:
        """Whether its process lives; None where that cannot be seen from here."""
        return {"running": True, "died": False}.get(watching.standing(self.process))

    @property
    def elsewhere(self) -> str:
        """The machine that it runs on (or ran), where that is another than this; else nothing."""
        owner = owners.parse(self.process)
        return owner.host if owner is not None and not owner.is_here and not watching.is_gone(self.process) else ""

    @property
    def errors(self) -> list[str]:
        """What was told as an error since the last start, oldest first."""
        return list(self._standing.errors)

    @property
    def notes(self) -> list[str]:
        """What is the matter with the folder and its log, in words."""
        found = []
        if self.gone:
            found.append(f"there is no {EVENTS} in {self.folder}" if self.folder.is_dir() else "the folder is gone")
        if self._replaced:
            found.append("the log was replaced or cut, and read anew")
        if self._read is not None and (count := self._read.damaged):
            found.append(f"{count:,} line{'s' * (count != 1)} of the log cannot be read")
        if self._read is not None and self._read.pages.torn and self.status not in ("running", "unfinished"):
            found.append("its last line is cut off")
        if (ahead := self._standing.newest - time.time()) > _CLOCKS:
            found.append(f"the clock of its machine is {ahead / 60:.0f} min ahead of this one's")
        if self.starts > 1:
            found.append(f"gone on with {self.starts - 1}x")
        return found

    @property
    def _standing(self) -> Standing:
        return self._read.standing if self._read is not None else Standing()

    # --- reading ---------------------------------------------------------------------------------------------------

    def refresh(self, budget_s: float = 0.02) -> bool:
        """Read what is new, then for so many seconds what is old; returns whether anything changed."""
        until = time.monotonic() + budget_s
        changed, behind = self._look(), False
        read = self._read
        if read is not None:
            while not behind and read.pages.torn and read.read_new():
                changed, self._news, self._heard = True, True, time.monotonic()
                behind = self._heard > until
            known = read.known
            while not read.complete and (not changed or time.monotonic() < until):
                read.read_old()
                changed = True
            if known != read.known:
                self._judged = -_JUDGE_SECONDS
        # what a process said last is read before it is said to be gone
        if not behind and (time.monotonic() - self._judged >= _JUDGE_SECONDS or self._is_over_now()):
            changed |= self._judge()
        if changed:
            self._show()
        return changed

    def close(self) -> None:
        """Let go of the log."""
        if self._read is not None:
            self._read.pages.close()

    def _look(self) -> bool:
        """See what became of the log, and open it where it is another, or there at last."""
        if self._read is not None:
            state = self._read.pages.look()
            if state != "replaced":
                gone, self.gone = self.gone, state == "gone"
                return gone != self.gone
            self._read.pages.close()
            self._replaced = True
        gone = self.gone
        try:
            self._read = Gathering(self.folder / EVENTS)
        except OSError:
            self.gone = not any((self.folder / name).exists() for name in (CONSOLE, GRAPH))  # else it begins just now
            return gone != self.gone
        self.gone, self.log, self._judged, self._summary_of = False, self._read.log, -_JUDGE_SECONDS, None
        return True

    def _is_over_now(self) -> bool:
        """Tell whether the run has said that it ended, and nobody has judged that yet."""
        told = _ENDS.get(str(self._standing.finish.get("status", "")))
        return self.known and told is not None and told != self.status

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judge(self) -> bool:
        """Tell how the run stands: by its last word, else by its summary, else by its process."""
        self._judged = time.monotonic()
        if not self.known:
            return False
        before = (self.status, self.failure, self.process_bytes, self._summary_of)
        summary = self._read_summary()
        told = str(self._standing.finish.get("status", "") or summary.get("status", ""))
        self.status = _ENDS.get(told) or _STANDINGS[watching.standing(self.process)]
        self.failure = ""
        if self.status == "failed":
            self.failure = str(summary.get("failure", "")) or "; ".join(self.errors[-1:])
        self.process_bytes = memory_of(self.process) if self.status == "running" else None
        ended = self.status not in ("running", "unfinished") and self._standing.end("interrupted")
        return ended or before != (self.status, self.failure, self.process_bytes, self._summary_of)

    def _read_summary(self) -> dict[str, Any]:
        """Return status and failure of the summary; what it says of nodes, and what was exported, is taken once."""
        path = self.folder / SUMMARY
        try:
            found = path.stat()
            identity = (found.st_ino, found.st_mtime_ns)
            if identity != self._summary_of:
                self._take_summary(json.loads(path.read_text(encoding="utf-8")))
                self._summary_of = identity
        except (OSError, ValueError, TypeError, AttributeError):
            self._summary_of, self._summary, self._outputs = None, {}, []
        return self._summary

    def _take_summary(self, data: dict[str, Any]) -> None:
        self._standing.take_summary(data.get("nodes", {}))
        self._summary = {name: data[name] for name in ("status", "failure") if name in data}
        self._outputs = outputs(self.folder)

    def _show(self) -> None:
        """Put what was read where others look at it, in one go each."""
        if self._read is None:
            return
        self.nodes = dict(self._read.standing.nodes)
        names = [name for name, _ in self._read.series]
        self.series = {
            name if names.count(name) == 1 else f"{name} ({node})": series
            for (name, node), series in self._read.series.items()
        }
        self.published = [*self._read.published, *self._outputs]


def memory_of(process: str) -> int | None:
    """Return how many bytes of memory a process of this machine takes; None where that cannot be seen."""
    owner = owners.parse(process)
    if owner is None or not owner.is_here or owner.is_dead:
        return None
    try:
        text = Path(f"/proc/{owner.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = [line.split() for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(found[0][1]) * 1024 if found else None
