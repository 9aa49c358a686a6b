"""Turn screenshots of the terminal UI (SVG, as Textual writes them) into pictures for the docs.

    python tools/terminal_picture.py SCREEN.svg [...] --folder docs/pictures

The SVG asks a web font for every letter; here each cell is drawn with fonts of this machine instead, so that columns
stand where the terminal has them. Blocks, box lines and braille are drawn as shapes: few fonts have all of them.
"""

from __future__ import annotations

import argparse
import html
import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_CELL, _LINE = 12.2, 24.4  # of Textual's SVG
_WIDTH, _HEIGHT = 10, 20  # pixels of a cell here
_FONTS = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSans.ttf")

_Font = ImageFont.FreeTypeFont

_RECT = re.compile(r'<rect fill="(#\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"')
_TEXT = re.compile(r'<text class="terminal-\d+-(r\d+)" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>')
_STYLE = re.compile(r"\.terminal-\d+-(r\d+) \{ (.*?) \}")
_FILL = re.compile(r"fill: (#\w+)")
# (up, down, left, right) of the box drawing characters
_LIGHT = "│=ud ─=lr ╭=dr ╮=dl ╰=ur ╯=ul ┌=dr ┐=dl └=ur ┘=ul ├=udr ┤=udl ┬=dlr ┴=ulr ┼=udlr ╶=r ╴=l ╵=u ╷=d"
_HEAVY = "┃=UD ━=LR ┏=DR ┓=DL ┗=UR ┛=UL ┣=UDR ┫=UDL ┳=DLR ┻=ULR ╋=UDLR ╸=L ╺=R ╹=U ╻=D"
_MIXED = "┡=UuRr ┩=UuLl ┱=LdDr ┲=lRdD ┢=DuRr ┪=DuLl ┺=RlUu ┹=LrUu ╄=RDlu"
_LINES = dict(word.split("=") for word in f"{_LIGHT} {_HEAVY} {_MIXED}".split())
_EIGHTHS = "▁▂▃▄▅▆▇█"
_LEFT = "▏▎▍▌▋▊▉"


def main() -> None:
    """Turn each of the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("svg", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for path in given.svg:
        target = given.folder / f"{path.stem}.png"
        picture(path.read_text(encoding="utf-8")).convert("P", palette=Image.Palette.ADAPTIVE, colors=255).save(
            target, optimize=True
        )
        print(target)


def picture(svg: str) -> Image.Image:
    """Return the screen that an SVG shows, without the window around it."""
    styles = dict(_STYLE.findall(svg))
    body = svg[svg.index('clip-path="url(') :]
    backgrounds = [(fill, float(x), float(y), float(width)) for fill, x, y, width in _RECT.findall(body)]
    columns = round(max(x + width for _, x, _, width in backgrounds) / _CELL)
    rows = round(max(y for _, _, y, _ in backgrounds) / _LINE) + 1
    image = Image.new("RGB", (columns * _WIDTH, rows * _HEIGHT), backgrounds[0][0])
    draw = ImageDraw.Draw(image)
    for fill, x, y, width in backgrounds:
        left, top = round(x / _CELL) * _WIDTH, round((y - 1.5) / _LINE) * _HEIGHT
        if (cells := round(width / _CELL)) > 0:
            draw.rectangle((left, top, left + cells * _WIDTH - 1, top + _HEIGHT - 1), fill=fill)
    fonts = [ImageFont.truetype(name, 16) for name in _FONTS]
    for name, x, y, text in _TEXT.findall(body):
        column, row = round(float(x) / _CELL), round((float(y) - 20) / _LINE)
        style = styles[name]
        colour = _FILL.search(style)[1]
        for letter in html.unescape(text).replace("\xa0", " "):
            cell = (column * _WIDTH, row * _HEIGHT)
            _letter(draw, letter, cell, colour, fonts, bold="bold" in style)
            if "underline" in style:
                draw.line((cell[0], cell[1] + _HEIGHT - 2, cell[0] + _WIDTH - 1, cell[1] + _HEIGHT - 2), fill=colour)
            column += 1
    return image


def _letter(
    draw: ImageDraw.ImageDraw, letter: str, cell: tuple[int, int], colour: str, fonts: list[_Font], *, bold: bool
) -> None:
    left, top = cell
    if letter == " ":
        return
    if 0x2800 <= ord(letter) <= 0x28FF:
        _braille(draw, ord(letter) - 0x2800, cell, colour)
    elif letter in _LINES:
        _lines(draw, _LINES[letter], cell, colour)
    elif letter in _EIGHTHS:
        height = round(_HEIGHT * (_EIGHTHS.index(letter) + 1) / 8)
        draw.rectangle((left, top + _HEIGHT - height, left + _WIDTH - 1, top + _HEIGHT - 1), fill=colour)
    elif letter in _LEFT:
        width = max(1, round(_WIDTH * (_LEFT.index(letter) + 1) / 8))
        draw.rectangle((left, top, left + width - 1, top + _HEIGHT - 1), fill=colour)
    elif letter in "▀▔":
        height = _HEIGHT // 2 if letter == "▀" else 2
        draw.rectangle((left, top, left + _WIDTH - 1, top + height - 1), fill=colour)
    elif letter in "▐▕":
        width = _WIDTH // 2 if letter == "▐" else 1
        draw.rectangle((left + _WIDTH - width, top, left + _WIDTH - 1, top + _HEIGHT - 1), fill=colour)
    else:
        mono, heavy, wide = fonts
        font = heavy if bold else mono
        if font.getmask(letter).getbbox() == font.getmask("\uffff").getbbox():  # what it draws for what it lacks
            font = wide
        draw.text((left + _WIDTH / 2, top + 15), letter, fill=colour, font=font, anchor="ms")


def _braille(draw: ImageDraw.ImageDraw, dots: int, cell: tuple[int, int], colour: str) -> None:
    places = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    for bit, (column, row) in enumerate(places):
        if dots >> bit & 1:
            x, y = cell[0] + 1 + column * 5, cell[1] + 1 + row * 5
            draw.rectangle((x, y, x + 2, y + 2), fill=colour)


def _lines(draw: ImageDraw.ImageDraw, ways: str, cell: tuple[int, int], colour: str) -> None:
    left, top = cell
    x, y = left + _WIDTH // 2, top + _HEIGHT // 2
    ends = {"u": (x, top), "d": (x, top + _HEIGHT - 1), "l": (left, y), "r": (left + _WIDTH - 1, y)}
    for way in ways:
        draw.line((x, y, *ends[way.lower()]), fill=colour, width=3 if way.isupper() else 1)


if __name__ == "__main__":
    main()
