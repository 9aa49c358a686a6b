"""Glyphs: one cell each, told apart, and in ASCII where a terminal has no more."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vflow.tui.glyphs import ASCII, STATE_COLOURS, STATES, UNICODE, glyphs_for

SETS = [UNICODE, ASCII]
_SEVERAL = {"light_corners": 4, "heavy_corners": 4, "spark": 8, "shades": 5}


@pytest.mark.parametrize("glyphs", SETS)
def test_each_glyph_is_one_cell(glyphs):
    for field in fields(glyphs):
        value = getattr(glyphs, field.name)
        if isinstance(value, str):
            assert cell_len(value) == len(value) == _SEVERAL.get(field.name, len(value) if field.name == "bar" else 1)
    assert all(cell_len(glyph) == 1 for glyph in (*glyphs.states.values(), *glyphs.lines.values()))


def test_the_ascii_set_is_ascii():
    texts = [getattr(ASCII, field.name) for field in fields(ASCII) if isinstance(getattr(ASCII, field.name), str)]
    assert "".join([*texts, *ASCII.states.values(), *ASCII.lines.values()]).isascii()


@pytest.mark.parametrize("glyphs", SETS)
def test_states_are_told_apart_without_colour(glyphs):
    assert len({glyphs.state(state) for state in STATES}) == len(STATES)
    assert set(STATE_COLOURS) == set(STATES)


@pytest.mark.parametrize("glyphs", SETS)
def test_a_light_line_never_looks_like_a_heavy_one(glyphs):
    assert glyphs.line(left=1, right=1) != glyphs.line(left=2, right=2)
    assert glyphs.line(up=1, down=1) != glyphs.line(up=2, down=2)


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({"TERM": "xterm-256color"}, "UTF-8", UNICODE),
        ({}, "utf8", UNICODE),
        ({"TERM": "xterm"}, "ISO-8859-1", ASCII),
        ({"TERM": "xterm"}, "ANSI_X3.4-1968", ASCII),
        ({"TERM": "linux"}, "UTF-8", ASCII),
        ({"TERM": "dumb"}, "UTF-8", ASCII),
        ({"VFLOW_ASCII": "1"}, "UTF-8", ASCII),
        ({"VFLOW_ASCII": "0", "TERM": "linux"}, "UTF-8", UNICODE),
        ({"VFLOW_ASCII": ""}, "UTF-8", UNICODE),
    ],
)
def test_a_terminal_gets_what_it_can_show(environment, encoding, expected):
    assert glyphs_for(environment, encoding) is expected


@given(st.text(), st.sampled_from(SETS))
def test_a_text_can_be_drawn_whatever_is_in_it(text, glyphs):
    shown = glyphs.text(text)
    assert shown.isprintable()
    assert all(cell_len(one) for one in shown)
    assert shown.isascii() or glyphs is UNICODE
    assert cell_len(shown) == cell_len(UNICODE.text(text))


@given(st.text(), st.integers(0, 20), st.sampled_from(SETS))
def test_a_text_is_cut_to_its_width(text, width, glyphs):
    text = glyphs.text(text)
    assert cell_len(glyphs.fit(text, width)) == width
    assert glyphs.cut(text, cell_len(text)) == text


def test_what_is_cut_off_is_said():
    assert UNICODE.cut("transformer", 6) == "trans…"
    assert ASCII.cut("transformer", 6) == "trans~"
    assert UNICODE.cut("日本語", 4) == "日…"


def test_a_bar_fills_by_parts_of_a_cell():
    assert UNICODE.progress(0.5, 4) == "██  "
    assert UNICODE.progress(1 / 64, 8) == "▏       "
    assert ASCII.progress(0.5, 4) == "##.."
    assert UNICODE.progress(-1, 2) == "  "
    assert UNICODE.progress(9, 2) == "██"


def test_a_sparkline_spans_its_values():
    assert UNICODE.sparkline([1, 2, 3]) == "▁▅█"
    assert UNICODE.sparkline([5, 5]) == "▁▁"
    assert UNICODE.sparkline([]) == ""
