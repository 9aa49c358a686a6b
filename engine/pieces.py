"""The pieces that a graph file is read into: values that know their place, and the list of what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from math import inf, nan
from typing import Any, NamedTuple, Protocol

from vflow.engine.problems import Problem, Severity, suggest

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: -inf if sign == "-" else inf for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}
#: How many problems of each severity are told of a file.
MOST_TOLD = 1_000
_LONGEST_NUMBER = 300  # digits; Python refuses to turn much longer ones into integers, and nobody writes them


class Mark(Protocol):
    """A place in a text as PyYAML counts it: characters, lines and columns from 0."""

    index: int
    line: int
    column: int


class Place(NamedTuple):
    """A place as people count it, from 1; `line` is 0 where a value does not come from a file."""

    file: str
    line: int = 0
    column: int = 0


NOWHERE = Place("")


@dataclass(slots=True)
class Piece:
    """One value of a document: a scalar, a list of pieces or a dict of pieces, and where it stands.

    `start`, `end` are the value's marks and `key` the mark of the key above it. `weight` counts values and characters
    inside, `height` the levels below. `via` says in words where the value came from when it was put in from elsewhere;
    `overrides` is set where it replaced another one.
    """

    data: Any
    file: str = ""
    start: Mark | None = None
    end: Mark | None = None
    key: Mark | None = None
    weight: int = 1
    height: int = 0
    via: str = ""
    overrides: bool = False

    def place(self, key: bool = False) -> Place:
        """Return where the value, or its key, stands."""
        mark = (self.key if key else None) or self.start
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def plain(self) -> Any:
        """Return plain data: dict, list, text, number, bool or None."""
        if type(self.data) is dict:
            return {name: piece.plain() for name, piece in self.data.items()}
        if type(self.data) is list:
            return [piece.plain() for piece in self.data]
        return self.data

    def get(self, name: str) -> Piece | None:
        """Return what stands under a key; None where this is no mapping or has no such key."""
        return self.data.get(name) if type(self.data) is dict else None

    def with_data(self, data: Any) -> Piece:
        """Return a piece at the same place with other content."""
        weight, height = 1, 0
        if type(data) is str:
            weight += len(data)
        elif type(data) in (dict, list):
            inside = data.values() if type(data) is dict else data
            weight += sum(piece.weight for piece in inside) + sum(map(len, data) if type(data) is dict else ())
            height = 1 + max((piece.height for piece in inside), default=0)
        return Piece(data, self.file, self.start, self.end, self.key, weight, height, self.via, self.overrides)


class Findings:
    """The problems found so far. A file full of mistakes is still told quickly: after many there are no suggestions,
    and of each severity the first `MOST_TOLD` are told and the others counted.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._counts: dict[Severity, int] = {}

    def add(self, at: Place, where: str, message: str, remedy: str = "", severity: Severity = "error") -> None:
        """Add one problem."""
        count = self._counts[severity] = self._counts.get(severity, 0) + 1
        if count <= MOST_TOLD:
            self.problems.append(Problem(message, remedy, where, severity, at.file, at.line, at.column))

    def rest(self, file: str) -> list[Problem]:
        """Say how many problems were left out."""
        return [
            Problem(f"there are {count - MOST_TOLD:,} more {severity}s, which are not shown", "", "", severity, file)
            for severity, count in self._counts.items()
            if count > MOST_TOLD
        ]

    def suggest(self, word: str, known: Collection[str], otherwise: str = "") -> str:
        """Return a remedy: the nearest known word, else `otherwise`, else the first of the known words."""
        if len(self.problems) > (100 if len(known) < 300 else 10):
            return otherwise
        if not otherwise and len(known) > 20:
            otherwise = f"known: {', '.join(sorted(known)[:20])}, ..."
        return suggest(word[:80], known, otherwise)


def scalar(text: str) -> Any:
    """Return what an unquoted YAML scalar means: None, a bool, an int, a float or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def show(data: Any, longest: int = 60) -> str:
    """Return a value as a file would show it, shortened: `'16:9'`, `true`, `.nan`, `a mapping`, `empty`."""
    if data is None:
        return "empty"
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, float) and data - data != 0:
        return ".nan" if data != data else ".inf" if data > 0 else "-.inf"
    if isinstance(data, (dict, list)):
        return "a mapping" if isinstance(data, dict) else "a list"
    text = repr(data[: longest + 1] if isinstance(data, str) else data)
    return text if len(text) <= longest + 2 else f"{text[:longest]}..."
