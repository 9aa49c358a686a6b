from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import pytest

from vflow.engine.load import load, shipped_graphs
from vflow.engine.node import Node, Observed, Outputs
from vflow.engine.offers import Offer, sources_for, targets_for, types_after, types_before
from vflow.engine.values import Artifact, Items, Recipe


class OfferModel(Recipe):
    x: int = 0


class OfferSpecialModel(OfferModel): ...


class OfferVae(Recipe):
    x: int = 0


class OfferClip(Artifact):
    x: int = 0


class OfferText(Artifact):
    x: int = 0


M = TypeVar("M", bound=OfferModel | OfferVae)


class OfferScanned(Outputs):
    clips: Items[OfferClip]
    texts: Items[OfferText]
    held_out: Items[OfferClip]


class OfferLoad(Node):
    """Load a model."""

    light: ClassVar[bool] = True

    def run(self, context) -> OfferModel: ...


class OfferLoadSpecial(Node):
    def run(self, context) -> OfferSpecialModel: ...


class OfferLoadVae(Node):
    def run(self, context) -> OfferVae: ...


class OfferScan(Node):
    def run(self, context) -> OfferScanned: ...


class OfferWrap(Node):
    def run(self, context, model: M) -> M: ...


class OfferTrain(Node):
    def run(
        self,
        context,
        model: OfferModel,
        clips: Items[OfferClip],
        more: Items[OfferClip] | None = None,
        watched: Annotated[OfferModel | None, Observed] = None,
    ) -> OfferClip: ...


class OfferDraw(Node):
    def run(self, context, vae: OfferVae, watched: Annotated[OfferModel | None, Observed] = None) -> OfferClip: ...


KNOWN = {
    "Load": OfferLoad,
    "Special": OfferLoadSpecial,
    "LoadVae": OfferLoadVae,
    "Scan": OfferScan,
    "Wrap": OfferWrap,
    "Train": OfferTrain,
    "Draw": OfferDraw,
}

GRAPH = """\
nodes:
  far: {type: Load}
  vae: {type: LoadVae}
  scan: {type: Scan}
  near: {type: Special}
  wrapped: {type: Wrap, inputs: {model: far}}
  wrapped_vae: {type: Wrap, inputs: {model: vae}}
  train: {type: Train, inputs: {model: wrapped, clips: scan.clips}}
  draw: {type: Draw, inputs: {vae: wrapped_vae}}
  odd: {type: Odd, inputs: {x: train}}
"""


@pytest.fixture
def graph():
    return loaded(GRAPH)


def loaded(text):
    return load(Path("graph.yaml"), known=KNOWN, text="vflow: 1\n" + text)


def test_sources_are_outputs_of_a_fitting_type_nearest_first(graph):
    assert sources_for(graph, "draw", "vae") == ["vae"]
    assert sources_for(graph, "train", "watched") == ["wrapped", "near", "far"]


def test_what_is_linked_already_is_no_source(graph):
    assert sources_for(graph, "train", "model") == ["near", "far"]
    assert sources_for(graph, "train", "clips") == ["draw", "scan.held_out"]


def test_an_output_is_named_where_a_node_has_several_that_fit_and_not_where_it_has_one(graph):
    assert sources_for(graph, "train", "more") == ["draw", "scan.clips", "scan.held_out"]


def test_what_reads_from_a_node_is_no_source_for_it():
    text = "nodes:\n  a: {type: Wrap}\n  b: {type: Wrap, inputs: {model: a}}\n  c: {type: Odd, inputs: {x: b}}\n"
    text += "  d: {type: Wrap, inputs: {model: c}}\n  e: {type: Load}\n"
    assert sources_for(loaded(text), "a", "model") == ["e"]


def test_an_output_that_follows_its_input_fits_as_what_is_linked_to_it(graph):
    assert "wrapped_vae" not in sources_for(graph, "train", "watched")
    assert ("draw", "vae") not in targets_for(graph, "wrapped", "output")
    assert ("draw", "watched") in targets_for(graph, "wrapped", "output")


@pytest.mark.parametrize(("node", "port"), [("train", "nonsense"), ("odd", "x"), ("gone", "x")])
def test_where_the_port_is_not_known_there_are_no_offers(graph, node, port):
    assert sources_for(graph, node, port) == []
    assert types_before(graph, node, port, KNOWN) == []
    assert targets_for(graph, node, port) == []


def test_targets_that_wait_for_a_link_come_first_then_lists_then_those_whose_link_would_be_replaced():
    graph = loaded(
        "nodes:\n  scan: {type: Scan}\n  more: {type: Scan}\n  a: {type: Load}\n"
        "  full: {type: Train, inputs: {model: a, clips: more.clips, more: more.clips}}\n  free: {type: Train}\n"
    )
    assert targets_for(graph, "scan", "clips") == [
        ("free", "clips"),
        ("free", "more"),
        ("full", "clips"),
        ("full", "more"),
    ]
    assert targets_for(graph, "a", "output") == [("free", "model"), ("full", "watched"), ("free", "watched")]


def test_a_node_that_is_read_from_is_no_target(graph):
    assert targets_for(graph, "train", "output") == []
    assert ("wrapped", "model") not in targets_for(graph, "wrapped", "output")


def test_what_is_linked_already_is_no_target(graph):
    assert ("train", "clips") not in targets_for(graph, "scan", "clips")
    assert ("train", "more") in targets_for(graph, "scan", "clips")


def test_node_types_that_take_an_output_come_first_and_all_others_follow_without_a_port(graph):
    offers = types_after(graph, "near", "output", KNOWN)
    assert [(offer.type, offer.port) for offer in offers] == [
        ("Train", "model"),
        ("Wrap", "model"),
        ("Draw", "watched"),
        ("Load", ""),
        ("LoadVae", ""),
        ("Scan", ""),
        ("Special", ""),
    ]
    assert offers[3] == Offer("Load", "", "Load a model")


def test_an_offer_says_which_link_wires_it(graph):
    by_type = {offer.type: offer for offer in types_after(graph, "scan", None, KNOWN)}
    assert (by_type["Train"].port, by_type["Train"].link) == ("clips", "scan.clips")
    by_type = {offer.type: offer for offer in types_after(graph, "scan", "held_out", KNOWN)}
    assert by_type["Train"].link == "scan.held_out"
    assert types_after(graph, "near", "output", KNOWN)[0].link == "near"
    assert types_after(graph, "near", "output", KNOWN)[-1].link == ""


def test_after_no_node_every_type_is_offered_without_a_port(graph):
    assert [(offer.type, offer.port) for offer in types_after(graph, "", None, KNOWN)] == [
        (name, "") for name in sorted(KNOWN)
    ]


def test_types_before_a_port_are_those_that_give_it_for_certain_then_those_that_may(graph):
    offers = types_before(graph, "train", "model", KNOWN)
    assert [(offer.type, offer.port, offer.link) for offer in offers] == [
        ("Load", "output", "{}"),
        ("Special", "output", "{}"),
        ("Wrap", "output", "{}"),
    ]
    assert [(offer.type, offer.link) for offer in types_before(graph, "train", "clips", KNOWN)] == [
        ("Scan", "{}.clips"),
        ("Draw", "{}"),
        ("Train", "{}"),
    ]


@pytest.mark.parametrize("name", shipped_graphs())
def test_every_link_of_a_graph_that_ships_would_be_offered(name):
    graph = load(name)
    nodes = graph.graph.nodes
    for node, spec in list(nodes.items()):
        for port, given in spec.inputs.items():
            assert given not in sources_for(graph, node, port)  # it is linked already
            without = {name: link for name, link in spec.inputs.items() if name != port}
            nodes[node] = replace(spec, inputs=without)
            assert {given, given.partition(".")[0]} & set(sources_for(graph, node, port))
            nodes[node] = spec
