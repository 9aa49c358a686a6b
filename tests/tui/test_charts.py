"""Curves: the plot as text, and the widget that zooms, pans, smooths and reads values."""

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App
from textual.events import MouseScrollUp

from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.run import scales
from vflow.tui.run.charts import Chart, Curve
from vflow.tui.run.curves import View
from vflow.tui.run.plot import draw, plot


class Points:
    """A series of given points."""

    def __init__(self, points):
        self.points = list(points)
        self.read = 0

    @property
    def first(self):
        return self.points[0][0] if self.points else None

    @property
    def last(self):
        return self.points[-1][0] if self.points else None

    def between(self, first, last, most):
        self.read += 1
        return [p for p in self.points if (first is None or p[0] >= first) and (last is None or p[0] <= last)]


def curve(name, points):
    return Curve(name, Points(points))


def loss(name="train/loss", *, seed=0, apart=5, noise=0.02, rate=600, end=2000):
    drawn = random.Random(seed)
    values = (
        (step, 0.3 * math.exp(-step / rate) + 0.05 + abs(drawn.gauss(0, noise))) for step in range(0, end + 1, apart)
    )
    return curve(name, values)


def text(rows):
    return "\n".join("".join(piece for piece, _ in row).rstrip() for row in rows)


def roles(rows):
    return {role for row in rows for piece, role in row if piece.strip()}


# the plot


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right():
    rows = text(plot([curve("x", [(0, 10.0), (100, 0.0)])], 40, 12)).splitlines()
    assert rows[0] == "● x 0"
    assert rows[1].rstrip().endswith("│●") or "●" in rows[1][:8]
    assert rows[-3].endswith("●")
    assert rows[-1].split() == ["0", "50", "100"]


def test_axes_have_round_numbers():
    rows = text(plot([curve("x", [(3, 0.013), (1987, 0.492)])], 78, 18)).splitlines()
    assert [row.split("┤")[0].strip() for row in rows if "┤" in row] == ["0.5", "0.4", "0.3", "0.2", "0.1", "0.0"]
    assert rows[-1].split() == ["250", "500", "750", "1000", "1250", "1500", "1750"]


def test_the_axis_of_steps_has_no_fractions():
    rows = text(plot([curve("x", [(1, 1.0), (2, 2.0), (3, 1.5)])], 78, 10))
    assert rows.splitlines()[-1].split() == ["1", "2", "3"]


def test_what_is_drawn_can_be_told_apart_without_colours():
    one, other = loss("run-1", noise=0), loss("run-2", noise=0, rate=900)
    rows = plot([one, other], 78, 16)
    body = text(rows[1:])
    assert "●" in body
    assert "▲" in body
    assert {"curve0", "curve1"} <= roles(rows)
    plain = text(plot([one, other], 78, 16, ASCII))
    assert plain.isascii()
    assert "*" in plain
    assert "+" in plain


def test_smoothing_leaves_the_raw_curve_behind_the_smooth_one():
    noisy = loss()
    assert roles(plot([noisy], 78, 16)) == {"curve0", "word", "axis", "label"}
    assert "raw0" in roles(plot([noisy], 78, 16, view=View(smoothing=0.9)))


def test_smoothing_has_no_bias_at_the_beginning():
    assert scales.smoothed([(step, 3.0) for step in range(50)], 0.99) == [
        (step, pytest.approx(3.0)) for step in range(50)
    ]
    first, second = scales.smoothed([(0, 1.0), (1, 3.0)], 0.5)
    assert first == (0, 1.0)
    assert second == (1, pytest.approx((0.5 * 1 + 3) / 1.5))  # weights 1/4 and 1/2 of 3/4 in all


def test_rare_values_are_averaged_no_further_back_than_frequent_ones():
    steps = [(step, step / 1000) for step in range(0, 1001, 100)]
    rare = scales.smoothed(steps, 0.97, 10)
    assert rare[-1][1] > 0.7  # 0.97 ** 10 of the past; 0.97 would leave it near the mean
    assert scales.smoothed(steps, 0.97, 100)[-1][1] < 0.6


def test_smoothing_passes_over_values_that_are_not_finite():
    found = scales.smoothed([(0, 1.0), (1, math.nan), (2, 1.0)], 0.9)
    assert math.isnan(found[1][1])
    assert found[2][1] == pytest.approx(1.0)


def test_values_that_are_not_finite_are_marked_and_counted():
    rows = plot([curve("loss", [(0, 1.0), (1, math.nan), (2, 0.5), (3, math.inf), (4, 0.2)])], 60, 10)
    assert "! 2 not finite" in text(rows[:1])
    assert text(rows[-3:-2]).count("!") == 2
    assert "bad" in roles(rows)


def test_a_line_is_interrupted_where_a_value_is_missing():
    whole = text(plot([curve("x", [(0, 1.0), (5, 1.0), (10, 1.0)])], 60, 8)[1:])
    gap = text(plot([curve("x", [(0, 1.0), (5, math.nan), (10, 1.0)])], 60, 8)[1:])
    assert "⠤⠤⠤" in whole
    assert "⠤⠤⠤" not in gap


@pytest.mark.parametrize(
    ("points", "view", "words"),
    [
        ([], View(), "no values yet"),
        ([(1, math.nan)], View(), "no finite value here"),
        ([(1, -1.0), (2, 0.0)], View(log=True), "no value above zero here: no logarithm"),
        ([(1, 1.0), (2, 2.0)], View(first=400, last=500), "no values between these steps"),
    ],
)
def test_an_empty_plot_says_why(points, view, words):
    assert words in text(plot([curve("x", points)], 50, 9, view=view))


def test_no_curve_at_all_is_no_mistake():
    assert "no values yet" in text(plot([], 30, 5))


def test_one_value_is_a_mark():
    assert text(plot([curve("x", [(7, 0.25)])], 40, 9)[1:]).count("●") == 1


def test_a_curve_that_never_changes_lies_in_the_middle():
    rows = text(plot([curve("lr", [(0, 4e-5), (100, 4e-5)])], 40, 10)[1:-2]).splitlines()
    drawn = [number for number, row in enumerate(rows) if "●" in row]
    assert drawn == [len(rows) // 2]
    assert "4e-5" in rows[drawn[0]]


def test_a_logarithmic_axis_gives_each_factor_of_ten_equal_room():
    rows = text(plot([curve("x", [(0, 1.0), (1, 0.1), (2, 0.01), (3, 0.001)])], 60, 20, view=View(log=True)))
    ticks = {row.split("┤")[0].strip(): number for number, row in enumerate(rows.splitlines()) if "┤" in row}
    places = [ticks[name] for name in ("1", "0.1", "0.01", "0.001")]
    assert abs((places[1] - places[0]) - (places[3] - places[2])) <= 1


def test_zoomed_in_the_values_span_what_is_visible():
    series = curve("x", [(step, 1000.0 if step < 10 else step / 100) for step in range(0, 200, 2)])
    rows = text(plot([series], 60, 14, view=View(first=100, last=150)))
    assert "1000" not in rows
    assert "1.2" in rows


def test_a_line_goes_on_to_the_edge_of_what_is_shown():
    rows = text(plot([curve("x", [(0, 0.0), (100, 1.0), (200, 0.0)])], 60, 12, view=View(first=80, last=130)))
    body = [row[6:] for row in rows.splitlines()[1:-2]]
    assert any(row[:1].strip() for row in body)  # from a point that lies before
    assert any(row[53:].strip() for row in body)
    between = text(plot([curve("x", [(0, 0.0), (100, 1.0)])], 60, 12, view=View(first=40, last=60)))
    assert "0.5" in between  # no point at all lies there, and still a line goes through


def test_the_legend_reads_values_at_the_cursor():
    series = curve("x", [(0, 1.0), (10, 2.0), (20, 3.0)])
    rows = plot([series], 60, 9, view=View(cursor=12))
    assert text(rows[:1]).split() == ["●", "x", "2", "at", "12"]
    assert "cursor" in roles(rows)


def test_many_names_are_cut_and_the_rest_counted():
    many = [loss(f"a-run-with-a-long-name-{number}/train/loss", seed=number) for number in range(9)]
    rows = text(plot(many, 60, 12)).splitlines()
    assert "+" in rows[2]
    assert rows[2].rstrip().endswith("more")


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (12, 3), (15, 5), (20, 5), (20, 4), (300, 2)])
def test_a_small_place_shows_the_values(size):
    rows = plot([loss(), loss("eval/loss", apart=50)], *size)
    assert [cell_len(text([row]).ljust(size[0])) for row in rows] == [size[0]] * size[1]
    if size[0] >= 12:
        assert "0." in text(rows)


def test_where_the_steps_lie_is_known():
    sheet = draw([curve("x", [(0, 1.0), (100, 2.0)])], 50, 10)
    assert sheet.step_at(sheet.start) == 0
    assert sheet.step_at(sheet.start + sheet.columns - 1) == 100
    assert sheet.step_at(0) is None


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 10**9), st.floats()), max_size=30), max_size=8),
    st.integers(1, 90),
    st.integers(1, 30),
    st.booleans(),
    st.sampled_from([0.0, 0.9]),
    st.booleans(),
)
def test_every_series_gives_rows_of_the_width_that_was_asked_for(series, width, height, log, smoothing, plain):
    curves = [curve(f"curve {n} 損失", sorted(points, key=lambda point: point[0])) for n, points in enumerate(series)]
    rows = plot(curves, width, height, ASCII if plain else UNICODE, View(log=log, smoothing=smoothing))
    assert [sum(cell_len(piece) for piece, _ in row) for row in rows] == [width] * height
    assert not plain or text(rows).isascii()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.07415123, "0.07415"),
        (12.4, "12.4"),
        (4e-5, "4e-5"),
        (1.25e6, "1250k"),
        (2.5e7, "25M"),
        (0, "0"),
        (-3.0, "-3"),
    ],
)
def test_values_are_written_shortly(value, written):
    assert scales.short(value) == written


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 12))
def test_ticks_are_few_and_inside(low, span, most):
    assume(span > abs(low) * 1e-6)  # beyond that, floats lie further apart than ticks
    found = scales.ticks(low, low + span, most)
    assert 1 <= len(found) <= most
    assert all(low - span * 0.01 <= tick <= low + span * 1.01 for tick in found)
    assert len(scales.labels(found)) == len(found)


# the widget


class ChartApp(App):
    CSS = "Chart { border: round $border-blurred; } Chart:focus { border: round $border; }"

    def __init__(self, curves, glyphs=UNICODE):
        super().__init__()
        self.curves, self.glyphs = curves, glyphs

    def compose(self):
        chart = Chart(id="chart")
        chart.border_title = "loss"
        yield chart

    def on_mount(self):
        self.chart = self.query_one(Chart)
        self.chart.show(self.curves)
        self.chart.focus()


SIZES = [(80, 24), (160, 48)]


@pytest.mark.parametrize("size", SIZES)
async def test_curves_on_a_screen(size, same_screen):
    app = ChartApp([loss(), loss("eval/loss", apart=50, noise=0.002)])
    async with app.run_test(size=size) as pilot:
        await pilot.press("s", "s", "s")
        same_screen(app, f"chart_{size[0]}x{size[1]}")


async def test_curves_in_ascii_on_a_screen(same_screen):
    app = ChartApp([loss(), loss("eval/loss", apart=50, noise=0.002)], ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s", "s", "y")
        same_screen(app, "chart_ascii_80x24")


async def test_zooming_in_shows_the_newest_and_follows_them():
    series = loss()
    app = ChartApp([series])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("plus", "plus")
        assert app.chart.window == (1500, 2000)
        series.series.points.append((2100, 0.05))
        assert app.chart.window == (1600, 2100)
        await pilot.press("minus")
        assert app.chart.window == (1100, 2100)
        await pilot.press("0")
        assert app.chart.window == (0, 2100)


async def test_panning_back_stands_still_and_at_the_end_follows_again():
    series = loss()
    app = ChartApp([series])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("left")
        assert app.chart.window == (0, 2000)  # all is shown
        await pilot.press("plus", "plus", "left", "left")
        assert app.chart.window == (1250, 1750)
        series.series.points.append((2100, 0.05))
        assert app.chart.window == (1250, 1750)
        await pilot.press("right", "right", "right")
        series.series.points.append((2200, 0.05))
        assert app.chart.window == (1700, 2200)
        await pilot.press(*["left"] * 20)
        assert app.chart.window == (0, 500)


async def test_smoothing_and_the_logarithm_are_said():
    app = ChartApp([loss()])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s", "y")
        assert text(app.chart.sheet.rows[:1]).endswith("   smooth 0.6, log")
        await pilot.press("S", "y")
        assert text(app.chart.sheet.rows[:1]) == "● train/loss 0.0694"


async def test_values_are_read_with_the_keys():
    app = ChartApp([curve("x", [(step, step / 10) for step in range(0, 1001, 10)])])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("left_square_bracket")
        assert app.chart.cursor == 1000
        await pilot.press("left_square_bracket")
        assert 980 < app.chart.cursor < 1000
        assert "cursor" in roles(app.chart.sheet.rows)
        await pilot.press("escape")
        assert app.chart.cursor is None


async def test_values_are_read_with_the_mouse():
    app = ChartApp([curve("x", [(step, step / 10) for step in range(0, 1001, 10)])])
    async with app.run_test(size=(80, 24)) as pilot:
        sheet = app.chart.sheet
        middle = sheet.start + sheet.columns // 2
        await pilot.hover(Chart, offset=(middle + 1, 10))  # one for the border
        assert app.chart.cursor == pytest.approx(500, abs=10)
        await pilot.hover(Chart, offset=(2, 10))
        assert app.chart.cursor is None


async def test_the_wheel_zooms_at_the_pointer_and_a_double_click_shows_all():
    app = ChartApp([loss()])
    async with app.run_test(size=(80, 24)) as pilot:
        sheet = app.chart.sheet
        place = (sheet.start + sheet.columns // 2 + 1, 10)
        await pilot._post_mouse_events([MouseScrollUp], Chart, offset=place)
        first, last = app.chart.window
        assert last - first == pytest.approx(1600)
        assert (first + last) / 2 == pytest.approx(1000, abs=20)
        await pilot.click(Chart, offset=place, times=2)
        assert app.chart.window == (0, 2000)


async def test_new_values_alone_are_not_drawn_at_once_again():
    series = loss()
    app = ChartApp([series])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = series.series.read
        for _ in range(20):
            app.chart.show([series])
        await pilot.pause()
        assert series.series.read <= before + 1
        app.chart.show([series, loss("other")])
        await pilot.pause()
        assert "other" in text(app.chart.sheet.rows[:1])


async def test_a_chart_without_values_and_without_room_stays_up():
    app = ChartApp([])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("plus", "minus", "left", "left_square_bracket", "s", "y", "0")
        app.chart.show([loss()])
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        assert "● train/" in text(app.chart.sheet.rows)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert len(app.chart.sheet.rows) == 22


async def test_help_says_what_the_marks_mean():
    app = ChartApp([])
    async with app.run_test(size=(80, 24)):
        assert "not finite" in app.chart.help_text()
