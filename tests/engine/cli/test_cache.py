"""`vflow cache` on the command line: listing, pinning, removing and collecting what runs have left."""

import io
import json
import sys

import pytest

WORDS = "type: ToyWords, words: [one, two, three]"
NODES = {
    "words": WORDS,
    "carve": "type: ToyCarve, inputs: {words: words}",
    "measure": "type: ToyMeasure, inputs: {texts: carve}",
    "walk": "type: ToyWalk, inputs: {text: measure}, steps: 3",
}
FULL = ["carve one", "carve two", "carve three", "measure"]


@pytest.fixture
def path(graph):
    return graph(NODES, {"path": "walk.path"})


@pytest.fixture
def short(graph):
    nodes = {name: NODES[name] for name in ("words", "carve", "measure")}
    return graph(nodes, {"text": "measure"}, name="short")


@pytest.fixture
def listed(vflow):
    """Return what `cache ls --json` says."""
    return lambda *words: json.loads(vflow("cache", "ls", "--json", *words).out)


def test_what_the_store_holds_is_listed_by_graph_node_type_result_and_run(vflow, path, listed):
    vflow("run", path)
    vflow("run", path)
    lines = vflow("cache", "ls").out.splitlines()
    assert lines[0].split()[:5] == ["GRAPH", "NODE", "TYPE", "RESULTS", "SIZE"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["g", "carve", "ToyCarve", "3"], ["g", "measure", "ToyMeasure", "1"], ["g", "walk", "ToyWalk", "1"],
    ]  # fmt: skip
    assert [(row["graph"], row["results"]) for row in listed("--by", "graph")] == [("g", 5)]
    assert [row["type"] for row in listed("--by", "type")] == ["ToyCarve", "ToyMeasure", "ToyWalk"]
    results = listed("--by", "result")
    assert len(results) == 5
    assert [row["kept"] for row in results if row["node"] == "walk"] == [["training"]]
    runs = listed("--by", "run")
    assert [(run["graph"], run["results"], run["state"]) for run in runs] == [("g", 5, "ended")] * 2
    assert all(run["folder"].endswith("-g") or "-g-" in run["folder"] for run in runs)
    assert next(row["node"] for row in listed("--sort", "size")) == "walk"
    assert len(vflow("cache", "ls", "--by", "run").out.splitlines()) == 3


def test_a_list_is_narrowed_by_graph_node_type_run_and_key(vflow, path, short, listed):
    vflow("run", path)
    vflow("run", short)
    assert [row["node"] for row in listed("--node", "carve")] == ["carve"]
    assert listed("--graph", "short") == []  # it reused what the other graph computed
    assert sum(row["results"] for row in listed("--run", "last")) == 4
    (row,) = listed("--type", "ToyWalk", "--by", "result")
    assert [found["key"] for found in listed(row["key"][:10], "--by", "result")] == [row["key"]]
    assert vflow("cache", "ls", "--run", "nothing").code == 2


def test_one_result_is_shown_with_its_pin(vflow, path, listed):
    vflow("run", path)
    (row,) = listed("--node", "walk", "--by", "result")
    assert json.loads(vflow("cache", "show", row["key"][:12]).out)["pinned"] is False
    assert vflow("cache", "pin", row["key"][:12], "--note", "the good one").code == 0
    shown = json.loads(vflow("cache", "show", row["key"][:12]).out)
    assert (shown["node_type"], shown["pinned"], shown["note"]) == ("ToyWalk", True, "the good one")


def test_removing_asks_first_and_what_was_removed_is_computed_again(vflow, path, monkeypatch):
    vflow("run", path)
    refused = vflow("cache", "rm", "--node", "measure")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    dry = vflow("cache", "rm", "--node", "measure", "--dry-run")
    assert (dry.code, "would go" in dry.out) == (0, True)
    assert vflow("run", path).done == ["words"]
    terminal = io.StringIO("no\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    said = vflow("cache", "rm", "--node", "measure")
    assert (said.code, "nothing was removed" in said.err) == (1, True)
    removed = vflow("cache", "rm", "--node", "measure", "--yes")
    assert (removed.code, "1 result" in removed.out) == (0, True)
    assert vflow("run", path).done == ["words", "measure"]


def test_removing_needs_to_know_what(vflow, path):
    vflow("run", path)
    for words in ((), ("--node", "nothing"), ("feed",)):
        assert vflow("cache", "rm", *words, "--yes").code == 2
    assert vflow("run", path).done == ["words"]


def test_the_beginning_of_a_key_that_fits_several_results_removes_none(vflow, graph, listed):
    words = ", ".join(f"w{n}" for n in range(20))
    path = graph({"words": f"type: ToyWords, words: [{words}]", "carve": NODES["carve"]}, name="many")
    vflow("run", path)
    keys = [row["key"] for row in listed("--by", "result")]
    first = next(key[0] for key in keys if sum(other[0] == key[0] for other in keys) > 1)
    result = vflow("cache", "rm", first, "--yes")
    assert (result.code, "write more of the key" in result.err) == (2, True)
    assert vflow("run", path).done == ["words"]


def test_what_is_pinned_survives_removal_and_collection(vflow, path):
    vflow("run", path)
    assert "pinned 3 results" in vflow("cache", "pin", "--node", "carve").out
    stays = vflow("cache", "rm", "--node", "carve", "--yes")
    assert (stays.code, stays.err.count("it is pinned")) == (1, 3)
    assert vflow("cache", "gc", "--older-than", "0").code == 0
    assert vflow("run", path).done == ["words", "measure"]  # neither what is pinned nor the training
    assert "unpinned 3 results" in vflow("cache", "unpin", "--node", "carve").out
    vflow("cache", "gc", "--max-size", "0", "--trainings")
    assert vflow("run", path).done == ["words", *FULL, "step 0", "step 1", "step 2"]


def test_collecting_keeps_what_the_last_runs_used(vflow, path, short):
    vflow("run", path)
    vflow("run", short)
    told = vflow("cache", "gc", "--keep-runs", "1", "--trainings", "--dry-run")
    assert "1 result, 1 training state" in told.out
    vflow("cache", "gc", "--keep-runs", "1", "--trainings")
    assert vflow("run", short).done == ["words"]
    assert vflow("run", path).done == ["words", "step 0", "step 1", "step 2"]


def test_a_trial_collects_nothing(vflow, path):
    vflow("run", path)
    assert "would go" in vflow("cache", "gc", "--max-size", "0", "--dry-run").out
    assert vflow("run", path).done == ["words"]


def test_without_limits_nothing_that_is_known_goes(vflow, path):
    vflow("run", path)
    assert "nothing to remove" in vflow("cache", "gc").out
    assert vflow("run", path).done == ["words"]


def test_wrong_sizes_and_times_are_refused(vflow):
    for words in (("--max-size", "much"), ("--older-than", "7"), ("--keep-runs", "-1")):
        assert vflow("cache", "gc", *words).code == 2


def test_a_longer_walk_goes_on_after_a_collection(vflow, graph):
    vflow("run", graph(NODES, {"path": "walk.path"}))
    vflow("cache", "gc", "--max-size", "0")
    longer = graph({**NODES, "walk": NODES["walk"].replace("3", "5")}, {"path": "walk.path"})
    assert vflow("run", longer).done == ["words", *FULL, "step 3", "step 4"]


def test_a_run_that_exceeds_the_quota_says_so_or_collects(vflow, path, graph):
    vflow("config", "set", "max_size", "2kB")
    said = vflow("run", path)
    assert said.code == 0
    assert "more than the 2.0 kB that you allow; `vflow cache gc`" in said.err
    assert vflow("run", path).done == ["words"]
    assert "that you allow" not in vflow("run", path).err  # nothing was computed
    vflow("config", "set", "auto_collect", "true")
    other = graph({"words": "type: ToyWords, words: [x]", "carve": NODES["carve"]}, name="other")
    assert "collected" in vflow("run", other).err
    vflow("config", "unset", "auto_collect")
    assert "went" in vflow("cache", "gc").out or "nothing to remove" in vflow("cache", "gc").out


def test_settings_with_mistakes_stop_a_collection(vflow, tmp_path):
    (tmp_path / "config/vflow").mkdir(parents=True)
    (tmp_path / "config/vflow/config.yaml").write_text("max_sise: 3\n")
    result = vflow("cache", "gc")
    assert (result.code, "did you mean 'max_size'?" in result.err) == (2, True)
