from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import pytest

from vflow.engine.load import load, shipped_graphs
from vflow.engine.node import Node, Observed, Outputs
from vflow.engine.outline import Wire, outline
from vflow.engine.values import Artifact, Items, Recipe


class OutlineModel(Recipe):
    x: int = 0


class OutlineVae(Recipe):
    x: int = 0


class OutlineClip(Artifact):
    x: int = 0


class OutlineText(Artifact):
    x: int = 0


M = TypeVar("M", bound=OutlineModel | OutlineVae)


class OutlineScanned(Outputs):
    clips: Items[OutlineClip]
    texts: Items[OutlineText]


class OutlineLoad(Node):
    """Load a model. And more words.

    And a second paragraph.
    """

    light: ClassVar[bool] = True

    def run(self, context) -> OutlineModel: ...


class OutlineScan(Node):
    def run(self, context) -> OutlineScanned: ...


class OutlineWrap(Node):
    def run(self, context, model: M) -> M: ...


class OutlineTrain(Node):
    def run(
        self,
        context,
        model: OutlineModel,
        clips: Items[OutlineClip],
        texts: Items[OutlineText] | None = None,
        watched: Annotated[OutlineModel | None, Observed] = None,
    ) -> OutlineClip: ...


KNOWN = {"Load": OutlineLoad, "Scan": OutlineScan, "Wrap": OutlineWrap, "Train": OutlineTrain}


def drawn(text, profiles=()):
    return outline(load(Path("graph.yaml"), profiles, known=KNOWN, text="vflow: 1\n" + text))


FINE = """\
name: fine
nodes:
  train: {type: Train, inputs: {model: wrapped, clips: scan, texts: scan.texts}}
  model: {type: Load}
  wrapped: {type: Wrap, inputs: {model: model}, disabled: true}
  scan: {type: Scan}
outputs: {result: train}
"""


def test_nodes_stand_in_the_order_of_their_work_and_as_in_the_file_where_that_leaves_a_choice():
    assert list(drawn(FINE).nodes) == ["model", "wrapped", "scan", "train"]


def test_a_node_is_shown_with_what_its_declaration_says():
    node = drawn(FINE).nodes["model"]
    assert (node.type, node.known, node.light, node.disabled) == ("Load", True, True, False)
    assert node.summary == "Load a model"
    assert [(port.name, port.words) for port in node.outputs] == [("output", "OutlineModel")]


def test_ports_are_shown_with_type_and_links_whether_linked_or_not():
    node = drawn(FINE).nodes["train"]
    ports = [(port.name, port.words, port.many, port.optional, port.observed, port.links) for port in node.inputs]
    assert ports == [
        ("model", "OutlineModel", False, False, False, ("wrapped",)),
        ("clips", "list of OutlineClip", True, False, False, ("scan",)),
        ("texts", "list of OutlineText", True, True, False, ("scan.texts",)),
        ("watched", "OutlineModel", False, True, True, ()),
    ]


def test_a_wire_begins_at_the_output_that_the_bare_name_of_a_node_stands_for():
    wires = drawn(FINE).wires
    assert Wire("scan", "clips", "train", "clips") in wires
    assert Wire("scan", "texts", "train", "texts") in wires
    assert not any(wire.broken for wire in wires)


def test_a_wire_begins_at_a_disabled_node_and_not_at_what_it_lets_pass():
    found = drawn(FINE)
    assert found.into("train")[0] == Wire("wrapped", "output", "train", "model")
    assert found.out_of("model") == (Wire("model", "output", "wrapped", "model"),)
    assert found.nodes["wrapped"].disabled


def test_a_list_of_links_is_as_many_wires():
    found = drawn(
        "nodes:\n  a: {type: Scan}\n  b: {type: Train, inputs: {clips: [a, c, a.texts]}}\n  c: {type: Scan}\n"
    )
    assert [(wire.source, wire.output, wire.broken) for wire in found.into("b")] == [
        ("a", "clips", False),
        ("c", "clips", False),
        ("a", "texts", False),
    ]


def test_links_to_no_node_and_to_no_output_are_broken_wires():
    found = drawn("nodes:\n  a: {type: Load}\n  b: {type: Train, inputs: {model: a.nothing, clips: gone.clips}}\n")
    assert found.wires == (Wire("a", "nothing", "b", "model", True), Wire("gone", "clips", "b", "clips", True))


def test_a_bare_name_that_may_be_either_of_two_outputs_is_a_broken_wire():
    found = drawn("nodes:\n  a: {type: Scan}\n  b: {type: Wrap, inputs: {model: a}}\n")
    assert found.wires == (Wire("a", "", "b", "model", True),)


def test_a_node_of_unknown_type_has_the_ports_that_the_file_names():
    found = drawn(
        "nodes:\n  a: {type: Odd, inputs: {x: b, y: [b, c]}}\n  b: {type: Load}\n"
        "  c: {type: Wrap, inputs: {model: a.out}}\n"
    )
    node = found.nodes["a"]
    assert (node.known, node.summary) == (False, "")
    assert [(port.name, port.links, port.many) for port in node.inputs] == [
        ("x", ("b",), False),
        ("y", ("b", "c"), True),
    ]
    assert [port.name for port in node.outputs] == ["out"]
    assert Wire("a", "out", "c", "model") in found.wires


def test_a_port_that_the_type_does_not_have_is_shown_with_its_link():
    node = drawn("nodes:\n  a: {type: Load, inputs: {nonsense: b}}\n  b: {type: Load}\n").nodes["a"]
    assert [(port.name, port.words, port.links) for port in node.inputs] == [("nonsense", "", ("b",))]


def test_a_cycle_is_shown_cut_at_its_first_node_and_what_follows_stands_behind_it():
    found = drawn(
        "nodes:\n  late: {type: Wrap, inputs: {model: c}}\n  b: {type: Wrap, inputs: {model: a}}\n"
        "  a: {type: Wrap, inputs: {model: c}}\n  c: {type: Wrap, inputs: {model: b}}\n"
    )
    assert list(found.nodes) == ["b", "c", "late", "a"]
    assert len(found.wires) == 4


def test_a_node_that_reads_from_itself_is_shown():
    assert list(drawn("nodes:\n  a: {type: Wrap, inputs: {model: a}}\n").nodes) == ["a"]


def test_many_cycles_in_a_row_are_cut_quickly():
    lines = []
    for index in range(2_000):
        above = f"b{index - 1}" if index else f"b{index}"
        lines.append(f"  a{index}: {{type: Wrap, inputs: {{model: [b{index}, {above}]}}}}")
        lines.append(f"  b{index}: {{type: Wrap, inputs: {{model: a{index}}}}}")
    found = drawn("nodes:\n" + "\n".join(reversed(lines)) + "\n")
    names = list(found.nodes)
    assert len(names) == 4_000
    assert {names[0], names[1]} == {"a0", "b0"}


def test_outputs_are_shown_as_written_those_of_disabled_nodes_too():
    found = drawn("nodes:\n  a: {type: Scan, disabled: true}\noutputs: {x: a.clips, y: gone}\n")
    assert found.outputs == {"x": "a.clips", "y": "gone"}


def test_a_profile_changes_what_is_shown():
    text = FINE + "profiles:\n  small:\n    nodes: {wrapped: null, train: {inputs: {model: model}}}\n"
    found = drawn(text, ["small"])
    assert list(found.nodes) == ["model", "scan", "train"]
    assert found.into("train")[0].source == "model"


@pytest.mark.parametrize("text", ["", "nodes: 3\n", "nodes: {a: 3, b: null, c: {type: 5, inputs: [x]}}\n", "x: [\n"])
def test_what_cannot_be_read_is_an_outline_of_what_can(text):
    found = drawn(text)
    assert all(node.type == "" and not node.known for node in found.nodes.values())


@pytest.mark.parametrize("name", shipped_graphs())
def test_the_outline_of_a_graph_that_ships_has_no_broken_wire(name):
    found = outline(load(name))
    assert found.nodes
    assert not [wire for wire in found.wires if wire.broken or not wire.output]
    place = {node: index for index, node in enumerate(found.nodes)}
    assert all(place[wire.source] < place[wire.target] for wire in found.wires)
