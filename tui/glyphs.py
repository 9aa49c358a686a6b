"""The characters that the UI draws with: one set for terminals with Unicode, one in ASCII of the same widths.

Every glyph is one cell wide, so a drawing keeps its shape in either set.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, get_args

from rich.cells import cell_len, get_character_cell_size

State = Literal[
    "kept",
    "to run",
    "running",
    "waiting",
    "failed",
    "error",
    "disabled",
    "done",
    "light",
    "decided later",
    "not needed",
    "unknown",
]
#: The states of a node; each is its own word.
STATES: tuple[State, ...] = get_args(State)

#: The colour of a state, as variables of the theme, for a style in Textual's CSS or markup.
STATE_COLOURS: Mapping[State, str] = MappingProxyType(
    {
        "kept": "$text-success",
        "to run": "$text-primary",
        "running": "$text-accent",
        "waiting": "$text-muted",
        "failed": "$text-error",
        "error": "$text-error",
        "disabled": "$text-muted",
        "done": "$text-success",
        "light": "$text-muted",
        "decided later": "$text-warning",
        "not needed": "$text-muted",
        "unknown": "$text-muted",
    }
)


@dataclass(frozen=True)
class Mark:
    """What is shown beside a node: its state, a short text (`412/2000`, `24 items`), and how much is done, 0 to 1."""

    state: State
    text: str = ""
    share: float | None = None


# By how strongly a line leaves the cell up, down, left and right: 0 not at all, 1 light, 2 heavy.
_LINES = """
1000╵ 0100╷ 0010╴ 0001╶ 2000╹ 0200╻ 0020╸ 0002╺ 1100│ 0011─ 2200┃ 0022━ 0012╼ 1200╽ 0021╾ 2100╿
0101╭ 0102┍ 0201┎ 0202┏ 0110╮ 0120┑ 0210┒ 0220┓ 1001╰ 1002┕ 2001┖ 2002┗ 1010╯ 1020┙ 2010┚ 2020┛
1101├ 1102┝ 2101┞ 1201┟ 2201┠ 2102┡ 1202┢ 2202┣ 1110┤ 1120┥ 2110┦ 1210┧ 2210┨ 2120┩ 1220┪ 2220┫
0111┬ 0121┭ 0112┮ 0122┯ 0211┰ 0221┱ 0212┲ 0222┳ 1011┴ 1021┵ 1012┶ 1022┷ 2011┸ 2021┹ 2012┺ 2022┻
1111┼ 1121┽ 1112┾ 1122┿ 2111╀ 1211╁ 2211╂ 2121╃ 2112╄ 1221╅ 1212╆ 2122╇ 1222╈ 2221╉ 2212╊ 2222╋
"""
_UNICODE_LINES = {(int(w[0]), int(w[1]), int(w[2]), int(w[3])): w[4] for w in _LINES.split()}


def _ascii_line(up: int, down: int, left: int, right: int) -> str:
    if not (left or right):
        return "#" if 2 in (up, down) else "|"
    if not (up or down):
        return "=" if 2 in (left, right) else "-"
    corner = (not up or not down) and (not left or not right)
    return ("'" if up else ".") if corner else "+"


_ASCII_LINES = {arms: _ascii_line(*arms) for arms in _UNICODE_LINES}


@dataclass(frozen=True)
class Glyphs:
    """One set of characters, each one cell wide."""

    ascii: bool
    states: Mapping[State, str]
    lines: Mapping[tuple[int, int, int, int], str]
    light_corners: str  #: of a box: top left, top right, bottom left, bottom right
    heavy_corners: str
    into: str  #: an arrow head that points right, into a port
    out_of: str  #: one that points left
    up: str
    down: str
    broken: str  #: the end of a wire that leads nowhere
    node: str  #: a node on a rail, read by others
    end: str  #: a node that nobody reads
    opened: str
    folded: str
    output: str  #: an output of the graph
    ellipsis: str
    bullet: str
    times: str
    dash: str
    middle: str  #: between two parts of a line
    changed: str
    check: str
    filled: str  #: the part of a bar that is done, as a line
    spark: str  #: eight heights, lowest first
    shades: str  #: from nothing to full
    bar: str  #: a cell filled by eighths, nothing first
    half: str  #: upper half of a cell; a space where there is none

    def state(self, state: State) -> str:
        """Return the glyph of a state."""
        return self.states[state]

    def line(self, up: int = 0, down: int = 0, left: int = 0, right: int = 0) -> str:
        """Return the line that leaves a cell in these directions: 0 not, 1 light, 2 heavy.

        A line that goes in all four directions is joined. Where two wires cross, the one that passes under is
        interrupted, so that a crossing can never be taken for a junction.
        """
        return self.lines[up, down, left, right]

    def progress(self, share: float, width: int) -> str:
        """Return a bar of `width` cells of which `share` (0 to 1) is filled."""
        steps = len(self.bar) - 1
        filled = round(min(1.0, max(0.0, share)) * width * steps)
        full, part = divmod(filled, steps)
        return (self.bar[-1] * full + (self.bar[part] if part else "")).ljust(width, self.bar[0])

    def sparkline(self, values: list[float]) -> str:
        """Return a small curve, one cell a value."""
        if not values:
            return ""
        low, high = min(values), max(values)
        top = len(self.spark) - 1
        return "".join(self.spark[round((value - low) / (high - low) * top) if high > low else 0] for value in values)

    def text(self, text: str) -> str:
        """Return a text as it can be drawn: no control characters, and in ASCII where there is nothing else."""
        return _clean(text, self.ascii)

    def cut(self, text: str, width: int) -> str:
        """Return a text of at most `width` cells; what is cut off is said by an ellipsis."""
        if cell_len(text) <= width:
            return text
        kept, room = [], width - 1
        for character in text:
            room -= get_character_cell_size(character)
            if room < 0:
                break
            kept.append(character)
        return "".join(kept) + self.ellipsis if width > 0 else ""

    def fit(self, text: str, width: int) -> str:
        """Return a text of exactly `width` cells."""
        text = self.cut(text, width)
        return text + " " * (width - cell_len(text))


_PLAIN = str.maketrans("→←·–—…×≥≤“”‘’✓✗", "><.--~x><\"\"''+x")


@lru_cache(4096)
def _clean(text: str, plain: bool) -> str:
    if text.isascii() and text.isprintable():
        return text
    # marks without a width of their own are dropped: a cell holds one character
    text = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)
    text = "".join(one for one in text if get_character_cell_size(one))
    if not plain:
        return text
    text = text.translate(_PLAIN)
    return "".join(one if one.isascii() else "?" * get_character_cell_size(one) for one in text)


UNICODE = Glyphs(
    ascii=False,
    states=MappingProxyType(dict(zip(STATES, "≡▷▶…✗!⊘✓∘?–·", strict=True))),
    lines=MappingProxyType(_UNICODE_LINES),
    light_corners="╭╮╰╯",
    heavy_corners="┏┓┗┛",
    into="▸",
    out_of="◂",
    up="▴",
    down="▾",
    broken="✗",
    node="●",
    end="○",
    opened="▾",
    folded="▸",
    output="◆",
    ellipsis="…",
    bullet="•",
    times="×",
    dash="–",
    middle="·",
    changed="●",
    check="✓",
    filled="═",
    spark="▁▂▃▄▅▆▇█",
    shades=" ░▒▓█",
    bar=" ▏▎▍▌▋▊▉█",
    half="▀",
)
ASCII = Glyphs(
    ascii=True,
    states=MappingProxyType(dict(zip(STATES, "=>*.x!/+o?-:", strict=True))),
    lines=MappingProxyType(_ASCII_LINES),
    light_corners="++++",
    heavy_corners="####",
    into=">",
    out_of="<",
    up="^",
    down="v",
    broken="x",
    node="@",
    end="o",
    opened="v",
    folded=">",
    output="*",
    ellipsis="~",
    bullet="*",
    times="x",
    dash="-",
    middle=".",
    changed="*",
    check="+",
    filled="%",
    spark="_.-~=+*#",
    shades=" .:*#",
    bar=".#",
    half=" ",
)


def glyphs_for(environment: Mapping[str, str] | None = None, encoding: str | None = None) -> Glyphs:
    """Return the characters that a terminal can show, as its environment and the encoding of its texts say.

    ASCII where the encoding is not UTF-8, on the Linux console and dumb terminals, and wherever `VFLOW_ASCII` is 1.
    """
    environment = os.environ if environment is None else environment
    if (asked := environment.get("VFLOW_ASCII", "")) not in ("", "0"):
        return ASCII
    if asked == "0":
        return UNICODE
    if environment.get("TERM", "") in ("linux", "dumb", "vt100", "vt220", "ansi"):
        return ASCII
    encoding = locale.getpreferredencoding(False) if encoding is None else encoding
    return UNICODE if encoding.lower().replace("-", "").replace("_", "").startswith("utf") else ASCII
