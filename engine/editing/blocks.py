"""Changes to lists and mappings that stand in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vflow.engine.editing.changes import Added, Changes, Slot
from vflow.engine.editing.places import Entry
from vflow.engine.editing.style import Path
from vflow.engine.pieces import Piece

if TYPE_CHECKING:
    from vflow.engine.editing.rewrite import Rewriter


def change_lines(writer: Rewriter, piece: Piece, found: Changes, path: Path, slot: Slot) -> None:
    """Change a block's entries, take out lines, and put in others."""
    _Block(writer, piece, found, path, slot).change()


class _Block:
    def __init__(self, writer: Rewriter, piece: Piece, found: Changes, path: Path, slot: Slot) -> None:
        self.writer, self.piece, self.found, self.path, self.slot = writer, piece, found, path, slot
        self.places, self.splices, self.entries = writer.places, writer.splices, found.entries
        head = writer.head_end(piece, slot) if slot.head is not None else None
        #: where the lines of this block begin
        self.top = 0 if head is None else self.places.next_line(head)

    def change(self) -> None:
        for number, kept in self.found.kept.items():
            entry = self.entries[number]
            if kept.is_renamed:
                rename(self.writer, entry, kept.name, flow=False)
            self.writer.change(entry.piece, kept.old, kept.new, kept.path, Slot(entry.head, entry.column, False))
        if not self.found.kept:
            self._empty()
            return
        for first, last in self.found.runs:
            self._take_out(first, last)
        for behind, added in self.found.added.items():
            self._put_in(behind, added)

    def _empty(self) -> None:
        """Take out all entries; what is left is an empty value."""
        empty = "{}" if type(self.piece.data) is dict else "[]"
        if self.slot.head is None:  # the whole document
            at = self._above(0)
            self.splices.put(at, at, empty + self.writer.style.newline)
        else:
            head = self.writer.head_end(self.piece, self.slot)
            self.splices.put(head, head, f" {empty}")
        for number, entry in enumerate(self.entries):
            self.splices.put(self._above(number), self.places.extent(entry), "")

    def _above(self, number: int) -> int:
        bound = self.places.extent(self.entries[number - 1]) if number else self.top
        return self.places.above(self.entries[number], bound)

    def _take_out(self, first: int, last: int) -> None:
        """Take out the lines of some entries, the comments above them, and an empty line that would be one too many."""
        start, end = self._above(first), self.places.extent(self.entries[last])
        following, size = end, len(self.writer.text)
        while following < size and self.places.is_blank(following):
            following = self.places.next_line(following)
        bound = self.places.extent(self.entries[first - 1]) if first else self.top
        if not self.writer.is_tidy:
            end = following
        elif following >= size:
            while start > bound and self.places.is_blank(start - 1):
                start = self.places.line(start - 1)
            end = following
        else:
            is_first = not first and start == bound and last + 1 < len(self.entries)
            if is_first or (start > 0 and self.places.is_blank(start - 1)):
                end = following
        self.splices.put(start, end, "")

    def _put_in(self, behind: int, added: list[Added]) -> None:
        column = self.entries[0].column
        is_before = behind < 0 or (not self.path and behind + 1 in self.found.kept)
        at = self._above(behind + 1) if is_before else self.places.extent(self.entries[behind])
        for one in added:
            if type(self.piece.data) is list:
                lines = self.writer.style.list_lines([one.value], one.path[:-1], column)
            else:
                block = _looks_like(self.writer, self.entries) if _is_collection(self.path) else None
                lines = self.writer.style.entry_lines(one.name, one.value, one.path, column, block)
            if self._is_apart(at, is_before, len(lines) > 1):
                lines = [*lines, ""] if is_before else ["", *lines]
            self.splices.lines(at, lines)

    def _is_apart(self, at: int, is_before: bool, is_long: bool) -> bool:
        """Tell whether an empty line belongs between an entry and the next: where that is so between most of them."""
        if self.path not in ((), ("nodes",), ("profiles",)):
            return False
        pairs = list(zip(self.entries, self.entries[1:], strict=False))
        blank = sum(self._has_blank(one, other) for one, other in pairs)
        if self.path:
            return 2 * blank > len(pairs)
        if is_before:
            return is_long and at > 0 and self.places.is_blank(at - 1)
        return is_long and (blank > 0 or not any(self.places.kind(entry.piece) == "block" for entry in self.entries))

    def _has_blank(self, one: Entry, other: Entry) -> bool:
        end = self.places.extent(one)
        return self.places.above(other, end) > end


def rename(writer: Rewriter, entry: Entry, name: str, flow: bool) -> None:
    """Give an entry's key another name, in the quotes that it has."""
    start, text = entry.key, writer.text
    quote = text[start] if text[start] in ("'", '"') else ""
    writer.splices.put(start, entry.key_end, writer.style.key(name, flow, quote))


def _is_collection(path: Path) -> bool:
    """Tell whether the entries of a mapping are all of one kind, and so are written alike."""
    return path in (("nodes",), ("params",), ("profiles",)) or (len(path) == 3 and path[2] in ("nodes", "params"))


def _looks_like(writer: Rewriter, entries: list[Entry]) -> bool | None:
    """Tell whether most of the mappings among some entries stand in lines; None where that cannot be told."""
    pieces = [entry.piece for entry in entries if type(entry.piece.data) is dict and entry.piece.data]
    kinds = [writer.places.kind(piece) for piece in pieces]
    lines, brackets = kinds.count("block"), kinds.count("flow")
    return None if lines == brackets else lines > brackets
