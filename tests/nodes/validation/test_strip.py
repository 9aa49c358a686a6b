"""The transformer's own clips, and the picture that puts clips above each other."""

import numpy as np
import pytest

from vflow.engine.problems import Failure
from vflow.engine.values import Items
from vflow.nodes.data.decode import write_video
from vflow.nodes.data.pictures import from_png
from vflow.nodes.validation.strip import Strip
from vflow.nodes.validation.validate import Draw
from vflow.nodes.values import Video, Videos


def plain(stage, **shades):
    """Clips of nine plain frames, each 20 brighter than the one before it, the first of a given brightness."""
    videos = []
    for row, shade in shades.items():
        with stage.context.scratch() as folder:
            tints = (shade + 20 * np.arange(9)).astype(np.uint8)
            write_video(folder / "clip.mp4", np.broadcast_to(tints[:, None, None, None], (9, 32, 48, 3)), 25)
            videos.append(Video(blob=stage.context.put(folder / "clip.mp4", ".mp4"), prompt=f"a {row}", row=row))
    return Videos(videos=tuple(videos))


def stills(stage, picture, lines, count):
    """The brightness in the middle of each still, line by line."""
    pixels = from_png(stage.context.blob_path(picture.blob)).astype(int)
    tops = [4 + 16 + 36 * line + 20 * (line // lines) - 4 for line in range(2 * lines)]
    return [[pixels[top + 16, 52 * column + 24].mean().round() for column in range(count)] for top in tops]


def test_a_transformer_without_adapter_draws_as_one_with_an_adapter_that_does_nothing(stage):
    alone = Draw().run(stage.context, stage.transformer, stage.sampling())
    (nothing,) = stage.draw(stage.adapter(0.0))
    assert alone.identity == nothing.identity
    assert alone.step is None


def test_each_prompt_has_what_was_before_above_what_came_after(stage):
    before, after = plain(stage, disc=20, square=40), plain(stage, disc=60, square=80)
    picture = Strip(stills=3, height=32).run(stage.context, Items.of({"": after}), before)
    shown = stills(stage, picture, lines=2, count=3)
    expected = [[first, first + 80, first + 160] for first in (20, 60, 40, 80)]
    np.testing.assert_allclose(shown, expected, atol=3)
    assert [name for name, _ in picture.plain_files()] == ["picture.png"]


def test_a_clip_with_fewer_frames_than_stills_shows_each_once(stage):
    picture = Strip(stills=64, height=32).run(stage.context, Items.of({"": plain(stage, disc=20)}))
    assert from_png(stage.context.blob_path(picture.blob)).shape[1] == 9 * 48 + 8 * 4


def test_without_clips_there_is_no_picture(stage):
    with pytest.raises(Failure, match="no clips"):
        Strip().run(stage.context, Items.of({"": Videos(videos=())}))
