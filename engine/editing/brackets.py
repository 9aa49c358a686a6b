"""Changes to lists and mappings that stand in brackets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vflow.engine.editing.blocks import rename
from vflow.engine.editing.changes import Added, Changes, Slot
from vflow.engine.editing.places import Entry, span
from vflow.engine.editing.style import LONGEST, Path
from vflow.engine.pieces import Piece

if TYPE_CHECKING:
    from vflow.engine.editing.rewrite import Rewriter

_COMMA = re.compile(r"\s*,")
_REST = re.compile(r"[ \t]*(,?)[ \t]*(?:#[^\r\n]*)?(?=[\r\n]|$)")  # of a line in which nothing else begins


def change_brackets(writer: Rewriter, piece: Piece, found: Changes, path: Path, slot: Slot) -> None:
    """Change the entries between brackets, take some out, and put in others."""
    _Brackets(writer, piece, found, path, slot).change()


class _Brackets:
    def __init__(self, writer: Rewriter, piece: Piece, found: Changes, path: Path, slot: Slot) -> None:
        self.writer, self.piece, self.found, self.path, self.slot = writer, piece, found, path, slot
        self.places, self.splices, self.text = writer.places, writer.splices, writer.text
        self.entries = found.entries

    def change(self) -> None:
        if not self.found.kept:
            self._empty()
            return
        if self._unfold():
            return
        for number, kept in self.found.kept.items():
            entry = self.entries[number]
            if kept.is_renamed:
                rename(self.writer, entry, kept.name, flow=True)
            self.writer.change(entry.piece, kept.old, kept.new, kept.path, Slot(entry.head, entry.column, True))
        for first, last in self.found.runs:
            self._take_out(first, last)
        for behind, added in self.found.added.items():
            self._put_in(behind, [self._written(one) for one in added])

    def _empty(self) -> None:
        """Take out all entries, and what is between them; comments before and behind them stay."""
        last = len(self.entries) - 1
        start, end = self.entries[0].start, self._end(last)
        comma = _COMMA.match(self.text, end)
        end = comma.end() if comma else end
        first, closing = self.places.content(self.piece) + 1, span(self.piece)[1] - 1
        if "#" not in self.text[first:start] + self.text[end:closing]:
            start, end = first, closing
        self.splices.put(start, end, "")

    def _written(self, one: Added) -> str:
        value = self.writer.style.flow(one.value)
        return f"{self.writer.style.key(one.name, True)}: {value}" if type(self.piece.data) is dict else value

    def _end(self, number: int) -> int:
        return span(self.entries[number].piece)[1]

    def _own_line(self, first: int, last: int) -> re.Match[str] | None:
        """Return how the last line of some entries ends, if they share their lines with no others."""
        if self.places.indent(self.entries[first].start) is None:
            return None
        end = self._end(last)
        return _REST.match(self.text, end) if end > self.entries[last].start else None

    def _take_out(self, first: int, last: int) -> None:
        """Take out some entries that stand side by side, and a comma for each."""
        start, end = self.entries[first].start, self._end(last)
        before = _COMMA.match(self.text, self._end(first - 1)) if first else None
        line = self._own_line(first, last)
        if last + 1 < len(self.entries):
            if line and line[1]:
                self.splices.put(self.places.line(start), self.places.next_line(end), "")
            else:
                self.splices.put(start, self.entries[last + 1].start, "")
        elif line and before:
            self.splices.put(self.places.line(start), self.places.next_line(end), "")
            if not line[1] and first - 1 not in self.found.added:
                self.splices.put(before.end() - 1, before.end(), "")
        elif before and "#" in self.text[before.end() : start]:
            self.splices.put(start, end, "")
        else:
            self.splices.put(self._end(first - 1), end, self._gap(first - 1))

    def _gap(self, number: int) -> str:
        """Return what keeps the `:` of an empty value from becoming a part of its key."""
        return " " if self.places.kind(self.entries[number].piece) == "empty" else ""

    def _put_in(self, behind: int, written: list[str]) -> None:
        if behind < 0:
            start = self.entries[0].start
            indent = self.places.indent(start)
            between = ", " if indent is None else f",{self.writer.style.newline}{indent}"
            self.splices.put(start, start, "".join(one + between for one in written))
            return
        end = self._end(behind)
        line = self._own_line(behind, behind)
        if line is None:
            self.splices.put(end, end, self._gap(behind) + "".join(f", {one}" for one in written))
            return
        indent = self.writer.style.newline + (self.places.indent(self.entries[behind].start) or "")
        if not line[1]:
            self.splices.put(end, end, ",")
        joined = "".join(f"{indent}{one}," for one in written)
        self.splices.put(line.end(), line.end(), joined if line[1] else joined[:-1])

    def _unfold(self) -> bool:
        """Put a mapping in lines that something added makes too long for one; tell whether that was done."""
        start, end = self.places.content(self.piece), span(self.piece)[1]
        added = [(behind, one) for behind, ones in self.found.added.items() for one in ones]
        kept = self.found.kept.values()
        if type(self.piece.data) is not dict or self.slot.is_flow or not self.slot.head or not added:
            return False
        is_touched = self.found.removed or any(one.old is not one.new or one.is_renamed for one in kept)
        line = self.places.line_text(start).rstrip("\r\n")
        size = len(line) + sum(len(self._written(one)) + 2 for _, one in added)
        if not self.writer.is_tidy or is_touched or size <= LONGEST:
            return False
        if self.places.next_line(start) != self.places.next_line(end):
            return False
        if self.places.line(start) != self.places.line(self.slot.head):
            return False
        indent = " " * (self.slot.column + self.writer.style.step)
        lines = [indent + self._written(one) for behind, one in added if behind < 0]
        for number, entry in enumerate(self.entries):
            lines.append(indent + self._as_written(entry))
            lines += [indent + self._written(one) for behind, one in added if behind == number]
        blank = start - len(self.text[:start].rstrip(" \t"))
        self.splices.put(start - blank, end, "")
        self.splices.lines(self.places.next_line(end), lines)
        return True

    def _as_written(self, entry: Entry) -> str:
        return self.text[entry.start : span(entry.piece)[1]]
