"""Probing a video file: what is really in it, by its packets and its frames (imports av)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import atan2, degrees
from pathlib import Path
from statistics import median_low
from typing import Any

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vflow.nodes.data import reading
from vflow.nodes.data.reading import Unreadable

_HDR_TRANSFERS = (16, 18)  # PQ and HLG, ITU-T H.273


def probe(path: Path) -> dict[str, Any]:
    """Return what a video file holds, as plain JSON that `clips.Footage` reads.

    `width`, `height`: pixels as coded; `sar`: width to height of a pixel; `rotation`: degrees clockwise to turn it by;
    `tick`: seconds as a fraction; `times`: presentation times in ticks (`start`, `step`, `count`, or a `list`);
    `last`: ticks for which the last frame is shown; `hdr`: whether colours are PQ or HLG; `sound`: whether there is a
    sound track.

    A clip of at most `reading.SMALL_PIXELS` is decoded completely, so that damage anywhere is found. Of a larger one
    the packets are read and the first frame is decoded. A Matroska file that was cut off is as long as what is there:
    it is made to be read so, and nothing in it says otherwise.

    Raises:
        Unreadable: it is no video, holds none, or is damaged; says how.
        OSError: it cannot be read at all.
    """
    if not path.stat().st_size:
        raise Unreadable("is empty")
    packets = reading.read_packets(path)
    with reading.open_video(path) as (container, stream):
        frames = reading.frames_in_order(container, stream)
        first = next(frames, None)
        if first is None:
            raise Unreadable("holds no frame that can be decoded")
        if packets.damaged:
            raise Unreadable(f"is cut off or damaged: of {stream.frames or packets.count} frames not all are whole")
        if reading.is_small(packets.count, stream) or not packets.timed or first.pts != packets.times[0]:
            times: Sequence[int] | int = _decoded_times([first.pts, *(frame.pts for frame in frames)])
        else:
            times = packets.times
        return {**_facts(first, stream, times), "sound": reading.sound_track(container) is not None}


def _facts(first: VideoFrame, stream: VideoStream, times: Sequence[int] | int) -> dict[str, Any]:
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    tick = Fraction(stream.time_base or Fraction(1, 1000))
    if isinstance(times, int):  # no usable times: frames follow one another at the stream's rate
        tick, times = 1 / rate, range(times)
    sar = stream.sample_aspect_ratio or Fraction(1)
    return {
        "width": first.width,
        "height": first.height,
        "sar": [sar.numerator, sar.denominator],
        "rotation": _rotation(first),
        "tick": [tick.numerator, tick.denominator],
        "times": _compact(times, 1 / (rate * tick)),
        "hdr": int(first.color_trc) in _HDR_TRANSFERS,
    }


def _decoded_times(times: Sequence[int | None]) -> list[int] | int:
    """Return the times if they rise from frame to frame, else how many frames there are (AVI knows no times)."""
    known = [time for time in times if time is not None]
    rising = len(known) == len(times) and all(a < b for a, b in pairwise(known))
    return known if rising else len(times)


def _compact(times: Sequence[int], usual: Fraction) -> dict[str, Any]:
    """Describe times by start and step where they are even, up to the container's rounding to whole ticks."""
    if len(times) == 1:
        return {"start": times[0], "step": [usual.numerator, usual.denominator], "count": 1}
    step = Fraction(times[-1] - times[0], len(times) - 1)
    worst = max(abs(time - times[0] - step * i) for i, time in enumerate(times))
    if worst == 0 or (worst <= 1 and step >= 8):
        return {"start": times[0], "step": [step.numerator, step.denominator], "count": len(times)}
    last = median_low(b - a for a, b in pairwise(times))
    return {"list": list(times), "last": last}


def _rotation(frame: VideoFrame) -> int:
    """Return by how many degrees clockwise the frame is to be turned before it is shown."""
    sides = [side for side in frame.side_data if side.type == SideDataType.DISPLAYMATRIX]  # type: ignore[attr-defined]
    if not sides:
        return 0
    a, b, _, c, d = memoryview(bytes(sides[0])).cast("i")[:5]  # type: ignore[arg-type]
    if a * d - b * c < 0:
        raise Unreadable("is marked to be shown mirrored, which is not supported; store it as it should look")
    turn = round(degrees(atan2(b, a))) % 360
    quarter = round(turn / 90) * 90 % 360
    if min((turn - quarter) % 360, (quarter - turn) % 360) > 2:
        raise Unreadable(f"is marked to be turned by {turn} degrees; only quarter turns are supported")
    return quarter
