"""How sizes and lengths are written, which break a family's rules, and what is taken in their place."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vflow.nodes.data import buckets
from vflow.nodes.data.rules import Resolution, Ruled
from vflow.nodes.families import family
from vflow.nodes.families.rules import VideoRules
from vflow.nodes.values import VAE, Source

RULES = st.builds(
    VideoRules,
    frames_step=st.sampled_from([2, 4, 8]),
    frames_rest=st.just(1),
    size_multiple=st.sampled_from([8, 16, 32, 128]),
    temporal_ratio=st.just(2),
    spatial_ratio=st.just(8),
    latent_channels=st.just(4),
    fps=st.just(24.0),
)
SIDES = st.integers(128, 4096)


def model(name, flavour=""):
    named = f"{name}/{flavour}" if flavour else f"tiny://{name}"
    return VAE(source=Source(family=name, part="vae", content="vae", model=named, kind="hub" if flavour else "tiny"))


def ruled(name, rounding="refuse", size_multiple=None, frame_step=None, flavour=""):
    return Ruled.of(model(name, flavour), rounding, size_multiple, frame_step)


# --- the notation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [480, "832x480", "0.4MP", "1MP", "12.25MP"])
def test_a_size_is_a_short_side_or_width_and_height_or_an_area(written):
    assert TypeAdapter(Resolution).validate_python(written, strict=True) == written


@pytest.mark.parametrize(
    "written", [0, 7, 480.0, "480", "832X480", "832x", "0x480", ".4MP", "0.4", "0.4mp", "-1MP", "1e3MP"]
)
def test_nothing_else_is(written):
    with pytest.raises(ValidationError):
        TypeAdapter(Resolution).validate_python(written, strict=True)


@given(RULES, st.integers(1, 40))
def test_an_area_gives_the_largest_sizes_that_are_not_larger_upright_and_across(rules, tenths):
    pixels, step = tenths * 100_000, rules.size_multiple
    sizes = buckets.sizes_of(f"{tenths / 10}MP", rules)
    assert {(height, width) for width, height in sizes} == set(sizes)
    for width, height in sizes:
        assert width % step == height % step == 0
        assert width * height <= pixels
        assert (max(width, height) + step) * min(width, height) > pixels
        assert Fraction(2, 5) <= Fraction(width, height) <= Fraction(5, 2)


def test_an_area_of_a_known_size_holds_that_size():
    assert (832, 480) in buckets.sizes_of("0.39936MP", family("sana").rules)


# --- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "remedy"),
    [
        ("hunyuan15", "854x480", "use 848x480 or 864x480"),
        ("sana", "854x480", "use 832x480 or 864x480"),
        ("ltx2", "854x480", "use 832x480 or 864x480"),
        ("kandinsky5", "854x480", "use 848x480 or 864x480"),
        ("ltx2", 500, "use 480 or 512"),
    ],
)
def test_a_size_that_breaks_the_rule_names_the_nearest_and_they_are_allowed(name, size, remedy):
    rules = ruled(name)
    (problem,) = rules.problems(resolutions=[("resolution", size)])
    assert (problem.where, problem.remedy) == ("resolution", remedy)
    for nearest in remedy.removeprefix("use ").split(" or "):
        assert not list(rules.problems(resolutions=[("resolution", int(nearest) if nearest.isdigit() else nearest)]))


@pytest.mark.parametrize(
    ("name", "size", "nearest", "down"),
    [
        ("hunyuan15", "854x480", "848x480", "848x480"),
        ("sana", "854x480", "864x480", "832x480"),
        ("ltx2", 500, 512, 480),
        ("ltx2", "1000x10", "992x32", "992x32"),
    ],
)
def test_rounding_takes_the_nearest_or_the_next_below(name, size, nearest, down):
    assert ruled(name, "nearest").resolution(size) == nearest
    assert ruled(name, "down").resolution(size) == down
    assert ruled(name).resolution(size) == size


@given(RULES, st.sampled_from(["nearest", "down"]), SIDES, SIDES, st.integers(1, 400))
def test_what_is_rounded_never_breaks_the_rules_and_is_the_nearest(rules, rounding, width, height, frames):
    own = Ruled("a family", rules, rules, rounding)
    assert not list(own.problems([("frames", frames)], [("resolution", f"{width}x{height}"), ("resolution", width)]))
    side, number = own.resolution(width), own.frames(frames)
    assert abs(side - width) < rules.size_multiple
    assert abs(number - frames) < rules.frames_step
    if rounding == "down":
        assert side <= width
        assert number <= frames
    else:
        assert all(abs(side - width) <= abs(other - width) for other in rules.nearest_sizes(width))
        assert all(abs(number - frames) <= abs(other - frames) for other in rules.nearest_frames(frames))


def test_a_flavour_has_rules_of_its_own():
    hd = ruled("kandinsky5", flavour="t2v-pro-sft-5s-hd")
    (problem,) = hd.problems(resolutions=[("resolution", "1280x720")])
    assert "multiples of 128" in problem.message
    assert problem.remedy == "use 1280x640 or 1280x768"


def test_a_graph_can_make_the_rules_stricter_and_not_looser():
    strict = ruled("ltx2", "nearest", size_multiple=64, frame_step=16)
    assert (strict.resolution("832x480"), strict.frames(57)) == ("832x448", 49)
    assert not list(strict.problems([("frames", 49)], [("resolution", "832x448")]))
    (problem,) = ruled("ltx2", size_multiple=16).problems()
    assert (problem.where, problem.remedy) == ("size_multiple", "use 32")
    (problem,) = ruled("ltx2", frame_step=12).problems()
    assert (problem.where, problem.remedy) == ("frame_step", "use 8")


def test_an_area_too_small_for_any_size_names_the_least():
    (problem,) = ruled("kandinsky5", flavour="t2v-pro-sft-5s-hd").problems(resolutions=[("resolution", "0.01MP")])
    assert "0.016384MP or more" in problem.remedy
