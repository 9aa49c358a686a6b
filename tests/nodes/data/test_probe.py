"""What a probe finds in files, honest ones and others."""

import struct
from fractions import Fraction

import av
import pytest

from vflow.nodes.data import reading
from vflow.nodes.data.clips import Footage
from vflow.nodes.data.decode import write_video
from vflow.nodes.data.probe import probe
from vflow.nodes.data.reading import Unreadable


def footage(path):
    return Footage.from_probe(probe(path))


def test_an_ordinary_clip_has_its_size_and_frames(make_clip):
    found = footage(make_clip(frames=25, size=(96, 64)))
    assert (found.width, found.height, found.rotation, found.hdr) == (96, 64, 0, False)
    assert (len(found.timeline.times), found.timeline.fps) == (25, 25)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "libx264")],
)
def test_every_container_gives_the_same_frames(make_clip, name, codec):
    found = footage(make_clip(name, frames=40, codec=codec, gop=12)).timeline
    assert (len(found.times), found.fps, found.count(Fraction(25))) == (40, 25, 40)
    assert found.indices(0, 40, Fraction(25)) == tuple(range(40))


def test_a_rate_that_milliseconds_cannot_say_is_found_all_the_same(make_clip):
    found = footage(make_clip("a.mkv", frames=60, fps=29.97)).timeline
    assert found.count(Fraction("29.97")) == 60
    assert found.indices(0, 60, Fraction("29.97")) == tuple(range(60))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_found_in_degrees_clockwise(make_clip, rotation):
    found = footage(make_clip(rotation=rotation, frames=3))
    assert found.rotation == rotation
    assert (found.width, found.height) == ((64, 96) if rotation in (90, 270) else (96, 64))


def test_clips_shown_mirrored_or_askew_are_refused(make_clip):
    with pytest.raises(Unreadable, match="mirrored"):
        probe(make_clip(rotation=0, mirrored=True, frames=3))
    with pytest.raises(Unreadable, match="turned by 30 degrees"):
        probe(make_clip("b.mp4", rotation=30, frames=3))


def test_oblong_pixels_count_as_they_are_shown(make_clip):
    found = footage(make_clip(sar=Fraction(4, 3), frames=3))
    assert (found.width, found.height) == (128, 64)


def test_uneven_times_are_kept_one_by_one(make_clip):
    times = [0, 40, 80, 200, 240, 600, 640]
    path = make_clip("a.mkv", frames=7, times=times)
    assert probe(path)["times"]["list"] == times
    assert footage(path).timeline.indices(0, 7, Fraction(10)) == (0, 2, 3, 4, 4, 5, 5)


def test_even_times_are_kept_in_three_numbers(make_clip):
    assert probe(make_clip())["times"] == {"start": 0, "step": [512, 1], "count": 25}


def test_a_frame_count_that_the_container_makes_up_is_not_believed(make_clip):
    path = make_clip("a.avi", frames=20)
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 24), (b"strh", 40)):
        struct.pack_into("<I", data, data.index(chunk) + offset, 500)
    path.write_bytes(data)
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 500
    assert len(footage(path).timeline.times) == 20


def test_a_clip_of_one_frame_is_one_frame(make_clip):
    assert footage(make_clip(frames=1)).timeline.count(Fraction(25)) == 1


def test_text_named_mp4_is_no_video(folder):
    path = folder / "notes.mp4"
    path.write_text("these are notes\n" * 50)
    with pytest.raises(Unreadable, match="no video file"):
        probe(path)


def test_a_playlist_named_mp4_is_not_followed(folder, make_clip):
    clip, path = make_clip(), folder / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Unreadable):
        probe(path)
    path.write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    with pytest.raises(Unreadable):
        probe(path)


def test_an_empty_file_is_said_to_be_empty(folder):
    (folder / "a.mp4").touch()
    with pytest.raises(Unreadable, match="is empty"):
        probe(folder / "a.mp4")


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("small", [2**28, 0])
def test_a_truncated_clip_is_damaged(folder, make_clip, pictures, monkeypatch, share, small):
    monkeypatch.setattr(reading, "SMALL_PIXELS", small)
    at_start = folder / "b.mp4"
    write_video(at_start, pictures(60), 25)
    for cut in (make_clip(frames=60, gop=12), at_start):  # the index at the end, and at the start
        cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * share)])
        with pytest.raises(Unreadable, match="damaged"):
            probe(cut)


def test_sound_without_pictures_is_told(folder):
    import numpy as np

    with av.open(str(folder / "a.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        for number in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, number * 1024
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(Unreadable, match="no video stream"):
        probe(folder / "a.mp4")


def test_a_large_clip_is_probed_by_its_packets_with_the_same_answer(make_clip, monkeypatch):
    for name, codec, fps in (("a.mp4", "libx264", 25), ("a.webm", "libvpx-vp9", 29.97), ("a.avi", "libx264", 25)):
        path = make_clip(name, frames=50, fps=fps, codec=codec, gop=12)
        decoded = probe(path)
        monkeypatch.setattr(reading, "SMALL_PIXELS", 0)
        assert probe(path) == decoded
        monkeypatch.undo()
