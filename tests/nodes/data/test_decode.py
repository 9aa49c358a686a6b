"""Exactly the frames of a window, and files that are equal when their frames are."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.nodes.data import decode as decoding
from vflow.nodes.data import reading
from vflow.nodes.data.decode import decode, write_video
from vflow.nodes.data.reading import Unreadable
from vflow.nodes.values import Window

KINDS = {
    "b frames": ("a.mp4", "libx264", {"bf": "3"}),
    "open groups": ("a.mp4", "libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    "matroska": ("a.mkv", "libx264", {"bf": "3"}),
    "vp9": ("a.webm", "libvpx-vp9", {}),
    "mpeg4": ("a.mov", "mpeg4", {"bf": "2"}),
    "avi": ("a.avi", "libx264", {"bf": "3"}),
}


def window(indices, size=(96, 64), scaled=None, offset=(0, 0), rotation=0) -> Window:
    width, height = size
    scaled = scaled or size
    indices = tuple(indices)
    return Window(
        clip="c", indices=indices, fps=25, rotation=rotation, scaled=scaled, offset=offset, width=width, height=height
    )


def everything(path) -> np.ndarray:
    """All frames in the order the decoder gives them, without anything of ours between."""
    with av.open(str(path)) as file:
        rgb = [frame.reformat(format="rgb24", interpolation=decoding._SCALING) for frame in file.decode(video=0)]
    return np.stack([frame.to_ndarray() for frame in rgb])


def test_the_frames_of_the_window_come_and_no_others(make_clip, pictures):
    path = make_clip(frames=30, options={"crf": "1"})
    found = decode(path, window((3, 4, 4, 11, 29)))
    assert found.shape == (5, 64, 96, 3)
    assert found.dtype == np.uint8
    wanted = pictures(30)[[3, 4, 4, 11, 29]].astype(int)
    others = pictures(30)[[4, 5, 5, 12, 28]].astype(int)
    for frame, right, wrong in zip(found.astype(int), wanted, others, strict=True):
        assert np.abs(frame - right).mean() < 0.5 * np.abs(frame - wrong).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_seeking_gives_the_frames_of_a_full_decoding(make_clip, monkeypatch, kind):
    name, codec, options = KINDS[kind]
    path = make_clip(name, frames=70, codec=codec, gop=12, options=options)
    full = decode(path, window(range(70)))
    assert (full == everything(path)).all()
    monkeypatch.setattr(reading, "SMALL_PIXELS", 0)
    sought = 0
    for first in range(0, 70, 3):
        indices = range(first, min(first + 5, 70), 2)
        assert (decode(path, window(indices)) == full[list(indices)]).all()
        sought += bool(list(decoding._sought(path, list(indices))))
    assert sought == (0 if kind == "avi" else 24)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("long") / "a.mp4"
    write_video(path, pictures(80), 25)
    return path


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 79), min_size=1, max_size=8).map(sorted))
def test_any_choice_of_frames_decodes_alike_sought_or_counted(long_clip, indices):
    counted = decode(long_clip, window(indices))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "SMALL_PIXELS", 0)
        assert (decode(long_clip, window(indices)) == counted).all()


def test_decoding_again_gives_the_same_bits(make_clip):
    path, cut = make_clip(size=(120, 90)), window(range(10), (64, 32), (64, 48), (0, 8))
    assert (decode(path, cut) == decode(path, cut)).all()


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turning_is_clockwise(make_clip, rotation):
    path = make_clip(frames=2)
    size = (64, 96) if rotation in (90, 270) else (96, 64)
    upright = decode(path, window((0, 1)))
    assert (decode(path, window((0, 1), size, rotation=rotation)) == np.rot90(upright, -rotation // 90, (1, 2))).all()


def test_a_crop_is_cut_from_the_scaled_picture(make_clip):
    path = make_clip(frames=2)
    whole = decode(path, window((0, 1), (48, 32)))
    assert (decode(path, window((0, 1), (32, 24), (48, 32), (9, 5))) == whole[:, 5:29, 9:41]).all()


def test_scaling_down_keeps_the_mean_and_has_no_moire(folder):
    stripes = np.zeros((2, 128, 128, 3), np.uint8)
    stripes[:, :, ::2] = 255
    write_video(folder / "a.mp4", stripes, 25, crf=1)
    found = decode(folder / "a.mp4", window((0, 1), (32, 32)))
    assert abs(found.mean() - 127.5) < 4
    assert found.std() < 12


def test_colours_survive_writing_and_decoding(folder):
    for number, colour in enumerate([(226, 52, 46), (62, 190, 84), (58, 106, 232), (240, 206, 60), (12, 12, 12)]):
        path = folder / f"{number}.mp4"
        write_video(path, np.full((3, 64, 96, 3), colour, np.uint8), 25)
        found = decode(path, window((0, 2)))
        assert np.abs(found.astype(int) - colour).max() <= 3


@pytest.mark.parametrize(("size", "space"), [((96, 64), "ITU601"), ((1280, 720), "ITU709")])
def test_colours_without_a_word_are_read_as_players_do(make_clip, size, space):
    path = make_clip(frames=1, size=size)
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert frame.colorspace == 2  # nothing is said
        wanted = frame.reformat(format="rgb24", src_colorspace=space, interpolation=decoding._SCALING).to_ndarray()
    assert (decode(path, window((0,), size))[0] == wanted).all()


def test_missing_and_damaged_frames_are_told(make_clip):
    path = make_clip(frames=10)
    with pytest.raises(Unreadable, match="no frame 10"):
        decode(path, window((8, 10)))
    path.write_text("no clip")
    with pytest.raises(Unreadable):
        decode(path, window((0,)))


@pytest.mark.parametrize("preset", ["veryfast", "medium"])
def test_equal_frames_give_equal_files(folder, pictures, preset):
    frames = pictures(20, 90, 60)
    for _ in range(8):
        write_video(folder / "a.mp4", frames, 23.976, preset=preset)
        write_video(folder / "b.mp4", frames.copy(), 23.976, preset=preset)
        assert (folder / "a.mp4").read_bytes() == (folder / "b.mp4").read_bytes()


def test_what_is_written_plays_everywhere(folder, pictures):
    write_video(folder / "a.mp4", pictures(12, 91, 63), 24)
    data = (folder / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(folder / "a.mp4")) as file:
        stream = file.streams.video[0]
        frames = list(file.decode(video=0))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (len(frames), stream.average_rate, frames[0].width, frames[0].height) == (12, 24, 92, 64)
