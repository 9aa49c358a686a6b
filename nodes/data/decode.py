"""From a window to its pixels, and from pixels to a file (imports av and numpy)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from vflow.nodes.data import reading
from vflow.nodes.data.reading import Unreadable
from vflow.nodes.data.sound import LAYOUTS

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

    from vflow.nodes.families.exchange import Sound
    from vflow.nodes.values import Window

# accurate rounding and bit exactness: the same pixels whatever instructions the processor has
_SCALING = (
    Interpolation.LANCZOS
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
#: Bits per second and channel of written sound.
_SOUND_BITS = 96_000
_UNSPECIFIED = 2  # of a colour space, ITU-T H.273
_HD_HEIGHT = 720


def decode(path: Path, window: Window) -> np.ndarray:
    """Decode exactly the frames of a window: (frames, height, width, 3) uint8, RGB.

    Scaling is Lanczos, done before turning (which gives the same up to rounding, as the filter is separable). Colours
    follow what the file says; where it says nothing, BT.709 from 720 lines on and BT.601 below, as players assume.

    Raises:
        Unreadable: the file is damaged, or has not the window's frames.
        OSError: it cannot be read at all.
    """
    pixels = np.empty((window.frames, window.height, window.width, 3), np.uint8)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(window.indices):
        places.setdefault(index, []).append(place)
    scaler = VideoReformatter()
    for index, frame in _frames(path, sorted(places)):
        pixels[places.pop(index)] = _pixels(frame, window, scaler)
    if places:
        raise Unreadable(f"has no frame {min(places)}")
    return pixels


def write_video(
    path: Path, frames: np.ndarray, fps: float, crf: int = 18, preset: str = "medium", sound: Sound | None = None
) -> None:
    """Write (F, H, W, 3) uint8 RGB as H.264, and its sound as AAC, in an mp4 that plays everywhere.

    Equal frames and sound give equal bytes. The same build of FFmpeg and x264 is meant: their version stands in the
    file. Odd sizes grow by one row or column, repeated from the edge, since 4:2:0 colours need even ones. `crf` is
    x264's quality, lower is better.

    Raises:
        OSError: the file cannot be written.
    """
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    rate = Fraction(fps).limit_denominator(1001)
    scaler = VideoReformatter()
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as file:
        # x264's vector code for macroblock trees gives now and then other bits for equal small frames (measured)
        options = {"crf": str(crf), "preset": preset, "x264-params": "cpu-independent=1"}
        stream = file.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.thread_count = 1  # x264 decides otherwise with more
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        if sound is not None:
            _write_sound(file, sound)
        for number, picture in enumerate(frames):
            frame = _to_yuv(np.ascontiguousarray(picture), scaler)
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _write_sound(file: OutputContainer, sound: Sound) -> None:
    """Encode all of the sound; the container waits for the frames between which it belongs."""
    layout = LAYOUTS[len(sound.samples)]
    stream = file.add_stream("aac", rate=sound.rate, layout=layout)
    stream.codec_context.bit_rate = _SOUND_BITS * len(sound.samples)
    samples = np.ascontiguousarray(sound.samples, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = sound.rate, Fraction(1, sound.rate), 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode())


def _frames(path: Path, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the wanted frames with their numbers, each once."""
    rest = set(wanted)
    with suppress(Unreadable):  # without what came before, frames may be damaged that are whole in a full decoding
        for index, frame in _sought(path, wanted):
            rest.remove(index)
            yield index, frame
    if rest:
        yield from _counted(path, rest)


def _sought(path: Path, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield frames from the last key frame before the first wanted one on, known by their times.

    Yields nothing where frames have to be counted from the start: early in a clip, and where times are not to be
    trusted (see `reading.Packets`, and a first frame that is not decodable without what came before it).
    """
    with reading.open_video(path) as (_, stream):
        if reading.is_small(wanted[-1] + 1, stream):
            return
    packets = reading.read_packets(path)
    if not packets.timed or wanted[-1] >= packets.count:
        return
    times = {packets.times[index]: index for index in wanted}
    first, last = min(times), max(times)
    with reading.open_video(path, threads=0) as (container, stream):
        if next(reading.frames_in_order(container, stream)).pts != packets.times[0]:
            return
        container.seek(packets.keys[max(0, bisect_right(packets.keys, first) - 1)], stream=stream)
        for number, frame in enumerate(reading.frames_in_order(container, stream)):
            if frame.pts is None or (number == 0 and frame.pts > first):
                return
            if frame.pts in times:
                yield times[frame.pts], frame
            if frame.pts >= last:
                return


def _counted(path: Path, rest: set[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield frames by counting from the start."""
    last = max(rest)
    with reading.open_video(path) as (container, stream):
        for index, frame in enumerate(reading.frames_in_order(container, stream)):
            if index in rest:
                yield index, frame
            if index == last:
                return


def _pixels(frame: VideoFrame, window: Window, scaler: VideoReformatter) -> np.ndarray:
    turned = window.rotation in (90, 270)
    width, height = reversed(window.scaled) if turned else window.scaled
    unknown = frame.colorspace == _UNSPECIFIED
    space = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
    rgb = scaler.reformat(
        frame, width, height, "rgb24", src_colorspace=space if unknown else None, interpolation=_SCALING, threads=1
    ).to_ndarray()
    rgb = np.rot90(rgb, -window.rotation // 90)
    left, top = window.offset
    return rgb[top : top + window.height, left : left + window.width]


def _to_yuv(picture: np.ndarray, scaler: VideoReformatter) -> VideoFrame:
    return scaler.reformat(
        av.VideoFrame.from_ndarray(picture, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=_SCALING,
        threads=1,
    )
