"""`${name}`: parameters put into settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from vflow.engine.document import MAX_DEPTH
from vflow.engine.pieces import Findings, Piece, show

#: How many values and characters parameters may put into a graph in all.
MAX_FILLED = 1 << 20

#: `${name}` in a text, and the `$${` that stands for a plain `${`.
PARAMETER = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")


class Filler:
    """Puts parameters into settings.

    `params` have a value; those of `waiting` are there too, but have none that can be put in. Afterwards `used` tells
    which settings take each parameter, and `unfilled` which settings wait for one.
    """

    def __init__(self, params: Mapping[str, Piece], findings: Findings, waiting: Collection[str] = ()) -> None:
        self.params, self.findings, self.waiting = params, findings, waiting
        self.used: dict[str, list[str]] = {}
        self.unfilled = set[str]()
        self.filled = 0

    def fill(self, piece: Piece, where: str, depth: int) -> Piece:
        """Return a setting with its parameters put in; the same piece where it has none."""
        data = piece.data
        if type(data) is str:
            return self._fill_text(piece, where, depth) if "${" in data else piece
        if type(data) is dict:
            named = {name: self.fill(inside, f"{where}.{name}", depth + 1) for name, inside in data.items()}
            return piece if all(named[name] is data[name] for name in data) else piece.with_data(named)
        if type(data) is list:
            listed = [self.fill(inside, where, depth + 1) for inside in data]
            return piece if all(a is b for a, b in zip(listed, data, strict=True)) else piece.with_data(listed)
        return piece

    def _fill_text(self, piece: Piece, where: str, depth: int) -> Piece:
        text: str = piece.data
        whole = PARAMETER.fullmatch(text)
        if whole and whole[0] != "$${":
            found = self._parameter(whole, piece, where)
            if found is None or not self._fits(found, piece, where, depth):
                return piece
            filled = piece.with_data(found.data)
            filled.via = _origin(whole[1], found)
            return filled
        origins: list[str] = []

        def put(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            found = self._parameter(match, piece, where)
            if found is None or not self._fits(found, piece, where, depth):
                return match[0]
            if found.data is None or type(found.data) in (dict, list):
                message = f"parameter {show(match[1])} is {show(found.data)} and cannot stand inside a text"
                self._refuse(piece, where, message, "put it in as the whole value")
                return match[0]
            origins.append(_origin(match[1], found))
            return found.data if type(found.data) is str else show(found.data)

        filled = piece.with_data(PARAMETER.sub(put, text))
        filled.via = " and ".join(dict.fromkeys(origins))
        return filled

    def _parameter(self, match: re.Match[str], piece: Piece, where: str) -> Piece | None:
        name = match[1]
        if not match[2]:
            self._refuse(piece, where, "a `${` is not closed", "write `${name}`, or `$${` for a plain `${`")
        elif name not in self.params and name not in self.waiting:
            known = [*self.params, *self.waiting]
            remedy = self.findings.suggest(name, known) if known else "the graph has no parameters"
            self._refuse(piece, where, f"there is no parameter {show(name)}", remedy)
        else:
            self.used.setdefault(name, []).append(where)
            if name in self.params:
                return self.params[name]
            self.unfilled.add(where)
        return None

    def _fits(self, found: Piece, piece: Piece, where: str, depth: int) -> bool:
        self.filled += found.weight
        if self.filled > MAX_FILLED:
            if self.filled - found.weight <= MAX_FILLED:
                self._refuse(piece, where, "the parameters fill in more than a graph may hold", "use shorter ones")
            return False
        if depth + found.height > MAX_DEPTH:
            self._refuse(piece, where, f"with its parameter this nests deeper than {MAX_DEPTH} levels")
            return False
        return True

    def _refuse(self, piece: Piece, where: str, message: str, remedy: str = "") -> None:
        self.findings.add(piece.place(), where, message, remedy)
        self.unfilled.add(where)


def _origin(name: str, piece: Piece) -> str:
    line = f":{piece.start.line + 1}" if piece.start else ""
    return f"parameter {name!r}" + (f", {piece.file}{line}" if piece.file else "")


def mentioned(pieces: Iterable[Piece]) -> set[str]:
    """Return the names of all parameters that stand somewhere in these pieces."""
    found: set[str] = set()
    stack = list(pieces)
    while stack:
        data = stack.pop().data
        if type(data) is str:
            found.update(match[1] for match in PARAMETER.finditer(data) if match[1])
        elif type(data) in (dict, list):
            stack += data.values() if type(data) is dict else data
    return found
