"""One clip or picture in the terminal: decoded in a thread, drawn frame by frame, with a line that says what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from vflow.tui import graphics
from vflow.tui.glyphs import Glyphs, glyphs_for
from vflow.tui.pictures import Picture
from vflow.tui.pixels import Unreadable
from vflow.tui.run.film import Film, Films, decode, still
from vflow.tui.run.samples import Sample

#: the longest side of a frame that is shown in the terminal's own graphics, in pixels
_SHARP = 1280
#: seconds that a frame stands before it is shown so
_RESTS = 0.25


class Player(Vertical):
    """Shows a sample: `seek` chooses the frame; who owns it counts the time."""

    DEFAULT_CSS = """
    Player {
        width: 1fr; height: 1fr;
        & > Static {
            height: 1; width: 1fr;
            color: $text-muted; text-align: center; text-wrap: nowrap; text-overflow: ellipsis;
        }
        &.-moves > Static { color: $foreground; text-style: bold; }
        &.-low > Static { display: none; }
    }
    """

    class Ready(Message):
        """There is a first frame, or the last one."""

        def __init__(self, player: Player) -> None:
            super().__init__()
            self.player = player

    class _Decoded(Message):
        def __init__(self, request: int, found: Film | Unreadable) -> None:
            super().__init__()
            self.request, self.found = request, found

    def __init__(self, films: Films) -> None:
        super().__init__()
        self.film: Film | None = None
        self.problem = ""
        self._films = films
        self._sample: Sample | None = None
        self._title = ""
        self._request = 0
        self._room = (0, 0)
        self._frame = -1

    def compose(self) -> ComposeResult:
        """A picture, and what it is."""
        yield Picture()
        yield Static(markup=False)

    @property
    def frame(self) -> int:
        """The frame that is shown, counted from 0; -1 where there is none."""
        return self._frame

    @property
    def cost(self) -> int:
        """How many pieces of one colour the last frame took."""
        return self.query_one(Picture).cost

    def show(self, sample: Sample | None, title: str, absent: str = "") -> None:
        """Show a sample under a title; `absent` is said where there is none. The one that is shown stays as it is."""
        self._title = title
        if sample is not None and sample == self._sample and (self.film or self._request) and not self.problem:
            self._say()
            return
        self._sample = sample
        self._load(absent)

    def seek(self, seconds: float, *, moving: bool = False) -> None:
        """Show the frame of this time, the last one there is where it is still to come."""
        film = self.film
        if film is None or not film.frames:
            return
        wanted = int(seconds * film.fps + 1e-6) if film.fps else 0
        there = min(wanted, len(film.frames) - 1)
        if there != self._frame or (not moving and self.query_one(Picture).moving):
            self._frame = there
            self.query_one(Picture).show(film.frames[there], moving=moving)
            if not moving:
                self._sharpen()

    # decoding

    def on_resize(self, _event: events.Resize) -> None:
        """Decode anew where there is room for more; until then what is there is scaled."""
        if self._sample is not None and self._room != self.query_one(Picture).room:
            self._load("")

    def _load(self, absent: str) -> None:
        self._request += 1
        picture = self.query_one(Picture)
        self._room = room = picture.room
        sample, request = self._sample, self._request
        if sample is None:
            self.film, self._frame, self.problem = None, -1, absent
            picture.say(absent)
            self._say()
            return
        if kept := self._films.get(sample.path, room):
            self._take(kept)
            return
        if self.film is None or self.film.path != sample.path:
            self.film, self._frame = None, -1
            picture.say("reading …")
            self._say()

        def read() -> None:
            worker = get_current_worker()
            self._decode(sample.path, room, request, lambda: worker.is_cancelled)

        self.run_worker(read, thread=True, exclusive=True, group="film")

    def _decode(self, path: Path, room: tuple[int, int], request: int, stopped: Callable[[], bool]) -> None:
        """Decode in a thread; whatever comes of it comes back as a message."""
        try:
            decode(path, room, lambda film: self._tell(request, film, stopped), stopped)
        except Unreadable as error:
            self._tell(request, error, stopped)
        except Exception as error:  # a decoder's surprise is no reason to end the UI
            self._tell(request, Unreadable(f"cannot be shown: {type(error).__name__}: {error}"), stopped)

    def _tell(self, request: int, found: Film | Unreadable, stopped: Callable[[], bool]) -> None:
        if not stopped():
            self.post_message(self._Decoded(request, found))

    @on(_Decoded)
    def _show_decoded(self, message: _Decoded) -> None:
        """Show what was decoded, unless something else is asked for by now."""
        message.stop()
        if message.request != self._request or self._sample is None:
            return
        if isinstance(message.found, Unreadable):
            self.film, self._frame = None, -1
            self.problem = f"{self._sample.path.name} {message.found}"
            self.query_one(Picture).say(self.problem)
            self._say()
            self.post_message(self.Ready(self))
            return
        self._take(message.found)

    def _take(self, film: Film) -> None:
        self._films.keep(film, self._room)
        if film is not self.film:
            self.film, self._frame, self.problem = film, -1, ""
        self._say()
        self.post_message(self.Ready(self))

    # words

    def _say(self) -> None:
        glyphs: Glyphs = getattr(self.app, "glyphs", None) or glyphs_for()
        parts = [self._title]
        if self.film is not None:
            width, height = self.film.size
            parts.append(f"{width}{glyphs.times}{height}")
            if self.film.fps:
                parts.append(f"{self.film.fps:.4g} fps")
            if self.film.note:
                parts.append(self.film.note)
        self.query_one(Static).update(glyphs.text(f" {glyphs.middle} ".join(part for part in parts if part)))

    # the terminal's own graphics

    def _sharpen(self) -> None:
        """Show the frame as the file has it, when it has stood for a moment."""
        if graphics.found() is not None and self._sample is not None:
            shown = (self._request, self._frame)
            self.set_timer(_RESTS, lambda: self._read_sharp(*shown))

    def _read_sharp(self, request: int, frame: int) -> None:
        sample, picture = self._sample, self.query_one(Picture)
        if sample is None or (request, frame) != (self._request, self._frame) or picture.moving:
            return

        def read() -> None:
            worker = get_current_worker()
            try:
                image = still(sample.path, frame, _SHARP)
            except Unreadable:
                return
            if not worker.is_cancelled:
                self.app.call_from_thread(done, image)

        def done(image: object) -> None:
            if (request, frame) == (self._request, self._frame) and not picture.moving:
                picture.sharpen(image)  # type: ignore[arg-type]

        self.run_worker(read, thread=True, exclusive=True, group="still", exit_on_error=False)
