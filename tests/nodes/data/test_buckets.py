"""How clips come to their sizes."""

from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.data.buckets import best_fit, fit, nearest_sizes, sizes_of
from vflow.nodes.families.rules import VideoRules

RULES = VideoRules(8, 1, 32, 8, 32, 128, 25.0)
SIDES = st.integers(8, 4096)


def test_a_short_side_gives_the_square_and_longer_sizes_across_and_upright():
    assert sizes_of(64, RULES) == [(64, 64), (96, 64), (128, 64), (160, 64), (64, 96), (64, 128), (64, 160)]


def test_written_sizes_are_the_only_ones():
    assert sizes_of("768x512", RULES) == [(768, 512)]
    assert sizes_of(("768x512", "512x512", "768x512"), RULES) == [(768, 512), (512, 512)]


def test_a_clip_takes_the_size_that_loses_least_of_it():
    sizes = sizes_of(512, RULES)
    assert best_fit((1920, 1080), sizes).size == (896, 512)
    assert best_fit((1080, 1920), sizes).size == (512, 896)
    assert best_fit((640, 640), sizes).size == (512, 512)
    assert best_fit((4000, 1000), sizes).size == (1280, 512)


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_fit_covers_its_size_and_cuts_inside_the_picture(width, height, to_width, to_height):
    found = fit((width, height), (to_width, to_height))
    assert found.size == (to_width, to_height)
    for scaled, offset, size in zip(found.scaled, found.offset, found.size, strict=True):
        assert scaled >= size
        assert 0 <= offset <= scaled - size
    assert to_width in found.scaled[:1] or to_height in found.scaled[1:]
    assert 0 <= found.crop < 1
    assert found.upscaled == (to_width > width or to_height > height)


@given(SIDES, SIDES)
def test_a_clip_of_a_size_on_the_list_is_neither_scaled_nor_cropped(width, height):
    found = best_fit((width, height), [(width, height), (width + 8, height), (width, height + 8)])
    assert (found.scaled, found.offset, found.crop, found.upscaled) == ((width, height), (0, 0), 0, False)


def test_the_nearest_sizes_are_named():
    assert nearest_sizes((768, 500), RULES) == ["768x480", "768x512"]
    assert nearest_sizes((768, 512), RULES) == ["768x512"]
