"""The drawn world: what is known, what is left to be taught, and that captions say what is drawn."""

import hashlib
import itertools

import numpy as np
import pytest

from vflow.nodes.data import world
from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.data.decode import decode


def test_what_is_known_has_each_colour_with_each_shape_and_each_motion_but_not_all_three_together():
    scenes = list(world.general(1000, 0))
    assert all(world.is_known(scene) for scene in scenes)
    for one, other in itertools.combinations((world.COLOURS, world.KNOWN_SHAPES, world.KNOWN_MOTIONS), 2):
        pairs = {(a, b) for s in scenes for a in one for b in other if {a, b} <= {s.colour, s.shape, s.motion}}
        assert len(pairs) == len(one) * len(other)
    threes = {(scene.colour, scene.shape, scene.motion) for scene in scenes}
    assert len(threes) == len(world.COLOURS) * len(world.KNOWN_SHAPES) * len(world.KNOWN_MOTIONS) * 5 // 6


def test_the_lesson_is_one_unknown_motion_and_leaves_some_colours_out():
    scenes = list(world.lesson(96, 0))[::2]
    assert scenes == list(world.taught(48, 0))
    assert all(world.is_known(scene) for scene in list(world.lesson(96, 0))[1::2])
    assert {scene.motion for scene in scenes} == {world.LESSON_MOTION}
    assert world.LESSON_MOTION not in world.KNOWN_MOTIONS
    assert {scene.colour for scene in scenes} == set(world.LESSON_COLOURS) < set(world.COLOURS)
    assert not any(world.is_known(scene) for scene in scenes)


def test_equal_seeds_give_equal_scenes_and_longer_sets_begin_like_shorter_ones():
    for draws in (world.general, world.lesson):
        assert list(draws(30, 1)) == list(draws(60, 1))[:30]
        assert list(draws(30, 1)) != list(draws(30, 2))
    first, second = (list(itertools.islice(world.anything(3), 20)) for _ in range(2))
    assert first == second


def test_a_shape_stays_within_the_picture_and_moves_as_its_caption_says():
    for scene in itertools.islice(world.anything(0), 300):
        centres = scene.centres()
        assert centres.min() > 6, scene
        assert centres.max() < world.SIDE - 6, scene
        way = centres[-1] - centres[0]
        np.testing.assert_allclose(way / np.linalg.norm(way), world.MOTIONS[scene.motion], atol=1e-5)
        words = scene.caption.split()
        assert {scene.colour, scene.shape, scene.ground, *scene.motion.split()} <= set(words)
        assert not scene.size or (scene.size in words and scene.radius == world.SIZES[scene.size])
        assert not scene.speed or (scene.speed in words and scene.travel == world.SPEEDS[scene.speed])


def test_what_is_drawn_stays_the_same():
    digest = hashlib.sha256()
    for scene in itertools.islice(world.anything(0), 20):
        digest.update(scene.caption.encode())
        digest.update((world.draw(scene) // 4).tobytes())  # the last bits may differ between machines
    assert digest.hexdigest()[:16] == "effbeaebc1dbbd06"


@pytest.mark.parametrize("name", ["world", "lesson"])
def test_as_a_sample_they_are_clips_of_one_size_with_captions(context, vae, name):
    found = BucketVideos(source=f"sample://{name}?clips=6", resolution=64, frames=17).run(context, vae)
    assert [(bucket["size"], bucket["windows"]) for bucket in context.said.facts["buckets"]] == [("64x64", 6)]
    drawn = {scene.caption: world.draw(scene) for scene in (world.lesson if name == "lesson" else world.general)(6, 0)}
    for row, window in found.clips.items():
        pixels = decode(context.path_of(window.clip), window).astype(int)
        wanted = drawn[found.captions.by_row()[row].text].astype(int)
        assert pixels.shape == wanted.shape
        # 4:2:0 and H.264 blur edges
        assert np.abs(pixels - wanted).mean() < 4
