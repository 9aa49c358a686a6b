"""Rails: from each node, the lanes lead to the nodes that it reads, whatever the graph."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from vflow.engine.load import load, shipped_graphs
from vflow.engine.outline import NodeView, Outline, PortView, Wire
from vflow.engine.outline import outline as outline_of
from vflow.tests.tui.drawing.follow import Sheet
from vflow.tests.tui.drawing.graphs import outline, outlines
from vflow.tui.drawing import Role, rails
from vflow.tui.glyphs import ASCII, UNICODE, Mark

CHAIN = outline(["clips", "latents", "train"], ["clips > latents", "latents > train.latents"], {"x": "train.adapter"})


def text(graph, marks=None, selected=None, width=70, opened=False, glyphs=UNICODE):
    return rails(graph, marks or {}, selected, glyphs, width, opened).lines()


def read_off(drawing):
    """Return the nodes that each node reads, as the lanes say."""
    sheet, rows = Sheet(drawing), {spot.y: name for name, spot in drawing.nodes.items()}
    found = {}
    for y, name in rows.items():
        x = next(x for x, cell in enumerate(sheet.rows[y]) if cell in (UNICODE.node, UNICODE.end))
        found[name] = {rows[row] for row in sheet.read_by(x, y)}
    return found


def sources(graph):
    return {name: {wire.source for wire in graph.into(name)} for name in graph.nodes}


@settings(max_examples=100, deadline=None)
@given(outlines(), st.sampled_from([20, 80]), st.booleans(), st.data())
def test_the_lanes_lead_from_each_node_to_those_it_reads(graph, width, opened, data):
    selected = data.draw(st.sampled_from([None, *graph.nodes]))
    assert read_off(rails(graph, {}, selected, UNICODE, width, opened)) == sources(graph)


@pytest.mark.parametrize("name", sorted(shipped_graphs()))
def test_the_shipped_graphs_can_be_read(name):
    graph = outline_of(load(name))
    assert read_off(rails(graph, {}, "train", UNICODE, 80)) == sources(graph)


@settings(max_examples=60, deadline=None)
@given(outlines(cycles=True, types=st.text(max_size=12)), st.integers(5, 90), st.sampled_from([UNICODE, ASCII]))
def test_each_row_is_as_wide_as_the_others_and_no_wider_than_it_must(graph, width, glyphs):
    drawing = rails(graph, {"n0": Mark("running", "日本 1/2", 0.3)}, "n0", glyphs, width)
    for row in drawing.rows:
        assert sum(cell_len(text) for text, _ in row) == drawing.width
    assert drawing.width == width or width < 40


@settings(max_examples=40, deadline=None)
@given(outlines(), st.data())
def test_ascii_draws_the_same_shape(graph, data):
    selected = data.draw(st.sampled_from([None, *graph.nodes]))
    drawn, plain = text(graph, selected=selected), text(graph, selected=selected, glyphs=ASCII)
    assert "".join(plain).isascii()
    assert [[cell == " " for cell in row] for row in plain] == [[cell == " " for cell in row] for row in drawn]


def test_a_chain_is_one_straight_line():
    assert text(CHAIN) == [
        "●   · clips    EncodeVideo",
        "●   · latents  EncodeVideo",
        "○   · train    EncodeVideo  ◆ x",
    ]


def test_what_passes_under_a_lane_is_interrupted_and_what_is_joined_is_not():
    graph = outline(["a", "b", "c", "d", "e"], ["a > c", "b > d", "a > d.x", "b > e", "a > e.x"])
    assert [row[:6] for row in text(graph)] == ["●     ", "│ ●   ", "├─│─○ ", "├─┼─○ ", "○─╯   "]


def test_the_wires_of_the_selected_node_are_heavy():
    graph = outline(["a", "b", "c", "d"], ["a > c", "b > c.x", "a > d", "b > d.x"])
    assert [row[:5] for row in text(graph, selected="c")] == ["●    ", "┃ ●  ", "┡━╇━○", "○─╯  "]
    assert [row[:5] for row in text(graph, selected="a")] == ["●    ", "┃ ●  ", "┣━┿━○", "○─╯  "]


def test_a_cycle_goes_up_with_arrows():
    graph = outline(["a", "b"], ["a > b", "b > a"])
    drawing = rails(graph, {}, None, UNICODE, 40)
    assert [row[:3] for row in drawing.lines()] == ["●◂╮", "●▸╯"]
    assert any(role is Role.WIRE_BROKEN for _, role in drawing.row(0))


def test_a_node_that_reads_itself_says_so():
    assert "✗ reads itself" in text(outline(["a"], ["a > a"]))[0]


def test_links_that_hang_are_named():
    graph = outline(["a"], ["gone.x > a"], {"y": "lost.z", "w": "a.nope"})
    shown = text(
        Outline("g", {"a": NodeView("a", "T", True, inputs=graph.nodes["a"].inputs)}, graph.wires, graph.outputs)
    )
    assert "✗ gone.x" in shown[0]
    assert "✗ w: a.nope" in shown[0]
    assert "✗ y: lost.z" in shown[1]


def test_the_ports_of_the_selected_node_are_listed_with_types_and_what_feeds_them():
    inputs = (
        PortView("latents", "list of Latent", links=("clips.items",)),
        PortView("captions", "list of Embedding"),
        PortView("audio", "list of AudioLatent", optional=True),
        PortView("sampler", "Sampling", links=("gone",)),
    )
    outputs = (PortView("adapter", "Learned"), PortView("checkpoints", "list of Learned"))
    nodes = {
        "clips": NodeView("clips", "BucketVideos", True),
        "train": NodeView("train", "TrainLoop", True, inputs=inputs, outputs=outputs),
        "validate": NodeView("validate", "Validate", True),
    }
    wires = (
        Wire("clips", "items", "train", "latents"),
        Wire("gone", "", "train", "sampler", True),
        Wire("train", "adapter", "validate", "adapter"),
    )
    graph = Outline("graph", nodes, wires, {"lora": "train.adapter"})
    shown = text(graph, selected="train", opened=True)
    assert shown[1:-1] == [
        "● ▾ · train     TrainLoop     ◆ lora  ✗ gone",
        "┃     ◂ latents      clips.items               list of Latent",
        "┃     ◂ captions     needs a link              list of Embedding",
        "┃     ◂ audio        –                         list of AudioLatent",
        "┃     ◂ sampler      ✗ gone                    Sampling",
        "┃     ▸ adapter      validate.adapter, ◆ lora  Learned",
        "┃     ▸ checkpoints  –                         list of Learned",
    ]
    assert len(text(graph, selected="train", opened=False)) == 3


def test_a_press_on_a_line_of_a_port_means_the_port():
    drawing = rails(CHAIN, {}, "latents", UNICODE, 70)
    rows = [drawing.at(20, y) for y in range(drawing.height)]
    assert [(spot.node, spot.port, spot.side) for spot in rows] == [
        ("clips", "", ""),
        ("latents", "", ""),
        ("latents", "clips", "in"),
        ("latents", "items", "out"),
        ("train", "", ""),
    ]
    assert drawing.band == range(1, 4)


def test_progress_stands_on_the_row():
    shown = text(CHAIN, {"train": Mark("running", "412/2000", 0.5)}, width=80)
    assert "▶ train    412/2000  ████      EncodeVideo" in shown[2]
    assert "████" not in text(CHAIN, {"train": Mark("running", "412/2000", 0.5)}, width=36)[2]
    assert "412/2000" in text(CHAIN, {"train": Mark("running", "412/2000", 0.5)}, width=36)[2]


def test_a_long_name_is_cut_where_there_is_no_room():
    name = "a_name_that_goes_on_and_on_and_on_and_on"
    assert text(outline([name]), width=60)[0] == "○   · a_name_that_goes_on_and_on_and_…  EncodeVideo"
    assert text(outline([name]), width=20)[0] == "○   · a_name_that_g…"


def test_many_lanes_stand_closer():
    names = [f"n{index}" for index in range(40)]
    graph = outline([*names, "last"], [f"{name} > last.{name}" for name in names])
    drawing = rails(graph, {}, None, UNICODE, 80)
    assert drawing.width == 80
    assert read_off(drawing)["last"] == set(names)


def test_a_lane_that_has_ended_is_used_again():
    graph = outline(["a", "b", "c", "d", "e"], ["a > b", "c > d", "c > e"])
    assert [row[:3] for row in text(graph)] == ["●  ", "○  ", "●  ", "├─○", "○  "]


def test_an_empty_graph_has_one_empty_row():
    assert text(outline([])) == [""]
