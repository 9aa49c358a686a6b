"""A graph file that is being edited: its text, every step back and forth, and what others do to the file meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from vflow.engine.editing import journal, onfile
from vflow.engine.editing.errors import ChangedOnDisk
from vflow.engine.editing.onfile import OnFile
from vflow.engine.problems import GraphError, Problem

_LONE_FEED = re.compile(r"(?<!\r)\n")


class _Step(NamedTuple):
    """One edit: behind `at`, `old` became `new`."""

    label: str
    at: int
    old: str
    new: str


class Draft:
    """A file being edited. Nothing reaches the file before `save`.

    `path` is the file and `text` what it is to hold, with the line breaks that it has; `saved_text` is what was last
    read or saved. After each edit the text is kept aside (see `journal`), until it is saved or given up.
    """

    def __init__(self, path: Path, on_file: OnFile, journal_folder: Path | None = None) -> None:
        """Use `Draft.open`."""
        self.path, self.text, self._on_file = path, on_file.text, on_file
        self._folder = journal_folder
        self._journal = journal.Journal(path, journal_folder)
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        left = self._journal.left()
        journal.remove([file for file, text in left if text == on_file.text])
        #: journals that a crash left, and the newest text of them
        self._left = [file for file, text in left if text != on_file.text]
        self._recovered = next((text for _, text in left if text != on_file.text), None)

    @classmethod
    def open(cls, path: str | Path, journal_folder: Path | None = None) -> Draft:
        """Read a file, or begin one that is not there yet.

        Raises:
            GraphError: it cannot be read, or its folder is not there.
        """
        path = Path(path).expanduser()
        return cls(path, onfile.read(path), journal_folder)

    # --- the text ----------------------------------------------------------------------------------------------------

    @property
    def saved_text(self) -> str:
        """What was last read from the file, or saved."""
        return self._on_file.text

    @property
    def dirty(self) -> bool:
        """True when the text is not that of the file."""
        return self.text != self._on_file.text

    @property
    def history(self) -> list[str]:
        """The labels of all edits that `undo` takes back, the oldest first."""
        return [step.label for step in self._done]

    @property
    def can_undo(self) -> bool:
        """True when there is an edit to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """True when an edit was taken back, and nothing was changed since."""
        return bool(self._undone)

    def apply(self, label: str, change: Callable[[str], str]) -> None:
        """Change the text; `label` says what is done. What changes nothing is no edit.

        Raises:
            EditError: what `change` raises; the text is as it was.
        """
        self._become(label, change(self.text))

    def replace(self, label: str, text: str) -> None:
        """Put another text in place of the whole. In a file with CRLF its lines end so too."""
        if "\r\n" in self.text and not _LONE_FEED.search(self.text):
            text = _LONE_FEED.sub("\r\n", text)
        self._become(label, text)

    def undo(self) -> str | None:
        """Take the last edit back and return its label; None where there is none."""
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        self.text = self.text[: step.at] + step.old + self.text[step.at + len(step.new) :]
        self._keep()
        return step.label

    def redo(self) -> str | None:
        """Do again what was taken back last and return its label; None where there is nothing."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        self.text = self.text[: step.at] + step.new + self.text[step.at + len(step.old) :]
        self._keep()
        return step.label

    def _become(self, label: str, text: str) -> None:
        if text == self.text:
            return
        self._done.append(_step(label, self.text, text))
        self._undone.clear()
        self.text = text
        self._keep()

    # --- after a crash -----------------------------------------------------------------------------------------------

    @property
    def recovered(self) -> str | None:
        """A text that a crash left unsaved, to be offered to the user; None where there is none.

        Take it up with `replace`. Setting it to None, when the user has answered, removes it for good; unanswered, it
        is offered again the next time.
        """
        return self._recovered

    @recovered.setter
    def recovered(self, answered: None) -> None:
        mine = self._journal.file if self.dirty else None  # this process may have begun with a journal of its own
        journal.remove([file for file in self._left if file != mine])
        self._left, self._recovered = [], answered

    @property
    def journal_problem(self) -> str:
        """Why unsaved work would not survive a crash, in words; empty while it would."""
        return self._journal.problem

    def _keep(self) -> None:
        if self.dirty:
            self._journal.write(self.text, self._on_file.digest)
        else:
            self._journal.drop()

    def close(self) -> None:
        """Give up what is not saved."""
        self._journal.drop()

    # --- the file ----------------------------------------------------------------------------------------------------

    def disk(self) -> Literal["same", "changed", "gone"]:
        """Tell what became of the file since it was read or saved, by its content."""
        found = onfile.digest_on_disk(self.path)
        if found == self._on_file.digest:
            return "same"
        return "changed" if found else "gone"

    def save(self, overwrite: bool = False) -> None:
        """Write the file as a whole, its rights and byte order mark as they were; a link is followed.

        Raises:
            ChangedOnDisk: somebody else changed it, or removed it, since it was read; not with `overwrite`.
            Failure: it cannot be written, and why.
        """
        self._write(self.path, lambda: None if overwrite else self._refuse_changed())

    def save_as(self, path: str | Path) -> None:
        """Write another file, over what it holds, and go on with that one.

        Raises:
            ChangedOnDisk: it is the same file, and somebody else changed it.
            Failure: it cannot be written, and why.
        """
        path = Path(path).expanduser()
        if os.path.realpath(path) == os.path.realpath(self.path):
            self.save()
            return
        self._write(path, lambda: None)
        self.path = path
        self._journal = journal.Journal(path, self._folder)

    def _write(self, path: Path, check: Callable[[], None]) -> None:
        check()
        self._on_file = onfile.write(path, self.text, self._on_file.has_bom, check)
        self._journal.drop()

    def _refuse_changed(self) -> None:
        state = self.disk()
        if state != "same":
            raise ChangedOnDisk(self.path, state)

    def reload(self) -> None:
        """Read the file again; what was edited is an `undo` away.

        Raises:
            GraphError: it is gone, or cannot be read.
        """
        found = onfile.read(self.path)
        if not found.digest:
            remedy = "save it to have it back" if self.text else "check its name"
            raise GraphError(Problem("the file is gone", remedy, file=str(self.path)))
        self._on_file = found
        self._become("read the file again", found.text)
        self._keep()


def _step(label: str, old: str, new: str) -> _Step:
    """Return what differs between two texts: large texts are changed often, and every change is kept."""
    first = _common(old, new)
    rest_old, rest_new = old[first:], new[first:]
    last = _common(rest_old[::-1], rest_new[::-1])
    return _Step(label, first, rest_old[: len(rest_old) - last], rest_new[: len(rest_new) - last])


def _common(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
