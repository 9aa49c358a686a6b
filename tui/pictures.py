"""Pictures in the terminal: two pixels to a cell in half-blocks, shades of characters where there is no Unicode.

Where the terminal has pixel graphics (see `graphics`), a picture that stands still is shown in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style
from textual.app import RenderResult
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from vflow.tui import graphics
from vflow.tui.glyphs import glyphs_for
from vflow.tui.graphics import ask_terminal
from vflow.tui.pixels import Pixels, Unreadable, drawn, fitted, read_image, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "Pixels", "Unreadable", "ask_terminal"]


class Picture(Widget):
    """Shows one picture in its middle, as large as there is room, or words where there is none."""

    DEFAULT_CSS = """
    Picture {
        width: 1fr; height: 1fr;
        align: center middle;
        color: $text-muted;
    }
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._given: Pixels | Image | None = None
        self._words = ""
        self._moving = False
        self._pieces = 0
        self._drawing: list[Strip] | None = None
        self._drawn_for = (0, 0)
        self._sharp: Widget | None = None

    # what is shown

    @property
    def words(self) -> str:
        """What is said in place of a picture; empty where there is one."""
        return self._words

    @property
    def moving(self) -> bool:
        """True when others follow what is shown at once."""
        return self._moving

    @property
    def cost(self) -> int:
        """How many pieces of one colour were drawn last: each is some forty bytes to the terminal."""
        return self._pieces

    @property
    def room(self) -> tuple[int, int]:
        """How many pixels (width, height) there is room for."""
        return max(1, self.content_size.width), max(1, 2 * self.content_size.height)

    def show(self, pixels: Pixels | Image, *, moving: bool = False) -> None:
        """Show pixels, or an image of Pillow. `moving`: others follow at once, so that it has to be quick."""
        self._moving = moving
        self._put(pixels, "")

    def say(self, words: str) -> None:
        """Say something in place of a picture."""
        self._moving = False
        self._put(None, words)

    def open(self, path: Path) -> None:
        """Show a picture file, read in a thread; what is wrong with it is said in its place."""

        def read() -> None:
            worker = get_current_worker()
            try:
                found: Image | Unreadable = read_image(path)
            except Unreadable as error:
                found = error
            if not worker.is_cancelled:
                self.app.call_from_thread(done, found)

        def done(found: Image | Unreadable) -> None:
            if isinstance(found, Unreadable):
                self.say(f"{path.name} {found}")
            else:
                self.show(found)
                self.sharpen(found)

        self.run_worker(read, thread=True, exclusive=True, group="picture")

    def sharpen(self, image: Image) -> None:
        """Show the same picture in the terminal's graphics, where it has some, until another one is shown."""
        kind = graphics.image_widget()
        if kind is None or self.app.is_headless or not self.is_attached:
            return
        if self._sharp is None:
            self._sharp = kind()
            self.mount(self._sharp)
        width, height = fitted(image.size, self.content_size.width, self.content_size.height)
        self._sharp.styles.width, self._sharp.styles.height = width, (height + 1) // 2
        self._sharp.display = True
        sharp: Any = self._sharp
        sharp.image = image

    def help_text(self) -> str:
        """Return what the help says of it, as markdown."""
        return (
            "# Picture\n\nAs large as there is room. With `vflow[images]` installed, in the terminal's own graphics.\n"
        )

    def _put(self, given: Pixels | Image | None, words: str) -> None:
        self._given, self._words, self._drawing = given, words, None
        if self._sharp is not None:
            self._sharp.display = False
        self.refresh()

    # drawing

    def render(self) -> RenderResult:
        """Nothing: `render_line` draws."""
        return ""

    def render_line(self, y: int) -> Strip:
        """Draw a row."""
        size = (self.content_size.width, self.content_size.height)
        if self._drawing is None or self._drawn_for != size:
            self._drawing, self._drawn_for = list(self._strips(*size)), size
        return self._drawing[y] if y < len(self._drawing) else Strip.blank(size[0], self.rich_style)

    def _strips(self, width: int, height: int) -> Iterator[Strip]:
        """Yield the rows of cells, the picture or the words in their middle."""
        if width < 1 or height < 1:
            return
        ground = self.rich_style
        rows = [_centred(row, width, ground) for row in self._rows(width, height, ground)][:height]
        self._pieces = sum(map(len, rows))
        yield from (Strip.blank(width, ground) for _ in range((height - len(rows)) // 2))
        yield from rows

    def _rows(self, width: int, height: int, ground: Style) -> Iterable[list[Segment]]:
        glyphs = getattr(self.app, "glyphs", None) or glyphs_for()
        if self._given is None:
            return [[Segment(line, ground)] for line in _wrapped(glyphs.text(self._words), width)]
        if isinstance(self._given, Pixels):
            pixels = self._given.within(width, height)
            pixels = pixels.coarser() if self._moving else pixels
        else:
            pixels = scaled(self._given, fitted(self._given.size, width, height))
        rows = drawn(pixels, glyphs, dark=self.app.current_theme.dark)
        return ([*_on(row, ground)] for row in rows)


def _on(row: list[Segment], ground: Style) -> Iterator[Segment]:
    """Give what has no colours of its own those of the widget."""
    return (
        piece if piece.style and piece.style.bgcolor else Segment(piece.text, ground + piece.style) for piece in row
    )


def _centred(row: list[Segment], width: int, ground: Style) -> Strip:
    taken = sum(piece.cell_length for piece in row)
    before = (width - taken) // 2
    return Strip([Segment(" " * before, ground), *row, Segment(" " * (width - taken - before), ground)], width)


def _wrapped(words: str, width: int) -> list[str]:
    import textwrap

    return [line for part in words.splitlines() for line in textwrap.wrap(part, width) or [""]]
