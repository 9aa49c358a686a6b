"""A drawing's rows, cut where the window ends."""

from vflow.tui.drawing import Canvas, Drawing, Role


def drawn(text):
    drawing = Drawing(Canvas(10, 1))
    drawing.canvas.put(0, 0, text, Role.NAME)
    return drawing


def test_a_row_is_cut_between_two_columns():
    assert drawn("latents").row(0, 2, 5) == [("ten", Role.NAME)]
    assert drawn("latents").row(0, 5) == [("ts", Role.NAME), ("   ", Role.BLANK)]
    assert drawn("latents").row(0, 20, 30) == []


def test_half_of_a_wide_character_is_blank():
    assert drawn("日本語").row(0, 1, 5) == [(" 本 ", Role.NAME)]
    assert drawn("日本語").row(0, 0, 4) == [("日本", Role.NAME)]


def test_there_is_nothing_below_and_above():
    assert drawn("x").row(1) == drawn("x").row(-1) == []


def test_what_is_laid_over_a_canvas_leaves_it_as_it_was():
    drawing = drawn("latents")
    drawing.lay(0, 0, "L", Role.NAME_ON)
    assert drawing.lines() == ["Latents"]
    assert Drawing(drawing.canvas).lines() == ["latents"]


def test_what_does_not_fit_is_left_out():
    canvas = Canvas(4, 1)
    canvas.put(2, 0, "abc", Role.NAME)
    canvas.put(-1, 0, "abc", Role.NAME)
    canvas.put(0, 3, "abc", Role.NAME)
    assert Drawing(canvas).lines() == [""]
