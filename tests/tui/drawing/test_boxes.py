"""Boxes: every wire can be followed from its output to its port, whatever the graph."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from vflow.engine.load import load, shipped_graphs
from vflow.engine.outline import NodeView, Outline, PortView, Wire
from vflow.engine.outline import outline as outline_of
from vflow.tests.tui.drawing.follow import wires_of
from vflow.tests.tui.drawing.graphs import outline, outlines, wires_in
from vflow.tui.drawing import Role, Zoom, boxes
from vflow.tui.glyphs import ASCII, UNICODE, Mark

CHAIN = outline(["clips", "latents", "train"], ["clips > latents", "latents > train.latents"], {"x": "train.adapter"})


def text(graph, marks=None, selected=None, glyphs=UNICODE, zoom=Zoom.NAMES, bright=None):
    return "\n".join(boxes(graph, marks or {}, selected, glyphs, zoom, bright).lines())


def roles(drawing, role):
    return [text for row in drawing.rows for text, found in row if found is role]


@settings(max_examples=80, deadline=None)
@given(outlines(), st.sampled_from(Zoom), st.data())
def test_each_wire_leads_from_its_output_to_its_port_and_no_two_outputs_touch(graph, zoom, data):
    selected = data.draw(st.sampled_from([None, *graph.nodes]))
    assert wires_of(boxes(graph, {}, selected, UNICODE, zoom)) == wires_in(graph)


@settings(max_examples=60, deadline=None)
@given(outlines(cycles=True), st.sampled_from(Zoom))
def test_wires_that_close_a_cycle_can_be_followed_too(graph, zoom):
    assert wires_of(boxes(graph, {}, None, UNICODE, zoom)) == wires_in(graph)


@settings(max_examples=60, deadline=None)
@given(outlines(cycles=True), st.data())
def test_the_wires_of_the_selected_node_are_heavy_and_no_others(graph, data):
    selected = data.draw(st.sampled_from(list(graph.nodes)))
    assert wires_of(boxes(graph, {}, selected, UNICODE), least=2) == wires_in(graph, selected)


@settings(max_examples=40, deadline=None)
@given(outlines(cycles=True), st.sampled_from(Zoom), st.data())
def test_ascii_draws_the_same_shape(graph, zoom, data):
    selected = data.draw(st.sampled_from([None, *graph.nodes]))
    drawn = boxes(graph, {}, selected, UNICODE, zoom).lines()
    plain = boxes(graph, {}, selected, ASCII, zoom).lines()
    assert "".join(plain).isascii()
    assert [[cell == " " for cell in row] for row in plain] == [[cell == " " for cell in row] for row in drawn]


@settings(max_examples=40, deadline=None)
@given(outlines(most=5, types=st.text(max_size=12)), st.sampled_from(Zoom), st.sampled_from([UNICODE, ASCII]))
def test_no_text_shifts_what_stands_behind_it(graph, zoom, glyphs):
    drawing = boxes(graph, {name: Mark("running", "日本語") for name in graph.nodes}, "n0", glyphs, zoom)
    for row in drawing.rows:
        assert sum(cell_len(text) for text, _ in row) == drawing.width
        assert all(text.isprintable() for text, _ in row)


@settings(max_examples=40, deadline=None)
@given(outlines(), st.sampled_from(Zoom))
def test_each_node_can_be_clicked_on_and_no_two_overlap(graph, zoom):
    drawing = boxes(graph, {}, None, UNICODE, zoom)
    owner = {}
    for name, spot in drawing.nodes.items():
        for y in range(spot.y, spot.y + spot.height):
            for x in range(spot.x, spot.x + spot.width):
                assert owner.setdefault((x, y), name) == name
                assert drawing.at(x, y).node == name
    assert set(drawing.nodes) == set(graph.nodes)


@pytest.mark.parametrize("name", sorted(shipped_graphs()))
def test_the_shipped_graphs_can_be_read(name):
    for profiles in [(), *((profile,) for profile in load(name).graph.profiles if profile in ("tiny", "long"))]:
        graph = outline_of(load(name, profiles))
        wanted = {(wire.source, wire.output, wire.target, wire.port) for wire in graph.wires}
        for zoom in Zoom:
            found = wires_of(boxes(graph, {}, None, UNICODE, zoom))
            assert {wire for wire in found if wire[3]} == wanted


def test_a_chain_runs_from_left_to_right():
    assert boxes(CHAIN, {}, None, UNICODE).lines() == [
        "╭──────────╮   ╭───────────╮   ╭──────────╮",
        "│ · clips  │╶─▸│ · latents │╶─▸│ · train  │╶─▸◆ x",
        "╰──────────╯   ╰───────────╯   ╰──────────╯",
    ]


def test_zooming_in_shows_types_and_then_ports_with_theirs():
    names, types, ports = (text(CHAIN, zoom=zoom) for zoom in Zoom)
    assert "latents" in names
    assert "EncodeVideo" not in names
    assert "EncodeVideo" in types
    assert "list of Latent" not in types
    assert "clips list of Latent" in ports


def test_the_selected_box_stands_out_without_colour():
    assert "┏" not in text(CHAIN)
    assert text(CHAIN, selected="latents").count("┏") == 1


def test_state_progress_and_figures_stand_in_the_box():
    shown = text(CHAIN, {"train": Mark("running", "412/2000", 0.5), "clips": Mark("kept")})
    assert "▶ train" in shown
    assert "≡ clips" in shown
    assert "412/2000" in shown
    assert text(CHAIN, {"train": Mark("running", "", 0.5)}).count("═") == 5
    assert text(CHAIN, {"train": Mark("running", "", 7.0)}).count("═") == 10


def test_a_link_that_hangs_is_named_before_its_port():
    shown = text(outline(["train"], ["gone.latents > train"]))
    assert "✗ gone.latents╶─▸│ · train" in shown


def test_an_output_that_a_node_does_not_have_is_marked_at_the_end_of_its_wire():
    graph = outline(["clips", "train"], [Wire("clips", "nope", "train", "latents", broken=True)], {"x": "gone.y"})
    drawing = boxes(graph, {}, None, UNICODE)
    assert "╶─✗│ · train" in "\n".join(drawing.lines())
    assert roles(drawing, Role.WIRE_BROKEN)
    assert "✗ gone.y╶─▸◆ x" in "\n".join(drawing.lines())


def test_an_input_that_needs_a_link_says_so():
    ports = (PortView("latents", "list of Latent"), PortView("audio", "list of AudioLatent", optional=True))
    graph = Outline("graph", {"train": NodeView("train", "TrainLoop", True, inputs=ports)}, (), {})
    drawing = boxes(graph, {}, None, UNICODE, Zoom.PORTS)
    assert "│ ! latents list of Latent" in "\n".join(drawing.lines())
    assert roles(drawing, Role.PORT_MISSING) == ["latents"]
    assert roles(drawing, Role.PORT_FREE) == ["audio"]


def test_what_a_filter_does_not_find_is_dim():
    drawing = boxes(CHAIN, {}, None, UNICODE, Zoom.NAMES, ["latents"])
    assert {"clips", "train"} <= set(roles(drawing, Role.DIM))
    assert roles(drawing, Role.NAME) == ["latents"]


def test_moving_the_selection_keeps_the_canvas():
    first = boxes(CHAIN, {}, "clips", UNICODE)
    equal = outline(list(CHAIN.nodes), CHAIN.wires, CHAIN.outputs)
    assert boxes(equal, {"train": Mark("running", "3/4")}, "train", UNICODE).canvas is first.canvas


def test_many_lonely_nodes_do_not_make_one_tall_column():
    drawing = boxes(outline([f"n{index}" for index in range(200)]), {}, None, UNICODE)
    assert drawing.height < 80
    assert len(drawing.nodes) == 200


def test_an_empty_graph_has_no_rows():
    assert boxes(outline([]), {}, None, UNICODE).lines() == []


def test_a_press_beside_a_port_means_the_port():
    drawing = boxes(CHAIN, {}, None, UNICODE)
    box = drawing.nodes["latents"]
    ends = [drawing.at(x, box.y + 1) for x in (box.x - 1, box.x, box.x + 4, box.x + box.width - 1, box.x + box.width)]
    assert [(spot.port, spot.side) for spot in ends] == [
        ("clips", "in"),
        ("clips", "in"),
        ("", ""),
        ("items", "out"),
        ("items", "out"),
    ]
