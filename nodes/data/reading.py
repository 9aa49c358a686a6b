"""Opening video files: one place decides what is opened, which frames there are, and in which order (imports av)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vflow.engine.problems import VflowError

#: A clip of at most so many pixels, over all frames, is decoded from its start: frames are counted as they come out.
#: A larger one is trusted to the time stamps of its packets, so that a window in the middle needs no full decoding.
SMALL_PIXELS = 2**28

# FFmpeg looks at content, not at names: a text file may be a playlist that opens other files or addresses
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf",
}
_TIMED_FORMATS = ("mov", "matroska")


class Unreadable(VflowError):
    """A file is no video, holds none, or is damaged; the text completes "a.mp4 ..."."""


@dataclass(frozen=True)
class Packets:
    """What the packets of a video stream say, without decoding.

    `times` are the presentation times of the frames in order, `keys` those of key frames, in ticks of the stream.
    `timed` tells whether those times are complete and unique, so that a frame can be known by its time.
    """

    count: int
    times: array[int]
    keys: array[int]
    timed: bool
    damaged: bool


@contextmanager
def open_video(path: Path, threads: int = 1) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its first real video stream (a cover picture is none); FFmpeg's errors come out as `Unreadable`.

    Raises:
        Unreadable: the file is no video or is damaged.
        OSError: it cannot be read at all.
    """
    with _opened(path) as container:
        yield container, _video_stream(container, threads)


@contextmanager
def open_sound(path: Path) -> Iterator[tuple[InputContainer, AudioStream | None]]:
    """Open a file and its first sound track that can be decoded; None where it has none.

    Raises:
        Unreadable, OSError: as `open_video`.
    """
    with _opened(path) as container:
        yield container, sound_track(container)


def sound_track(container: InputContainer) -> AudioStream | None:
    """Return the first sound track of an opened file that can be decoded, or None."""
    for stream in container.streams.audio:
        codec = stream.codec_context
        if codec is not None and codec.sample_rate and codec.layout.nb_channels:
            return stream
    return None


def read_packets(path: Path) -> Packets:
    """Read all packets of the video stream; kept for the files read last, as long as they do not change.

    Raises:
        Unreadable, OSError: as `open_video`.
    """
    stat = path.stat()
    return _read_packets(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def is_small(frames: int, stream: VideoStream) -> bool:
    """Tell whether so many frames of a stream are few enough to decode them all."""
    return frames * stream.codec_context.width * stream.codec_context.height <= SMALL_PIXELS


def frames_in_order(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode from where the container stands; a frame that FFmpeg marks as damaged ends it.

    Raises:
        Unreadable: the data are damaged; says after how many frames.
    """
    count = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise Unreadable(f"is damaged after {count} frames")
            yield frame
            count += 1
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise Unreadable(f"is damaged after {count} frames ({error.strerror})") from error


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        with av.open(f"file:{path}", options=_OPTIONS) as container:
            yield container
    except OSError:
        raise
    except av.FFmpegError as error:
        raise Unreadable(f"is damaged or no video file ({error.strerror})") from error


def _video_stream(container: InputContainer, threads: int) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.codec_context.thread_count = threads
            stream.thread_type = "AUTO" if threads != 1 else "SLICE"
            return stream
    raise Unreadable("holds no video stream")


@lru_cache(maxsize=32)
def _read_packets(path: Path, *_unchanged: int) -> Packets:
    times: list[int | None] = []
    keys: list[int] = []
    damaged = starts_with_key = False
    with open_video(path) as (container, stream):
        for packet in container.demux(stream):
            if not packet.size:
                continue
            damaged = damaged or packet.is_corrupt
            starts_with_key = starts_with_key or (not times and packet.is_keyframe)
            if packet.is_discard:  # outside the container's edit list: decoded, but never shown
                continue
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
        timed_format = container.format.name.split(",")[0] in _TIMED_FORMATS
    known = array("q", sorted(time for time in times if time is not None))
    unique = len(known) == len(times) == len(set(known))
    timed = timed_format and unique and starts_with_key and not damaged
    return Packets(len(times), known, array("q", sorted(keys)), timed, damaged)
