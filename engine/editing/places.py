"""Where the parts of a document begin and end in its text, down to the comments that belong to them.

The parser's marks are right for scalars and for what stands in brackets. A block's end mark lies behind the comments
that follow it, so that its end is taken from its last value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import yaml

from vflow.engine.document import Document
from vflow.engine.editing.errors import EditError
from vflow.engine.pieces import Mark, Piece

#: How a value is written. `empty`: nothing stands there; `text`: a block scalar, `|` or `>`.
Kind = Literal["alias", "empty", "flow", "block", "text", "scalar"]

#: What ends a line for the parser.
BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+")
_BLANK = re.compile("(?:\\s+(?:#[^\n\r\x85\u2028\u2029]*)?)*")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_COLON = re.compile(r"\s*:")
_HEADER = re.compile(r"[|>][-+0-9]*")
_COMMENT = re.compile(r"([ \t]*)#")
_QUESTION = re.compile(r"\?[ \t]+$")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list or mapping. `start` is where it begins, its key (or its dash) included; the key as written,
    its quotes included, goes from `key` to `key_end`. `head` is where its value may begin: behind the `:` or the dash.
    `column` is that of `start`. `name` is empty in a list.
    """

    name: str
    piece: Piece
    start: int
    key: int
    key_end: int
    head: int
    column: int


class Repeat(NamedTuple):
    """An alias: the name of its anchor, where the anchored value begins and ends, and where the alias stands."""

    name: str
    start: int
    end: int
    alias: int


class Places:
    """The places of one document, as indices into its text."""

    def __init__(self, document: Document) -> None:
        self.text = document.text
        self._starts = [0, *(found.end() for found in BREAK.finditer(self.text))]

    # --- lines -------------------------------------------------------------------------------------------------------

    def number(self, index: int) -> int:
        """Return the number of a line, from 1."""
        return bisect_right(self._starts, index)

    def line(self, index: int) -> int:
        """Return where the line of an index begins."""
        return self._starts[bisect_right(self._starts, index) - 1]

    def next_line(self, index: int) -> int:
        """Return where the line after that of an index begins; the text's length if there is none."""
        number = bisect_right(self._starts, index)
        return self._starts[number] if number < len(self._starts) else len(self.text)

    def line_text(self, index: int) -> str:
        """Return the whole line of an index, its break included."""
        return self.text[self.line(index) : self.next_line(index)]

    def indent(self, index: int) -> str | None:
        """Return what stands before an index in its line; None if that is more than blanks."""
        before = self.text[self.line(index) : index]
        return None if before.strip(" ") else before

    # --- values ------------------------------------------------------------------------------------------------------

    def anchor_end(self, piece: Piece) -> int | None:
        """Return where a value's anchor ends; None if it has none."""
        start, end = span(piece)
        first_key = next(iter(piece.data.values())).key if type(piece.data) is dict and piece.data else None
        if first_key is not None and first_key.index == start:  # the anchor is that of the first key
            return None
        anchor = _ANCHOR.match(self.text, start, end)
        return anchor.end() if anchor else None

    def content(self, piece: Piece) -> int:
        """Return where a value begins behind its anchor, if it has one."""
        start, end = span(piece)
        if start == end or self.text[start] != "&" or (anchor := self.anchor_end(piece)) is None:
            return start
        blank = _BLANK.match(self.text, anchor, end)
        return blank.end() if blank else anchor

    def kind(self, piece: Piece) -> Kind:
        """Tell how a value is written."""
        (start, end), at = span(piece), self.content(piece)
        if at >= end:
            return "empty"
        if self.text[start] == "*" and _ALIAS.fullmatch(self.text, start, end):
            return "alias"
        first = self.text[at]
        if type(piece.data) in (dict, list):
            return "flow" if first in "{[" else "block"
        return "text" if first in "|>" else "scalar"

    def header_end(self, piece: Piece) -> int:
        """Return where the `|` or `>` of a block scalar ends, with what belongs to it."""
        found = _HEADER.match(self.text, self.content(piece))
        return found.end() if found else self.content(piece)

    def keeps(self, piece: Piece) -> bool:
        """Tell whether the empty lines behind a block scalar are a part of it."""
        return "+" in self.text[self.content(piece) : self.header_end(piece)]

    def end(self, piece: Piece) -> int:
        """Return where a value ends: behind its last character."""
        kind = self.kind(piece)
        if kind == "block" and piece.data:
            inside = piece.data.values() if type(piece.data) is dict else piece.data
            return self.end([*inside][-1])
        return self._text_end(piece) if kind == "text" else span(piece)[1]

    def _text_end(self, piece: Piece) -> int:
        """Return where a block scalar ends, without empty lines that mean nothing."""
        start, end = self.next_line(self.header_end(piece)), span(piece)[1]
        if self.keeps(piece):
            return end
        lines = self.text[start:end].splitlines(keepends=True)
        inner = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)
        while lines and not lines[-1].strip(" \r\n\x85\u2028\u2029") and len(lines[-1].rstrip("\r\n")) <= inner:
            end -= len(lines.pop())
        return end

    def after(self, piece: Piece) -> int:
        """Return where the first line begins that holds nothing of a value, nor a comment behind it."""
        end = self.end(piece)
        last = piece
        while self.kind(last) == "block" and last.data:
            last = [*(last.data.values() if type(last.data) is dict else last.data)][-1]
        is_below = self.kind(last) == "text" and end == self.line(end) and end > self.header_end(last)
        return end if is_below else self.next_line(end)

    def last(self, piece: Piece) -> Piece:
        """Return the value that stands last in a block."""
        while self.kind(piece) == "block" and piece.data:
            piece = [*(piece.data.values() if type(piece.data) is dict else piece.data)][-1]
        return piece

    # --- entries -----------------------------------------------------------------------------------------------------

    def entries(self, piece: Piece, flow: bool) -> list[Entry]:
        """Return the entries of a list or mapping.

        Raises:
            EditError: one of them is written in a way that cannot be edited.
        """
        if type(piece.data) is dict:
            return [self._keyed(name, value) for name, value in piece.data.items()]
        return [self._item(value, flow) for value in piece.data]

    def _keyed(self, name: str, piece: Piece) -> Entry:
        start = _mark(piece.key).index
        at = start
        if anchor := _ANCHOR.match(self.text, at):
            blank = _BLANK.match(self.text, anchor.end())
            at = blank.end() if blank else at
        if quoted := _QUOTED.match(self.text, at):
            end = quoted.end()
        elif self.text.startswith(name, at):
            end = at + len(name)
        else:
            raise self.unusual(start, "this key")
        colon = _COLON.match(self.text, end)
        question = _QUESTION.search(self.text, self.line(start), start)
        begin = question.start() if question else start
        return Entry(name, piece, begin, at, end, colon.end() if colon else end, begin - self.line(begin))

    def _item(self, piece: Piece, flow: bool) -> Entry:
        start = span(piece)[0]
        if flow:
            return Entry("", piece, start, start, start, start, start - self.line(start))
        dash = len(self.text[:start].rstrip(" \t")) - 1
        if dash < self.line(start) or self.text[dash] != "-":
            raise self.unusual(start, "this entry of a list")
        return Entry("", piece, dash, dash, dash, dash + 1, dash - self.line(dash))

    def extent(self, entry: Entry) -> int:
        """Return where an entry's lines end, comments that are indented more than it included."""
        at = found = self.after(entry.piece)
        while at < len(self.text):
            line = self.text[at : self.next_line(at)]
            comment = _COMMENT.match(line)
            if comment and len(comment[1]) > entry.column:
                found = self.next_line(at)
            elif line.strip():
                break
            at = self.next_line(at)
        return found

    def above(self, entry: Entry, bound: int) -> int:
        """Return where an entry's lines begin, comments directly above it included, but nothing before `bound`."""
        start = self.line(entry.start)
        while start > bound:
            before = self.line(start - 1)
            comment = _COMMENT.match(self.text, before, start)
            if before < bound or not comment or len(comment[1]) > entry.column:
                break
            start = before
        return start

    def is_blank(self, index: int) -> bool:
        """Tell whether the line of an index is empty."""
        return not self.line_text(index).strip()

    # --- repeated values ---------------------------------------------------------------------------------------------

    @cached_property
    def repeats(self) -> list[Repeat]:
        """All aliases of the text."""
        if "*" not in self.text or "&" not in self.text:
            return []
        anchors: dict[str, tuple[int, int]] = {}
        open_ones: list[str] = []
        found: list[Repeat] = []
        for event in yaml.parse(self.text, Loader=_LOADER):
            start: Any = event.start_mark
            end: Any = event.end_mark
            name = str(getattr(event, "anchor", None) or "")
            if isinstance(event, yaml.AliasEvent):
                found.append(Repeat(name, *anchors.get(name, (0, 0)), start.index))
            elif isinstance(event, yaml.CollectionEndEvent):
                if name := open_ones.pop():
                    anchors[name] = anchors[name][0], end.index
            elif name:
                anchors[name] = start.index, end.index
            if isinstance(event, yaml.CollectionStartEvent):
                open_ones.append(name)
        return found

    def unusual(self, index: int, what: str) -> EditError:
        """Return what to raise where a value is written in a way that cannot be edited."""
        remedy = "change the text itself"
        return EditError(f"line {self.number(index)}: {what} is written in a way that cannot be edited here", remedy)


def span(piece: Piece) -> tuple[int, int]:
    """Return where a value of a document begins and ends by the parser's marks."""
    return _mark(piece.start).index, _mark(piece.end).index


def _mark(mark: Mark | None) -> Mark:
    assert mark is not None, "a value of a document has its marks"
    return mark
