"""The gap between two columns: wherever wires come in and go out, lanes are found in which none touches another."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.tui.drawing.gaps import Trunk, choose_lanes


@st.composite
def gaps(draw):
    """Rows on both sides, given out among the nets."""
    rows = draw(st.integers(1, 9))
    nets = st.lists(st.integers(0, 5), min_size=rows, max_size=rows)
    gap = {}
    for side in ("lefts", "rights"):
        for row, net in enumerate(draw(nets)):
            if net:
                getattr(gap.setdefault(net, Trunk()), side).add(row)
    return {net: trunk for net, trunk in gap.items() if len(trunk.lefts) + len(trunk.rights) > 1}


def lines(trunk, lanes):
    """Return the verticals (lane, first row, last row) and the horizontals (row, first lane, last lane) of a net."""
    if trunk.is_straight():
        return [], [(row, -1, lanes) for row in trunk.lefts]
    across = [(row, -1, trunk.left_lane) for row in trunk.lefts]
    across += [(row, trunk.right_lane, lanes) for row in trunk.rights]
    if trunk.joined is None:
        rows = trunk.lefts | trunk.rights
        return [(trunk.left_lane, min(rows), max(rows))], across
    left, right = trunk.lefts | {trunk.joined}, trunk.rights | {trunk.joined}
    across.append((trunk.joined, trunk.left_lane, trunk.right_lane))
    return [(trunk.left_lane, min(left), max(left)), (trunk.right_lane, min(right), max(right))], across


@settings(max_examples=400, deadline=None)
@given(gaps())
def test_no_two_wires_touch_in_a_gap(gap):
    lanes = choose_lanes(gap)
    drawn = {net: lines(trunk, lanes) for net, trunk in gap.items()}
    for net, (down, across) in drawn.items():
        for other, (other_down, other_across) in drawn.items():
            if net == other:
                continue
            for lane, first, last in down:
                assert 0 <= lane < lanes
                assert all(lane != one or last + 1 < top or bottom + 1 < first for one, top, bottom in other_down)
                for row, start, stop in other_across:
                    assert not (start <= lane <= stop and row in (first, last)), "a wire runs into a corner"
                    assert not (first <= row <= last and lane in (start, stop)), "a wire ends on another"
            for row, start, stop in across:
                assert all(row != one or stop < begin or end < start for one, begin, end in other_across)


def test_wires_that_wait_for_each_other_are_split():
    gap = {1: Trunk({0}, {2}), 2: Trunk({2}, {0})}
    choose_lanes(gap)
    assert [trunk.joined is not None for trunk in gap.values()].count(True) == 1
