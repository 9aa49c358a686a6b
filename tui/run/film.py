"""Clips as frames of the size that a terminal shows, decoded one after the other, within bounds of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.tui.pixels import Pixels, Unreadable, fitted, read_image, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

#: what the frames of one clip may take, and those of all that are kept
MOST_BYTES = 16 << 20
MOST_KEPT = 32 << 20
#: frames are not made smaller than this to fit in; those behind are left out
_LEAST_WIDTH = 24
_USUAL_RATE = 24.0

# FFmpeg looks at content, not at names: a text file may be a playlist that opens other files or addresses
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpegts,mpeg,gif",
}


@dataclass
class Film:
    """A clip or a picture. `frames` grow while it is decoded (by one thread); `size` is that of the file in pixels.

    `fps` is 0 for a picture. `whole` is set when no more frames come, `note` says what is wrong with it, if anything.
    """

    path: Path
    size: tuple[int, int]
    fps: float
    frames: list[Pixels] = field(default_factory=list)
    whole: bool = False
    note: str = ""

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.frames) / self.fps if self.fps else 0.0

    @property
    def bytes(self) -> int:
        """What its frames take in memory."""
        return sum(len(frame.rgb) for frame in self.frames)


def decode(path: Path, room: tuple[int, int], grown: Callable[[Film], None], stopped: Callable[[], bool]) -> Film:
    """Decode a clip, as large as fits into `room` (width, height in pixels), or read a picture.

    `grown` is called with the first frame and with the last; decoding ends early when `stopped` says so. A clip that
    is damaged somewhere keeps the frames before, and says so in its note.

    Raises:
        Unreadable: there is not one frame to show.
    """
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        image = read_image(path)
        shown = scaled(image, fitted(image.size, room[0], room[1] // 2))
        film = Film(path, image.size, 0.0, [shown], whole=True)
        grown(film)
        return film
    with _opened(path) as (container, stream):
        size = (stream.codec_context.width, stream.codec_context.height)
        film = Film(path, size, float(stream.average_rate or stream.guessed_rate or _USUAL_RATE))
        width, height = _affordable(fitted(size, room[0], room[1] // 2), _count(stream, film.fps))
        most = max(1, MOST_BYTES // (3 * width * height))
        for frame in _decoded(container, stream, film):
            if stopped():
                return film
            if len(film.frames) == most:
                film.note = f"only its first {most} frames are shown"
                break
            film.frames.append(_pixels(frame, width, height))
            if len(film.frames) == 1:
                grown(film)
    if not film.frames:
        raise Unreadable(f"has no frames to show{': it ' + film.note if film.note else ''}")
    film.whole = True
    grown(film)
    return film


def still(path: Path, number: int, longest: int) -> Image:
    """Return one frame (counted from 0) or a picture, of at most `longest` pixels on its longer side.

    Raises:
        Unreadable: it cannot be shown.
    """
    from PIL import Image

    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        return read_image(path)
    with _opened(path) as (container, stream):
        size = (stream.codec_context.width, stream.codec_context.height)
        share = min(1.0, longest / max(size))
        film = Film(path, size, 0.0)
        for index, frame in enumerate(_decoded(container, stream, film)):
            if index == number:
                pixels = _pixels(frame, max(1, round(size[0] * share)), max(1, round(size[1] * share)))
                return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)
    raise Unreadable(f"has no frame {number + 1}")


class Films:
    """The films looked at last, as long as their files do not change and together they do not take too much."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Path, int, int, tuple[int, int]], Film] = OrderedDict()

    def get(self, path: Path, room: tuple[int, int]) -> Film | None:
        """Return a film that is kept."""
        key = self._key(path, room)
        film = self._kept.get(key) if key else None
        if key and film:
            self._kept.move_to_end(key)
        return film

    def keep(self, film: Film, room: tuple[int, int]) -> None:
        """Keep a whole film, and let go of those not looked at for the longest time."""
        if film.whole and (key := self._key(film.path, room)):
            self._kept[key] = film
            while sum(one.bytes for one in self._kept.values()) > self._most and len(self._kept) > 1:
                self._kept.popitem(last=False)

    @staticmethod
    def _key(path: Path, room: tuple[int, int]) -> tuple[Path, int, int, tuple[int, int]] | None:
        try:
            stat = path.stat()
        except OSError:
            return None
        return path, stat.st_mtime_ns, stat.st_size, room


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a clip and its first video stream."""
    import av

    if not path.is_file():
        raise Unreadable("is gone")
    try:
        with av.open(f"file:{path}", options=dict(_OPTIONS), metadata_errors="ignore") as container:
            if not container.streams.video:
                raise Unreadable("holds no pictures")
            stream = container.streams.video[0]
            if stream.codec_context is None or not stream.codec_context.width:
                raise Unreadable("is in a format that cannot be decoded here")
            stream.codec_context.thread_count = 1  # each thread holds frames of full size
            yield container, stream
    except av.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise Unreadable("may not be read") from error
        raise Unreadable("is no clip, or is damaged or not whole yet") from error


def _decoded(container: Any, stream: Any, film: Film) -> Iterator[Any]:
    """Yield the frames in order; damage ends it and is noted."""
    import av

    count = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                break
            yield frame
            count += 1
        else:
            return
    except av.FFmpegError:
        pass
    film.note = f"is damaged after {count} frames"


def _count(stream: Any, fps: float) -> int:
    """Return about how many frames there are, as the file says."""
    if stream.frames:
        return int(stream.frames)
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    return max(1, round(seconds * fps))


def _affordable(size: tuple[int, int], count: int) -> tuple[int, int]:
    """Return a size at which so many frames are not too much; no smaller than can be looked at."""
    width, height = size
    share = min(1.0, (MOST_BYTES / (3 * width * height * count)) ** 0.5)
    share = max(share, min(1.0, _LEAST_WIDTH / width))
    return max(1, round(width * share)), max(1, round(height * share))


def _pixels(frame: Any, width: int, height: int) -> Pixels:
    """Scale a decoded frame: a pixel becomes the mean of those that it stands for, or lies smoothly between them."""
    way = "AREA" if width <= frame.width and height <= frame.height else "BICUBIC"
    plane = frame.reformat(width, height, "rgb24", interpolation=way).planes[0]
    data, stride = bytes(plane), 3 * width
    if plane.line_size != stride:  # rows are filled up to round numbers of bytes
        data = b"".join(data[row * plane.line_size : row * plane.line_size + stride] for row in range(height))
    return Pixels(width, height, data[: stride * height])
