"""The sound of a stretch of a clip, brought to the rate and channels that an encoder wants (imports av and numpy)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame

from vflow.nodes.data import reading
from vflow.nodes.data.reading import Unreadable

LAYOUTS = {1: "mono", 2: "stereo"}
#: Seconds taken before and after a stretch, so that neither a codec's run-in nor the resampler's filter is heard in it.
_MARGIN = 1
#: Stretches that begin later than this many seconds are sought, others reached by decoding from the start.
_SOUGHT_FROM = 10
#: Blocks whose time stamps miss each other by no more seconds are joined: stamps may be in whole milliseconds.
_TOLERANCE = Fraction(1, 50)
_FULL_SCALE = 2.0**-31


class _Block(NamedTuple):
    """Neighbouring samples (channels, N) float32 in [-1, 1] of a sound track; `at` is when they begin, in seconds."""

    samples: np.ndarray
    rate: int
    at: Fraction

    @property
    def end(self) -> Fraction:
        return self.at + Fraction(self.samples.shape[1], self.rate)


def cut(path: Path, start: Fraction, length: Fraction, rate: int, channels: int) -> np.ndarray | None:
    """Return the sound from `start` on for `length` seconds: (channels, round(length * rate)) float32 in [-1, 1].

    `start` counts as the file's time stamps do, those of its frames included. A single channel is doubled where two are
    wanted, and more than are wanted are mixed down so that nothing clips. Where there is no sound during a part of the
    stretch, that part is zero; None: there is none in all of it.

    Raises:
        Unreadable: the sound is damaged, or changes its rate or channels on the way.
        OSError: the file cannot be read at all.
    """
    first, end = start - _MARGIN, start + length + _MARGIN
    blocks = [block for block in _blocks(path, first, end, channels) if block.end > first]
    if not any(block.at < start + length and block.end > start for block in blocks):
        return None
    own = blocks[0].rate
    whole = np.zeros((len(blocks[0].samples), round((end - first) * own)), np.float32)
    for block in blocks:
        _put(whole, block.samples, round((block.at - first) * own))
    wave = _resampled(whole, own, rate)[:, _MARGIN * rate :][:, : round(length * rate)]
    wave = np.pad(wave, ((0, 0), (0, round(length * rate) - wave.shape[1])))
    return wave if len(wave) == channels else np.repeat(wave, channels, axis=0)


def _put(whole: np.ndarray, part: np.ndarray, place: int) -> None:
    """Write a part to its place, as far as that lies inside."""
    part = part[:, max(0, -place) :]
    place = max(0, place)
    part = part[:, : max(0, whole.shape[1] - place)]
    whole[:, place : place + part.shape[1]] = part


def _blocks(path: Path, first: Fraction, end: Fraction, channels: int) -> Iterator[_Block]:
    """Yield the decoded blocks of a file's sound track around a stretch, in mono or in the wanted channels."""
    mixer: av.AudioResampler | None = None
    due: Fraction | None = None
    for frame in _frames(path, first, end):
        if mixer is None:
            layout = LAYOUTS[min(frame.layout.nb_channels, channels)]
            # to whole numbers, for which FFmpeg scales what it mixes so that nothing can clip
            mixer = av.AudioResampler("s32p", layout, frame.sample_rate)
        stamp = _time(frame)
        at = stamp if due is None or (stamp is not None and abs(stamp - due) > _TOLERANCE) else due
        try:
            parts = [part.to_ndarray() for part in mixer.resample(frame)]
        except ValueError as error:
            raise Unreadable("has sound that changes its rate or channels on the way") from error
        for samples in parts:
            block = _Block((samples * _FULL_SCALE).astype(np.float32), frame.sample_rate, at or Fraction(0))
            at = due = block.end
            yield block


def _frames(path: Path, first: Fraction, end: Fraction, seek: bool = True) -> Iterator[AudioFrame]:
    """Decode a file's sound track from `first` on, or from before it, up to `end`; nothing where it has none."""
    seek = seek and first > _SOUGHT_FROM
    with reading.open_sound(path) as (container, stream):
        if stream is None:
            return
        if seek and stream.time_base:
            container.seek(int(first / stream.time_base), stream=stream)
        for number, frame in enumerate(container.decode(stream)):
            time = _time(frame)
            if seek and number == 0 and (time is None or time > first):
                break  # seeking led too far: such files are decoded from their start
            if time is not None and time >= end:
                return
            yield frame
        else:
            return
    yield from _frames(path, first, end, seek=False)


def _time(frame: AudioFrame) -> Fraction | None:
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def _resampled(wave: np.ndarray, own: int, rate: int) -> np.ndarray:
    if own == rate:
        return wave
    layout = LAYOUTS[len(wave)]
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = own, Fraction(1, own), 0
    resampler = av.AudioResampler("fltp", layout, rate)
    parts = [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts, axis=1)
