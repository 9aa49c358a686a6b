"""The measurements of drawn clips: right of what is drawn right, and lower with every way of getting it wrong."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from vflow.nodes.data import scores, world

#: 5 divides no number of choices: all of them come up
EVERY = list(itertools.product(world.SHAPES, world.COLOURS, world.MOTIONS, world.GROUNDS))[::5]


def scene(**changes):
    plain = world.Scene("circle", "red", "from left to right", "dark", "large", "quickly", 11.0, 0.95, 0.0)
    return replace(plain, **changes)


def test_every_scene_of_the_world_is_right_as_it_is_drawn():
    for number, (shape, colour, motion, ground) in enumerate(EVERY):
        one = world.named(shape, colour, motion, ground, seed=number)
        shown = scores.measure(world.draw(one))
        assert (shown.colour, shown.motion, shown.ground) == (colour, motion, ground), one
        assert scores.is_right(shown, one)
        assert scores.is_exact(shown, one)
        assert shown.strays == 0
        assert scores.centre_error(shown, one) < 0.03, one


@pytest.mark.parametrize("crooked", [{"colour": "blue"}, {"motion": "from right to left"}, {"motion": "diagonally up"}])
def test_another_colour_or_motion_is_wrong(crooked):
    assert not scores.is_right(scores.measure(world.draw(scene(**crooked))), scene())


def test_noise_and_blur_do_not_matter_much():
    noise = np.random.default_rng(0).normal(0, 8, (world.FRAMES, world.SIDE, world.SIDE, 3))
    clip = np.clip(world.draw(scene()) + noise, 0, 255)
    clip = (clip + np.roll(clip, 1, 1) + np.roll(clip, 1, 2)) / 3
    shown = scores.measure(clip.astype(np.uint8))
    assert scores.is_right(shown, scene())
    assert scores.centre_error(shown, scene()) < 0.03


def test_the_centre_is_where_it_was_drawn_and_the_radius_tells_large_from_small():
    large, small = (scores.measure(world.draw(scene(radius=radius))) for radius in world.SIZES.values())
    np.testing.assert_allclose(small.centres, scene(radius=world.SIZES["large"]).centres(), atol=0.1)
    assert (large.radius, small.radius) == pytest.approx((7.5, 11.0), abs=0.5)


def test_a_way_beside_the_captions_is_an_error_in_parts_of_the_width():
    slow = scores.measure(world.draw(scene(speed="slowly", travel=world.SPEEDS["slowly"])))
    # of both ways the middle is one; the ends are 0.5 x 21 pixels apart, so on average they are half of that
    assert scores.centre_error(slow, scene()) == pytest.approx(0.5 * 10.5 * 18 / 17 / 64, abs=0.01)


def test_an_empty_clip_a_resting_shape_and_pure_noise_are_wrong():
    empty = np.full((world.FRAMES, world.SIDE, world.SIDE, 3), 26, np.uint8)
    assert not scores.is_right(scores.measure(empty), scene())
    assert math.isinf(scores.centre_error(scores.measure(empty), scene()))
    rest = scores.measure(np.repeat(world.draw(scene())[:1], world.FRAMES, 0))
    assert (rest.motion, rest.colour) == ("", "red")
    noise = np.random.default_rng(0).integers(0, 256, (world.FRAMES, world.SIDE, world.SIDE, 3), np.uint8)
    assert scores.measure(noise).strays > 0.5


def test_a_shape_that_shrinks_on_its_way_or_leaves_it_is_right_but_not_exact():
    shrinking = world.draw(scene())
    shrinking[-1] = world.draw(scene(radius=6.0))[-1]
    beside = world.draw(scene(travel=0.5))
    for clip in (shrinking, beside):
        shown = scores.measure(clip)
        assert scores.is_right(shown, scene())
        assert not scores.is_exact(shown, scene())


def test_strays_are_what_lies_apart_from_the_shape():
    clip = world.draw(scene())
    clip[:, :12, :12] = 255
    shown = scores.measure(clip)
    assert shown.strays > 0.15
    assert not scores.is_right(shown, scene())


def test_a_shape_that_is_gone_for_a_frame_is_wrong():
    clip = world.draw(scene())
    clip[8] = clip[0, 0, 0]
    shown = scores.measure(clip)
    assert np.isnan(shown.centres[8]).all()
    assert not scores.is_right(shown, scene())
