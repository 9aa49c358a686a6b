"""Unsaved work, kept aside after each edit, so that it is there after a crash.

A journal is one small file below the store's folder, `drafts/DIGEST~PROCESS.json`, replaced as a whole: a crash leaves
the old one or the new one. Each process has its own for a file, so that two editors of one file do not mix theirs. It
is removed when the work is saved or given up. One whose process has ended is unsaved work.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from vflow.engine.editing.onfile import replace
from vflow.engine.problems import VflowError

#: Seconds after which a journal that is still being written is not any more; writing one takes milliseconds.
_ABANDONED = 600


class Journal:
    """The journal of one file. Without a folder it is the user's; one that cannot be written is done without.

    `problem` says in words why unsaved work is not kept, empty while it is.
    """

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path, self.problem = path, ""
        self._folder = folder if folder is not None else self._users_folder()
        self._digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]

    def _users_folder(self) -> Path | None:
        from vflow.engine.store import default_folder

        try:
            return default_folder() / "drafts"
        except VflowError as error:
            self.problem = str(error)
            return None

    @property
    def file(self) -> Path | None:
        """Where this process keeps its work; None where there is no place for it."""
        from vflow.engine.store import owners

        return self._folder / f"{self._digest}~{owners.myself().name}.json" if self._folder else None

    def write(self, text: str, saved: str) -> None:
        """Keep a text; `saved` is the digest of the file that it was made from."""
        file = self.file
        if file is None:
            return
        kept = {"path": str(self.path), "saved": saved, "time": time.time(), "text": text}
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # not synced: that could take longer than an edit may, and a process that dies loses nothing
            replace(file, json.dumps(kept).encode("ascii"), sync=False)
            self.problem = ""
        except (OSError, ValueError) as error:
            self.problem = f"unsaved work is not kept for after a crash: {error}"

    def drop(self) -> None:
        """Remove this process's journal: the work is saved, or given up."""
        if self.file is not None:
            remove([self.file])

    def left(self) -> list[tuple[Path, str]]:
        """Return the work that ended processes left, the newest first: journals with their texts."""
        found: list[tuple[float, Path, str]] = []
        for file in self._others():
            try:
                kept = json.loads(file.read_text(encoding="ascii"))
                text, when = kept["text"], float(kept["time"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not whole: a power cut
            if isinstance(text, str):
                found.append((when, file, text))
        return [(file, text) for _, file, text in sorted(found, key=lambda one: one[0], reverse=True)]

    def _others(self) -> list[Path]:
        from vflow.engine.store import owners

        if self._folder is None:
            return []
        self._tidy()
        me, files = owners.myself(), []
        for file in sorted(self._folder.glob(f"{self._digest}~*.json")):
            owner = owners.parse(file.stem.partition("~")[2])
            if owner is None or owner == me or not owner.is_here or owner.is_dead:
                files.append(file)
        return files

    def _tidy(self) -> None:
        """Remove what processes left that were killed while they wrote."""
        assert self._folder is not None
        for file in self._folder.glob(f".{self._digest}~*.part"):
            with suppress(OSError):
                if file.stat().st_mtime < time.time() - _ABANDONED:
                    file.unlink()


def remove(files: list[Path]) -> None:
    """Remove journals whose work is saved, taken up or given up."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
