"""Stopping and going on with a run from outside: what its folder says of how it was started, and what became of it."""

import json
import os
import signal
from pathlib import Path

import pytest

from vflow.engine import steering
from vflow.engine.history import read_run
from vflow.engine.problems import Failure, GraphError
from vflow.engine.store import owners

NODES = {"words": "type: ToyWords, words: [one, '${word}']", "carve": "type: ToyCarve, inputs: {words: words}"}
MORE = "params: {word: two}\nprofiles:\n  short: {params: {word: three}}"
ELSEWHERE = "far~0000~1~7~1"


@pytest.fixture
def stopped(vflow, graph):
    """A run that was started with choices, and interrupted."""
    path = graph(NODES, {"texts": "carve"}, more=MORE)
    choices = ("--profile", "short", "--set", "word=four", "--force", "carve")
    assert vflow("run", path.name, *choices, "--out", "run").code == 0
    end("run", "interrupted")
    return path


def end(folder, status, **more):
    """Have a run ended in another way."""
    data = json.loads((Path(folder) / "summary.json").read_text())
    (Path(folder) / "summary.json").write_text(json.dumps({**data, "status": status, **more}))


def begun(folder, **fields):
    """Change what the run says of its start."""
    events = Path(folder) / "events.jsonl"
    first, _, rest = events.read_text().partition("\n")
    events.write_text(json.dumps({**json.loads(first), **fields}, separators=(",", ":")) + "\n" + rest)


def test_the_same_command_goes_on_in_the_same_folder_and_store(stopped, vflow, tmp_path):
    how = steering.going_on(Path("run"))
    store = str(tmp_path / "store")
    choices = ("--profile", "short", "--set", "word=four")
    assert how.words == ("run", "g.yaml", *choices, "--cache", store, "--out", str(tmp_path / "run"))
    assert (how.place, how.as_it_ran, how.because) == (tmp_path, False, "")
    again = vflow(*how.words)
    assert again.code == 0
    assert again.done == ["words"]  # nothing is forced again
    assert read_run(Path("run")).status == "done"


def test_a_graph_that_was_changed_since_can_be_taken_as_it_ran(stopped, vflow, tmp_path):
    stopped.write_text(stopped.read_text().replace("one", "uno"))
    how = steering.going_on(Path("run"))
    assert (how.as_it_ran, how.because) == (False, "g.yaml was changed since")
    ran = steering.going_on(Path("run"), as_it_ran=True)
    kept = str(tmp_path / "run/graph.yaml")
    assert ran.words == ("run", kept, "--cache", str(tmp_path / "store"), "--out", str(tmp_path / "run"))
    assert vflow(*ran.words).done == ["words"]


def test_a_comment_is_no_change(stopped):
    stopped.write_text(stopped.read_text() + "# a word more\n")
    assert steering.going_on(Path("run")).because == ""


@pytest.mark.parametrize("broken", ["gone", "nodes: {a: {type: Nothing}}\nvflow: 1\n"])
def test_where_the_file_cannot_be_run_any_more_the_run_goes_on_as_it_ran(stopped, broken):
    stopped.unlink() if broken == "gone" else stopped.write_text(broken)
    how = steering.going_on(Path("run"))
    assert how.as_it_ran
    assert how.because
    with pytest.raises(GraphError, match="go on with the graph as it ran"):
        steering.going_on(Path("run"), as_it_ran=False)
    (Path("run") / "graph.yaml").unlink()
    with pytest.raises(GraphError, match="start it anew"):
        steering.going_on(Path("run"))


@pytest.mark.parametrize("command", [[], ["run", "g.yaml", "--set", "key=***"]])
def test_a_command_that_was_not_kept_whole_is_not_called(stopped, command):
    begun("run", command=command)
    how = steering.going_on(Path("run"))
    assert how.as_it_ran
    assert how.words[:2] == ("run", str(Path("run/graph.yaml").absolute()))
    assert "not kept" in how.because


def test_a_path_below_the_home_folder_is_found_again(stopped, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    begun("run", command=["run", "~/g.yaml", "--profile", "short", "--set", "word=four", "--cache", "~/store"], cwd="~")
    how = steering.going_on(Path("run"))
    assert how.words[1] == str(tmp_path / "g.yaml")
    assert str(tmp_path / "store") in how.words
    assert (how.place, how.because) == (tmp_path, "")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("done", "is done; start its graph again"),
        ("running", "goes on already"),
        ("unfinished", "go on with it where it ran"),
    ],
)
def test_what_cannot_be_gone_on_with_says_why(stopped, status, said):
    if status == "done":
        end("run", "done")
    else:
        (Path("run") / "summary.json").unlink()
        begun("run", process=owners.myself().name if status == "running" else ELSEWHERE)
    with pytest.raises(GraphError, match=said):
        steering.going_on(Path("run"))


def test_the_folder_that_it_was_started_in_may_be_gone(stopped, tmp_path):
    begun("run", cwd=str(tmp_path / "gone"))
    with pytest.raises(GraphError, match="was started in is gone"):
        steering.going_on(Path("run"))


def test_a_run_is_asked_by_signals_and_only_where_that_is_possible(stopped, monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)) if number else None)
    with pytest.raises(GraphError, match="does not go on: interrupted"):
        steering.ask_to_stop(read_run(Path("run")))
    (Path("run") / "summary.json").unlink()
    begun("run", process=ELSEWHERE)
    with pytest.raises(GraphError, match="stop it where it runs"):
        steering.ask_to_stop(read_run(Path("run")))
    assert sent == []
    begun("run", process=owners.myself().name)
    steering.ask_to_stop(read_run(Path("run")))
    steering.ask_to_stop(read_run(Path("run")), now=True)
    me = os.getpid()
    assert sent == [(me, signal.SIGTERM), (me, signal.SIGTERM), (me, signal.SIGINT)]

    def refused(pid, number):
        if number:
            raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    with pytest.raises(Failure, match="another user"):
        steering.ask_to_stop(read_run(Path("run")))
