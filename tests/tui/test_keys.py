"""The user's own keys: taken over, and every mistake told in words."""

import pytest

from vflow.engine import config
from vflow.tui import keys


@pytest.fixture
def write():
    def call(text):
        path = config.config_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return call


def test_keys_are_read_from_the_configuration(write):
    write("keys: {graph.add: n, edit.undo: 'z, ctrl+z', graph.run: f6, app.help: question_mark}\n")
    assert keys.configured() == (
        {"graph.add": "n", "edit.undo": "z,ctrl+z", "graph.run": "f6", "app.help": "question_mark"},
        [],
    )


def test_without_a_configuration_there_are_none():
    assert keys.configured() == ({}, [])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("ctlr+x", "'ctlr' in 'ctlr+x' is no modifier; did you mean 'ctrl'?"),
        ("entr", "'entr' is no key; did you mean 'enter'?"),
        ("ctrl+m", "ctrl+m is enter in many terminals; choose another"),
        ("a,,b", "a key is missing here"),
    ],
)
def test_what_is_no_key_is_told_and_the_others_still_count(write, key, said):
    write(f"keys: {{graph.add: '{key}', graph.run: f6}}\n")
    found, problems = keys.configured()
    assert found == {"graph.run": "f6"}
    assert len(problems) == 1
    assert said in str(problems[0])
    assert "keys.graph.add" in str(problems[0])


def test_a_file_that_cannot_be_read_is_told(write):
    write("keys: [a]\n")
    found, problems = keys.configured()
    assert found == {}
    assert "keys" in str(problems[0])


def test_an_action_that_does_not_exist_is_told_with_the_nearest_one(write):
    (problem,) = keys.unknown(["graph.ad", "graph.run"], {"graph.add", "graph.run"})
    assert "no action is called 'graph.ad'; did you mean 'graph.add'?" in str(problem)
