"""The lines around a clip: the prompt, the time, the steps."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from vflow.tui.glyphs import Glyphs, glyphs_for
from vflow.tui.run.samples import Stage


class OneLine(Widget):
    """One line of text."""

    DEFAULT_CSS = """
    OneLine { height: 1; width: 1fr; }
    """

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return getattr(self.app, "glyphs", None) or glyphs_for()


class WordLine(OneLine):
    """The prompt, and which of how many it is."""

    DEFAULT_CSS = """
    WordLine { height: auto; max-height: 2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._place, self._words = "", ""

    def show(self, place: str, words: str) -> None:
        """Show a prompt under its number."""
        self._place, self._words = place, words
        self.refresh(layout=True)

    def render(self) -> Content:
        """Draw the line."""
        words = self.glyphs.text(self._words)
        return Content.assemble((self._place, "dim"), "  " if self._place else "", words)


class TimeLine(OneLine):
    """How far a clip is. A click goes there."""

    class Pressed(Message):
        """A place was clicked: `share` of the whole, from 0 to 1."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self) -> None:
        super().__init__()
        self._playing, self._frame, self._frames = False, 0, 0

    def show(self, playing: bool, frame: int, frames: int) -> None:
        """Show a frame (counted from 0) of so many."""
        if (playing, frame, frames) != (self._playing, self._frame, self._frames):
            self._playing, self._frame, self._frames = playing, frame, frames
            self.refresh()

    def render(self) -> Content:
        """Draw the line."""
        glyphs = self.glyphs
        count = f" {self._frame + 1}/{self._frames}"
        room = self._room()
        done = self._frame * (room - 1) // max(1, self._frames - 1) if room > 0 else 0
        state = glyphs.state("running") if self._playing else "=" if glyphs.ascii else "‖"
        return Content.assemble(
            (f"{state} ", "$text-primary"),
            (glyphs.line(left=2, right=2) * done, "$primary"),
            (glyphs.node if room > 0 else "", "bold $primary"),
            (glyphs.line(left=1, right=1) * (room - 1 - done), "dim"),
            (count, "dim"),
        )

    def _room(self) -> int:
        return self.content_size.width - 2 - len(f" {self._frames}/{self._frames}")

    def on_click(self, event: events.Click) -> None:
        """Say what place was clicked."""
        offset, room = event.get_content_offset(self), self._room()
        if offset is not None and room > 1:
            event.stop()
            self.post_message(self.Pressed(min(max((offset.x - 2) / (room - 1), 0.0), 0.999)))


class StageLine(OneLine):
    """The steps that there are; what is shown of them is marked. A click chooses one."""

    class Pressed(Message):
        """A step was clicked."""

        def __init__(self, stage: Stage) -> None:
            super().__init__()
            self.stage = stage

    def __init__(self) -> None:
        super().__init__()
        self._stages: tuple[Stage, ...] = ()
        self._chosen: tuple[Stage, ...] = ()
        self._side = 0
        self._ends: list[tuple[int, int, Stage]] = []

    def show(self, stages: tuple[Stage, ...], chosen: tuple[Stage, ...], side: int) -> None:
        """Show steps, and which are chosen on each side; left and right move that of `side`."""
        self._stages, self._chosen, self._side = stages, chosen, side
        self.refresh()

    def render(self) -> Content:
        """Draw as many as there is room for, around the one that moves."""
        glyphs, width = self.glyphs, self.content_size.width
        names = [self._called(stage, number) for number, stage in enumerate(self._stages)]
        first, last = self._window([cell_len(name) + 2 for name in names], width - 4)
        parts: list[tuple[str, str]] = []
        place = 0
        self._ends = []
        if first > 0:
            parts.append((f"{glyphs.ellipsis} ", "dim"))
            place = 2
        for stage, name in zip(self._stages[first:last], names[first:last], strict=True):
            chosen = stage in self._chosen
            moves = chosen and self._chosen[min(self._side, len(self._chosen) - 1)] == stage
            mark = glyphs.into if moves else glyphs.bullet if chosen else " "
            style = "bold $text-primary" if moves else "$foreground" if chosen else "dim"
            text = f"{mark}{glyphs.text(name)} "
            parts.append((text, style))
            self._ends.append((place, place + cell_len(text), stage))
            place += cell_len(text)
        if last < len(names):
            parts.append((glyphs.ellipsis, "dim"))
        return Content.assemble(*parts)

    def _called(self, stage: Stage, number: int) -> str:
        """A step on the way is a number; the first of them says what it is."""
        if number and stage.place == "samples" and stage.step is not None:
            return str(stage.step)
        return stage.label

    def _window(self, sizes: Sequence[int], width: int) -> tuple[int, int]:
        """Return which steps there is room for: the one that moves, and as many around it as fit."""
        if not sizes:
            return 0, 0
        middle = 0
        if self._chosen:
            stage = self._chosen[min(self._side, len(self._chosen) - 1)]
            middle = self._stages.index(stage) if stage in self._stages else 0
        first, last, used = middle, middle + 1, sizes[middle]
        while True:
            if last < len(sizes) and used + sizes[last] <= width:
                used += sizes[last]
                last += 1
            elif first and used + sizes[first - 1] <= width:
                first -= 1
                used += sizes[first]
            else:
                return first, last

    def on_click(self, event: events.Click) -> None:
        """Say which step was clicked."""
        offset = event.get_content_offset(self)
        for first, last, stage in self._ends:
            if offset is not None and first <= offset.x < last:
                event.stop()
                self.post_message(self.Pressed(stage))
