"""Pictures: pixels as half-blocks and as shades, the widget, and what a terminal is asked."""

import os
import pty
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App

from vflow.tui import graphics
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.pictures import Picture
from vflow.tui.pixels import Pixels, Unreadable, drawn, fitted, read_image, scaled

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def pixels(rows):
    return Pixels(len(rows[0]), len(rows), b"".join(bytes(pixel) for row in rows for pixel in row))


def colours(segment):
    style = segment.style
    return tuple(tuple(c.triplet) if c is not None else None for c in (style.color, style.bgcolor))


def shapes(size=(320, 200)):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", size, (20, 24, 40))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size[1] * 3 // 4, *size), fill=(40, 110, 60))
    pen.ellipse((size[0] // 8, size[1] // 8, size[0] // 2, size[1] * 3 // 4), fill=(230, 90, 60))
    pen.rectangle((size[0] * 5 // 8, size[1] // 4, size[0] * 7 // 8, size[1] * 3 // 4), fill=(250, 220, 90))
    return image


# pixels as text


def test_a_cell_holds_two_pixels_the_upper_one_as_ink():
    ((segment,),) = list(drawn(pixels([[RED], [BLUE]]), UNICODE))
    assert segment.text == "▀"
    assert colours(segment) == (RED, BLUE)


def test_equal_neighbours_are_one_piece_and_equal_halves_a_blank():
    ((flat, edge),) = list(drawn(pixels([[RED, RED, RED, BLUE], [RED, RED, RED, WHITE]]), UNICODE))
    assert (flat.text, colours(flat)) == ("   ", (None, RED))
    assert (edge.text, colours(edge)) == ("▀", (BLUE, WHITE))


def test_of_an_odd_number_of_rows_the_last_lies_in_the_upper_half():
    _, (segment,) = list(drawn(pixels([[RED], [RED], [BLUE]]), UNICODE))
    assert segment.text == "▀"
    assert colours(segment) == (BLUE, None)


def test_in_ascii_brightness_becomes_ink_as_the_screen_needs_it():
    ramp = pixels([[BLACK, (128, 128, 128), WHITE]] * 2)
    assert [row[0].text for row in drawn(ramp, ASCII)] == [" =@"] or [row[0].text for row in drawn(ramp, ASCII)] == [
        " +@"
    ]
    on_white = next(iter(drawn(ramp, ASCII, dark=False)))[0].text
    assert (on_white[0], on_white[-1]) == ("@", " ")


def test_fewer_colours_keep_black_and_white():
    assert pixels([[BLACK, WHITE]]).coarser().rgb == bytes(BLACK + WHITE)
    levels = set(Pixels(256, 1, bytes(value for value in range(256) for _ in range(3))).coarser().rgb)
    assert len(levels) == 32


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 300), st.integers(1, 100))
def test_a_picture_fits_and_fills_one_side(width, height, columns, rows):
    found = fitted((width, height), columns, rows)
    assert 1 <= found[0] <= columns
    assert 1 <= found[1] <= 2 * rows
    assert found[0] == columns or found[1] == 2 * rows


@pytest.mark.parametrize(("size", "cells", "found"), [((64, 64), (80, 20), (40, 40)), ((768, 512), (60, 40), (60, 40))])
def test_a_cell_is_twice_as_high_as_wide(size, cells, found):
    assert fitted(size, *cells) == found


def test_scaling_down_takes_the_mean():
    from PIL import Image

    image = Image.new("RGB", (2, 2), BLACK)
    image.putpixel((0, 0), WHITE)
    assert scaled(image, (1, 1)).rgb == bytes((64, 64, 64))


# files


def test_a_transparent_picture_lies_on_grey(tmp_path):
    from PIL import Image

    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((1, 1)) == (128, 128, 128)


def test_a_large_picture_is_kept_small(tmp_path):
    from PIL import Image

    Image.new("RGB", (4000, 1000), RED).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").size == (1600, 400)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "is gone"), (b"", "is no picture, or is not whole yet"), (b"text", "is no picture, or is not whole yet")],
)
def test_what_is_wrong_with_a_picture_is_said(tmp_path, content, words):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=words):
        read_image(path)


def test_half_a_picture_is_said_to_be_one(tmp_path):
    path = tmp_path / "a.png"
    shapes().save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Unreadable, match="damaged or not whole yet"):
        read_image(path)


# the widget


class PictureApp(App):
    def __init__(self, glyphs=UNICODE):
        super().__init__()
        self.glyphs = glyphs

    def compose(self):
        yield Picture()

    @property
    def picture(self):
        return self.query_one(Picture)


async def until(pilot, condition):
    for _ in range(400):
        await pilot.pause(0.01)
        if condition():
            return
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_picture_on_a_screen(size, same_screen):
    app = PictureApp()
    async with app.run_test(size=size) as pilot:
        app.picture.show(shapes())
        await pilot.pause()
        same_screen(app, f"picture_{size[0]}x{size[1]}")


async def test_a_picture_in_ascii_on_a_screen(same_screen):
    app = PictureApp(ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        app.picture.show(shapes())
        await pilot.pause()
        same_screen(app, "picture_ascii_80x24")


async def test_a_file_is_opened_and_what_is_wrong_with_it_said(tmp_path):
    shapes().save(tmp_path / "a.png")
    app = PictureApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.picture.open(tmp_path / "a.png")
        await until(pilot, lambda: app.picture.cost > 20)
        app.picture.open(tmp_path / "[b].png")
        await until(pilot, lambda: app.picture.words)
        assert app.picture.words == "[b].png is gone"


async def test_a_picture_follows_the_size_of_the_terminal():
    app = PictureApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.picture.show(shapes())
        await pilot.pause()
        whole = app.picture.cost
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        assert 0 < app.picture.cost < whole
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.picture.cost == whole


# what the terminal has


class Terminal:
    """A terminal at the other end of a pseudo-terminal: answers the question, in its own words."""

    def __init__(self, answer):
        self.outside, self.inside = pty.openpty()
        self.heard = b""
        self._answer = answer
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self):
        while b"\x1b[c" not in self.heard:
            self.heard += os.read(self.outside, 100)
        os.write(self.outside, self._answer)

    def close(self):
        self._thread.join(5)
        os.close(self.outside)
        os.close(self.inside)


def asked(answer, seconds=5.0, **environment):
    terminal = Terminal(answer)
    try:
        found = graphics.terminal_at(
            terminal.inside, terminal.inside, {"TERM": "xterm-256color"} | environment, seconds
        )
    finally:
        terminal.close()
    return found


def test_a_terminal_that_says_sixel_has_it():
    assert asked(b"\x1b[6;18;9t\x1b[?62;4;22c") == graphics.Terminal("sixel", (9, 18))


def test_a_terminal_that_says_nothing_of_sixel_gets_half_blocks():
    assert asked(b"\x1b[?62;22c") is None
    assert asked(b"\x1b[?64;14;44c") is None


def test_what_is_typed_meanwhile_does_not_confuse_the_answer():
    assert asked(b"abc\x1b[A\x1b[?62;4c") == graphics.Terminal("sixel", (10, 20))


def test_a_terminal_that_never_answers_gets_half_blocks():
    assert asked(b"", seconds=0.05) is None


def test_the_terminal_is_left_as_it_was():
    import termios

    terminal = Terminal(b"\x1b[?62;4c")
    before = termios.tcgetattr(terminal.inside)
    graphics.terminal_at(terminal.inside, terminal.inside, {"TERM": "xterm"}, 5)
    assert termios.tcgetattr(terminal.inside) == before
    terminal.close()


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm", "VFLOW_IMAGES": "kitty"}, "kitty"),
        ({"TERM": "xterm-kitty", "VFLOW_IMAGES": "blocks"}, None),
        ({"TERM": "dumb"}, None),
        ({"TERM": "linux"}, None),
        ({}, None),
    ],
)
def test_what_the_environment_says_is_not_asked(environment, protocol):
    outside, inside = pty.openpty()
    found = graphics.terminal_at(inside, inside, environment, 0)
    assert (found.protocol if found else None) == protocol
    os.close(inside)
    os.close(outside)


def test_inside_tmux_kittys_pictures_are_not_counted_on():
    assert asked(b"\x1b[?1;2c", TERM="tmux-256color", KITTY_WINDOW_ID="1", TMUX="/tmp/x") is None


def test_without_the_package_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(graphics, "terminal_at", lambda *a: pytest.fail("the terminal was asked"))
    graphics.ask_terminal()
    assert graphics.found() is None
    assert graphics.image_widget() is None


def test_a_package_that_is_broken_leaves_half_blocks(monkeypatch, tmp_path):
    package = tmp_path / "textual_image"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "textual_image", raising=False)
    monkeypatch.setattr(graphics, "_found", graphics.Terminal("sixel"))
    output, names = sys.__stdout__, set(os.environ)
    assert graphics.image_widget() is None
    assert sys.__stdout__ is output
    assert set(os.environ) == names


def test_the_terminal_is_asked_without_loading_anything_large():
    code = "import vflow.tui.graphics, sys; print([m for m in ('textual', 'PIL', 'av', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
