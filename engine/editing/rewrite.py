"""A text made to hold other data, with as little of it changed as that takes.

What is to be is said as plain data; the text is brought there entry by entry, and the result is read again: it must
hold exactly that. So an edit says nothing about layout, and what it leaves alone stays as it is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from vflow.engine.document import Document, parse
from vflow.engine.editing.blocks import change_lines
from vflow.engine.editing.brackets import change_brackets
from vflow.engine.editing.changes import Changes, Slot, changes, is_same
from vflow.engine.editing.errors import EditError
from vflow.engine.editing.places import Entry, Places, span
from vflow.engine.editing.splices import Splices
from vflow.engine.editing.style import Path, Style, Verbatim
from vflow.engine.load import no_collection
from vflow.engine.pieces import Piece

_REMEDY = "change the text itself"


@dataclass(frozen=True)
class Sheet:
    """A text that was read: its document and its plain data, which nobody changes."""

    document: Document
    data: dict[str, Any]


@lru_cache(maxsize=2)  # what was written is what is edited next
def _parsed(text: str) -> tuple[Document, Any]:
    with no_collection():
        document = parse(text)
        return document, document.root.plain() if document.root else None


def read(text: str) -> Sheet:
    """Read a graph's text; an empty one has no data.

    Raises:
        EditError: it is not YAML, or no mapping.
    """
    document, data = _parsed(text.removeprefix("\ufeff"))
    if document.root is None and document.problems:
        first = document.problems[0]
        line = f"line {first.line}: " if first.line else ""
        raise EditError(f"{line}{first.message}", first.remedy or _REMEDY)
    if data is not None and not isinstance(data, dict):
        raise EditError("the file is no graph: it holds no mapping", "begin it with `vflow: 1`")
    return Sheet(document, data or {})


def rewrite(
    text: str,
    data: dict[str, Any],
    *,
    renames: Mapping[Path, str] | None = None,
    within: Callable[[str], str] | None = None,
) -> str:
    """Return the text changed such that it holds `data`; keys stand in the order of `data`.

    `renames` maps the paths of keys to their new names, and `within` does to a text as written what was done to its
    value. A `Verbatim` in the data is put in as it is, and must hold a mapping.

    Raises:
        EditError: the text cannot be read, or the change cannot be made in the way it is written.
    """
    sheet = read(text)
    if is_same(sheet.data, data):
        return text
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    for is_tidy in (True, False):
        writer = Rewriter(sheet, renames or {}, within, is_tidy)
        changed = writer.run(data)
        if _holds(changed, sheet, data):
            return bom + changed
    raise _refusal(sheet, writer)


def _holds(changed: str, before: Sheet, data: dict[str, Any]) -> bool:
    document, found = _parsed(changed)
    if not isinstance(found, dict) or len(document.problems) > len(before.document.problems):
        return False
    return is_same(found, data) or is_same(found, _settled(data, found))


def _settled(data: Any, found: Any) -> Any:
    """Return the data with what was given as text read."""
    if isinstance(data, Verbatim):
        return found if isinstance(found, dict) else data
    if isinstance(data, dict) and isinstance(found, dict):
        return {name: _settled(value, found.get(name)) for name, value in data.items()}
    return data


def _refusal(sheet: Sheet, writer: Rewriter) -> EditError:
    """Say why a change cannot be made."""
    places = writer.places
    for repeat in places.repeats:
        for start, end in writer.splices.touched():
            overlaps = start < repeat.end and end > repeat.start
            if (overlaps or repeat.start <= start <= end <= repeat.end) and not start <= repeat.alias < end:
                value, again = places.number(repeat.start), places.number(repeat.alias)
                message = (
                    f"line {value}: this value is repeated in line {again} (*{repeat.name}) and would change there"
                )
                return EditError(message, f"write it out in line {again} first, in the text itself")
    for problem in sheet.document.problems:
        return EditError(f"line {problem.line}: {problem.message}", problem.remedy or _REMEDY)
    return EditError("the change cannot be made in the way that this file is written", _REMEDY)


@dataclass
class Rewriter:
    """Brings one document's text to other data. `is_tidy` asks for what looks best, which is not always possible: no
    more than one empty line where lines go, texts of several lines in lines.
    """

    sheet: Sheet
    renames: Mapping[Path, str]
    within: Callable[[str], str] | None
    is_tidy: bool
    #: where an anchored value begins -> what it becomes
    anchored: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        document = self.sheet.document
        self.places = Places(document)
        self.text = document.text
        self.style = Style(self.places, document.root, self.is_tidy)
        self.splices = Splices(self.places, document.root, self.style.newline, self.is_tidy)

    def run(self, data: dict[str, Any]) -> str:
        """Return the changed text."""
        root = self.sheet.document.root
        if root is None or root.data is None or (not root.data and self.places.kind(root) == "flow"):
            return self._filled(root, data)
        self.change(root, self.sheet.data, data, (), Slot(None, 0, self.places.kind(root) == "flow"))
        return self.splices.result()

    def _filled(self, root: Piece | None, data: dict[str, Any]) -> str:
        """Fill a file that holds nothing but comments."""
        lines: list[str] = []
        for name, value in data.items():
            written = self.style.entry_lines(name, value, (name,), 0)
            lines += [*([""] if lines and len(written) > 1 else []), *written]
        if root is None:
            self.splices.lines(len(self.text), lines)
        else:
            start, end = span(root)
            newline, is_alone = self.style.newline, self.places.indent(start) == ""
            joined = newline.join(lines)
            self.splices.put(start, end, joined if is_alone else newline + joined)
        return self.splices.result()

    def change(self, piece: Piece, old: Any, new: Any, path: Path, slot: Slot) -> None:
        """Make what stands at a place another value."""
        if is_same(old, new):
            return
        kind = self.places.kind(piece)
        if kind == "alias":
            if self._follows(piece, new):
                return
            self._refuse_inside(piece, old, new)
        elif self.places.content(piece) != span(piece)[0]:
            self.anchored[span(piece)[0]] = new
        whole = kind not in ("flow", "block") or type(old) is not type(new)
        found = None if whole else self._inside(piece, old, new, path, slot)
        if found is None:
            self.replace(piece, new, path, slot)
        elif kind == "flow":
            change_brackets(self, piece, found, path, slot)
        else:
            change_lines(self, piece, found, path, slot)

    def _follows(self, alias: Piece, new: Any) -> bool:
        """Tell whether an alias becomes the new value by itself, because what it repeats does."""
        at = span(alias)[0]
        starts = [repeat.start for repeat in self.places.repeats if repeat.alias == at]
        return bool(starts) and starts[0] in self.anchored and is_same(self.anchored[starts[0]], new)

    def _refuse_inside(self, alias: Piece, old: Any, new: Any) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            at, number = span(alias)[0], self.places.number
            name = self.text[at : span(alias)[1]]
            first = next((number(repeat.start) for repeat in self.places.repeats if repeat.alias == at), 0)
            message = f"line {number(at)}: {name} repeats the value of line {first}, and a change would be one of both"
            raise EditError(message, "write it out here first, in the text itself")

    def _inside(self, piece: Piece, old: Any, new: Any, path: Path, slot: Slot) -> Changes | None:
        """Return what changes inside a list or mapping; None where it is to be replaced as a whole."""
        kind = self.places.kind(piece)
        if kind == "block" and (slot.is_flow or not old):  # the only entry of `[a: 1]`; keys that are refused
            return None
        try:
            entries = self.places.entries(piece, kind == "flow")
        except EditError:
            if type(piece.data) is dict and kind == "block":
                raise
            return None
        found = changes(entries, old, new, path, self.renames)
        if found is None or kind == "flow" or all(self.places.indent(entry.start) is not None for entry in entries):
            return found
        # the lines of a mapping behind a dash: its values can be changed, its keys are left alone
        return found if not found.removed and not found.added else None

    # --- whole values ------------------------------------------------------------------------------------------------

    def replace(self, piece: Piece, value: Any, path: Path, slot: Slot) -> None:
        """Write another value in place of one."""
        kind, start = self.places.kind(piece), self.places.content(piece)
        if kind in ("scalar", "text") and self.within and isinstance(value, str):
            taken = self.text[start : span(piece)[1]]
            if (changed := self.within(taken)) != taken:
                self.splices.put(start, start + len(taken), changed)
                return
        if kind == "flow" and not piece.data and value and type(value) is type(piece.data):
            opening = start + 1
            if "#" in self.text[opening : span(piece)[1]]:  # comments between the brackets
                self.splices.put(opening, opening, self.style.flow(value)[1:-1])
                return
        is_below = slot.head is not None and kind != "empty" and self.places.line(start) != self.places.line(slot.head)
        if slot.is_flow:
            self._put_head(piece, kind, self._in_one_line(piece, kind, value, slot.is_flow), slot)
        else:
            self._replace_in_lines(piece, kind, value, path, slot, is_below)

    def _replace_in_lines(self, piece: Piece, kind: str, value: Any, path: Path, slot: Slot, is_below: bool) -> None:
        start = self.places.content(piece)
        written = self._written(piece, kind, value, path, slot)
        if kind == "block" and not is_below and start != slot.head:  # a mapping behind its dash
            self.splices.put(start, self.places.end(piece), self.style.flow(value))
        elif kind == "block":
            self._put_lines(piece, written, slot)
        elif kind == "text":
            if is_below and not written.head:
                self._clear_line(start, self.places.header_end(piece))
            else:
                self._put_head(piece, kind, written.head, slot)
            below, after = self.places.next_line(start), self.places.after(piece)
            self.splices.put(below, after, "")
            self.splices.lines(after, list(written.body))
        else:
            below = self.places.next_line(span(piece)[1])
            if is_below and not written.head:
                self._clear_line(start, span(piece)[1])
            else:
                self._put_head(piece, kind, written.head, slot)
            self.splices.lines(below, list(written.body))

    def _clear_line(self, start: int, end: int) -> None:
        """Take out a value that stands below its key; a comment behind it stays."""
        below = self.places.next_line(end)
        rest = self.text[end:below].lstrip(" \t")
        if rest.startswith("#"):
            self.splices.put(start, below - len(rest), "")
        else:
            self.splices.put(self.places.line(start), below, "")

    def _written(self, piece: Piece, kind: str, value: Any, path: Path, slot: Slot) -> Verbatim:
        if isinstance(value, str) and "\n" not in value:
            return Verbatim(self._in_one_line(piece, kind, value, False))
        head = slot.head if slot.head is not None else 0
        # a list or mapping of several lines stays one
        block = True if kind == "block" and value and type(value) is type(piece.data) else None
        if block and isinstance(value, list):
            return Verbatim("", tuple(self.style.list_lines(value, path, slot.column + self.style.dash)))
        return self.style.value(value, path, slot.column, head - self.places.line(head) + 1, block)

    def _in_one_line(self, piece: Piece, kind: str, value: Any, flow: bool) -> str:
        if isinstance(value, (dict, list, Verbatim)):
            return self.style.flow(value)
        first = self.text[self.places.content(piece)] if kind == "scalar" else ""
        return self.style.scalar(value, flow, first if first in ("'", '"') else "")

    def _put_head(self, piece: Piece, kind: str, written: str, slot: Slot) -> None:
        """Replace a value that stands behind its key by what stands in one line; nothing if that is in lines below."""
        start = self.places.content(piece)
        end = self.places.header_end(piece) if kind == "text" else span(piece)[1]
        if not written:
            start = len(self.text[:start].rstrip(" \t"))
        elif kind == "empty":
            before = self.text[slot.head - 1] if slot.head else ""
            has_room = before == ":" or (before == "-" and not slot.is_flow)
            written = (" " if has_room else ": ") + written
            if self.text[end : end + 1] not in ("", " ", "\t", "\n", "\r", ",", "}", "]"):
                written += " "
        self.splices.put(start, end, written)

    def _put_lines(self, piece: Piece, written: Verbatim, slot: Slot) -> None:
        """Replace a block below its key."""
        head = self.head_end(piece, slot)
        if written.head:
            self.splices.put(head, head, " " + written.head)
        below, after = self.places.next_line(head), self.block_end(piece, slot)
        self.splices.put(below, after, "")
        self.splices.lines(after, list(written.body))

    def head_end(self, piece: Piece, slot: Slot) -> int:
        """Return where the line of a key has room for a value, if what it has is a block: behind the anchor."""
        anchor = self.places.anchor_end(piece)
        return anchor if anchor is not None else slot.head or 0

    def block_end(self, piece: Piece, slot: Slot) -> int:
        """Return where the lines of a block end, with the comments that belong to it."""
        start = span(piece)[0]
        return self.places.extent(Entry("", piece, start, start, start, start, slot.column))
