"""Access to a file of lines that may be large and may grow: whole lines only, forward from its end, back from there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

_MARK = 64  # bytes before the end of what was read, by which another file of the same name is told
_LONGEST = 2**24  # bytes of a line that are looked at


class Pages:
    """One file as it was when it was opened, and what it grows by. It stays readable when its name is gone.

    `end` is the byte up to which whole lines were given out.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; nothing is given out yet, and `end` stands at the end of its last whole line.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        self._path = path
        self._file = path.open("rb", buffering=0)
        found = os.fstat(self._file.fileno())
        self._identity, self.size = (found.st_dev, found.st_ino), found.st_size
        self.end = self._end_of_lines(found.st_size)
        self._mark = self._mark_at(self.end)

    def look(self) -> Literal["same", "grown", "replaced", "gone"]:
        """Tell what became of the file since the last look.

        `replaced`: another file has its name, it was cut, or what was read is not what stands there now.
        """
        try:
            found = self._path.stat()
        except OSError:
            return "gone"
        if (found.st_dev, found.st_ino) != self._identity or found.st_size < self.end:
            return "replaced"
        if found.st_size == self.size:
            return "same"
        self.size = found.st_size
        return "grown" if self._mark_at(self.end) == self._mark else "replaced"

    @property
    def torn(self) -> bool:
        """True when the file ends with a part of a line."""
        return self.size > self.end

    def new(self, most: int) -> tuple[int, bytes]:
        """Return where the next whole lines begin, and those lines: up to `most` bytes, or one line that is longer."""
        start = self.end
        while data := self.read(start, most):
            if (cut := data.rfind(b"\n") + 1) or len(data) < most:
                break
            most *= 2
        else:
            cut = 0
        self.end = start + cut
        self._mark = self._mark_at(self.end) if cut else self._mark
        return start, data[:cut]

    def before(self, end: int, most: int) -> tuple[int, bytes]:
        """Return where the whole lines before the byte `end` begin, and those lines; at most one is longer than `most`.

        `end` is the start of a line, or the end of the file's last one.
        """
        while True:
            start = max(0, end - most)
            data = self.read(start, end - start)
            cut = data.find(b"\n") + 1 if start else 0
            if not start or 0 < cut < len(data) or not data:
                return start + cut, data[cut:]
            most *= 2

    def line(self, offset: int) -> bytes:
        """Return the line that begins at this byte, without its end; cut where it is enormous."""
        size = 1024
        while True:
            data = self.read(offset, size)
            if (cut := data.find(b"\n")) >= 0:
                return data[:cut]
            if len(data) < size or size >= _LONGEST:
                return data
            size *= 4

    def read(self, start: int, size: int) -> bytes:
        """Return up to `size` bytes from `start` on; none once the file was closed or cannot be read any more."""
        try:
            return os.pread(self._file.fileno(), size, start)
        except (OSError, ValueError):
            return b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _end_of_lines(self, size: int) -> int:
        step, start = 2**16, size
        while start > 0:
            start = max(0, start - step)
            if (found := self.read(start, step).rfind(b"\n")) >= 0:
                return start + found + 1
        return 0

    def _mark_at(self, end: int) -> bytes:
        start = max(0, end - _MARK)
        return self.read(start, end - start)
