"""Sound is cut out by time, at the encoder's rate and channels."""

import math
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.data.decode import decode, write_video
from vflow.nodes.data.probe import probe
from vflow.nodes.data.reading import Unreadable
from vflow.nodes.data.sound import cut
from vflow.nodes.families.exchange import Sound

RATE = 16000


def tone(rate, seconds, pitch=440.0, start=0.0):
    """A tone that swells around the first second: nothing of it is alike at two times."""
    time = start + np.arange(round(rate * seconds)) / rate
    return (0.8 * np.sin(2 * np.pi * pitch * time) * np.exp(-(((time - 1) / 0.4) ** 2))).astype(np.float32)


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    """Write a clip of grey frames and sound (channels, N) without loss, and return its path."""

    def make(name, samples, rate, layout, codec="pcm_s16le", seconds=2, offset=0):
        path = tmp_path_factory.mktemp("sound") / name
        with av.open(str(path), "w") as file:
            video = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            sound = file.add_stream(codec, rate=rate, layout=layout)
            for number in range(25 * seconds):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                file.mux(video.encode(frame))
            file.mux(video.encode())
            whole = np.ascontiguousarray((np.asarray(samples) * 32767).round().astype(np.int16).T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(offset * rate)
            file.mux(sound.encode(frame))
            file.mux(sound.encode())
        return path

    return make


@pytest.fixture(scope="session")
def stereo(write):
    return write("a.mkv", np.stack([tone(44100, 2), tone(44100, 2, 880)]), 44100, "stereo")


@pytest.mark.parametrize("start", [0, Fraction(1, 25), Fraction(2, 3), 1])
def test_a_stretch_holds_what_sounds_then_at_the_wanted_rate(stereo, start):
    wave = cut(stereo, Fraction(start), Fraction(17, 25), RATE, 2)
    assert wave.dtype == np.float32
    expected = np.stack([tone(RATE, 17 / 25, pitch, float(start)) for pitch in (440, 880)])
    assert wave.shape == expected.shape == (2, 10880)
    assert np.abs(wave - expected).max() < 2e-3


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 60), fps=st.sampled_from([8, 15, 24, 25, 29.97, 60]), rate=st.sampled_from([16000, 22050]))
def test_there_are_exactly_as_many_samples_as_the_frames_last(stereo, frames, fps, rate):
    length = frames / Fraction(repr(fps))
    wave = cut(stereo, Fraction(1, 10), length, rate, 2)
    assert wave.shape == (2, round(length * rate))


def test_a_single_channel_is_doubled_and_several_are_mixed_down_without_clipping(write):
    mono = cut(write("m.mkv", tone(24000, 2)[None], 24000, "mono"), Fraction(0), Fraction(2), RATE, 2)
    assert np.array_equal(mono[0], mono[1])
    assert np.abs(mono[0] - tone(RATE, 2)).max() < 2e-3
    loud = np.stack([tone(24000, 2) / 0.8] * 6)
    mixed = cut(write("six.mkv", loud, 24000, "5.1"), Fraction(0), Fraction(2), RATE, 2)
    assert 0.9 < np.abs(mixed).max() <= 1.0
    assert np.abs(mixed[0] / np.abs(mixed[0]).max() - tone(RATE, 2) / 0.8).max() < 5e-3
    both = np.stack([tone(24000, 2), np.zeros(48000, np.float32)])
    single = cut(write("two.mkv", both, 24000, "stereo"), Fraction(0), Fraction(2), RATE, 1)
    assert single.shape == (1, 2 * RATE)
    assert np.abs(single[0] - tone(RATE, 2) / 2).max() < 2e-3


def test_time_counts_as_in_the_file_and_not_from_the_first_sample(write):
    path = write("late.mkv", tone(RATE, 1, start=0.5)[None], RATE, "mono", offset=0.5)
    wave = cut(path, Fraction(0), Fraction(2), RATE, 1)
    assert not wave[:, :7900].any()
    assert np.abs(wave[0, 8100:23900] - tone(RATE, 2)[8100:23900]).max() < 2e-3
    assert not wave[:, 24100:].any()
    assert cut(path, Fraction(0), Fraction(2, 5), RATE, 1) is None
    assert cut(path, Fraction(8, 5), Fraction(1, 5), RATE, 1) is None


def test_stamps_in_whole_milliseconds_tear_nothing_apart(write, monkeypatch):
    path = write("ms.mkv", tone(44100, 2)[None], 44100, "mono", codec="flac")
    bend = np.abs(np.diff(tone(RATE, 1, start=0.5), 2)).max()

    def bent():
        return np.abs(np.diff(cut(path, Fraction(1, 2), Fraction(1), RATE, 1)[0], 2)).max()

    assert bent() < 1.1 * bend
    monkeypatch.setattr("vflow.nodes.data.sound._TOLERANCE", 0)
    assert bent() > 2 * bend


@pytest.mark.parametrize("name", ["long.mkv", "long.mov"])
def test_a_late_stretch_is_sought_and_gives_what_decoding_from_the_start_gives(write, name, monkeypatch):
    time = np.arange(30 * 8000) / 8000
    path = write(name, 0.5 * np.sin(2 * np.pi * 20 * time**1.5)[None], 8000, "mono", seconds=30)
    sought = cut(path, Fraction(20), Fraction(1), 8000, 1)
    monkeypatch.setattr("vflow.nodes.data.sound._SOUGHT_FROM", 10**6)
    counted = cut(path, Fraction(20), Fraction(1), 8000, 1)
    assert np.abs(sought - counted).max() < 1e-4
    assert np.abs(counted[0] - 0.5 * np.sin(2 * np.pi * 20 * (20 + np.arange(8000) / 8000) ** 1.5)).max() < 1e-3


def test_a_clip_without_a_sound_track_is_known_and_gives_none(make_clip, stereo):
    silent = make_clip()
    assert (probe(silent)["sound"], probe(stereo)["sound"]) == (False, True)
    assert cut(silent, Fraction(0), Fraction(1), RATE, 2) is None


def test_sound_that_is_damaged_says_so(write):
    path = write("bad.mkv", tone(48000, 2)[None], 48000, "mono", codec="flac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :: 7] = bytes(len(data[len(data) // 2 :: 7]))
    path.write_bytes(data)
    with pytest.raises(Unreadable):
        cut(path, Fraction(0), Fraction(2), RATE, 1)


def test_the_report_tells_how_many_windows_have_sound(make_clip, folder, context, vae, stereo):
    make_clip("silent.mp4", frames=25)
    (folder / "heard.mkv").write_bytes(stereo.read_bytes())
    (folder / "heard.txt").write_text("a tone")
    BucketVideos(source=str(folder), resolution=64, frames=9).run(context, vae)
    assert context.said.facts["windows_with_sound"] == 1


def test_a_written_clip_plays_its_sound_and_equal_ones_are_equal_files(tmp_path, pictures):
    sound = Sound(np.stack([tone(24000, 2), 0.5 * tone(24000, 2, 880)]), 24000)
    frames = pictures(50)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, 25.0, sound=sound)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac"]
    heard = cut(tmp_path / "a.mp4", Fraction(0), Fraction(2), 24000, 2)
    noise = np.sqrt(np.mean((heard - sound.samples) ** 2) / np.mean(sound.samples**2))
    assert 20 * math.log10(noise) < -30

    from vflow.nodes.values import Window

    window = Window(clip="a", indices=(7,), fps=25.0, scaled=(96, 64), offset=(0, 0), width=96, height=64)
    write_video(tmp_path / "silent.mp4", frames, 25.0)
    assert np.array_equal(decode(tmp_path / "a.mp4", window), decode(tmp_path / "silent.mp4", window))
