"""Following a run by its folder: the same is seen however its log grew, how long it is, and whatever happened to it."""

import json
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.engine import following as package
from vflow.engine.following import Following, LogFilter, NodeRun, Origin, Selection, Series, gathering, origins
from vflow.engine.following import run as run_module
from vflow.engine.store import owners

BEGIN = 1_700_000_000.0
ELSEWHERE = "far~0000~1~7~1"
DEAD = owners.Owner(**{**vars(owners.myself()), "pid": 2**22 - 3, "started": 1}).name


def line(kind, node="", when=0.0, **more):
    return json.dumps({"time": BEGIN + when, "node": node, "kind": kind, **more}, separators=(",", ":")) + "\n"


def start(when=0.0, process=DEAD, **more):
    given = {"graph": "g", "profiles": [], "pid": 7, "process": process, "vflow": "0.1", **more}
    return line("run_started", when=when, **given)


def planned(*names, state="run"):
    return [line("node_planned", name, type="Toy", state=state, reason="never computed") for name in names]


def metrics(step, when=0.0, node="train", **values):
    return line(
        "metrics", node, when, step=step, values={name.replace("_", "/"): value for name, value in values.items()}
    )


def said(message, node="", level="info", when=0.0):
    return line("log", node, when, level=level, message=message)


def write(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def append(folder, *lines):
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("".join(lines))


def whole(folder):
    """Follow until nothing is left to be read."""
    found = Following(folder)
    return read(found)


def read(found):
    found.refresh()
    while not found.complete and not found.gone:
        found.refresh(0.0)
    found._judged = 0.0  # as if a second had passed
    found.refresh()
    return found


def seen(found):
    """All that is seen of a run."""
    return {
        "status": found.status,
        "nodes": {name: _still(run) for name, run in found.nodes.items()},
        "series": {name: one.between() for name, one in found.series.items()},
        "log": [found.log.line(n) for n in range(len(found.log))],
        "published": [one.path for one in found.published],
        "starts": found.starts,
        "damaged": [note for note in found.notes if "cannot be read" in note],
    }


# --- real runs --------------------------------------------------------------------------------------------------------


def test_a_run_is_seen_as_it_happened(vflow, graph):
    path = graph(
        {
            "words": "type: ToyWords, words: [one, two, skip]",
            "carve": "type: ToyCarve, inputs: {words: words}",
            "text": "type: ToyMeasure, inputs: {texts: carve}",
            "walk": "type: ToyWalk, inputs: {text: text}, steps: 5",
        },
        {"path": "walk.path"},
    )
    assert vflow("run", path, "--out", "run").code == 0
    found = whole(Path("run"))
    assert (found.status, found.graph, found.starts, found.notes) == ("done", "g", 1, [])
    assert {name: run.state for name, run in found.nodes.items()} == {
        "words": "light", "carve": "computed", "text": "computed", "walk": "computed",
    }  # fmt: skip
    assert (found.nodes["carve"].computed, found.nodes["carve"].done, found.nodes["carve"].total) == (2, 2, 2)
    assert found.nodes["walk"].type == "ToyWalk"
    assert found.nodes["walk"].figures == {"loss": 0.2}
    assert found.series["train/loss"].between() == [(n, 1 / n) for n in range(1, 6)]
    assert [one.path for one in found.published] == ["checkpoints/last.txt", "outputs/path/text.txt"]
    words = [found.log.line(n).message for n in range(len(found.log))]
    assert words[0].startswith("g, process ")
    assert "left out skip: it starts with skip" in words
    assert words[-1].startswith("done in ")
    assert vflow("run", path, "--out", "run").code == 0
    again = whole(Path("run"))
    assert again.notes == ["gone on with 1x"]
    assert again.nodes["carve"].state == "reused"


def test_a_failed_node_says_what_went_wrong_and_what_to_do(vflow, graph):
    path = graph(
        {"words": "type: ToyWords, words: [a, fail]", "carve": "type: ToyCarve, inputs: {words: words}",
         "text": "type: ToyMeasure, inputs: {texts: carve}"},
        {"text": "text"},
    )  # fmt: skip
    assert vflow("run", path, "--out", "run").code == 1
    found = whole(Path("run"))
    assert found.status == "failed"
    assert found.nodes["carve"].state == "failed"
    assert "the knife broke; take another" in found.nodes["carve"].failure
    assert "the knife broke; take another" in found.failure
    assert found.nodes["text"].state == "skipped"  # as only the summary says
    last = [found.log.line(n) for n in range(len(found.log)) if found.log.line(n).level == "error"]
    assert [one.node for one in last] == ["carve", "carve"]


# --- the same however it is read --------------------------------------------------------------------------------------

STEPS = st.integers(1, 30)
BEGUN = start(process=ELSEWHERE) + "".join(planned("train", "other"))
NODES = st.sampled_from(["", "train", "other"])
EVENTS = st.one_of(
    st.builds(metrics, STEPS, train_loss=st.floats(-1e6, 1e6), train_lr=st.floats(0, 1)),
    st.builds(metrics, STEPS, node=NODES, eval_loss=st.floats(0, 1)),
    st.builds(said, st.text(max_size=12), NODES, st.sampled_from(["info", "warning", "error"])),
    st.builds(lambda done: line("progress", "train", done=done, total=30, unit="step", figures={"loss": 0.5}), STEPS),
    st.builds(lambda n: line("node_started", "other", missing=n, total=n, reason=""), STEPS),
    st.builds(lambda n: line("item_finished", "other", item=f"{n}", label=f"i{n}", seconds=0.1), STEPS),
    st.builds(lambda n: line("node_finished", "other", state="failed" if n % 2 else "computed", computed=n), STEPS),
    st.builds(lambda n: line("published", "train", path=f"samples/step-{n:06d}/01-a-ball.mp4"), STEPS),
    st.just(BEGUN),
    st.just("\n"),
    st.just("no event\n"),
    st.just('{"time":1,"node":"x","kind":"metrics","step":\n'),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(EVENTS, max_size=40), tail=st.integers(1, 4000), block=st.integers(1, 1000), cut=st.integers(0, 40)
)
def test_the_same_is_seen_from_the_end_backwards_and_as_it_grows(lines, tail, block, cut, tmp_path_factory):
    lines = [BEGUN, *lines]
    folder = tmp_path_factory.mktemp("run")
    expected = seen(whole(write(folder / "whole", *lines)))
    sizes = gathering._TAIL, gathering._BLOCK
    gathering._TAIL, gathering._BLOCK = tail, block
    try:
        backwards = seen(whole(write(folder / "backwards", *lines)))
        growing = Following(write(folder / "growing", *lines[: cut + 1]))
        growing.refresh(0.0)
        append(folder / "growing", *lines[cut + 1 :])
        grown = seen(read(growing))
    finally:
        gathering._TAIL, gathering._BLOCK = sizes
    assert backwards == expected
    assert grown == expected


def _still(run):
    """Of items whose times were not read only the number is known, not how fast they came."""
    return NodeRun(**{name: getattr(run, name) for name in NodeRun.__slots__ if name not in ("rate", "remaining_s")})


@given(pieces=st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_at_all_are_too_much_for_it(pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "events.jsonl").write_bytes(b"\n".join([start().encode().strip(), *pieces, b""]))
    found = whole(folder)
    assert found.complete
    assert found.graph == "g"
    for n in range(len(found.log)):
        assert isinstance(found.log.line(n).message, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("time", "node", "type", "state", "step", "values", "done", "total", "figures", "level", "message", "path")
KINDS = ("node_planned", "node_started", "node_finished", "item_finished", "progress", "metrics", "log", "published")
OTHERS = ("run_finished", "left_out", "fetched", "news")


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from((*KINDS, *OTHERS)), more=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_events_that_are_not_what_they_should_be_take_nothing_with_them(kind, more, tmp_path_factory):
    strange = json.dumps({"time": BEGIN, "node": "a", "kind": kind, **more}) + "\n"
    folder = write(tmp_path_factory.mktemp("run"), start(), *planned("a"), strange, metrics(3, train_loss=0.5))
    found = whole(folder)
    assert found.series["train/loss"].newest == (3, 0.5)
    for n in range(len(found.log)):
        assert found.log.line(n).level in package.LEVELS


# --- long logs --------------------------------------------------------------------------------------------------------


def test_how_a_run_stands_is_known_before_what_is_long_ago(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "_TAIL", 500)
    monkeypatch.setattr(gathering, "_BLOCK", 2000)
    old = [metrics(n, n, train_loss=1 / n) for n in range(1, 400)]
    items = [line("item_finished", "clips", n, item=str(n), label=f"clip {n}", seconds=0.1) for n in range(50)]
    begun = line("node_started", "clips", missing=50, total=60, reason="")
    done = line("node_finished", "clips", state="computed", seconds=9.0, computed=50, reused=10)
    folder = write(
        tmp_path / "run", start(process=ELSEWHERE), *planned("clips", "train"), begun, *items, done,
        line("node_started", "train", missing=1, total=1, reason="new"), *old, metrics(400, 400, train_loss=0.25),
    )  # fmt: skip
    found = Following(folder)
    while not found.known:
        found.refresh(0.0)
    assert not found.complete
    assert 0 < found.share_read < 1
    assert found.series["train/loss"].newest == (400, 0.25)
    assert found.series["train/loss"].first > 200
    clips, train = found.nodes.values()
    assert (clips.state, clips.computed, clips.reused) == ("computed", 50, 10)
    assert (train.state, train.reason) == ("running", "new")
    read(found)
    assert (found.share_read, found.series["train/loss"].first) == (1.0, 1)


def test_items_that_were_finished_long_ago_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "_TAIL", 300)
    monkeypatch.setattr(gathering, "_BLOCK", 500)
    items = [line("item_finished", "clips", n, item=str(n), label=f"clip {n}", seconds=0.1) for n in range(70)]
    begun = line("node_started", "clips", missing=90, total=90, reason="")
    found = whole(write(tmp_path / "run", start(process=ELSEWHERE), *planned("clips"), begun, *items))
    assert (found.nodes["clips"].done, found.nodes["clips"].total, found.nodes["clips"].unit) == (70, 90, "item")


def test_a_position_in_the_log_stays_when_older_lines_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "_TAIL", 400)
    monkeypatch.setattr(gathering, "_BLOCK", 400)
    found = Following(write(tmp_path / "run", start(), *(said(f"line {n}", when=n) for n in range(100))))
    found.refresh(0.0)
    assert found.log.at(found.log.end - 1).message == "line 99"
    position = found.log.first
    before = found.log.at(position)
    read(found)
    assert found.log.first < position
    assert found.log.at(position) == before
    assert [found.log.line(n).message for n in range(1, 101)] == [f"line {n}" for n in range(100)]
    with pytest.raises(IndexError):
        found.log.at(found.log.end)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(), ["begun", "careful", "broken"]),
        (LogFilter(level="detail"), ["begun", "clip 1 in 0.1 s", "careful", "broken"]),
        (LogFilter(level="warning"), ["careful", "broken"]),
        (LogFilter(level="error"), ["broken"]),
        (LogFilter(node="train"), ["careful", "broken"]),
        (LogFilter(node="nobody"), []),
        (LogFilter(text="BROK"), ["broken"]),
        (LogFilter(text="train"), ["careful", "broken"]),
        (LogFilter(node="", text="e"), ["begun"]),
    ],
)
def test_the_log_is_filtered_by_node_level_and_text(tmp_path, wanted, expected):
    item = line("item_finished", "clips", item="1", label="clip 1", seconds=0.1)
    lines = [said("begun"), item, said("careful", "train", "warning"), said("broken", "train", "error")]
    found = whole(write(tmp_path / "run", *lines))
    selection = Selection(found.log, wanted)
    while not selection.complete:
        selection.refresh(0.0)
    numbers = range(selection.first, selection.end)
    assert [found.log.at(selection.position(number)).message for number in numbers] == expected
    append(found.folder, said("broken by train", "train", "error"))
    found.refresh()
    assert selection.refresh() == (wanted.level in ("info", "warning", "error", "detail") and _fits(wanted))


def _fits(wanted):
    # one that lets everything through has nothing to look for
    return wanted.level != "detail" and wanted.node in (None, "train")


# --- metrics ----------------------------------------------------------------------------------------------------------

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200)


@settings(max_examples=40, deadline=None)
@given(values=VALUES, times=st.integers(1, 400), older=st.booleans(), most=st.integers(4, 60))
def test_a_series_is_bounded_and_keeps_its_extremes(values, times, older, most):
    values = (values * times)[:40_000]
    steps = list(range(1, len(values) + 1))
    series = Series("loss", "train")
    for begin in range(0, len(values), 1000):
        some = slice(begin, begin + 1000)
        if older:
            series.add_older(steps[::-1][some], values[::-1][some])
        else:
            series.add(steps[some], values[some])
    assert len(series) <= 20_000
    assert (series.first, series.last, series.newest) == (1, steps[-1], (steps[-1], values[-1]))
    for points in (series.between(), series.between(None, None, most)):
        assert min(value for _, value in points) == min(values)
        assert max(value for _, value in points) == max(values)
        assert all(values[step - 1] == value for step, value in points)
        assert all(a < b for (a, _), (b, _) in pairwise(points))
    assert len(series.between(None, None, most)) <= most
    assert all(10 <= step <= 20 for step, _ in series.between(10, 20))


def test_where_a_run_was_gone_on_with_from_an_earlier_step_the_newer_values_count(tmp_path, monkeypatch):
    first = [metrics(n, n, train_loss=1.0) for n in range(1, 31)]
    again = [metrics(n, 100 + n, train_loss=2.0) for n in range(21, 41)]
    folder = write(tmp_path / "run", start(), *first, start(100), *again)
    expected = [(n, 1.0 if n < 21 else 2.0) for n in range(1, 41)]
    assert whole(folder).series["train/loss"].between() == expected
    monkeypatch.setattr(gathering, "_TAIL", 700)
    monkeypatch.setattr(gathering, "_BLOCK", 300)
    assert whole(folder).series["train/loss"].between() == expected


def test_equal_metrics_of_two_nodes_are_kept_apart_and_what_is_no_number_is_left_out(tmp_path):
    lines = [metrics(1, node="a", train_loss=1.0), metrics(1, node="b", train_loss=2.0, train_lr=0.5)]
    strange = line("metrics", "b", step=2, values={"train/loss": None, "train/lr": 0.25})
    infinite = line("metrics", "b", step=3, values={"train/lr": 1}).replace(":1}", ":Infinity}")
    found = whole(write(tmp_path / "run", start(), *lines, strange, infinite))
    assert {name: one.newest for name, one in found.series.items()} == {
        "train/loss (a)": (1, 1.0), "train/loss (b)": (1, 2.0), "train/lr": (2, 0.25),
    }  # fmt: skip


def test_rate_and_remaining_time_are_those_of_the_last_half_minute(tmp_path):
    slow = [line("progress", "train", n, done=n, total=200, unit="step", figures={}) for n in range(1, 41)]
    fast = [line("progress", "train", 40 + n / 10, done=40 + n, total=200) for n in range(1, 101)]
    folder = write(
        tmp_path / "run", start(), *planned("train"), line("node_started", "train", missing=1, total=1), *slow
    )
    found = whole(folder)
    found.refresh()
    assert found.nodes["train"].state == "interrupted"  # its process is gone
    append(folder, start(50, process=owners.myself().name), *planned("train"), *slow, *fast)
    read(found)
    run = found.nodes["train"]
    assert (run.state, run.done, run.total) == ("running", 140, 200)
    assert 1.0 < run.rate < 10.0
    assert run.remaining_s == pytest.approx(60 / run.rate)


# --- what happens to folders ------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_said_once_the_run_is_over_and_read_once_it_is_whole(tmp_path):
    torn = said("the last word").rstrip()
    folder = write(tmp_path / "run", start(), said("before"), torn[:20])
    found = whole(folder)
    assert (found.status, len(found.log)) == ("died", 2)
    assert "its last line is cut off" in found.notes
    append(folder, torn[20:], "\n")
    read(found)
    assert found.log.line(-1).message == "the last word"
    assert "its last line is cut off" not in found.notes


def test_damaged_lines_are_counted_and_shown(tmp_path):
    found = whole(write(tmp_path / "run", start(), "half a li\n", said("after")))
    assert found.notes == ["1 line of the log cannot be read"]
    assert (found.log.line(1).level, found.log.line(1).message) == ("warning", "unreadable: half a li")
    append(found.folder, "\x00\x01\n")
    found.refresh()
    assert found.notes == ["2 lines of the log cannot be read"]


def test_a_folder_that_vanishes_stays_in_sight_and_may_come_back(tmp_path):
    folder = write(tmp_path / "run", start(), *planned("train"), said("here"))
    found = whole(folder)
    folder.rename(tmp_path / "away")
    assert found.refresh()
    assert found.gone
    assert found.notes == ["the folder is gone"]
    assert "train" in found.nodes
    assert found.log.line(1).message == "here"
    (tmp_path / "away").rename(folder)
    read(found)
    assert found.notes == []
    shutil.rmtree(folder)
    found.refresh()
    assert found.gone


def test_a_folder_that_was_never_there_is_said_to_be_gone_and_one_that_begins_is_waited_for(tmp_path):
    found = Following(tmp_path / "run")
    found.refresh()
    assert (found.gone, found.known, found.notes) == (True, False, ["the folder is gone"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "console.log").touch()
    found.refresh()
    assert (found.gone, found.started) == (False, None)
    write(tmp_path / "run", start(process=owners.myself().name))
    read(found)
    assert (found.status, found.started) == ("running", BEGIN)


@pytest.mark.parametrize("how", ["cut", "replaced", "rewritten"])
def test_a_log_that_is_another_one_is_read_anew_and_that_is_said(tmp_path, how):
    folder = write(tmp_path / "run", start(graph="old"), *planned("a", "b"), said("one"), said("two"))
    found = whole(folder)
    log = found.log
    if how == "cut":
        os.truncate(folder / "events.jsonl", len(start(graph="old")))
    elif how == "replaced":
        shutil.copytree(folder, tmp_path / "other")
        (tmp_path / "other" / "events.jsonl").replace(folder / "events.jsonl")
    else:
        with (folder / "events.jsonl").open("r+") as file:  # longer than before, and the same file
            file.write(start(graph="new") + said("x" * 2000) + "".join(planned("c")))
    read(found)
    assert "the log was replaced or cut, and read anew" in found.notes
    assert found.log is not log
    assert (found.graph, list(found.nodes)) == {
        "cut": ("old", []), "replaced": ("old", ["a", "b"]), "rewritten": ("new", ["c"])
    }[how]  # fmt: skip


def test_a_run_that_is_gone_on_with_begins_anew_and_its_log_goes_on(tmp_path):
    end = line("run_finished", status="interrupted", seconds=5.0, saved_seconds=0.0)
    folder = write(tmp_path / "run", start(), *planned("a"), said("lost", "a", "error"), end)
    found = whole(folder)
    assert (found.status, found.errors, found.finished) == ("interrupted", ["lost"], BEGIN)
    append(folder, start(100, process=owners.myself().name), *planned("a", "b"))
    read(found)
    assert (found.status, found.errors, found.finished, found.starts) == ("running", [], None, 2)
    assert found.nodes["a"].failure == ""
    assert list(found.nodes) == ["a", "b"]
    assert found.notes == ["gone on with 1x"]
    assert len(found.log) == 4


@pytest.mark.parametrize(
    ("process", "status", "alive", "elsewhere"),
    [
        (owners.myself().name, "running", True, ""),
        (DEAD, "died", False, ""),
        (ELSEWHERE, "unfinished", None, "far"),
        ("", "unfinished", None, ""),
    ],
    ids=["here", "gone", "elsewhere", "untold"],
)
def test_a_run_without_an_end_is_judged_by_its_process(tmp_path, process, status, alive, elsewhere):
    begun = line("node_started", "a", missing=1, total=1)
    found = whole(write(tmp_path / "run", start(process=process), *planned("a"), begun))
    assert (found.status, found.alive, found.elsewhere) == (status, alive, elsewhere)
    assert found.nodes["a"].state == ("interrupted" if status == "died" else "running")
    assert (found.process_bytes is not None) == (status == "running")


def test_a_process_that_dies_while_it_is_followed_is_noticed(tmp_path, monkeypatch):
    found = whole(write(tmp_path / "run", start(process=owners.myself().name)))
    assert found.status == "running"
    monkeypatch.setattr(run_module.watching, "standing", lambda _process: "died")
    read(found)
    assert found.status == "died"


def test_clocks_that_are_apart_are_said_and_make_no_time_negative(tmp_path):
    ahead = time.time() + 3600 - BEGIN
    found = whole(write(tmp_path / "run", start(ahead, process=owners.myself().name), said("early", when=ahead)))
    assert found.elapsed_s == 0.0
    assert found.notes == ["the clock of its machine is 60 min ahead of this one's"]
    back = whole(write(tmp_path / "back", start(100), said("one", when=50)))  # set back while it ran
    assert back.elapsed_s == 0.0


def test_what_was_exported_is_there_once_the_run_is_over(tmp_path):
    folder = write(tmp_path / "run", start(), line("published", "train", path="samples/step-000020/01-a-red-ball.mp4"))
    (folder / "outputs/videos").mkdir(parents=True)
    for name in ("videos/01-a-red-ball.mp4", "picture.png", "lora.safetensors", "card.md", ".hidden.mp4"):
        (folder / "outputs" / name).touch()
    append(folder, line("run_finished", status="done", seconds=1.0, saved_seconds=0.0))
    summary = {"status": "done", "seconds": 1.0, "saved_seconds": 0.0, "nodes": {}}
    (folder / "summary.json").write_text(json.dumps(summary))
    found = whole(folder)
    assert [(one.path, one.kind, one.step, one.prompt) for one in found.published] == [
        ("samples/step-000020/01-a-red-ball.mp4", "clip", 20, "a red ball"),
        ("outputs/card.md", "other", None, ""),
        ("outputs/lora.safetensors", "adapter", None, ""),
        ("outputs/picture.png", "image", None, "picture"),
        ("outputs/videos/01-a-red-ball.mp4", "clip", None, "a red ball"),
    ]


def test_a_summary_that_is_none_is_passed_over(tmp_path):
    folder = write(tmp_path / "run", start(), *planned("a"))
    (folder / "summary.json").write_text('["not", "a summary"]')
    assert whole(folder).status == "died"
    (folder / "summary.json").write_text("{")
    assert whole(folder).status == "died"


def test_a_node_waits_for_another_process_until_its_result_is_there(tmp_path):
    me = owners.myself().name
    folder = write(tmp_path / "run", start(process=me), *planned("train"), line("node_waiting", "train", holder="p 7"))
    found = whole(folder)
    assert (found.nodes["train"].state, found.nodes["train"].holder) == ("waiting", "p 7")
    assert not found.nodes["train"].ended
    append(folder, line("node_finished", "train", 3.0, state="reused", reused=1))
    found.refresh()
    assert (found.nodes["train"].state, found.nodes["train"].holder) == ("reused", "p 7")
    died = write(tmp_path / "died", start(), *planned("train"), line("node_waiting", "train", holder="p 7"))
    assert whole(died).nodes["train"].state == "run"  # it was never begun


def test_the_run_that_computed_a_result_is_found_by_its_key_and_one_that_computes_it_by_its_process(tmp_path):
    def ended(name, state, count, *lines, key="abc"):
        folder = write(tmp_path / name, start(), *lines)
        items = {"computed": 0, "reused": 0, **count}
        nodes = {"train": {"state": state, "items": items, "seconds": 1.0}}
        summary = {"status": "done", "seconds": 1.0, "nodes": nodes, "keys": {"train": key}}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    mine = ended("mine", "reused", {"reused": 1})
    took_it_too = ended("again", "reused", {"reused": 1}, metrics(1, train_loss=9.0))
    ended("silent", "computed", {"computed": 1})
    ended("other", "computed", {"computed": 1}, metrics(1, train_loss=9.0), key="xyz")
    (write(tmp_path / "broken", "no event\n") / "summary.json").write_text("[")
    nodes = {"train": NodeRun(state="reused", reused=1)}
    assert origins(mine, nodes) == []
    first = ended("first", "computed", {"computed": 1}, metrics(1, train_loss=2.0))
    assert origins(mine, nodes) == [Origin(first, {"train": "train"})]
    assert took_it_too not in [one.folder for one in origins(mine, nodes)]
    live = write(tmp_path / "live", start(process=owners.myself().name), metrics(1, train_loss=1.0))
    waits = {"train": NodeRun(state="waiting", holder=owners.myself().words)}
    assert [one.folder for one in origins(write(tmp_path / "waits", start()), waits)] == [live]
    assert origins(tmp_path / "nowhere" / "run", waits) == []
