"""Pixel graphics in the terminal: sixel, or Kitty's protocol, through the optional package textual-image.

Without that package, or in a terminal without such graphics, pictures are drawn in half-blocks, and nothing here is
used. The terminal is asked once, before Textual reads its input; only the question that every terminal answers is put.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from textual.widget import Widget

#: what the user can set to say what the terminal has: `sixel`, `kitty` or `blocks`
ASKED_FOR = "VFLOW_IMAGES"
_PACKAGE = "textual_image"
#: the size of a cell in pixels, then what the terminal is; the second is answered by all, and last
_QUESTION = "\x1b[16t\x1b[c"
_IS = re.compile(rb"\x1b\[\?([\d;]*)c")
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_SIXEL = "4"
_USUAL_CELL = (10, 20)


@dataclass(frozen=True)
class Terminal:
    """What a terminal can show, and the size of a cell in pixels (width, height)."""

    protocol: Literal["sixel", "kitty"]
    cell: tuple[int, int] = _USUAL_CELL


_found: Terminal | None = None


def ask_terminal(seconds: float = 0.5) -> None:
    """Find out what the terminal of this process can show; to be called before Textual starts.

    Does nothing where textual-image is not installed or nobody sits there. A terminal that answers nothing is given
    up after `seconds`; what it said besides is read away.
    """
    global _found
    _found = None
    if importlib.util.find_spec(_PACKAGE) is None or not sys.__stdin__ or not sys.__stdout__:
        return
    try:
        ends = sys.__stdin__.fileno(), sys.__stdout__.fileno()
        if all(os.isatty(end) for end in ends):
            _found = terminal_at(*ends, os.environ, seconds)
    except (OSError, ValueError, ImportError):  # a stream that is closed; a system without such terminals
        return


def found() -> Terminal | None:
    """Return what was found out; None: half-blocks."""
    return _found


def terminal_at(reading: int, writing: int, environment: Mapping[str, str], seconds: float) -> Terminal | None:
    """Return what the terminal at two file descriptors can show, from its environment and its answers.

    Raises:
        OSError: it is no terminal.
        ImportError: the system has no such terminals.
    """
    name, said = environment.get("TERM", ""), environment.get(ASKED_FOR, "")
    if said == "blocks" or name in ("", "dumb", "linux"):
        return None
    # tmux and screen pass Kitty's pictures on to nobody, and take the question for a title
    inside = "TMUX" in environment or name.startswith(("tmux", "screen"))
    kitty = name in ("xterm-kitty", "xterm-ghostty") or "KITTY_WINDOW_ID" in environment
    if said == "kitty" or (not said and kitty and not inside):
        return Terminal("kitty", _cell_of(writing) or _USUAL_CELL)
    answer = _answer(reading, writing, seconds)
    features = next((one[1].decode().split(";") for one in _IS.finditer(answer)), [])
    if said == "sixel" or _SIXEL in features:
        told = _CELL.search(answer)
        cell = _cell_of(writing) or ((int(told[2]), int(told[1])) if told else None)
        return Terminal("sixel", cell if cell and all(cell) else _USUAL_CELL)
    return None


def image_widget() -> type[Widget] | None:
    """Return the widget that shows an image (its attribute `image`, of Pillow) in graphics; None: there is none."""
    terminal = found()
    if terminal is None:
        return None
    try:
        with _told(terminal.cell):
            module: Any = importlib.import_module(f"{_PACKAGE}.widget")
        widget: type[Widget] = module.SixelImage if terminal.protocol == "sixel" else module.TGPImage
    except Exception:  # whatever is wrong with an optional package, there are half-blocks
        return None
    return widget


@contextmanager
def _told(cell: tuple[int, int]) -> Iterator[None]:
    """Keep the package from asking the terminal, which it does when imported: Textual reads its input by now."""
    output, before = sys.__stdout__, dict(os.environ)
    names = ("TEXTUAL_CELL_WIDTH", "TEXTUAL_CELL_HEIGHT")
    sys.__stdout__ = io.StringIO()  # type: ignore[misc,assignment]
    os.environ.update(zip(names, map(str, cell), strict=True))
    try:
        yield
    finally:
        sys.__stdout__ = output  # type: ignore[misc]
        for name in names:
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})


def _cell_of(end: int) -> tuple[int, int] | None:
    """Return the size of a cell as the system knows it."""
    import array
    import fcntl
    import termios

    size = array.array("H", [0, 0, 0, 0])
    fcntl.ioctl(end, termios.TIOCGWINSZ, size)
    rows, columns, width, height = size
    if not (rows and columns and width >= columns and height >= rows):
        return None
    return width // columns, height // rows


def _answer(reading: int, writing: int, seconds: float) -> bytes:
    """Put the question and return all that is said up to its answer, or until `seconds` are over."""
    import select
    import termios
    import tty

    before = termios.tcgetattr(reading)
    heard = select.poll()  # select() takes no descriptor beyond 1023
    heard.register(reading, select.POLLIN)
    said = b""
    try:
        tty.setcbreak(reading, termios.TCSANOW)
        os.write(writing, _QUESTION.encode())
        end = time.monotonic() + seconds
        while not _IS.search(said) and (left := end - time.monotonic()) > 0:
            if heard.poll(left * 1000):
                if not (piece := os.read(reading, 256)):
                    break
                said += piece
    finally:
        termios.tcsetattr(reading, termios.TCSANOW, before)
    return said
