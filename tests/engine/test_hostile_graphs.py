"""Random bytes, random YAML, damaged and huge graphs: never a traceback, a hang, or more than 300 MB."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from vflow.engine.load import load

HERE = Path(__file__).parent
MOST_MB = 300
HUGE = ["parameters", "choices", "profiles", "nodes", "nodes that are none", "a cycle", "unknown settings", "links"]
HUGE += [
    "outputs",
    "keys that stand twice",
    "tags",
    "filled parameters",
    "long parameters",
    "open parameters",
    "one key",
]


def looked_at(*words):
    """Look at files in a process of its own, so that the memory is that of looking at them."""
    path = os.pathsep.join([str(HERE.parents[1] / ".typing"), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, str(HERE / "hostile_graphs.py"), *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, f"{words}: {result.stdout[-2000:]}{result.stderr[-8000:]}"
    return json.loads(result.stdout.splitlines()[-1])


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("vflow: 1\n" + "".join(f"x{n}: 1\n" for n in range(2_500)))
    problems = load(path, known={}).problems
    assert [problem.line for problem in problems[:-1]] == list(range(2, 1_002))
    assert str(problems[-1]) == f"{path}: there are 1,500 more errors, which are not shown"
    path.write_text("vflow: 1\n" + "vflow: 1\n" * 1_500)
    assert [problem.message for problem in load(path, known={}).problems].count(
        "there are 500 more errors, which are not shown"
    ) == 1


def test_more_nodes_than_a_graph_may_have_are_one_problem(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("vflow: 1\nnodes:\n" + "".join(f" a{n}: {{type: A}}\n" for n in range(20_001)))
    (problem,) = load(path, known={}).problems
    assert (problem.message, problem.line) == ("the graph has more than 20,000 nodes", 2)


def test_empty_inputs_do_not_hide_that_a_link_is_missing(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("vflow: 1\nnodes: {a: {type: ApplyLoRA, inputs: }}\n")
    assert "nothing is linked to the input 'model'" in str(load(path).problems)


def test_hundreds_of_files_are_told_in_words_and_in_little_memory():
    told = looked_at(300, 0)
    assert told["files"] >= 300
    assert told["peak_mb"] < MOST_MB


def test_a_huge_file_is_told_in_words_and_in_little_memory():
    assert looked_at("wrong values")["peak_mb"] < MOST_MB


@pytest.mark.long
@pytest.mark.parametrize("name", HUGE)
def test_huge_files_are_told_in_words_and_in_little_memory(name):
    assert looked_at(name)["peak_mb"] < MOST_MB


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_twenty_thousand_files_are_told_in_words_and_in_little_memory(part):
    # in processes of a thousand: hypothesis itself remembers what it drew
    told = looked_at(1_000, random.SystemRandom().randrange(2**32))
    assert told["files"] >= 1_000
    assert told["peak_mb"] < MOST_MB
