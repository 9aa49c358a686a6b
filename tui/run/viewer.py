"""Clips that play together: a picture for each, one time for all."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widget import Widget

from vflow.tui.run.clock import Clock, drawn_rate
from vflow.tui.run.film import Films
from vflow.tui.run.player import Player
from vflow.tui.run.strips import TimeLine


class Viewer(Widget):
    """Plays what its players show: one clip, or two side by side."""

    DEFAULT_CSS = """
    Viewer {
        layout: vertical; height: 1fr;
        & > Horizontal { height: 1fr; }
        &.-two Player { margin-right: 1; }
        &.-two Player:last-of-type { margin: 0 0 0 1; }
        &.-still TimeLine { visibility: hidden; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "Play", id="clips.play", tooltip="Play, or stand still"),
        Binding("full_stop", "frame(1)", "Frame", key_display=",.", id="clips.frame_on", tooltip="One frame on"),
        Binding("comma", "frame(-1)", "Frame back", show=False, id="clips.frame_back", tooltip="One frame back"),
    ]

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.clock = Clock()
        self.films = Films()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The pictures and the time."""
        with Horizontal():
            yield Player(self.films)
            second = Player(self.films)
            second.display = False
            yield second
        yield TimeLine()

    @property
    def players(self) -> list[Player]:
        """What shows them, from left to right."""
        return [player for player in self.query(Player) if player.display]

    def be(self, many: int) -> None:
        """Have one player, or two."""
        self.set_class(many > 1, "-two")
        for number, player in enumerate(self.query(Player)):
            player.display = number < many

    # actions

    def action_play(self) -> None:
        """Play from here, or stand still."""
        if self.clock.playing:
            self.clock.stop()
        elif self._length():
            self.clock.start(time.monotonic())
        self.settle()

    def action_frame(self, by: int) -> None:
        """Stand still, and go a frame on or back."""
        if rate := self._rate():
            self.clock.step(by, rate, self._length())
            self.settle()

    # the mouse

    def on_click(self, event: events.Click) -> None:
        """A click on a picture plays, or pauses."""
        if event.widget is not None and any(isinstance(node, Player) for node in event.widget.ancestors_with_self):
            event.stop()
            self.focus()
            self.action_play()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """A frame on."""
        event.stop()
        self.action_frame(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """A frame back."""
        event.stop()
        self.action_frame(-1)

    def on_time_line_pressed(self, message: TimeLine.Pressed) -> None:
        """Go to a place of the clip."""
        message.stop()
        self.clock.at = message.share * self._length()
        self.settle()

    # time

    def on_player_ready(self, message: Player.Ready) -> None:
        """A clip, or its first frame, is there."""
        message.stop()
        self.settle()

    def _length(self) -> float:
        """How long the longest clip is, in seconds."""
        return max((player.film.seconds for player in self.players if player.film), default=0.0)

    def _rate(self) -> float:
        """The rate of the fastest clip; 0 where there are only pictures."""
        return max((player.film.fps for player in self.players if player.film), default=0.0)

    def settle(self) -> None:
        """Show the frame of this moment, and let time pass or stand still."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._draw()
        if self.clock.playing:
            self.clock.start(time.monotonic())
            cost = sum(player.cost for player in self.players)
            self._timer = self.set_interval(1 / drawn_rate(self._rate(), cost), self._pass)
        self.refresh_bindings()

    def _pass(self) -> None:
        """Let the time pass that has passed; where nobody looks, none does."""
        if not self.is_on_screen:
            self.clock.start(time.monotonic())
            return
        whole = all(player.film is None or player.film.whole for player in self.players)
        self.clock.tick(time.monotonic(), self._length(), whole=whole)
        self._draw()

    def _draw(self) -> None:
        for player in self.players:
            player.seek(self.clock.at, moving=self.clock.playing)
        films = [player.film for player in self.players if player.film and player.film.fps]
        self.set_class(not films, "-still")
        if films:
            longest = max(films, key=lambda film: film.seconds)
            number = min(int(self.clock.at * longest.fps + 1e-6), len(longest.frames) - 1)
            self.query_one(TimeLine).show(self.clock.playing, number, len(longest.frames))
