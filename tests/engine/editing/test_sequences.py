"""Any sequence of edits, on the graphs that ship and on files as messy as YAML allows: what holds of all of them."""

import copy
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.engine.editing.messy import messy
from tests.engine.editing.steps import some_step
from tests.engine.editing.untouched import lost
from vflow.engine.document import parse
from vflow.engine.editing import Draft, EditError, edits
from vflow.engine.load import load, shipped_graphs

RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck)}
DISTURBANCES = ["", "\t", "? ", "&a ", "*a", "- ", "<<: 1\n", "'", "{", "a: &b [1]\n"]
RNG = st.randoms(use_true_random=False)


def sorted_data(data):
    """Plain data as something to compare: the order of keys means nothing, the type of a number does."""
    if isinstance(data, dict):
        return {name: sorted_data(data[name]) for name in sorted(data)}
    return [sorted_data(one) for one in data] if isinstance(data, list) else repr(data)


def is_as_meant(text, step):
    found = parse(text)
    assert not found.problems, (step.name, found.problems)
    return sorted_data(found.root.plain()) in [sorted_data(data) for data in (step.data, *step.or_else)]


def edit_and_undo(raw, count, rng, may_refuse=False):
    """Open a file with these bytes, edit it some times, check each edit, and take all of them back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "g.yaml")
        path.write_bytes(raw)
        draft = Draft.open(path, Path(folder, "drafts"))
        states = [draft.text]
        for _ in range(count):
            before = draft.text
            step = some_step(rng, copy.deepcopy(parse(before).root.plain()))
            refused = None
            try:
                draft.apply(step.name, step.change)
            except EditError as error:
                refused = error.message
            if refused is not None:
                assert may_refuse, (step.name, refused)
                assert "repeat" in refused
                assert draft.text == before
                continue
            assert is_as_meant(draft.text, step), step.name
            assert lost(before, draft.text, step.touched) == [], step.name
            if draft.text != before:
                states.append(draft.text)
        check_the_way_back(draft, path, raw, states)


def check_the_way_back(draft, path, raw, states):
    draft.save(overwrite=True)
    assert path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode() == states[-1]
    for state in reversed(states[:-1]):
        assert draft.undo()
        assert draft.text == state
    assert draft.undo() is None
    draft.save()
    assert path.read_bytes() == raw
    for state in states[1:]:
        assert draft.redo()
        assert draft.text == state
    assert draft.redo() is None


def on_messy_files(written, rng, has_bom):
    text, data = written
    document = parse(text)
    assume(not document.problems and document.root.plain() == data)
    edit_and_undo((b"\xef\xbb\xbf" if has_bom else b"") + text.encode(), 5, rng)


def on_repetitions(written, rng):
    text, data = written
    document = parse(text)
    assume(not document.problems and document.root.plain() == data)
    edit_and_undo(text.encode(), 5, rng, may_refuse="*" in text)


def on_shipped_graphs(name, has_feeds, rng):
    text = shipped_graphs()[name]
    edit_and_undo((text.replace("\n", "\r\n") if has_feeds else text).encode(), 8, rng)


@settings(max_examples=150, **RELAXED)
@given(messy(), RNG, st.booleans())
def test_edits_of_a_messy_file_give_the_data_that_was_meant_and_leave_the_rest_alone_and_undo_gives_the_bytes_back(
    written, rng, has_bom
):
    on_messy_files(written, rng, has_bom)


@settings(max_examples=60, **RELAXED)
@given(messy(aliases=True), RNG)
def test_where_values_are_repeated_edits_are_made_exactly_or_refused(written, rng):
    on_repetitions(written, rng)


@settings(max_examples=25, **RELAXED)
@given(st.sampled_from(sorted(shipped_graphs())), st.booleans(), RNG)
def test_edits_of_a_shipped_graph_give_the_data_that_was_meant_and_leave_the_rest_alone(name, has_feeds, rng):
    on_shipped_graphs(name, has_feeds, rng)


@pytest.mark.long
def test_the_same_for_very_many_files():
    settings(max_examples=10_000, **RELAXED)(given(messy(), RNG, st.booleans())(on_messy_files))()
    settings(max_examples=5_000, **RELAXED)(given(messy(aliases=True), RNG)(on_repetitions))()
    names = st.sampled_from(sorted(shipped_graphs()))
    settings(max_examples=1_000, **RELAXED)(given(names, st.booleans(), RNG)(on_shipped_graphs))()


@settings(max_examples=60, **RELAXED)
@given(st.data())
def test_whatever_the_text_an_edit_changes_it_as_meant_or_is_refused_in_words(data):
    lines = data.draw(st.sampled_from(sorted(shipped_graphs().values()))).splitlines(keepends=True)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = (
            data.draw(st.sampled_from(["", "\t", "? ", "&a ", "*a", "- ", "<<: 1\n", "'", "{", "a: &b [1]\n"]))
            + lines[at]
        )
    text = "".join(lines)
    for edit in (
        lambda: edits.set_setting(text, "train", ("steps",), 5),
        lambda: edits.rename_node(text, "train", "other"),
        lambda: edits.delete_node(text, "vae", unlink=True),
        lambda: edits.duplicate_node(text, "train", "other"),
        lambda: edits.replace_node(text, "train", edits.node_text(text, "train") + "more: 1\n"),
    ):
        with suppress(EditError):
            after = parse(edit())
            assert after.root is not None
            assert len(after.problems) <= len(parse(text).problems)


@pytest.mark.parametrize("name", sorted(shipped_graphs()))
def test_an_edited_graph_still_loads(name, tmp_path):
    text = shipped_graphs()[name]
    first = next(iter(parse(text).root.get("nodes").data))
    after = edits.rename_node(edits.set_param(text, "seed", 5), first, "another")
    before, found = load(tmp_path / "g.yaml", text=text), load(tmp_path / "g.yaml", text=after)
    assert [problem.message for problem in found.problems] == [problem.message for problem in before.problems]
    assert len(found.bound) == len(before.bound)
