"""Forms: what can be set of a node, where each value comes from, what the engine says of another one."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vflow.engine.forms import Origin, Place, form, place_of, problem_of, read, whole_value, written_at
from vflow.engine.inline import text_of, value_of
from vflow.engine.load import load, shipped_graphs
from vflow.engine.node import Node, Outputs, Unit, horizon, observe, placement
from vflow.engine.problems import Problem
from vflow.engine.values import Items, Recipe, Value


class FormModel(Recipe):
    x: int = 0


class FormClip(Value):
    x: int = 0


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    lr: float = Field(1e-4, gt=0, le=1, description="How fast.")
    betas: tuple[float, float] = (0.9, 0.99)


class First(Group):
    name: Literal["first"] = "first"
    momentum: float = 0.0


class Second(Group):
    name: Literal["second"] = "second"
    decay: int = Field(description="How it ends.")


class Nested(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    deep: Group = Group(lr=0.5)
    on: bool = False


class Mode(Enum):
    fast = "fast"
    slow = "slow"


Count = Annotated[int, Field(ge=1, le=100)]


class FormNode(Node):
    """Do something.

    At length.
    """

    needed: str = Field(min_length=1, description="What it needs.")
    rank: int = Field(4, ge=1, le=64, description="How many.")
    rate: float = 0.5
    flag: bool = False
    maybe: bool | None = None
    mode: Literal["fast", "slow"] = "fast"
    level: Literal[1, 2] | None = None
    kind: Mode = Mode.fast
    size: int | str | tuple[str, ...] | None = None
    count: Count | None = None
    prompts: tuple[str, ...] = ()
    sigmas: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.2, 0.4), max_length=3)
    table: dict[str, float | int | str] = {}
    group: Group = Group()
    nested: Nested = observe(Nested())
    optional: Group | None = None
    optimizer: First | Second = Field(First(momentum=0.5), discriminator="name")
    either: First | Second | None = Field(None, discriminator="name")
    workers: int = placement(2, ge=0)
    steps: Annotated[int, Unit("steps")] = horizon(100)
    folder: Path | None = None

    @model_validator(mode="after")
    def not_both(self) -> "FormNode":
        if self.flag and self.rank == 13:
            raise ValueError("13 with the flag brings bad luck")
        return self

    def run(self, context, model: FormModel | None = None) -> FormModel: ...


class FormBoth(Outputs):
    left: Items[FormClip]
    right: FormModel


class FormReader(Node):
    light: ClassVar[bool] = True

    def run(self, context, model: FormModel, clips: Items[FormClip] | None = None) -> FormBoth: ...


KNOWN = {"Form": FormNode, "Reader": FormReader}


def loaded(text: str, profiles: Any = (), sets: Any = ()) -> Any:
    return load(Path("graph.yaml"), profiles, sets, known=KNOWN, text="vflow: 1\n" + text)


def one(settings: str, **more: Any) -> Any:
    return loaded(f"nodes:\n  a: {{type: Form, needed: x, {settings}}}\n", **more)


def field(graph: Any, *path: str) -> Any:
    found = form(graph, "a").get(path)
    assert found is not None, f"no field {path}"
    return found


# --- what a form is made of ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "default", "choices"),
    [
        (("needed",), "text", None, ()),
        (("rank",), "int", 4, ()),
        (("rate",), "float", 0.5, ()),
        (("flag",), "bool", False, ()),
        (("maybe",), "choice", None, (True, False)),
        (("mode",), "choice", "fast", ("fast", "slow")),
        (("level",), "choice", None, (1, 2)),
        (("kind",), "choice", "fast", ("fast", "slow")),
        (("size",), "text", None, ()),
        (("count",), "int", None, ()),
        (("prompts",), "list", [], ()),
        (("sigmas",), "list", [0.2, 0.4], ()),
        (("table",), "mapping", {}, ()),
        (("group",), "group", {"lr": 1e-4, "betas": [0.9, 0.99]}, ()),
        (("group", "lr"), "float", 1e-4, ()),
        (("nested", "deep", "lr"), "float", 0.5, ()),
        (("optional",), "group", None, ()),
        (
            ("optimizer",),
            "union",
            {"lr": 1e-4, "betas": [0.9, 0.99], "name": "first", "momentum": 0.5},
            ("first", "second"),
        ),
        (("optimizer", "name"), "choice", "first", ("first", "second")),
        (("optimizer", "momentum"), "float", 0.5, ()),
        (("either",), "union", None, ("first", "second")),
        (("folder",), "text", None, ()),
    ],
)
def test_every_setting_is_a_field_of_its_kind_with_its_default(path, kind, default, choices):
    found = field(one(""), *path)
    assert (found.kind, found.default, found.choices, found.level) == (kind, default, choices, len(path) - 1)
    if path != ("needed",):
        assert (found.value, found.is_set) == (default, False)


def test_fields_stand_in_the_order_of_the_declaration_with_groups_before_what_is_in_them():
    paths = [found.path for found in form(one(""), "a").fields]
    assert paths[:3] == [("needed",), ("rank",), ("rate",)]
    start = paths.index(("nested",))
    assert paths[start : start + 5] == [
        ("nested",),
        ("nested", "deep"),
        ("nested", "deep", "lr"),
        ("nested", "deep", "betas"),
        ("nested", "on"),
    ]


def test_a_field_tells_bounds_unit_description_and_key():
    graph = one("")
    assert (field(graph, "rank").bounds, field(graph, "rank").about) == ("at least 1, at most 64", "How many.")
    assert field(graph, "count").bounds == "at least 1, at most 100"
    assert field(graph, "sigmas").bounds == "at most 3 long, each more than 0 and at most 1"
    assert field(graph, "steps").unit == "steps"
    assert field(graph, "workers").in_key.startswith("not in the key: where or how fast")
    assert field(graph, "steps").in_key.startswith("in the key as how far")
    assert field(graph, "rank").in_key == ""
    assert field(graph, "rank").words == "whole number"


def test_what_is_in_a_group_enters_the_key_no_more_than_the_group():
    graph = one("")
    assert field(graph, "nested", "deep", "lr").in_key == field(graph, "nested").in_key != ""


def test_a_form_has_the_docstring_and_the_ports_with_what_they_feed():
    graph = loaded(
        "nodes:\n  a: {type: Form, needed: x, inputs: {model: c.right}}\n  b: {type: Reader, inputs: {model: a}}\n"
        "  c: {type: Reader, inputs: {model: a}}\noutputs: {x: a}\n"
    )
    found = form(graph, "a")
    assert found.about == "Do something.\n\nAt length."
    assert [(port.name, port.links) for port in found.inputs] == [("model", ("c.right",))]
    assert [(port.name, port.links) for port in found.outputs] == [("output", ("b.model", "c.model", "outputs.x"))]
    assert [(port.name, port.links) for port in form(graph, "c").outputs] == [("left", ()), ("right", ("a.model",))]


def test_there_is_no_form_of_a_node_that_is_not_there():
    assert form(one(""), "b") is None


def test_an_optional_group_has_fields_once_it_is_there():
    assert form(one(""), "a").get(("optional", "lr")) is None
    found = field(one("optional: {}"), "optional", "lr")
    assert (found.value, found.is_set) == (1e-4, False)


def test_the_choice_of_a_union_decides_the_fields_below_it():
    found = form(one("optimizer: {name: second, decay: 3}"), "a").fields
    assert [one_.label for one_ in found if one_.path[0] == "optimizer"] == [
        "optimizer",
        "name",
        "lr",
        "betas",
        "decay",
    ]
    graph = one("either: {name: second}")
    assert field(graph, "either", "name").choices == ("first", "second")
    assert field(graph, "either", "decay").problem == (
        "the setting 'decay' is missing; write `decay: ...` (How it ends.)"
    )


@pytest.mark.parametrize("given", ["{name: third}", "{}"])
def test_a_union_whose_kind_cannot_be_told_offers_the_choice_alone(given):
    found = [one_.path for one_ in form(one(f"optimizer: {given}"), "a").fields if one_.path[0] == "optimizer"]
    assert found == [("optimizer",), ("optimizer", "name")]


def test_what_is_left_of_another_kind_of_a_union_is_shown_with_its_problem():
    found = field(one("optimizer: {name: second, decay: 3, momentum: 0.1}"), "optimizer", "momentum")
    assert (found.value, found.kind) == (0.1, "text")
    assert "unknown setting" in found.problem


def test_a_group_that_holds_something_else_is_shown_as_it_is_written():
    found = field(one("group: fast"), "group")
    assert (found.kind, found.text) == ("text", "fast")
    assert found.problem == "must be a mapping, not 'fast'"


def test_a_node_of_unknown_type_shows_its_settings_as_text_and_says_what_is_wrong():
    graph = loaded("nodes:\n  a: {type: Fom, rank: 4, words: [a, b], deep: {x: true}}\n")
    found = form(graph, "a")
    assert not found.known
    assert [(one_.label, one_.text) for one_ in found.fields] == [
        ("rank", "4"),
        ("words", "[a, b]"),
        ("deep", "{x: true}"),
    ]
    assert [problem.message for problem in found.loose] == ["unknown node type 'Fom'"]
    assert problem_of(graph, "a", ("rank",), 5) == ""
    assert read(found.fields[1], "[a, c]") == ["a", "c"]


# --- problems --------------------------------------------------------------------------------------------------------


def test_problems_stand_at_their_fields_in_the_engines_words():
    graph = loaded("nodes:\n  a: {type: Form, rank: 0, rnk: 3, group: {lr: 2, lrr: 1}, sigmas: [0.1, 7]}\n")
    assert field(graph, "needed").problem == "the setting 'needed' is missing; write `needed: ...` (What it needs.)"
    assert field(graph, "needed").required
    assert field(graph, "rank").problem == "must be at least 1, not 0"
    assert field(graph, "rnk").problem == "unknown setting 'rnk'; did you mean 'rank'?"
    assert field(graph, "group").problem == ""
    assert field(graph, "group", "lr").problem == "must be at most 1.0, not 2"
    assert field(graph, "group", "lrr").problem.startswith("unknown setting 'lrr'")
    assert field(graph, "sigmas").problem == "must be at most 1.0, not 7"
    found = form(graph, "a")
    assert found.loose == ()
    assert len(found.problems) == 6


def test_what_is_wrong_with_a_link_stands_at_its_port():
    graph = loaded("nodes:\n  a: {type: Reader, inputs: {clips: a.left, modl: x}}\n")
    found = form(graph, "a")
    assert set(found.at_ports) == {"model", "clips", "modl"}
    assert found.at_ports["clips"].startswith("a cycle: a -> a")
    assert found.at_ports["model"].startswith("nothing is linked to the input 'model', a FormModel")
    assert "no input port 'modl'" in found.at_ports["modl"]


def test_what_concerns_the_node_as_a_whole_belongs_to_no_field():
    found = form(one("flag: true, rank: 13"), "a")
    assert [problem.message for problem in found.loose] == ["13 with the flag brings bad luck"]


def test_problems_found_elsewhere_stand_at_their_fields_too():
    more = [Problem("too slow", "take more", "nodes.a.workers", "warning"), Problem("other", where="nodes.ab.workers")]
    found = form(one(""), "a", more)
    assert (found.get(("workers",)).problem, found.get(("workers",)).severity) == ("too slow; take more", "warning")
    assert len(found.problems) == 1


def test_a_parameter_without_a_value_is_told_at_the_setting_that_takes_it():
    graph = loaded("params: {what: {help: say it}}\nnodes:\n  a: {type: Form, needed: '${what}'}\n")
    found = field(graph, "needed")
    assert (found.value, found.text) == (None, "")
    assert found.problem.startswith("this parameter has no value yet")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("rank",), 8, ""),
        (("rank",), 0, "must be at least 1, not 0"),
        (("rank",), "x", "must be a whole number, not 'x'"),
        (("rank",), 4.0, "must be a whole number, not 4.0; write 4"),
        (("mode",), "fst", "must be one of fast, slow, not 'fst'; did you mean 'fast'?"),
        (("group", "lr"), 0.5, ""),
        (("group", "lr"), 7, "must be at most 1.0, not 7"),
        (("optional", "lr"), 7, "must be at most 1.0, not 7"),
        (("optimizer", "name"), "third", "there is no 'third' here; known: first, second"),
        (("optimizer", "name"), "second", "the setting 'decay' is missing; write `decay: ...` (How it ends.)"),
        (("sigmas",), [0.1, 2], "must be at most 1.0, not 2"),
        (("rank",), 13, "13 with the flag brings bad luck"),
        (("rank",), "${count}", ""),
        (("rank",), "${zero}", "must be at least 1, not 0"),
        (("rank",), "${cout}", "there is no parameter 'cout'; did you mean 'count'?"),
        (("rank",), "${open}", ""),
        (("needed",), "a $${b}", ""),
        (("size",), [1, 2], "must be a text, not 1; put it in quotes"),
    ],
)
def test_a_value_is_checked_before_it_is_set(path, value, said):
    graph = loaded(
        "params: {count: 3, zero: 0, open: {help: open}}\n"
        "nodes:\n  a: {type: Form, needed: x, flag: true, rate: '${zero}', table: {x: '${count}'}}\n"
    )
    assert problem_of(graph, "a", path, value) == said


def test_other_things_that_are_wrong_are_not_told_of_a_value():
    graph = loaded("nodes:\n  a: {type: Form, rate: x, unknown: 3}\n")
    assert problem_of(graph, "a", ("rank",), 3) == ""
    assert problem_of(graph, "a", ("needed",), "") == "must be at least 1 character long, not ''"


def test_a_value_that_goes_to_a_parameter_is_checked_as_that_too():
    graph = loaded("params: {rank: {default: 4, max: 16}}\nnodes:\n  a: {type: Form, needed: x, rank: '${rank}'}\n")
    assert problem_of(graph, "a", ("rank",), 32) == "must be at most 16, not 32"
    assert problem_of(graph, "a", ("rank",), 0) == "must be at least 1, not 0"
    assert problem_of(graph, "a", ("rank",), 8) == ""


# --- where values come from ------------------------------------------------------------------------------------------

ORIGINS = """\
params: {rank: 8, lr: {default: 0.1}, what: {help: x}}
profiles:
  tiny: {params: {rank: 2}, nodes: {a: {rate: 0.1, group: {lr: 0.2}}}}
  other: {params: {lr: 0.3}, nodes: {a: {rate: 0.2, mode: slow}}}
nodes:
  a:
    type: Form
    needed: "${what}"
    rank: ${rank}
    rate: 0.9
    group: {lr: "${lr}", betas: [0.1, 0.2]}
    prompts: ["${what} moves"]
"""


def origins(graph, *path):
    return [(origin.kind, origin.name, origin.text) for origin in field(graph, *path).origins]


def test_origins_name_file_profile_parameter_call_and_default_with_what_stands_there():
    plain = loaded(ORIGINS)
    assert origins(plain, "rate") == [("file", "", "0.9"), ("default", "", "0.5")]
    assert origins(plain, "mode") == [("default", "", "fast")]
    assert origins(plain, "rank") == [("parameter", "rank", "8"), ("file", "", "8"), ("default", "", "4")]
    assert origins(plain, "group", "betas") == [("file", "", "[0.1, 0.2]"), ("default", "", "[0.9, 0.99]")]
    both = loaded(ORIGINS, ["tiny", "other"])
    assert origins(both, "rate") == [
        ("profile", "other", "0.2"),
        ("profile", "tiny", "0.1"),
        ("file", "", "0.9"),
        ("default", "", "0.5"),
    ]
    assert origins(both, "rank") == [
        ("parameter", "rank", "2"),
        ("profile", "tiny", "2"),
        ("file", "", "8"),
        ("default", "", "4"),
    ]
    assert origins(both, "group", "lr") == [
        ("profile", "tiny", "0.2"),
        ("parameter", "lr", "0.3"),
        ("default", "", "0.0001"),
    ]
    called = loaded(ORIGINS, ["tiny"], ["rank=5", "what=y"])
    assert origins(called, "rank")[:3] == [("parameter", "rank", "5"), ("set", "rank", "5"), ("profile", "tiny", "2")]
    assert origins(called, "needed")[:2] == [("parameter", "what", "y"), ("set", "what", "y")]


def test_values_of_an_extended_file_are_told_from_the_files_own(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "vflow: 1\nparams: {rank: 3}\n"
        "nodes:\n  a: {type: Form, needed: b, rate: 0.1, rank: '${rank}', group: {lr: 0.1}}\n"
    )
    text = "vflow: 1\nextends: base.yaml\nnodes:\n  a: {rate: 0.2, group: {betas: [0, 1]}}\n"
    graph = load(tmp_path / "graph.yaml", known=KNOWN, text=text)
    base = str(tmp_path / "base.yaml")
    assert field(graph, "rate").origins[0] == Origin("file", "", "0.2")
    assert field(graph, "needed").origins[0] == Origin("extends", base, "b")
    assert field(graph, "group", "lr").origins[0] == Origin("extends", base, "0.1")
    assert field(graph, "group", "betas").origins[0].kind == "file"
    assert field(graph, "rank").origins[:2] == (Origin("parameter", "rank", "3"), Origin("extends", base, "3"))


@pytest.mark.parametrize(
    ("profiles", "sets", "path", "value", "place"),
    [
        ((), (), ("rate",), 1, Place("node", "a", "", ("rate",))),
        ((), (), ("mode",), "slow", Place("node", "a", "", ("mode",))),
        (("tiny",), (), ("rate",), 1, Place("profile", "tiny", "", ("rate",))),
        (("tiny", "other"), (), ("rate",), 1, Place("profile", "other", "", ("rate",))),
        (("tiny",), (), ("group", "betas"), 1, Place("node", "a", "", ("group", "betas"))),
        ((), (), ("rank",), 1, Place("parameter", "rank")),
        (("tiny",), (), ("rank",), 1, Place("parameter", "rank", "tiny")),
        (("tiny",), ("rank=5",), ("rank",), 1, Place("set", "rank")),
        ((), (), ("needed",), "x", Place("parameter", "what")),
        ((), (), ("rank",), "${lr}", Place("node", "a", "", ("rank",))),
        ((), (), ("prompts",), ["${what}"], Place("node", "a", "", ("prompts",))),
    ],
)
def test_an_edit_goes_to_what_is_in_force(profiles, sets, path, value, place):
    assert place_of(loaded(ORIGINS, profiles, sets), "a", path, value) == place


def test_a_reset_drops_what_is_written_in_the_profile_or_the_node():
    graph = loaded(ORIGINS, ["tiny"], ["rank=5"])
    assert written_at(graph, "a", ("rank",)) == Place("node", "a", "", ("rank",))
    assert written_at(graph, "a", ("rate",)) == Place("profile", "tiny", "", ("rate",))


def test_what_lies_inside_a_parameter_is_changed_there():
    graph = loaded(
        "params: {how: {default: {lr: 0.1, betas: [0, 1]}}}\nnodes:\n  a: {type: Form, needed: x, group: '${how}'}\n"
    )
    found = field(graph, "group", "lr")
    assert (found.value, found.origins[0]) == (0.1, Origin("parameter", "how", "{lr: 0.1, betas: [0, 1]}"))
    place = place_of(graph, "a", ("group", "lr"), 0.2)
    assert place == Place("parameter", "how", "", ("lr",))
    assert whole_value(graph, place, 0.2) == {"lr": 0.2, "betas": [0, 1]}
    assert problem_of(graph, "a", ("group", "lr"), 2) == "must be at most 1.0, not 2"


# --- typing ----------------------------------------------------------------------------------------------------------


def test_a_field_shows_the_value_of_a_parameter_but_the_text_around_one():
    graph = loaded(ORIGINS, (), ["what=a bird"])
    assert (field(graph, "needed").text, field(graph, "needed").value) == ("a bird", "a bird")
    assert (field(graph, "prompts").text, field(graph, "prompts").value) == ("${what} moves", ["a bird moves"])
    assert field(one("rate: 0.5, prompts: ['costs $${5}']"), "prompts").text == "costs $${5}"


@pytest.mark.parametrize(
    ("label", "raw", "value"),
    [
        ("rank", "16", 16),
        ("rank", "", None),
        ("rank", "many", "many"),
        ("rank", "${rank}", "${rank}"),
        ("rate", "1e-4", 1e-4),
        ("rate", "3", 3),
        ("needed", "16", "16"),
        ("needed", "a: b # c", "a: b # c"),
        ("needed", "'quoted'", "quoted"),
        ("needed", '"two\\nlines"', "two\nlines"),
        ("needed", '"A" and "B"', '"A" and "B"'),
        ("needed", "", ""),
        ("folder", "", None),
        ("size", "480", 480),
        ("size", "'480'", "480"),
        ("size", "848x480", "848x480"),
        ("size", "true", "true"),
        ("size", "[a, b]", ["a", "b"]),
        ("size", "[a", "[a"),
        ("size", "", None),
        ("sigmas", "0.1, 0.2", [0.1, 0.2]),
        ("sigmas", "[0.1]", [0.1]),
        ("sigmas", "0.1", [0.1]),
        ("sigmas", "", []),
        ("sigmas", "${list}", "${list}"),
        ("table", "a: 1, b: x", {"a": 1, "b": "x"}),
        ("table", "{a: 1}", {"a": 1}),
        ("table", "abc", "abc"),
        ("prompts", "a bird, flying\n\n  a cat: sitting\n", ["a bird, flying", "  a cat: sitting"]),
        ("prompts", "[a, b]", ["a", "b"]),
        ("prompts", "${all}", "${all}"),
        ("mode", "slow", "slow"),
        ("mode", "slo", "slo"),
        ("level", "2", 2),
        ("level", "", None),
        ("maybe", "true", True),
        ("flag", "true", True),
    ],
)
def test_what_is_typed_is_read_as_the_field_takes_it(label, raw, value):
    found = read(field(one(""), label), raw)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("label", "raw"), [("sigmas", "[0.1, 0.2"), ("table", "{a: 1"), ("table", "a: 1, a: 2")])
def test_what_cannot_be_read_is_said_in_words(label, raw):
    with pytest.raises(ValueError) as told:
        read(field(one(""), label), raw)
    assert str(told.value)
    assert "\n" not in str(told.value)


def test_a_number_in_quotes_is_shown_in_quotes_where_a_number_is_wanted():
    found = field(one("rank: '16'"), "rank")
    assert found.text == '"16"'
    assert found.problem == "must be a whole number, not '16'; write it without quotes"
    assert read(found, found.text) == "16"


_TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\"'[]{}:,#$ -1"), max_size=12
).filter(
    lambda text: text != "<<"  # refused as a key, in quotes too
)
_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_TAKES = [
    ("text",),
    ("text", "empty"),
    ("int", "empty"),
    ("float",),
    ("list",),
    ("list", "empty"),
    ("mapping",),
    ("int", "text", "list", "empty"),
    ("bool", "text"),
    (),
]


_KINDS = {type(None): "empty", bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "mapping"}


@given(st.sampled_from(_TAKES), st.data())
def test_what_is_shown_is_read_back_as_the_same_value(takes, data):
    value = data.draw(_PLAIN.filter(lambda one: not takes or _KINDS[type(one)] in takes) if takes else _PLAIN)
    read_back = value_of(text_of(value, takes), takes)
    assert read_back == value
    assert type(read_back) is type(value)


@given(st.lists(_TEXTS, max_size=4))
def test_lines_of_text_are_read_back_as_the_same_list(texts):
    assert value_of(text_of(texts, ("list",), True), ("list",), True) == texts


@pytest.mark.parametrize("name", shipped_graphs())
def test_every_field_of_a_graph_that_ships_reads_its_own_text_and_is_fine(name):
    graph = load(name, ["tiny"])
    for node in graph.graph.nodes:
        for found in form(graph, node).fields:
            assert found.problem == ""
            if found.kind not in ("group", "union") and found.value is not None and "${" not in found.text:
                value = read(found, found.text)
                assert value == found.value
                assert problem_of(graph, node, found.path, value) == ""
