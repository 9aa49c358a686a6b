"""How new values are written: as the file writes its own.

A text stands plain where the core schema of YAML 1.2 reads the same back, else in quotes, and over several lines where
it has several. Small lists and mappings stand in one line, in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vflow.engine.editing.errors import EditError
from vflow.engine.editing.places import BREAK, Places
from vflow.engine.graph import flow as in_one_line
from vflow.engine.pieces import Piece, scalar, show

#: A list or mapping stands in one line where that has at most so many characters.
WIDTH = 100
#: A line in brackets is broken up when something added makes it longer.
LONGEST = 120
_LONGEST_KEY = 1000  # the parser finds the ':' of a key within 1024 characters

_INDICATORS = "-?:,[]{}#&*!|>'\"%@`"
_LIST = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\r?\n( *)- ", re.MULTILINE)
_SINGLE, _DOUBLE = re.compile(r"[:\[{,-] ?'"), re.compile(r'[:\[{,-] ?"')

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Verbatim:
    """A value as text. `head` goes behind the `:` (in several lines, if need be), the lines of `body` below it.

    As a part of the data that a text is to hold, it stands for a mapping.
    """

    head: str = ""
    body: tuple[str, ...] = ()


@dataclass
class Style:
    """The style of a file. `in_lines`: a text of several lines may stand in lines."""

    places: Places
    root: Piece | None
    in_lines: bool = True

    @cached_property
    def newline(self) -> str:
        """What ends the file's lines."""
        found = BREAK.search(self.places.text)
        return found[0] if found and found[0] in ("\r\n", "\r") else "\n"

    @cached_property
    def is_json(self) -> bool:
        """True for a file in brackets with all its texts in quotes."""
        text, root = self.places.text, self.root
        if root is None or not isinstance(root.data, dict) or self.places.kind(root) != "flow":
            return False
        keys = [piece.key for piece in root.data.values()]
        return bool(keys) and all(key is not None and text[key.index] == '"' for key in keys)

    @cached_property
    def step(self) -> int:
        """How far a block is indented below its key."""
        for above in (self.root and self.root.get("nodes"), self.root):
            if above is not None and type(above.data) is dict:
                for piece in above.data.values():
                    first = self._first_key(piece)
                    column: int = piece.key.column if piece.key else 0
                    if first is not None and first > column:
                        return min(first - column, 8)
        return 2

    def _first_key(self, piece: Piece) -> int | None:
        if type(piece.data) is not dict or self.places.kind(piece) != "block":
            return None
        return next((inside.key.column for inside in piece.data.values() if inside.key), None)

    @cached_property
    def dash(self) -> int:
        """How far a list's dashes are indented below its key."""
        found = _LIST.search(self.places.text)
        return 0 if found and len(found[2]) <= len(found[1]) else self.step

    @cached_property
    def quote(self) -> str:
        """The quotes that the file uses."""
        text = self.places.text
        return "'" if _SINGLE.search(text) and not _DOUBLE.search(text) else '"'

    # --- in one line -------------------------------------------------------------------------------------------------

    def scalar(self, value: Any, flow: bool, quote: str = "") -> str:
        """Return a scalar in one line; `quote` are the quotes to prefer, if it has any."""
        if isinstance(value, float):
            return _number(value)
        if not isinstance(value, str):
            return in_one_line(value)
        if not quote and not self.is_json and _is_plain(value, flow):
            return value
        if (quote or self.quote) == "'" and value.isprintable() and not self.is_json:
            return "'" + value.replace("'", "''") + "'"
        if not quote and value.isprintable() and not self.is_json and "'" not in value and set(value) & {'"', "\\"}:
            return f"'{value}'"
        return in_one_line(value)

    def key(self, name: str, flow: bool, quote: str = "") -> str:
        """Return a key.

        Raises:
            EditError: it is too long for one.
        """
        written = self.scalar(name, flow, quote)
        if len(written) > _LONGEST_KEY:
            raise EditError(f"{show(name)} is too long for a key", f"use at most {_LONGEST_KEY} characters")
        return f'"{name}"' if written == "<<" else written

    def flow(self, value: Any) -> str:
        """Return any value in one line.

        Raises:
            EditError: it is given as text that stands in lines.
        """
        if isinstance(value, Verbatim):
            if not value.head or value.body:
                raise EditError("what stands in lines cannot be put between brackets", "write it in brackets: {a: 1}")
            return value.head
        if isinstance(value, dict):
            parts = [f"{self.key(name, True)}: {self.flow(inside)}" for name, inside in value.items()]
            return "{" + ", ".join(parts) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self.flow, value)) + "]"
        return self.scalar(value, True)

    # --- in lines ----------------------------------------------------------------------------------------------------

    def value(self, value: Any, path: Path, column: int, taken: int, block: bool | None = None) -> Verbatim:
        """Return a value for a place outside of brackets.

        `column` is that of its key (or dash), `taken` how long the line is before it. `block` decides how a mapping is
        written, where what stands beside it does.
        """
        if isinstance(value, Verbatim):
            return value
        if isinstance(value, str):
            return self._text(value, column)
        if not value or not isinstance(value, (dict, list)):
            return Verbatim(self.flow(value))
        is_entry = bool(path) and isinstance(path[-1], int)
        if isinstance(value, list):
            if self._fits(value, taken):
                return Verbatim(self.flow(value))
            return Verbatim("", tuple(self.list_lines(value, path, column + (2 if is_entry else self.dash))))
        if (block is False or (block is None and not _is_section(path))) and self._fits(value, taken):
            return Verbatim(self.flow(value))
        return Verbatim("", tuple(self.mapping_lines(value, path, column + (2 if is_entry else self.step))))

    def _fits(self, value: Any, taken: int) -> bool:
        return not _has_lines(value) and taken + len(self.flow(value)) <= WIDTH

    def mapping_lines(self, value: Mapping[str, Any], path: Path, column: int) -> list[str]:
        """Return a mapping's lines, its keys at a column."""
        return [line for name, one in value.items() for line in self.entry_lines(name, one, (*path, name), column)]

    def entry_lines(self, name: str, value: Any, path: Path, column: int, block: bool | None = None) -> list[str]:
        """Return the lines of one key with its value, the key at a column."""
        label = " " * column + self.key(name, False) + ":"
        written = self.value(value, path, column, len(label) + 1, block)
        return [f"{label} {written.head}" if written.head else label, *written.body]

    def list_lines(self, value: list[Any], path: Path, column: int) -> list[str]:
        """Return a list's lines, its dashes at a column."""
        lines: list[str] = []
        for number, one in enumerate(value):
            written = self.value(one, (*path, number), column, column + 2)
            if written.head or not written.body:
                lines += [f"{' ' * column}- {written.head}", *written.body]
            else:  # the first line of what stands in lines goes behind the dash
                lines += [f"{' ' * column}- {written.body[0].lstrip(' ')}", *written.body[1:]]
        return lines

    def _text(self, value: str, column: int) -> Verbatim:
        lines = value.removesuffix("\n").split("\n")
        first = next((line for line in lines if line), "")
        is_readable = all(line.replace("\t", "").isprintable() for line in lines)
        if (
            "\n" not in value
            or not self.in_lines
            or self.is_json
            or not is_readable
            or first[:1] in ("", " ", "\t")
            or not lines[-1]
        ):
            return Verbatim(self.scalar(value, False))
        indent = " " * (column + self.step)
        header = "|" if value.endswith("\n") else "|-"
        return Verbatim(header, tuple(indent + line if line else "" for line in lines))


def _number(value: float) -> str:
    """Return a number that readers of YAML 1.1 take for one too: with a point, and with a sign before the exponent."""
    digits, e, exponent = in_one_line(value).partition("e")
    if not e:
        return digits
    return f"{digits if '.' in digits else f'{digits}.0'}e{exponent[0]}{exponent[1:].lstrip('0')}"


def _is_section(path: Path) -> bool:
    """Tell whether a mapping stands in lines of its own, however short it is."""
    return len(path) <= 1 or (
        (len(path) == 2 and path[0] in ("nodes", "profiles", "params"))
        or (len(path) == 3 and path[0] == "profiles" and path[2] in ("nodes", "outputs"))
    )


def _has_lines(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" in value
    if isinstance(value, Verbatim):
        return bool(value.body)
    if isinstance(value, (dict, list)):
        return any(map(_has_lines, value.values() if isinstance(value, dict) else value))
    return False


def _is_plain(text: str, flow: bool) -> bool:
    """Tell whether a text may stand without quotes, and is read as the same text."""
    if not text or text[0] in _INDICATORS or text != text.strip() or not text.isprintable():
        return False
    if type(scalar(text)) is not str or ": " in text or " #" in text or text.endswith(":") or "\ufeff" in text:
        return False
    return not flow or not set(text) & set(",[]{}:?")
