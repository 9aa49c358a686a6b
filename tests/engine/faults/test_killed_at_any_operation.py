"""Killed before any write, sync, rename or put into the index, the next run finishes with the bytes of a calm one.

The exhaustive form goes through every operation; the suite takes a sample spread over all of them.
"""

import pytest

SAMPLE = 12  # of those that are killed; half as many where the power fails
HOWS = {"killed": {}, "power failed": {"power": 1}, "power failed and names lost": {"power": 2}}


def check(place, undisturbed, point, how):
    """Kill a run at a point and run again; return False when the run ended before it."""
    killed = place.run(kill=point, **how)
    assert killed.code in (0, -9), killed
    again = place.run(stall=0.3, stall_alive=0.3)  # a claim may have lost its content, and with it its holder's name
    assert again.code == 0, (point, again)
    assert "Traceback" not in again.err
    assert place.outputs() == undisturbed.outputs()
    assert place.results() == undisturbed.results()
    assert {path.suffix for path in place.run_folder.rglob("*") if path.is_file()} <= {
        ".txt",
        ".json",
        ".jsonl",
        ".yaml",
    }
    assert place.call("cache", "verify").code == 0
    carved = [word for word in killed.done + again.done if word.startswith("carve")]
    if not how:
        assert len(carved) <= 3 + 1, (killed.done, again.done)  # what was in flight, and nothing else
    return killed.code != 0


def through(points, another, undisturbed, how):
    ends = 0
    for point in points:
        if not check(another(str(point)), undisturbed, point, how):
            break
        ends += 1
    return ends


@pytest.mark.parametrize("how", HOWS)
def test_a_run_killed_at_an_operation_is_finished_by_the_next(another, undisturbed, how):
    assert undisturbed.operations > 300
    sample = SAMPLE // 2 if HOWS[how] else SAMPLE
    step = undisturbed.operations // sample
    first = 1 + list(HOWS).index(how) * step // len(HOWS)
    points = range(first, undisturbed.operations - 5, step)
    assert through(points, another, undisturbed, HOWS[how]) >= sample - 1


@pytest.mark.long
@pytest.mark.parametrize("how", HOWS)
def test_a_run_killed_at_every_operation_is_finished_by_the_next(another, undisturbed, how):
    assert through(range(1, 10_000), another, undisturbed, HOWS[how]) > 0.9 * undisturbed.operations


def test_a_run_killed_again_and_again_gets_to_its_end(place, undisturbed):
    point, kills = 25, 0
    while (ended := place.run(kill=point)).code:
        assert ended.code == -9
        point, kills = point + 10, kills + 1  # some operations of a run are the same each time
    assert kills > 3
    assert place.outputs() == undisturbed.outputs()
    assert place.results() == undisturbed.results()
