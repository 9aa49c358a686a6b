"""Stills: the first frames of windows, and the pictures of a folder."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from pydantic import ValidationError

from vflow.engine.keys import digest_bytes, digest_file
from vflow.engine.problems import Failure, GraphError
from vflow.engine.values import Blob, Items
from vflow.nodes.data import pictures as drawing
from vflow.nodes.data.decode import decode
from vflow.nodes.data.images import Images, Stills
from vflow.nodes.values import Window


@pytest.fixture
def store(context, tmp_path):
    """A context that keeps blobs too."""
    blobs: dict[str, Path] = {}

    def put(data, suffix):
        path = tmp_path / f"{digest_bytes(data)}{suffix}"
        path.write_bytes(data)
        blobs[digest_bytes(data)] = path
        return Blob(digest=digest_bytes(data), size=len(data), suffix=suffix)

    def blob_path(blob):
        if blob.digest not in blobs:
            raise Failure("no such blob")
        return blobs[blob.digest]

    context.put, context.blob_path, context.blobs = put, blob_path, blobs
    return context


@pytest.fixture
def picture(folder):
    """Write a picture of one colour, its left half darker, into the folder."""

    def make(name, colour=(200, 40, 90), size=(64, 48), **save):
        pixels = np.full((size[1], size[0], 3), colour, np.uint8)
        pixels[:, : size[0] // 2] //= 2
        (folder / name).parent.mkdir(exist_ok=True)
        Picture.fromarray(pixels).save(folder / name, **save)
        return pixels

    return make


def stills(store, folder, width=64, height=48):
    return Stills(source=str(folder), resolution=f"{width}x{height}").run(store)


def pixels_of(store, image):
    return drawing.from_png(store.blob_path(image.blob))


def window(store, path, frames=(3, 4, 5), width=96, height=64):
    digest = digest_file(path)
    store.locate(digest, path)
    store.label(digest, path.name)
    return Window(clip=digest, indices=frames, fps=25.0, scaled=(96, 64), offset=(0, 0), width=width, height=height)


def test_the_first_frame_of_a_window_is_kept_pixel_by_pixel(store, make_clip):
    cut = window(store, make_clip())
    (image,) = Images().run(store, Items.of({"row": cut}))
    assert (image.width, image.height) == (96, 64)
    assert np.array_equal(pixels_of(store, image), decode(store.path_of(cut.clip), cut)[0])
    assert image.blob.suffix == ".png"


def test_first_frames_are_brought_to_a_size_where_one_is_given(store, make_clip):
    cut = window(store, make_clip())
    (image,) = Images(resolution="32x64").run(store, Items.of({"row": cut}))
    whole = decode(store.path_of(cut.clip), cut)[0]
    assert np.array_equal(pixels_of(store, image), whole[:, 32:64])
    with pytest.raises(ValidationError):
        Images(resolution="64")


def test_a_clip_that_changed_or_is_damaged_is_named(store, make_clip):
    path = make_clip("b.mp4")
    cut = window(store, path)
    path.write_bytes(b"no video")
    with pytest.raises(Failure, match=r"b\.mp4 has changed"):
        list(Images().run(store, Items.of({"row": cut})))
    cut = window(store, path)
    with pytest.raises(Failure, match=r"b\.mp4 is damaged or no video file"):
        list(Images().run(store, Items.of({"row": cut})))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_png_there_and_back_keeps_every_pixel(tmp_path_factory, width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = tmp_path_factory.mktemp("png") / "a.png"
    file.write_bytes(drawing.to_png(pixels))
    assert np.array_equal(drawing.from_png(file), pixels)
    assert drawing.to_png(pixels) == file.read_bytes()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_covering_gives_the_size_and_leaves_a_picture_of_that_size_alone(width, height, to_width, to_height):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    assert drawing.covering(pixels, to_width, to_height).shape == (to_height, to_width, 3)
    assert drawing.covering(pixels, width, height) is pixels


def test_pictures_come_in_the_order_of_their_names_which_are_their_rows(store, folder, picture):
    drawn = {name: picture(name, colour) for name, colour in (("b.png", (9, 8, 7)), ("sub/a.bmp", (90, 8, 7)))}
    drawn["a.tif"] = picture("a.tif", (1, 2, 3))
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("nor this")
    found = stills(store, folder)
    assert found.rows == ("a", "b", "sub/a")
    for name, image in zip(("a.tif", "b.png", "sub/a.bmp"), found, strict=True):
        assert np.array_equal(pixels_of(store, image), drawn[name])
    assert store.said.facts == {"images": 3, "size": "64x48"}


def test_pictures_of_one_name_keep_their_endings(store, folder, picture):
    picture("a.png")
    picture("a.webp")
    assert stills(store, folder).rows == ("a.png", "a.webp")


def test_a_picture_is_scaled_to_cover_and_cut_from_the_middle(store, folder, picture):
    picture("a.png", size=(128, 32))
    (image,) = stills(store, folder, width=32, height=32)
    shown = pixels_of(store, image)
    assert shown.shape == (32, 32, 3)
    assert shown[:, :12].mean() < shown[:, 20:].mean()  # the edge between the halves is in the middle


def test_a_picture_is_turned_by_its_exif_entry_and_put_on_white(store, folder, picture):
    exif = Picture.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture("turned.jpg", size=(64, 48), exif=exif, quality=95)
    clear = np.zeros((64, 48, 4), np.uint8)
    clear[:, :, 3] = 0
    Picture.fromarray(clear).save(folder / "clear.png")
    clear_image, turned = stills(store, folder, width=48, height=64)
    assert (pixels_of(store, clear_image) == 255).all()
    shown = pixels_of(store, turned).astype(int)
    assert shown[:20].mean() < shown[44:].mean() - 20  # the dark left half is at the top


def test_a_clip_gives_its_first_frame_turned_as_it_is_shown(store, folder, make_clip):
    path = make_clip("a.mp4", rotation=90)
    (image,) = stills(store, folder, width=64, height=96)
    whole = Window(clip="", indices=(0,), fps=1.0, rotation=90, scaled=(64, 96), offset=(0, 0), width=64, height=96)
    assert np.array_equal(pixels_of(store, image), decode(path, whole)[0])


def test_what_was_read_is_not_read_again_unless_its_file_is_gone(store, folder, picture, monkeypatch):
    picture("a.png")
    first = stills(store, folder)
    read = drawing.read_picture
    monkeypatch.setattr(drawing, "read_picture", None)
    assert stills(store, folder) == first
    store.blobs.clear()
    monkeypatch.setattr(drawing, "read_picture", read)
    assert stills(store, folder) == first
    assert store.blobs


def test_another_size_is_another_still(store, folder, picture):
    picture("a.png")
    assert stills(store, folder) != stills(store, folder, width=32)


def test_all_damaged_pictures_are_told_at_once(store, folder, picture):
    picture("good.png")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:90])
    (folder / "text.jpg").write_text("no picture")
    (folder / "clip.mp4").write_text("no clip")
    Picture.fromarray(np.zeros((8, 8), np.int32)).save(folder / "deep.tif")
    with pytest.raises(GraphError) as caught:
        stills(store, folder)
    told = [problem.message for problem in caught.value.problems]
    words = ["clip.mp4 is damaged or no video", "cut.png is damaged", "deep.tif has greys", "text.jpg is no picture"]
    assert [word in message for word, message in zip(words, told, strict=True)] == [True] * 4
    assert {problem.where for problem in caught.value.problems} == {"source"}


def test_a_folder_without_pictures_or_with_too_many_is_a_problem(store, folder, picture, monkeypatch):
    with pytest.raises(GraphError, match="no pictures or clips"):
        stills(store, folder)
    with pytest.raises(GraphError, match="there is no folder"):
        stills(store, folder / "nowhere")
    picture("a.png")
    picture("b.png")
    monkeypatch.setattr("vflow.nodes.data.stills.MOST", 1)
    with pytest.raises(GraphError, match="2 pictures, more than 1"):
        stills(store, folder)
