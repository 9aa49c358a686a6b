"""Finding nodes by what is typed, and along wires."""

from vflow.tests.tui.drawing.graphs import outline
from vflow.tui.drawing import around, matching, nearest, survivor
from vflow.tui.glyphs import Mark

GRAPH = outline(
    ["clips", "held_out_clips", "latents", "train"],
    ["clips > latents", "latents > train.latents", "clips.captions > train.captions", "gone.x > train.more"],
    types={"train": "TrainLoop"},
)


def test_a_filter_finds_names_types_and_states():
    assert matching(GRAPH, {}, "clips") == ["clips", "held_out_clips"]
    assert matching(GRAPH, {}, "LOOP") == ["train"]
    assert matching(GRAPH, {"latents": Mark("to run")}, "to run") == ["latents"]


def test_all_words_of_a_filter_must_be_found():
    assert matching(GRAPH, {"clips": Mark("kept"), "train": Mark("kept")}, "kept encode") == ["clips"]
    assert matching(GRAPH, {}, "clips loop") == []


def test_a_typed_name_means_the_node_it_is_nearest_to():
    assert nearest(GRAPH, "clips") == "clips"
    assert nearest(GRAPH, "cl") == "clips"
    assert nearest(GRAPH, "out") == "held_out_clips"
    assert nearest(GRAPH, "hoc") == "held_out_clips"
    assert nearest(GRAPH, "xyz") is None
    assert nearest(GRAPH, " ") is None


def test_the_nodes_around_one_are_each_named_once():
    assert around(GRAPH, "train", "in") == ["latents", "clips"]
    assert around(GRAPH, "clips", "out") == ["latents", "train"]
    assert around(outline(["a"], ["a > a"]), "a", "in") == []


def test_where_a_node_is_gone_a_near_one_is_taken():
    before = outline(["a", "b", "c", "d"])
    assert survivor(before, outline(["a", "c", "d"]), "b") == "c"
    assert survivor(before, outline(["a", "b"]), "d") == "b"
    assert survivor(before, outline(["x"]), "b") == "x"
    assert survivor(before, outline([]), "b") is None
