"""Which frames of a clip become which frames of a window."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.data.windows import Timeline, choose, exact_fps

CHOICES = st.sampled_from(["start", "middle", "uniform", "random", "all"])


def even(frames: int, fps: Fraction | int) -> Timeline:
    step = Fraction(90_000) / fps
    tick = Fraction(1, 90_000) / step.denominator
    return Timeline(range(0, frames * step.numerator, step.numerator), Fraction(step.numerator), tick)


@given(CHOICES, st.integers(1, 400), st.integers(1, 100), st.integers(1, 12), st.integers(1, 40), st.integers(0, 9))
def test_windows_lie_inside_the_clip_and_differ(choice, total, frames, count, stride, seed):
    starts = choose(choice, total, frames, count=count, stride=stride, seed=seed, clip="c")
    assert starts == sorted(set(starts))
    assert all(0 <= start <= total - frames for start in starts)
    room = total - frames + 1
    if room <= 0:
        assert starts == []
    elif choice in ("start", "middle"):
        assert len(starts) == 1
    elif choice in ("uniform", "random"):
        assert len(starts) == min(count, room)
    else:
        assert starts == list(range(0, room, stride))


def test_uniform_windows_reach_from_start_to_end():
    assert choose("uniform", 100, 20, count=3) == [0, 40, 80]
    assert choose("uniform", 100, 20, count=1) == choose("middle", 100, 20) == [40]


def test_all_windows_stand_end_to_end_without_a_stride():
    assert choose("all", 59, 17) == [0, 17, 34]


def test_random_windows_depend_on_seed_and_clip_only():
    drawn = choose("random", 1000, 17, count=4, seed=3, clip="c")
    assert drawn == choose("random", 1000, 17, count=4, seed=3, clip="c")
    assert drawn != choose("random", 1000, 17, count=4, seed=4, clip="c")
    assert drawn != choose("random", 1000, 17, count=4, seed=3, clip="d")


def test_random_windows_are_spread_over_the_clip():
    starts = [choose("random", 110, 11, count=1, seed=seed, clip="c")[0] for seed in range(400)]
    assert len(set(starts)) > 90
    assert 35 < sum(starts) / len(starts) < 65


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=60),
    st.integers(-500, 500),
    st.sampled_from(["23.976", "25", "7.3", "59.94"]),
)
def test_every_index_is_the_frame_shown_nearest(gaps, start, rate):
    times = [start + sum(gaps[:i]) for i in range(len(gaps))]
    fps, timeline = Fraction(rate), Timeline(times, Fraction(gaps[-1]), Fraction(1, 1000))
    total = timeline.count(fps)
    indices = timeline.indices(0, total, fps)
    assert list(indices) == sorted(indices)
    for i, index in enumerate(indices):
        wanted = start + i / fps * 1000
        nearest = min(abs(time - wanted) for time in times)
        assert abs(times[index] - wanted) == nearest
        assert index == next(k for k, time in enumerate(times) if abs(time - wanted) == nearest)


@given(st.integers(1, 5000), st.sampled_from([24, 25, Fraction(24000, 1001), Fraction(30000, 1001), 60, 8]))
def test_the_same_rate_takes_every_frame_once(frames, fps):
    assert even(frames, fps).count(Fraction(fps)) == frames
    assert even(frames, fps).indices(0, frames, Fraction(fps)) == tuple(range(frames))


def test_a_rate_written_with_three_digits_is_the_film_rate():
    timeline = even(2000, Fraction(24000, 1001))
    assert timeline.count(exact_fps(23.976)) == 2000
    assert timeline.indices(0, 2000, exact_fps(23.976)) == tuple(range(2000))


def test_one_second_has_as_many_frames_as_the_rate_says():
    for source in (8, 12, 15, 24, 25, 30, 50, 60, 120):
        for wanted in (8, 16, 24, 25, 30):
            assert even(source, source).count(Fraction(wanted)) == wanted, (source, wanted)


def test_a_slower_clip_repeats_frames_and_a_faster_one_skips_some():
    assert even(5, 10).indices(0, 9, Fraction(20)) == (0, 0, 1, 1, 2, 2, 3, 3, 4)
    assert even(9, 50).indices(0, 5, Fraction(25)) == (0, 2, 4, 6, 8)


def test_a_single_frame_stays_one_frame():
    assert Timeline([7], Fraction(1000), Fraction(1, 10)).count(Fraction(25)) == 1
