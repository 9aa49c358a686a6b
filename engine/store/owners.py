"""Who holds something: a process, named so that others can tell whether it still lives."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process of a machine.

    `host` and `boot` (random at each start of the system) name the machine, `space` its namespace of process numbers
    (two containers of one machine share the boot but not the numbers), `started` tells apart processes that were given
    the same number one after the other.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: int

    @property
    def name(self) -> str:
        """The owner as a file name, from which `parse` makes it again."""
        return "~".join(str(part) for part in (self.host, self.boot, self.space, self.pid, self.started))

    @property
    def words(self) -> str:
        """The owner for people."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """True when the owner's number means something to this process."""
        me = myself()
        return (self.host, self.boot, self.space) == (me.host, me.boot, me.space)

    @property
    def is_dead(self) -> bool:
        """True when the owner has certainly ended; False when it lives or nobody here can tell."""
        return self.is_here and os.name == "posix" and not _lives(self.pid, self.started)


def myself() -> Owner:
    """Return this process."""
    return _owner(os.getpid())


def parse(name: str) -> Owner | None:
    """Make the owner that `Owner.name` wrote; None when it is something else."""
    parts = name.split("~")
    if len(parts) != 5 or not (parts[3].isdecimal() and parts[4].isdecimal()):
        return None
    return Owner(parts[0], parts[1], parts[2], int(parts[3]), int(parts[4]))


@lru_cache(maxsize=4)
def _owner(pid: int) -> Owner:
    host = re.sub(r"[^\w.-]", "_", platform.node()) or "unknown"
    return Owner(host, _boot(), _space(), pid, (_state_and_start(pid) or ("", 0))[1])


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        return ""


def _lives(pid: int, started: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is there, but belongs to somebody else
    found = _state_and_start(pid)
    # a zombie has ended, only nobody has asked how
    return found is None or (found[1] == started and found[0] not in ("Z", "X"))


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """Return a process's state and its start in clock ticks since boot (proc(5), fields 3 and 22)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
