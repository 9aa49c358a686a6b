"""Terminals without Unicode: whatever a widget draws, Textual's own borders and marks too, leaves as ASCII."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_HORIZONTAL, _VERTICAL = "─━╌╍┄┅┈┉═╴╶╸╺╼╾▔▁▂", "│┃╎╏┆┇┊┋║╵╷╹╻╽╿▏▎▍▕▌▐"
_FULL = "█▉▊▋▇▆▅▄▃▀■◼▓▒"
_OTHERS = {
    "●": "*", "○": "o", "◉": "@", "◌": ".", "•": "*", "·": ".", "…": ".", "✓": "v", "✔": "v", "✗": "x", "✘": "x",
    "▶": ">", "▸": ">", "▷": ">", "◀": "<", "◂": "<", "▲": "^", "▴": "^", "△": "^", "▼": "v", "▾": "v", "→": ">",
    "←": "<", "↑": "^", "↓": "v", "↩": "<", "⏎": "<", "≡": "=", "≈": "~", "×": "x", "–": "-", "—": "-", "░": ".",
    "“": '"', "”": '"', "‘": "'", "’": "'", "⇧": "^", "⭘": "o", "⟳": "@", "╱": "/", "╲": "\\",
}  # fmt: skip
_TABLE = {
    **{ord(one): "-" for one in _HORIZONTAL},
    **{ord(one): "|" for one in _VERTICAL},
    **{ord(one): "#" for one in _FULL},
    **{ord(one): plain for one, plain in _OTHERS.items()},
}


@lru_cache(4096)
def to_ascii(text: str) -> str:
    """Return a text of the same width in ASCII: lines and marks by what looks like them, letters without accents."""
    return text if text.isascii() else "".join(one if one.isascii() else _one(one) for one in text)


def _one(character: str) -> str:
    if (plain := _TABLE.get(ord(character))) is not None:
        return plain
    if "\u2500" <= character <= "\u257f":  # what is left of box drawing are corners and crossings
        return "+"
    if "\u2800" <= character <= "\u28ff":  # braille
        return " " if character == "\u2800" else "."
    if "\u2580" <= character <= "\u259f":
        return "#"
    letter = unicodedata.normalize("NFKD", character)[0]
    plain = letter if letter.isascii() and letter.isprintable() else "?"
    return plain * get_character_cell_size(character)


class AsciiFilter(LineFilter):
    """Turns what is drawn into ASCII, just before it is sent."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with ASCII texts."""
        return [
            segment if segment.control or segment.text.isascii() else Segment(to_ascii(segment.text), segment.style)
            for segment in segments
        ]
