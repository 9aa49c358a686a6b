"""Curves of a run, or of several, to be looked at: zoom, pan, smoothing, logarithm, values under a cursor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from vflow.tui.glyphs import glyphs_for
from vflow.tui.run.curves import KINDS, Curve, SeriesLike, View, extent
from vflow.tui.run.plot import Sheet, draw

if TYPE_CHECKING:
    from rich.style import Style

__all__ = ["Chart", "Curve", "SeriesLike"]

#: weights of the past that `s` goes through
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
#: seconds between two drawings that new values alone ask for
_APART = 0.5
_ROLES = (
    "axis",
    "label",
    "word",
    "cursor",
    "bad",
    *(f"{what}{kind}" for kind in range(KINDS) for what in ("curve", "raw")),
)

_HELP = """\
# Curves

Each curve has a mark and a colour; the legend shows its last value, or the one under the cursor. While all steps or the
newest ones are shown, new values come in from the right. With smoothing (an exponential moving average, corrected for
its bias at the beginning) the values as logged stand faintly behind, and `~` stands before an average. `!` at the foot
is a value that is not finite.

The mouse: move over the plot to read values, the wheel zooms at the pointer, dragging pans, a double click shows all.
"""


class Chart(Widget, can_focus=True):
    """Shows curves over their steps; see `show`."""

    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        & > .chart--axis { color: $text-muted; }
        & > .chart--label { color: $text-muted; }
        & > .chart--word { color: $foreground; }
        & > .chart--cursor { color: $foreground; }
        & > .chart--bad { color: $text-error; text-style: bold; }
        & > .chart--curve0 { color: $primary; text-style: bold; }
        & > .chart--curve1 { color: $warning; text-style: bold; }
        & > .chart--curve2 { color: $success; text-style: bold; }
        & > .chart--curve3 { color: $error; text-style: bold; }
        & > .chart--curve4 { color: $foreground; text-style: bold; }
        & > .chart--curve5 { color: $text-muted; text-style: bold; }
        & > .chart--raw0 { color: $primary 40%; }
        & > .chart--raw1 { color: $warning 40%; }
        & > .chart--raw2 { color: $success 40%; }
        & > .chart--raw3 { color: $error 40%; }
        & > .chart--raw4 { color: $foreground 40%; }
        & > .chart--raw5 { color: $text-muted 40%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in _ROLES}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", key_display="+", id="chart.zoom_in",
                tooltip="Show half of the steps: around the cursor, else the newest"),
        Binding("minus", "zoom(2)", "out", key_display="-", id="chart.zoom_out", tooltip="Show twice as many steps"),
        Binding("0", "whole", "All", id="chart.all", tooltip="Show all steps, and follow what comes"),
        Binding("s", "smooth(1)", "Smooth", id="chart.smooth", tooltip="Smooth more, and at last not at all"),
        Binding("S", "smooth(-1)", "Smooth less", show=False, id="chart.smooth_less", tooltip="Smooth less"),
        Binding("y", "log", "Log", id="chart.log", tooltip="Logarithmic axis of values, or a plain one"),
        Binding("left", "pan(-1)", "Earlier", show=False, id="chart.earlier", tooltip="Earlier steps, when zoomed in"),
        Binding("right", "pan(1)", "Later", show=False, id="chart.later", tooltip="Later steps, when zoomed in"),
        Binding("left_square_bracket", "read(-1)", "Read", key_display="[", id="chart.read_back",
                tooltip="Read values: move the cursor back"),
        Binding("right_square_bracket", "read(1)", "Read on", key_display="]", show=False, id="chart.read_on",
                tooltip="Read values: move the cursor on"),
        Binding("escape", "no_cursor", "No cursor", show=False, id="chart.no_cursor", tooltip="Take the cursor away"),
    ]  # fmt: skip

    def __init__(
        self,
        *,
        smoothing: float = 0.0,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.curves: tuple[Curve, ...] = ()
        self.smoothing, self.log_scale = smoothing, False
        self.cursor: float | None = None
        # the steps shown: how many (None: all), up to which (None: the newest)
        self._span: float | None = None
        self._end: float | None = None
        self._sheet: Sheet | None = None
        self._drawn_size = (0, 0)
        self._drawn = 0.0
        self._timer: Timer | None = None
        self._grip: tuple[int, float] | None = None
        self._nothing = View.nothing

    # what is shown

    def show(self, curves: Sequence[Curve], nothing: str = View.nothing) -> None:
        """Show curves, or the same ones again with what came since; `nothing` is said where there are none.

        Zoom and cursor stay. New values are drawn at most twice a second, other curves at once.
        """
        others = [curve.name for curve in curves] != [curve.name for curve in self.curves] or nothing != self._nothing
        self.curves, self._nothing = tuple(curves), nothing
        wait = _APART - (time.monotonic() - self._drawn)
        if others or wait <= 0 or not self.is_running:
            self._redraw()
        elif self._timer is None:
            self._timer = self.set_timer(wait, self._redraw)

    def help_text(self) -> str:
        """Return what the help says of it, as markdown."""
        return _HELP

    @property
    def window(self) -> tuple[float, float] | None:
        """The first and last step that are shown; None where there are no values."""
        known = extent(self.curves)
        if known is None or self._span is None:
            return known
        end = known[1] if self._end is None else self._end
        return end - self._span, end

    @property
    def looking(self) -> View:
        """How the curves are looked at now."""
        first, last = (None, None) if self._span is None or (window := self.window) is None else window
        return View(first, last, self.log_scale, self.smoothing, self.cursor, self._nothing)

    # actions

    def action_zoom(self, factor: float) -> None:
        """Show `factor` times as many steps."""
        self.zoom(factor, self.cursor)

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Show `factor` times as many steps: around a step, else the newest, or the middle."""
        known, window = extent(self.curves), self.window
        if known is None or window is None or known[1] <= known[0]:
            return
        first, last = window
        span = (last - first) * factor
        least = min(2.0, known[1] - known[0])
        if span >= known[1] - known[0]:
            self.action_whole()
            return
        span = max(span, least)
        if around is None or not first <= around <= last:
            around = last if self._end is None else (first + last) / 2
        share = (around - first) / (last - first)
        self._look(span, around + (1 - share) * span)

    def action_whole(self) -> None:
        """Show all steps."""
        self._span = self._end = None
        self._redraw()

    def action_pan(self, direction: int) -> None:
        """Move by a quarter of what is shown: -1 back, 1 on."""
        if self._span is not None and (window := self.window):
            self._look(self._span, window[1] + direction * self._span / 4)

    def action_smooth(self, direction: int) -> None:
        """Take the next smoothing, or the one before."""
        place = SMOOTHINGS.index(self.smoothing) if self.smoothing in SMOOTHINGS else 0
        self.smoothing = SMOOTHINGS[(place + direction) % len(SMOOTHINGS)]
        self._redraw()

    def action_log(self) -> None:
        """Change between a plain and a logarithmic axis."""
        self.log_scale = not self.log_scale
        self._redraw()

    def action_read(self, direction: int) -> None:
        """Move the cursor by a cell; it comes in at the newest values."""
        window, sheet = self.window, self.sheet
        if window is None or not sheet.columns:
            return
        cell = (sheet.last - sheet.first) / max(1, sheet.columns - 1)
        place = window[1] if self.cursor is None else self.cursor + direction * cell
        self._point(min(max(place, window[0]), window[1]))

    def action_no_cursor(self) -> None:
        """Take the cursor away."""
        self._point(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave escape to others where there is no cursor."""
        return self.cursor is not None if action == "no_cursor" else True

    # the mouse

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Read the values under the pointer; drag the plot."""
        offset = event.get_content_offset(self)
        sheet = self.sheet
        if self._grip is not None and sheet.columns:
            column, end = self._grip
            moved = event.screen_x - column
            if self._span is not None:
                self._look(self._span, end - moved * self._span / sheet.columns)
            return
        self._point(sheet.step_at(offset.x) if offset is not None else None)

    def on_leave(self, event: events.Leave) -> None:
        """The pointer went away."""
        if event.node is self:
            self._point(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in at the pointer."""
        self._wheel(event, 0.8)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out at the pointer."""
        self._wheel(event, 1.25)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the plot."""
        if (window := self.window) is not None:
            self._grip = (event.screen_x, window[1])
            self.capture_mouse()

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        """Let go of it."""
        self._grip = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """A double click shows all."""
        if event.chain == 2:
            self.action_whole()

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        offset = event.get_content_offset(self)
        self.zoom(factor, self.sheet.step_at(offset.x) if offset is not None else None)

    # drawing

    def render(self) -> RenderResult:
        """Nothing: `render_line` draws."""
        return ""

    def render_line(self, y: int) -> Strip:
        """Draw a row of the plot."""
        rows, width = self.sheet.rows, self.content_size.width
        if y >= len(rows):
            return Strip.blank(width, self.rich_style)
        return Strip([Segment(text, self._style(role)) for text, role in rows[y]], width)

    @property
    def sheet(self) -> Sheet:
        """What is drawn."""
        width, height = self.content_size
        if self._sheet is None or self._drawn_size != (width, height):
            glyphs = getattr(self.app, "glyphs", None) or glyphs_for()
            self._drawn_size = width, height
            self._sheet = draw(self.curves, width, height, glyphs, self.looking)
        return self._sheet

    def _style(self, role: str) -> Style:
        return self.get_component_rich_style(f"chart--{role}") if role else self.rich_style

    def _redraw(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._sheet, self._drawn = None, time.monotonic()
        self.refresh()

    def _look(self, span: float, end: float) -> None:
        """Show so many steps up to one, and no further than there are some; at the last one, follow."""
        known = extent(self.curves)
        if known is None:
            return
        end = max(end, known[0] + span)
        self._span, self._end = span, end if end < known[1] else None
        self._redraw()

    def _point(self, step: float | None) -> None:
        if step != self.cursor:
            self.cursor = step
            self._redraw()
            self.refresh_bindings()
