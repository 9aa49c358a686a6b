"""The text of a node: as it is written, and put in as somebody wrote it."""

from __future__ import annotations

import re
from typing import Any

from vflow.engine.document import parse
from vflow.engine.editing.data import at
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.places import BREAK, Entry, Places, span
from vflow.engine.editing.rewrite import Sheet
from vflow.engine.editing.style import Style, Verbatim
from vflow.engine.pieces import Piece, show

_ANCHOR = re.compile(r"&[^\s,\[\]{}]+[ \t]*")


class Written:
    """One entry of a mapping, as it is written."""

    def __init__(self, sheet: Sheet, path: tuple[str, ...]) -> None:
        """Find it.

        Raises:
            EditError: its mapping is written in a way that cannot be edited.
        """
        self.places, self.path = Places(sheet.document), path
        self.style = Style(self.places, sheet.document.root)
        above = sheet.document.root
        for step in path[:-1]:
            above = above.get(step) if above else None
        assert above is not None, "what is looked for is there"
        self.is_in_brackets = self.places.kind(above) == "flow"
        self.entry: Entry = next(
            entry for entry in self.places.entries(above, self.is_in_brackets) if entry.name == path[-1]
        )
        self.piece: Piece = self.entry.piece
        self.is_block = self.places.kind(self.piece) == "block"

    @property
    def head(self) -> int:
        """Where the line of the name has room, if the value stands below it: behind an anchor."""
        anchor = self.places.anchor_end(self.piece)
        return anchor if anchor is not None else self.entry.head

    @property
    def range(self) -> tuple[int, int]:
        """Where the value begins and ends: whole lines with the comments in them, or what stands behind the name."""
        if not self.is_block:
            return span(self.piece)
        below = self.places.next_line(self.head)
        return below, max(below, self.places.extent(self.entry))

    @property
    def column(self) -> int:
        """How far the lines of the value are indented."""
        if self.is_block and type(self.piece.data) is dict:
            columns: list[int] = [inside.key.column for inside in self.piece.data.values() if inside.key]
            return min(columns)
        return self.entry.column + self.style.step

    def text(self) -> str:
        """Return the value's text, not indented; lines end with a line feed. An empty value has none."""
        start, end = self.range
        lines = BREAK.split(self.places.text[start:end])
        if not self.is_block:
            lines[1:] = [_less(line, self.column) for line in lines[1:]]
        else:
            lines = [_less(line, self.column) for line in lines]
        return "\n".join(lines).rstrip("\n") + "\n" if start < end else ""

    def copy(self) -> Verbatim | None:
        """Return the value, to be put in beside it under another name; None where it is to be written anew.

        Anchors are left out: an alias further down would repeat the copy.
        """
        start, end = self.range
        if type(self.piece.data) is not dict or self.places.kind(self.piece) == "alias":
            return None
        taken = self.places.text[start:end]
        for anchor in sorted({one.start for one in self.places.repeats if start <= one.start < end}, reverse=True):
            if found := _ANCHOR.match(taken, anchor - start):
                taken = taken[: found.start()] + taken[found.end() :]
        if not self.is_block:
            return Verbatim(taken)
        lines = BREAK.split(taken)
        if not lines[-1]:
            lines.pop()
        comment = self.places.text[self.head : start].strip()
        return Verbatim(comment, tuple(lines))


def verbatim(sheet: Sheet, path: tuple[str, ...], new_text: str) -> Verbatim | dict[str, Any]:
    """Return a node as somebody wrote it, indented for its place.

    Raises:
        EditError: it is no mapping, with the line of the node's text in which it goes wrong.
    """
    lines = [line if line.strip() else "" for line in BREAK.split(new_text)]
    while lines and not lines[-1]:
        lines.pop()
    document = parse("\n".join(lines) + "\n")
    # what is repeated may be marked outside of the node
    wrong = next((problem for problem in document.problems if not problem.message.startswith("*")), None)
    if wrong:
        raise EditError(f"line {wrong.line} of the node: {wrong.message}", wrong.remedy)
    root = document.root
    if not document.problems and (root is None or root.data is None):
        raise EditError("a node cannot be empty", "write at least `type: ...`")
    if root is not None and type(root.data) is not dict:
        raise EditError(f"a node is a mapping, not {show(root.plain())}", "write `type: ...` and its settings")
    return _placed(sheet, path, lines, root.plain() if root else {})


def _placed(sheet: Sheet, path: tuple[str, ...], lines: list[str], data: dict[str, Any]) -> Verbatim | dict[str, Any]:
    places = Places(sheet.document)
    style = Style(places, sheet.document.root)
    written = Written(sheet, path) if at(sheet.data, path[:-1]) and path[-1] in at(sheet.data, path[:-1]) else None
    is_flow = lines[0].startswith("{")
    if written and written.is_in_brackets and not is_flow:
        return data
    column = written.column if written else (len(path) - 1) * style.step + style.step
    indented = [" " * column + line if line else "" for line in lines]
    if is_flow:
        return Verbatim(style.newline.join([lines[0], *indented[1:]]))
    return Verbatim("", tuple(indented))


def _less(line: str, column: int) -> str:
    """Return a line without so many of the blanks that it begins with."""
    return line[min(column, len(line) - len(line.lstrip(" "))) :]
