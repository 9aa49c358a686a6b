"""Replacements of parts of a text, made all at once."""

from __future__ import annotations

from vflow.engine.editing.places import BREAK, Places
from vflow.engine.pieces import Piece


class Splices:
    """What is to be replaced in a document's text. What is inserted at one place stands in the order of the calls.

    `may_lack_end`: a text without a last line break stays without.
    """

    def __init__(self, places: Places, root: Piece | None, newline: str, may_lack_end: bool) -> None:
        self.places, self.text, self.root, self.newline = places, places.text, root, newline
        self.may_lack_end = may_lack_end
        self.made: list[tuple[int, int, str]] = []

    def put(self, start: int, end: int, new: str) -> None:
        """Replace the text from `start` to `end`."""
        if start != end or new:
            self.made.append((start, end, new))

    def lines(self, at: int, lines: list[str]) -> None:
        """Insert whole lines at the beginning of a line, or at the end of a text that may lack its last line break."""
        if not lines:
            return
        joined = self.newline.join(lines)
        if at < len(self.text) or not self.text or BREAK.fullmatch(self.text[-1]):
            self.put(at, at, joined + self.newline)
            return
        self._end_last_text()
        self.put(at, at, self.newline + joined + ("" if self.may_lack_end else self.newline))

    def _end_last_text(self) -> None:
        """Where a text with `|` ends the file without a line break, keep it from getting one."""
        last = self.places.last(self.root) if self.root else None
        if last is None or self.places.kind(last) != "text" or str(last.data).endswith("\n"):
            return
        start, end = self.places.content(last), self.places.header_end(last)
        header = self.text[start:end]
        if "-" not in header:
            self.put(start, end, header.replace("+", "") + "-")

    def result(self) -> str:
        """Return the changed text.

        Raises:
            EditError: two of the replacements are for the same part.
        """
        parts: list[str] = []
        at = 0
        for start, end, new in sorted(self.made, key=lambda one: one[:2]):
            if start < at:
                raise self.places.unusual(start, "what is to be changed")
            parts += (self.text[at:start], new)
            at = end
        return "".join(parts) + self.text[at:]

    def touched(self) -> list[tuple[int, int]]:
        """Return the parts that are replaced."""
        return [(start, end) for start, end, _ in self.made]
