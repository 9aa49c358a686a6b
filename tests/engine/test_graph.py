import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.document import parse
from vflow.engine.graph import Graph, NodeSpec, flow
from vflow.engine.load import load

TEXT = st.text(max_size=40)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAME = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,10}\Z") | st.sampled_from(["null", "true", "on", "y", "No"])
SPECS = st.dictionaries(NAME, st.dictionaries(NAME, VALUE, max_size=4), max_size=4)


def graph_of(settings, about=""):
    reserved = {"type", "inputs", "disabled"}
    nodes = {
        name: NodeSpec(name, "Anything", {key: value for key, value in given.items() if key not in reserved})
        for name, given in settings.items()
    }
    return Graph("g", about, nodes)


@given(SPECS, TEXT)
def test_the_text_of_a_graph_loads_to_an_equal_graph(tmp_path_factory, settings, about):
    graph = graph_of(settings, about)
    path = tmp_path_factory.mktemp("graphs") / "g.yaml"
    path.write_text(graph.to_text(), encoding="utf-8")
    loaded = load(path, known={})
    assert {problem.message for problem in loaded.problems} <= {"unknown node type 'Anything'"}
    assert loaded.graph == graph


def test_links_outputs_and_disabled_nodes_stand_in_the_text(tmp_path):
    nodes = {
        "a": NodeSpec("a", "A", {"x": "${not a parameter} $${"}, {}, True),
        "b": NodeSpec("b", "B", {}, {"one": "a.output", "many": ["a", "a.output"]}),
    }
    graph = Graph("g", "", nodes, {"result": "b.items"}, params={"gone": 1}, profiles={"gone": {}})
    path = tmp_path / "other.yaml"
    path.write_text(graph.to_text())
    loaded = load(path, known={})
    assert loaded.graph == graph
    assert (loaded.graph.params, loaded.graph.profiles) == ({}, {})


def test_a_graph_is_written_with_one_line_for_each_node():
    graph = Graph("g", "what", {"a": NodeSpec("a", "A", {"lr": 1e-4, "n": None}, {"m": "b.x"})}, {"out": "a"})
    assert graph.to_text() == (
        'vflow: 1\nname: "g"\nabout: "what"\nnodes:\n'
        '  a: {type: "A", inputs: {m: "b.x"}, lr: 0.0001, n: null}\noutputs:\n  out: "a"\n'
    )


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, 1e300, 1e16, 5e-324, "\x7f\x85\u2028\ufeff\uffff", "😀", {"k" * 2000: 1}, "a: b # c"]
)
def test_values_that_are_hard_to_write_are_read_back(value):
    assert parse(f"a: {flow(value)}").root.plain() == {"a": value}


def test_what_is_not_plain_data_is_not_written():
    with pytest.raises(TypeError):
        flow({1: 2})
    with pytest.raises(TypeError):
        flow([{1, 2}])


def test_the_place_of_anything_is_found_in_the_file(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(
        "vflow: 1\nparams: {rank: 3}\nnodes:\n  a:\n    type: A\n    inputs:\n      m: [x, y]\n    o: {lr: 1}\n"
    )
    graph = load(path, known={}).graph
    shown = str(path)
    assert graph.place("nodes", "a", key=True) == (shown, 4, 3)
    assert graph.place("nodes", "a", "type") == (shown, 5, 11)
    assert graph.place("nodes", "a", "inputs", "m", 1) == (shown, 7, 14)
    assert graph.place("nodes", "a", "o", "lr") == (shown, 8, 13)
    assert graph.place("nodes", "a", "o", "lr", key=True) == (shown, 8, 9)
    assert graph.place("params", "rank") == (shown, 2, 16)


def test_the_place_of_what_is_not_written_is_that_of_what_holds_it(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("vflow: 1\nnodes:\n  a: {type: A}\n")
    graph = load(path, known={}).graph
    assert graph.place("nodes", "a", "steps") == (str(path), 3, 6)
    assert graph.place("nodes", "a", "steps", 3, "x", key=True) == (str(path), 3, 3)
