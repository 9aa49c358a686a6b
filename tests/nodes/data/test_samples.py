"""The drawn clips: made once, the same everywhere, in two buckets."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vflow.engine.problems import Failure, GraphError
from vflow.nodes.data import shapes
from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.data.decode import decode
from vflow.nodes.data.samples import folder_of


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_sample_clips_are_training_samples_in_two_buckets(context, vae):
    found = BucketVideos(source="sample://shapes", resolution=64, frames=17).run(context, vae)
    assert len(found.clips) == 24
    assert [(b["size"], b["windows"], b["crop"]) for b in context.said.facts["buckets"]] == [
        ("64x96", 12, 0.0),
        ("96x64", 12, 0.0),
    ]
    assert context.said.left_out == {}
    assert all("on a dark background" in caption.text for caption in found.captions)


def test_they_are_drawn_once_and_stay(context):
    folder = folder_of("sample://shapes?clips=3", context)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert folder_of("sample://shapes?clips=3", context) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_equal_numbers_and_seeds_give_equal_files(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        shapes.draw_shapes(tmp_path / name, 6, 5)
    (tmp_path / "c").mkdir()
    shapes.draw_shapes(tmp_path / "c", 6, 6)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert not set(content(tmp_path / "a").values()) & {v for k, v in content(tmp_path / "c").items() if "mp4" in k}


def test_several_at_once_draw_one_complete_folder(new_context):
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: folder_of("sample://shapes?clips=2&seed=7", new_context()), range(4)))
    (folder,) = folders
    assert len(list(folder.iterdir())) == 4
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_clip_shows_what_its_caption_says(context, vae):
    found = BucketVideos(source="sample://shapes", resolution=64, frames=25).run(context, vae)
    for row, window in found.clips.items():
        words = found.captions.by_row()[row].text
        pixels = decode(context.path_of(window.clip), window).astype(float)
        bright = pixels.max(-1) > 120
        rows, columns = np.mgrid[: window.height, : window.width]
        way = [np.array([columns[b].mean(), rows[b].mean()]) for b in (bright[0], bright[-1])]
        moved = way[1] - way[0]
        axis = 0 if "left" in words else 1
        forward = "left to right" in words or "top to bottom" in words
        assert abs(moved[axis]) > 12 > 3 > abs(moved[1 - axis])
        assert (moved[axis] > 0) == forward
        colour = next(colour for colour in shapes.COLOURS if colour in words)
        assert np.abs(pixels[bright].mean(0) - shapes.COLOURS[colour]).max() < 40


def test_every_combination_of_shape_and_direction_is_drawn():
    drawn = list(shapes.scenes(24, 0))
    assert len({scene.caption for scene in drawn}) == 24
    assert len({(scene.shape, scene.direction) for scene in drawn}) == 12
    assert {(scene.width, scene.height) for scene in drawn} == set(shapes.SIZES)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sample://shape", "did you mean 'shapes'"),
        ("sample://shapes?clip=3", "did you mean 'clips'"),
        ("sample://shapes?clips=many", "whole number"),
        ("sample://shapes?clips=0", "out of range"),
    ],
)
def test_what_no_sample_is_called_is_refused(context, source, words):
    with pytest.raises(GraphError, match=words.replace("?", r"\?")):
        folder_of(source, context)


def test_a_store_that_cannot_be_written_is_told(context, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shapes, "write_video", full)
    with pytest.raises(Failure, match="No space left"):
        folder_of("sample://shapes", context)
    assert not list((context.store_folder).glob("samples/*"))


def test_the_sounding_set_has_a_tone_for_each_colour_and_some_silent_clips(context, vae):
    from fractions import Fraction

    from vflow.nodes.data.sound import cut

    found = BucketVideos(source="sample://sounding", resolution=64, frames=25).run(context, vae)
    assert context.said.facts["windows_with_sound"] == 20
    silent = 0
    for row, window in found.clips.items():
        wave = cut(context.path_of(window.clip), Fraction(0), Fraction(1), 8000, 2)
        silent += wave is None
        if wave is not None:
            words = found.captions.by_row()[row].text
            pitch = next(hertz for colour, hertz in shapes.TONES.items() if colour in words)
            assert np.abs(np.fft.rfft(wave.sum(0))).argmax() == pytest.approx(pitch, abs=2)
            left, right = np.square(wave[:, 4500:]).sum(1)  # where the shape is at the end
            if "left to right" in words or "right to left" in words:
                assert (right > left) == ("left to right" in words)
    assert silent == 4
