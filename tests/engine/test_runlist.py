"""The runs below a folder as a list: read from the ends of their logs, read again only where something changed."""

import io
import json
import os
import shutil
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine import runlist, watching
from vflow.engine.runlist import RunList, in_order, read_row, searched
from vflow.engine.store import owners

NODES = {
    "words": "type: ToyWords, words: [one, two]",
    "carve": "type: ToyCarve, inputs: {words: words}",
    "measure": "type: ToyMeasure, inputs: {texts: carve}",
    "walk": "type: ToyWalk, inputs: {text: measure}, steps: 4",
}


@pytest.fixture
def runs(vflow, graph, tmp_path):
    """Run two graphs, one of them twice; return the folder."""
    path, short = (
        graph(NODES, {"path": "walk.path"}),
        graph({"words": NODES["words"], "carve": NODES["carve"]}, name="short"),
    )
    for number, one in enumerate((path, path, short)):
        vflow("run", one, "--out", f"runs/r{number}")
        os.utime(f"runs/r{number}/events.jsonl", (1000 + number, 1000 + number))
    return tmp_path / "runs"


def listed(folder, **options):
    found = RunList(folder, **options)
    list(found.refresh())
    return found


def test_a_row_says_what_the_run_was_and_how_it_went(runs):
    found = {row.name: row for row in listed(runs).rows}
    assert [row.name for row in listed(runs).rows] == ["r2", "r1", "r0"]
    first, again, short = found["r0"], found["r1"], found["r2"]
    assert (first.graph, first.state, first.computed, first.reused) == ("g", "done", 4, 0)
    assert first.loss == (4, 0.25)
    assert (again.computed, again.reused) == (0, 4)
    assert (short.graph, short.loss) == ("short", None)
    assert abs(time.time() - first.began) < 3600


def test_only_what_changed_is_read_again(runs, monkeypatch):
    found, read = listed(runs), []
    monkeypatch.setattr(
        runlist, "read_row", lambda path, before=None: (read.append(path.name), read_row(path, before))[1]
    )
    rows = found.rows
    assert list(found.refresh()) == [False]
    assert (read, found.rows is rows) == ([], True)
    (runs / "r1" / "summary.json").write_text('{"status": "failed", "seconds": 1, "nodes": {}, "failure": "broke"}')
    shutil.rmtree(runs / "r0")
    list(found.refresh())
    assert read == ["r1"]
    assert [(row.name, row.state, row.failure) for row in found.rows] == [("r2", "done", ""), ("r1", "failed", "broke")]


def test_a_run_without_a_summary_goes_on_or_died_as_its_process_is_seen(runs):
    events, mine = runs / "r0" / "events.jsonl", owners.myself().name
    (runs / "r0" / "summary.json").unlink()
    found = listed(runs)
    assert {row.name: row.state for row in found.rows}["r0"] == "running"
    row = next(row for row in found.rows if row.name == "r0")
    assert row.took(row.began + 7) == 7
    events.write_text(events.read_text().replace(mine, mine.replace(f"~{os.getpid()}~", "~1~")))
    list(found.refresh())
    assert {row.name: row.state for row in found.rows}["r0"] == "died"


def test_a_run_that_was_gone_on_with_counts_from_its_last_start(runs):
    events = runs / "r0" / "events.jsonl"
    lines = events.read_text().splitlines()
    (runs / "r0" / "summary.json").unlink()
    start = json.loads(lines[0])
    before = read_row(runs / "r0")
    with events.open("a") as file:
        file.write(json.dumps(start | {"time": start["time"] + 500}, separators=(",", ":")) + "\n")
    assert read_row(runs / "r0").began == before.began + 500
    assert read_row(runs / "r0", before).began == before.began + 500


def test_what_is_broken_is_listed_all_the_same(runs):
    (runs / "r0" / "summary.json").write_text("{}")
    (runs / "r1" / "events.jsonl").write_text("")
    (runs / "r2" / "events.jsonl").unlink()
    (runs / "r2" / "events.jsonl").mkdir()
    rows = {row.name: row for row in listed(runs).rows}
    assert rows["r0"].state == "running"
    assert (rows["r1"].graph, rows["r1"].state) == ("", "done")
    assert rows["r2"].failure.startswith("its events cannot be read")


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path):
    found = listed(tmp_path / "nowhere")
    assert (found.rows, "there is no folder" in found.problem) == ((), True)
    (tmp_path / "file").write_text("")
    assert "cannot be read" in listed(tmp_path / "file").problem


def test_no_more_than_the_newest_are_listed(runs):
    found = listed(runs, most=2)
    assert ([row.name for row in found.rows], found.left_out) == (["r2", "r1"], 1)


def test_rows_are_searched_by_every_word_and_sorted_by_any_column(runs):
    rows = listed(runs).rows
    assert [row.name for row in searched(rows, "SHORT done")] == ["r2"]
    assert [row.name for row in searched(rows, time.strftime("%Y"))] == ["r2", "r1", "r0"]
    assert searched(rows, "short failed") == []
    order = lambda by, reverse=False: [row.name for row in in_order(rows, by, reverse, time.time())]  # noqa: E731
    assert order("began") == order("began", True)[::-1] == ["r2", "r1", "r0"]
    assert (order("name"), order("graph")[-1], order("reused")[-1]) == (["r0", "r1", "r2"], "r2", "r0")
    assert order("loss")[0] == order("loss", True)[0] == "r0"  # the others have none
    assert order("took") == order("took", True)[::-1]


@given(
    st.lists(st.text("abM\r", max_size=12), max_size=30),
    st.booleans(),
    st.integers(1, 40),
    st.none() | st.integers(0, 200),
)
def test_lines_are_found_from_the_end_as_from_the_beginning(lines, torn, piece, most):
    data = "\n".join(lines).encode() + (b"" if torn else b"\n")
    *whole, _ = data.split(b"\n")
    expected, at = [], 0
    for line in whole:
        if b"MM" in line and (most is None or at >= len(data) - most):
            expected.append((at, line))
        at += len(line) + 1
    before, watching._CHUNK = watching._CHUNK, piece
    try:
        found = list(watching.lines_back(io.BytesIO(data), b"MM", most))
    finally:
        watching._CHUNK = before
    # the first line within reach may begin before it, which cannot be told
    assert found in (expected[::-1], expected[:0:-1])
