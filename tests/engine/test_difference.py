"""Differences in words: of plain data, of lists, of graphs and runs (`vflow diff`)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine import keys
from vflow.engine.difference import all_words, changes, list_difference

WORDS = "type: ToyWords, words: [one, two, three]"
CARVE = "type: ToyCarve, inputs: {words: words}"
MEASURE = "type: ToyMeasure, inputs: {texts: carve}"
WALK = "type: ToyWalk, inputs: {text: measure}, steps: 3"

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=60),
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(st.text("abc.=", max_size=3), inside, max_size=5),
    max_leaves=20,
)


def chain(graph, words=WORDS, carve=CARVE, walk=WALK, outputs="walk.path", name="g", more="", **nodes):
    nodes = {"words": words, "carve": carve, "measure": MEASURE, "walk": walk, **nodes}
    return graph(nodes, {"path": outputs}, name, more)


def runs():
    return sorted(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


# --- plain data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"rank": 16}, {"rank": 32}, ["rank 16 → 32"]),
        ({"o": {"lr": 1e-4, "name": "a"}}, {"o": {"lr": 2e-4, "name": "a"}}, ["o.lr 0.0001 → 0.0002"]),
        ({}, {"warmup": 10}, ["warmup unset → 10"]),
        ({"warmup": None}, {"warmup": 10}, ["warmup none → 10"]),
        ({"x": 1}, {"x": 1.0}, ["x 1 → 1.0"]),
        ({"x": "1"}, {"x": 1}, ["x '1' → 1"]),
        ({"x": "a b"}, {"x": ""}, ['x "a b" → ""']),
        ({"x": [1, 2]}, {"x": [1, 3]}, ["x [1, 2] → [1, 3]"]),
        ({"x": ["a" * 30, "b" * 30]}, {"x": ["a" * 30, "c", "d"]}, ["x: 2 added, 1 gone"]),
        ({"x": ["a" * 30, "b" * 30]}, {"x": ["b" * 30, "a" * 30]}, ["x: another order"]),
        ({"x": "p" * 50 + "a"}, {"x": "p" * 50 + "b"}, ["x changed"]),
        (
            {"t": [{"type": "LoRA", "rank": 16}, {"type": "Quant", "bits": 8}]},
            {"t": [{"type": "LoRA", "rank": 32}, {"type": "Tread"}]},
            ["LoRA.rank 16 → 32", "Quant gone", "Tread added"],
        ),
        ({"v": {"=": "1", "a": 1}}, {"v": {"=": "1", "a": 2}}, []),
        ({"v": {"=": "1", "a": 1}}, {"v": {"=": "2", "a": 2}}, ["v.a 1 → 2"]),
        ({"x": [["r", 1], ["s", 2]]}, {"x": [["s", 2], ["r", 1]]}, ["x [[r, 1], [s, 2]] → [[s, 2], [r, 1]]"]),
        ({"x": [["r", 1], ["r", 2]]}, {"x": [["r", 3], ["r", 2]]}, ["x [[r, 1], [r, 2]] → [[r, 3], [r, 2]]"]),
    ],
)  # fmt: skip
def test_changes_of_settings_read_like_sentences(old, new, said):
    assert all_words(old, new) == said


@given(PLAIN, PLAIN)
def test_something_is_said_exactly_when_something_differs(old, new):
    assert list(changes(old, old)) == []
    said = all_words(old, new)
    assert all(isinstance(line, str) and len(line) < 300 for line in said)
    if not _has_identity(old) and not _has_identity(new):
        assert bool(said) == (keys.canonical(old) != keys.canonical(new))


def _has_identity(data):
    if isinstance(data, dict):
        return "=" in data or any(map(_has_identity, data.values()))
    return isinstance(data, list) and any(map(_has_identity, data))


NAMED = st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.sampled_from(["1", "2", "3"])), max_size=8)


@given(NAMED, NAMED)
def test_counts_of_items_add_up(old, new):
    found = list_difference(old, new)
    assert len(new) - len(old) == len(found.added) - len(found.gone)
    assert bool(found) == (sorted(old) != sorted(new))
    assert not list_difference(old, list(reversed(old)))


def test_an_item_of_the_same_name_is_changed_and_not_added():
    found = list_difference([("a", "1"), ("b", "2"), ("c", "3")], [("a", "1"), ("b", "9"), ("d", "3"), ("e", "5")])
    assert str(found) == "2 added (d, e), 1 changed (b), 1 gone (c)"
    many = list_difference([], [(f"n{n}", str(n)) for n in range(2000)])
    assert str(many) == "2,000 added"


# --- two graphs ------------------------------------------------------------------------------------------------------


def test_equal_graphs_are_said_to_be_equal(vflow, graph):
    result = vflow("diff", chain(graph), chain(graph, carve=CARVE + ", times: 1", name="other"))
    assert result.code == 0
    assert "the graphs are equal" in result.out
    assert "nothing differs" in result.out


def test_two_graphs_are_compared_in_words(vflow, graph):
    one = chain(graph, aside=CARVE)
    other = chain(
        graph,
        carve=CARVE.replace("words: words", "words: words, tool: tool") + ", times: 3, workers: 4",
        walk=WALK.replace("3", "5") + ", disabled: true",
        outputs="measure",
        name="other",
        tool="type: ToyTake, name: knife",
    )
    result = vflow("diff", one, other)
    assert result.code == 0
    assert result.out.splitlines()[3:] == [
        "+ tool (ToyTake)",
        "- aside (ToyCarve)",
        "carve:",
        "  times 1 → 3",
        "  workers 1 → 4 (not in the key)",
        "  input tool unset → tool",
        "walk:",
        "  steps 3 → 5",
        "  disabled",
        "output path walk.path → measure",
    ]
    assert result.done == []


def test_a_renamed_node_is_told_as_such_and_its_links_are_no_difference(vflow, graph):
    one = graph({"words": WORDS, "carve": CARVE, "measure": MEASURE}, {"p": "measure"})
    renamed = {"words": WORDS, "cut": CARVE, "measure": MEASURE.replace("carve", "cut")}
    other = graph(renamed, {"p": "measure"}, "other")
    assert vflow("diff", one, other).out.splitlines()[3:] == ["carve is now called cut"]


def test_another_type_under_the_same_name_is_told(vflow, graph):
    other = chain(graph, words="type: ToyTake, name: x", carve="type: ToyWords, words: [a]", name="other")
    assert "carve: type ToyCarve → ToyWords" in vflow("diff", chain(graph), other).out


def test_profiles_and_parameters_are_put_in_for_both_or_for_one(vflow, graph):
    more = "params: {far: 3}\nprofiles: {long: {params: {far: 9}}}"
    path = chain(graph, walk=WALK.replace("3", "'${far}'"), more=more)
    assert "nothing differs" in vflow("diff", path, path, "--profile", "long", "--set", "far=4").out
    assert vflow("diff", path, path, "--profile-b", "long").out.splitlines()[3:] == [
        "parameter far 3 → 9",
        "walk: steps 3 → 9",
    ]
    assert "walk: steps 3 → 5" in vflow("diff", path, path, "--set-b", "far=5").out
    wrong = vflow("diff", path, path, "--profile", "lang")
    assert wrong.code == 2
    assert "did you mean 'long'?" in wrong.err


def test_graphs_with_mistakes_can_be_compared(vflow, graph):
    path = graph({"words": WORDS, "carve": "type: Unheard, inputs: {words: words}, deep: {er: 1}"})
    other = graph({"words": WORDS, "carve": "type: Unheard, inputs: {words: words}, deep: {er: 2}"}, name="other")
    assert "carve: deep.er 1 → 2" in vflow("diff", path, other).out


def test_shipped_graphs_are_found_by_name(vflow):
    result = vflow("diff", "ltx2_lora", "ltx2_lora", "--profile-b", "tiny", "--json")
    found = json.loads(result.out)
    assert "steps 2000 → 300" in found["graph"]["params"]
    assert found["equal"] is False


def test_what_is_neither_a_graph_nor_a_run_is_refused(vflow, graph):
    path = chain(graph)
    assert vflow("diff", path, "nothing").code == 2
    assert "there is no graph and no run 'ltx2_lara'; did you mean 'ltx2_lora'?" in vflow("diff", path, "ltx2_lara").err
    assert vflow("diff", path, "last").code == 2


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_are_compared_with_keys_and_metrics_side_by_side(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", chain(graph, walk=WALK.replace("3", "5") + ", shaped: true"))
    first, second = runs()
    result = vflow("diff", first.name, "last")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == f"A  runs/{first.name}: g, done in {lines[0].rpartition(' in ')[2]}"
    assert "walk:" in lines
    assert "  steps 3 → 5" in lines
    cells = {line.split()[0]: line.split() for line in lines if line and not line.startswith(" ")}
    assert cells["carve"][1] == "computed"
    assert "reused" in cells["carve"]
    assert cells["carve"][-2:] == ["same", "key"]
    assert cells["walk"][-2:] == ["another", "key"]
    (last,) = [line.split() for line in lines if line.startswith("train/loss  ")]
    assert last == ["train/loss", "0.333333", "(step", "3)", "0.2", "(step", "5)", "-0.133"]
    assert not any("lowest" in line for line in lines)  # it is the last
    data = json.loads(vflow("diff", first, second, "--json").out)
    assert data["equal"] is False
    assert data["nodes"]["carve"]["same_key"] is True
    assert data["nodes"]["walk"]["same_key"] is False
    assert data["metrics"]["train/loss"] == [{"step": 3, "value": 1 / 3}, {"step": 5, "value": 0.2}]


def test_the_lowest_loss_stands_beside_the_last(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", chain(graph))
    first, second = runs()
    with (first / "events.jsonl").open("a") as file:
        file.write('{"kind": "metrics", "step": 4, "values": {"train/loss": 7.5, "train/lr": 0.1}}\n{"kind": "met')
    lines = [line.split() for line in vflow("diff", first, second).out.splitlines()]
    # the second reused the training: its figures are those of the run that computed it
    assert ["train/loss", "7.5", "(step", "4)", "0.333333", "(step", "3)", "-7.17"] in lines
    assert ["train/loss,", "lowest", "0.333333", "(step", "3)", "0.333333", "(step", "3)"] in lines
    assert ["train/lr", "0.1", "(step", "4)", "-"] in lines


def test_a_run_that_reused_everything_has_the_same_keys(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", chain(graph))
    first, second = runs()
    data = json.loads(vflow("diff", first, second, "--json").out)
    assert all(pair["same_key"] for name, pair in data["nodes"].items() if name != "words")
    assert "the graphs are equal" in vflow("diff", first, second).out


def test_a_changed_item_gives_a_list_another_key(vflow, graph, tmp_path):
    (tmp_path / "words.txt").write_text("one two")
    words = f"type: ToyWords, words: [], file: {tmp_path / 'words.txt'}"
    vflow("run", chain(graph, words=words))
    (tmp_path / "words.txt").write_text("one six")
    vflow("run", chain(graph, words=words))
    data = json.loads(vflow("diff", *runs(), "--json").out)
    assert [data["nodes"][name]["same_key"] for name in ("carve", "measure", "walk")] == [False, False, True]


def test_a_failed_run_and_one_of_an_older_vflow_can_be_compared(vflow, graph):
    vflow("run", chain(graph, words="type: ToyWords, words: [one, fail]"))
    vflow("run", chain(graph))
    first, second = runs()
    summary = json.loads((second / "summary.json").read_text())
    del summary["keys"]
    (second / "summary.json").write_text(json.dumps(summary))
    result = vflow("diff", first, second)
    assert result.code == 0
    assert "the knife broke" in result.out
    assert "words [one, fail] → [one, two, three]" in result.out
    (second / "summary.json").unlink()
    (second / "graph.yaml").unlink()
    assert vflow("diff", first, second).code == 0


def test_a_run_is_compared_with_a_graph(vflow, graph):
    vflow("run", chain(graph))
    changed = chain(graph, walk=WALK.replace("3", "4"), name="h")
    assert vflow("diff", "last", changed).out.splitlines()[3:] == ["walk: steps 3 → 4"]
