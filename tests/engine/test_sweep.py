"""`vflow sweep`: the grid, what is computed once, and the table of results."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.problems import GraphError
from vflow.engine.sweeping import Figure, Result, grid, split, told_by

WORDS = "type: ToyWords, words: [one, two, three]"
CARVE = "type: ToyCarve, inputs: {words: words}"
MEASURE = "type: ToyMeasure, inputs: {texts: carve}"
WALK = "type: ToyWalk, inputs: {text: measure}, steps: '${steps}', shaped: true, note: '${note}'"


@pytest.fixture
def walks(graph):
    def write(more="", **nodes):
        params = f"params: {{steps: {{default: 3, help: how far, max: 9}}, note: x, times: 1{more}}}"
        carve = CARVE + ", times: '${times}'"
        return graph(
            {"words": WORDS, "carve": carve, "measure": MEASURE, "walk": WALK, **nodes},
            {"path": "walk.path"},
            more=params,
        )

    return write


def points(result):
    return json.loads(result.out)["points"]


# --- the grid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8,16,32", ["8", "16", "32"]),
        ("8", ["8"]),
        ("", [""]),
        (" 8 , 16 ", ["8", "16"]),
        ("[8,16],[4]", ["[8,16]", "[4]"]),
        ("{a: 1, b: [2, 3]},x", ["{a: 1, b: [2, 3]}", "x"]),
        ("'a, b',c", ["'a, b'", "c"]),
        ('"a, \\", b",c', ['"a, \\", b"', "c"]),
        ("['a]', b],c", ["['a]', b]", "c"]),
        ("a dog's bone,it's", ["a dog's bone", "it's"]),
        ("a,,b", ["a", "", "b"]),
        ("'it''s, so',b", ["'it''s, so'", "b"]),
        ("1e-4,2e-4", ["1e-4", "2e-4"]),
        ("a],b", ["a]", "b"]),
        ("[a,b", ["[a,b"]),
        ('"\\', ['"\\']),
    ],
)
def test_values_are_split_at_commas_outside_of_quotes_and_brackets(text, values):
    assert split(text) == values


@given(st.lists(st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text()), min_size=1))
def test_values_written_as_json_are_split_where_they_end(values):
    written = [json.dumps(value) for value in values]
    assert split(",".join(written)) == written


@given(st.text())
def test_splitting_loses_no_letter(text):
    assert "".join(",".join(split(text)).split()) == "".join(text.split())


def test_a_grid_has_every_combination_and_the_last_parameter_changes_fastest():
    found = grid(["rank=8,16", "name=x", "lr=1e-4,2e-4"])
    assert [point.label for point in found] == [
        "rank=8,lr=1e-4",
        "rank=8,lr=2e-4",
        "rank=16,lr=1e-4",
        "rank=16,lr=2e-4",
    ]
    assert found[2].sets == ("rank=16", "name=x", "lr=1e-4")


def test_folders_are_plain_names_that_differ():
    labels = [point.label for point in grid(["clips=../a b/*,../a b/?,'x',C:\\n", f"prompt={'y' * 300}"])]
    assert labels[:2] == ["clips=.._a_b_", "clips=.._a_b_~2"]
    assert len(set(labels)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=+~-]{1,110}", label) for label in labels)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([], "there is nothing to sweep over; write --set name=value,value"),
        (["rank"], "--set rank: this sets nothing; write --set name=value,value"),
        (["rank=8", "rank=16"], "--set rank=16: the parameter 'rank' is set twice"),
        (["rank=8,,16"], "--set rank=8,,16: a value is missing beside a comma"),
        (["a=1,2,3,4,5,6,7,8,9,10"] + [f"{x}=0,1,2,3,4,5,6,7,8,9" for x in "bcd"], "this grid has 10,000 points"),
    ],
)
def test_what_is_no_grid_is_told(sets, words):
    with pytest.raises(GraphError, match=re.escape(words)):
        grid(sets)


# --- running ---------------------------------------------------------------------------------------------------------


def test_what_does_not_depend_on_the_parameter_is_computed_once(vflow, walks):
    result = vflow("sweep", walks(), "--set", "steps=1,2,4")
    assert result.code == 0
    assert [word for word in result.done if word != "words"] == [
        *("carve one", "carve two", "carve three", "measure"),
        *("step 0", "step 0", "step 1", "step 0", "step 1", "step 2", "step 3"),
    ]


def test_every_point_is_a_run_with_a_folder_of_its_own(vflow, walks):
    vflow("sweep", walks(), "--set", "steps=1,2")
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("-g-sweep")
    assert {path.name for path in folder.iterdir()} == {"steps=1", "steps=2", "sweep.json"}
    assert (folder / "steps=2/outputs/path/text.txt").read_text() == "[3, 3, 5] 2"
    assert vflow("show", folder / "steps=2").code == 0


def test_the_table_tells_parameters_status_and_the_loss(vflow, walks):
    result = vflow("sweep", walks(), "--set", "steps=2,4", "--set", "note=x")
    head, first, second, best = result.out.splitlines()
    assert re.split("  +", head) == ["steps", "note", "status", "train/loss", "lowest", "time", "saved"]
    assert re.split("  +", first)[:5] == ["2", "x", "done", "0.5", "0.5 (step 2)"]
    assert re.split("  +", second)[:5] == ["4", "x", "done", "0.25", "0.25 (step 4)"]
    assert best == "lowest train/loss at the end: 0.25, steps=4"
    assert "run 2 of 2: steps=4" in result.err


def test_json_tells_the_same_and_nothing_else_stands_on_standard_output(vflow, walks):
    result = vflow("sweep", walks(), "--set", "steps=2,4", "--json")
    first, second = points(result)
    assert (first["params"], first["status"], first["label"]) == ({"steps": 2}, "done", "steps=2")
    assert second["metrics"] == {"train/loss": {"step": 4, "last": 0.25, "lowest_step": 4, "lowest": 0.25}}
    assert Path(second["folder"], "summary.json").is_file()


def test_the_same_sweep_again_computes_nothing_and_knows_the_losses(vflow, walks):
    path = walks()
    first = vflow("sweep", path, "--set", "steps=2,4", "--json")
    again = vflow("sweep", path, "--set", "steps=2,4", "--json")
    assert set(again.done) == {"words"}
    assert [point["metrics"] for point in points(again)] == [point["metrics"] for point in points(first)]


def test_a_point_that_an_ordinary_run_computed_knows_its_losses_too(vflow, walks):
    path = walks()
    vflow("run", path, "--set", "steps=4")
    again = vflow("sweep", path, "--set", "steps=2,4", "--json")
    assert points(again)[1]["metrics"]["train/loss"]["lowest"] == 0.25
    assert again.done.count("step 0") == 1


def test_evaluation_losses_are_told_rather_than_training_losses():
    both = Result("a", {}, figures={"one": {"train/loss": Figure(1, 2.0), "eval/loss": Figure(1, 3.0)}})
    assert told_by([both]) == ["eval/loss"]
    other = Result("b", {}, figures={"two": {"eval/loss": Figure(1, 3.0), "eval/loss_0.5": Figure(1, 3.0)}})
    other.figures["one"] = both.figures["one"]
    assert told_by([both, other]) == ["eval/loss", "two: eval/loss", "one: eval/loss"]


def test_a_failing_point_does_not_stop_the_others(vflow, walks):
    words = "type: ToyWords, words: [one, '${note}']"
    result = vflow("sweep", walks(words=words), "--set", "note=two,fail,three", "--json")
    assert result.code == 1
    assert [point["status"] for point in points(result)] == ["done", "failed", "done"]
    assert "the knife broke" in points(result)[1]["failure"]
    assert "the knife broke" in result.err


def test_a_point_that_the_preflight_refuses_does_not_stop_the_others(vflow, walks):
    result = vflow("sweep", walks(), "--set", "times=1,12,2", "--json")
    assert result.code == 1
    assert [point["status"] for point in points(result)] == ["done", "refused", "done"]
    assert "carve at most 9" in points(result)[1]["failure"]
    assert vflow("sweep", walks(), "--set", "times=12,13").code == 2


def test_every_point_is_checked_before_the_first_one_runs(vflow, walks):
    result = vflow("sweep", walks(), "--set", "steps=1,10,x")
    assert (result.code, result.done) == (2, [])
    assert "--set steps=10: params.steps: must be at most 9, not 10" in result.err
    assert "--set steps=x: params.steps: must be a whole number, not 'x'" in result.err
    assert not Path("runs").exists()
    assert "there is no parameter 'stesp'; did you mean 'steps'?" in vflow("sweep", walks(), "--set", "stesp=1,2").err


def test_profiles_and_the_flags_of_a_run_are_taken(vflow, walks, graph, tmp_path):
    path = graph(
        {"words": WORDS, "carve": CARVE + ", times: '${times}'"},
        more="params: {times: 1}\nprofiles: {p: {nodes: {words: {words: [nine]}}}}",
    )
    result = vflow("sweep", path, "--profile", "p", "--set", "times=1,2", "--out", tmp_path / "here", "--quiet")
    assert result.done == ["words", "carve nine", "words", "carve nine"]
    assert (tmp_path / "here/times=2/summary.json").is_file()
    again = vflow("sweep", path, "--profile", "p", "--set", "times=1,2", "--out", tmp_path / "here", "--force", "carve")
    assert again.done == ["words", "carve nine", "words", "carve nine"]


def test_a_folder_that_no_sweep_wrote_is_left_alone(vflow, walks, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    result = vflow("sweep", walks(), "--set", "steps=1,2", "--out", tmp_path / "mine")
    assert result.code == 2
    assert "is not empty and is no sweep's folder" in result.err


def test_losses_stay_known_in_the_same_folder(vflow, walks, tmp_path):
    call = ("sweep", walks(), "--set", "steps=2,4", "--json", "--out", tmp_path / "here")
    first = vflow(*call)
    assert [point["metrics"] for point in points(vflow(*call))] == [point["metrics"] for point in points(first)]


# --- without running -------------------------------------------------------------------------------------------------


def test_a_dry_run_lists_what_each_run_would_compute_and_computes_nothing(vflow, walks):
    result = vflow("sweep", walks(), "--set", "times=1,2", "--set", "steps=1,2", "--dry-run")
    assert (result.code, set(result.done)) == (0, {"words"})
    assert not Path("runs").exists()
    assert result.out.splitlines() == [
        "a sweep of 4 runs",
        "  times=1,steps=1",
        "      computes carve (3)",
        "      decided after these: measure, walk",
        "  times=1,steps=2",
        "      from the runs before: carve (3)",
        "      decided after these: measure, walk",
        "  times=2,steps=1",
        "      computes carve (3)",
        "      decided after these: measure, walk",
        "  times=2,steps=2",
        "      from the runs before: carve (3)",
        "      decided after these: measure, walk",
    ]


def test_a_dry_run_of_what_is_kept_says_so(vflow, walks):
    vflow("sweep", walks(), "--set", "steps=1,2")
    told = json.loads(vflow("sweep", walks(), "--set", "steps=2,3", "--dry-run", "--json").out)
    assert told[0]["computes"] == told[0]["shared"] == {}
    assert told[1]["computes"] == {"walk": 1}
    assert "computes nothing: all is kept" in vflow("sweep", walks(), "--set", "steps=2", "--dry-run").out


def test_a_dry_run_tells_a_point_that_is_refused(vflow, walks):
    result = vflow("sweep", walks(), "--set", "times=12,1", "--dry-run")
    assert result.code == 2
    assert "is refused" in result.out
    assert "computes carve (3)" in result.out


# --- stopping --------------------------------------------------------------------------------------------------------

SLOW = """
import sys, time
sys.path.insert(0, {folder!r})
import conftest
carve = conftest.ToyCarve.run
def slow(self, context, words, tool=None):
    for value in carve(self, context, words, tool):
        print("carved", flush=True, file=sys.stderr)
        time.sleep({pause})
        yield value
conftest.ToyCarve.run = slow
from vflow.engine.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_stops_the_sweep_and_the_same_again_goes_on(vflow, walks, tmp_path):
    call = ["sweep", str(walks()), "--set", "times=1,2", "--json"]
    search = os.pathsep.join([str(Path(__file__).parents[2] / ".typing"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(folder=str(Path(__file__).parent), pause=1), *call],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(4):  # three words of the first run, one of the second
        while "carved" not in process.stderr.readline():
            assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [point["status"] for point in json.loads(out)["points"]] == ["done", "interrupted"]
    time.sleep(0.1)
    again = vflow(*call)
    assert again.code == 0
    assert next(word for word in again.done if word.startswith("carve")) != "carve one"


def test_figures_of_two_runs_on_the_same_work_are_one():
    first, rest = Figure(5, 0.9, 2, 0.1), Figure(9, 0.4, 8, 0.3)
    assert first.with_other(rest) == rest.with_other(first) == Figure(9, 0.4, 2, 0.1)
    assert Figure(9, 0.4).with_other(first) == Figure(9, 0.4, 2, 0.1)
    assert Figure(9, 0.4).with_other(Figure(9, 0.4)).lowest is None
