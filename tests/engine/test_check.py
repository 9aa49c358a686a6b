import os
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vflow.engine.context import Context
from vflow.engine.links import Link
from vflow.engine.load import load
from vflow.engine.node import Node, Observed, Outputs, placement
from vflow.engine.values import Artifact, Items, Recipe, Value


class ModelRecipe(Recipe):
    x: int = 0


class DenoiserRecipe(ModelRecipe): ...


class DecoderRecipe(ModelRecipe): ...


class ClipValue(Value):
    x: int = 0


class WordsValue(Value):
    x: int = 0


class LatentArtifact(Artifact):
    x: int = 0


class AdapterArtifact(Artifact):
    x: int = 0


M = TypeVar("M", bound=DenoiserRecipe | DecoderRecipe)


class Scanned(Outputs):
    clips: Items[ClipValue]
    words: Items[WordsValue]
    held_out: Items[ClipValue]


class Trained(Outputs):
    adapter: AdapterArtifact
    kept: Annotated[Items[AdapterArtifact], Observed]


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = Field(1e-4, gt=0, description="How fast.")
    betas: tuple[float, float] = (0.9, 0.99)


class First(Group):
    name: Literal["first"]
    momentum: float = 0.0


class Second(Group):
    name: Literal["second"]


class Mode(Enum):
    fast = "fast"
    slow = "slow"


class CheckDenoiser(Node):
    light: ClassVar[bool] = True
    model: str = "m"

    def run(self, context: Context) -> DenoiserRecipe: ...


class CheckDecoder(Node):
    light: ClassVar[bool] = True
    model: str = "m"

    def run(self, context: Context) -> DecoderRecipe: ...


class CheckScan(Node):
    source: str = "s"

    def run(self, context: Context, decoder: DecoderRecipe) -> Scanned: ...


class CheckEncode(Node):
    batch_size: int = placement(1, exact=False, ge=1)

    def run(self, context: Context, decoder: DecoderRecipe, clips: Items[ClipValue]) -> Iterator[LatentArtifact]: ...


class CheckOffload(Node):
    light: ClassVar[bool] = True
    level: Literal["block", "leaf"] = "block"

    def run(self, context: Context, model: M) -> M: ...


class CheckAdapt(Node):
    light: ClassVar[bool] = True
    rank: int = Field(4, ge=1, le=64, multiple_of=2)

    def run(self, context: Context, model: DenoiserRecipe) -> DenoiserRecipe: ...


class CheckRefine(Node):
    def run(self, context: Context, latents: Items[LatentArtifact]) -> Items[LatentArtifact]: ...


class CheckTrain(Node):
    steps: int = Field(description="How many steps.")
    lr: float = 1e-4
    name: str = Field("x", min_length=1, max_length=5, pattern="^[a-z]*$")
    exact: bool = False
    optimizer: First | Second = Field(First(name="first"), discriminator="name")
    groups: list[Group] = Field([], max_length=2)
    size: int | Literal["auto"] | list[int] = "auto"
    mode: Mode = Mode.fast
    folder: Path | None = None
    extra: dict[str, int] = {}

    @model_validator(mode="after")
    def not_both(self) -> "CheckTrain":
        if self.exact and self.steps == 13:
            raise ValueError("13 exact steps bring bad luck")
        return self

    def run(
        self,
        context: Context,
        model: DenoiserRecipe,
        latents: Items[LatentArtifact],
        words: Items[WordsValue] | None = None,
    ) -> Trained: ...


class CheckDraw(Node):
    def run(
        self, context: Context, adapter: Items[AdapterArtifact], any_model: ModelRecipe | None = None
    ) -> ClipValue: ...


class CheckSilent(Node):
    def run(self, context: Context, clip: ClipValue) -> None: ...


class CheckBroken(Node):
    x: int = 0

    @model_validator(mode="after")
    def breaks(self) -> "CheckBroken":
        raise KeyError("oops")

    def run(self, context: Context) -> ClipValue: ...


KNOWN = {
    cls.__name__.removeprefix("Check"): cls
    for cls in (CheckDenoiser, CheckDecoder, CheckScan, CheckEncode, CheckOffload, CheckAdapt, CheckRefine, CheckTrain)
}
KNOWN |= {"Draw": CheckDraw, "Silent": CheckSilent, "Broken": CheckBroken}

NODES = {
    "denoiser": "{type: Denoiser}",
    "decoder": "{type: Decoder}",
    "scan": "{type: Scan, inputs: {decoder: decoder}}",
    "latents": "{type: Encode, inputs: {decoder: decoder, clips: scan.clips}}",
    "lora": "{type: Adapt, inputs: {model: denoiser}}",
    "offload": "{type: Offload, inputs: {model: lora}}",
    "train": "{type: Train, inputs: {model: offload, latents: latents, words: scan}, steps: 3}",
    "draw": "{type: Draw, inputs: {adapter: [train.adapter, train.kept]}}",
}


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Load the usual graph with some of its nodes replaced (None drops one) or added; node i stands in line i + 3."""
    monkeypatch.chdir(tmp_path)

    def _checked(outputs="{result: draw}", **nodes):
        merged = {name: text for name, text in {**NODES, **nodes}.items() if text is not None}
        lines = [f"  {name}: {text}" for name, text in merged.items()]
        (tmp_path / "g.yaml").write_text("\n".join(["vflow: 1", "nodes:", *lines, f"outputs: {outputs}", ""]))
        return load("g.yaml", known=KNOWN)

    return _checked


def told(loaded):
    return [str(problem).removeprefix("g.yaml:") for problem in loaded.problems]


def test_a_sound_graph_has_no_problem_and_concrete_links(checked):
    loaded = checked()
    assert told(loaded) == []
    assert loaded.bound["latents"].links == {"decoder": [Link("decoder", "output")], "clips": [Link("scan", "clips")]}
    assert loaded.bound["train"].links["words"] == [Link("scan", "words")]
    assert loaded.bound["draw"].links["adapter"] == [Link("train", "adapter"), Link("train", "kept")]
    assert loaded.outputs == {"result": Link("draw", "output")}
    assert list(loaded.bound) == list(NODES)


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            {"latents": "{type: Encode, inputs: {decoder: decodr, clips: scan.clips}}"},
            "6:45: nodes.latents.inputs.decoder: there is no node 'decodr'; did you mean 'decoder'?",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: scan.clip}}"},
            "6:61: nodes.latents.inputs.clips: 'scan' (Scan) has no output 'clip'; did you mean 'clips'?",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: scan}}"},
            "6:61: nodes.latents.inputs.clips: 'scan' has several outputs; write scan.clips or scan.held_out",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: scan.words}}"},
            "6:61: nodes.latents.inputs.clips: 'scan' gives list of WordsValue, but this takes list of ClipValue; "
            "link scan.clips or scan.held_out or draw",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: denoiser, clips: scan.clips}}"},
            "6:45: nodes.latents.inputs.decoder: 'denoiser' gives DenoiserRecipe, but this takes DecoderRecipe; "
            "link decoder",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: [decoder], clips: scan.clips}}"},
            "6:45: nodes.latents.inputs.decoder: takes one link, not a list: it is a DecoderRecipe; "
            "write one `node` or `node.output`",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: a.b.c}}"},
            "6:61: nodes.latents.inputs.clips: 'a.b.c' is no link; write `node` or `node.output`",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clip: scan.clips, clips: scan.clips}}"},
            "6:54: nodes.latents.inputs.clip: Encode has no input port 'clip'; did you mean 'clips'?",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: scan.clips, batch_size: scan.clips}}"},
            "6:73: nodes.latents.inputs.batch_size: 'batch_size' is a setting and no input port; "
            "write it beside `inputs:`",
        ),
        (
            {"latents": "{type: Encode, inputs: {clips: scan.clips}}"},
            "6:3: nodes.latents: nothing is linked to the input 'decoder', a DecoderRecipe; link decoder",
        ),
        (
            {"latents": "{type: Encode, inputs: {decoder: decoder, clips: []}}"},
            "6:3: nodes.latents: nothing is linked to the input 'clips', a list of ClipValue; "
            "link scan.clips or scan.held_out or draw",
        ),
        (
            {"denoiser": "{type: Denoiser, inputs: {x: decoder}}"},
            "3:39: nodes.denoiser.inputs.x: Denoiser has no input port 'x'; it takes no inputs",
        ),
        (
            {"quiet": "{type: Silent, inputs: {clip: draw}}", "loud": "{type: Silent, inputs: {clip: quiet}}"},
            "12:39: nodes.loud.inputs.clip: 'quiet' gives nothing: it has no outputs; link another node",
        ),
        (
            {"train": "{type: Train, inputs: {model: offload, latents: scan}, steps: 3}"},
            "9:58: nodes.train.inputs.latents: no output of 'scan' (clips: list of ClipValue, "
            "words: list of WordsValue, held_out: list of ClipValue) is a list of LatentArtifact; link latents",
        ),
    ],
)
def test_a_wrong_link_is_told_once_with_its_place_and_a_remedy(checked, nodes, text):
    assert told(checked(**nodes)) == [text]


def test_every_wrong_link_of_a_list_has_its_place(checked):
    loaded = checked(draw="{type: Draw, inputs: {adapter: [train.adapter, nobody, lora]}}")
    assert [(problem.line, problem.column) for problem in loaded.problems] == [(10, 56), (10, 64)]


def test_nothing_that_could_be_linked_names_the_types_that_give_it(checked):
    loaded = checked(denoiser=None, lora=None, offload=None, train=None, draw="{type: Adapt}", outputs="{}")
    assert told(loaded) == [
        "6:3: nodes.draw: nothing is linked to the input 'model', a DenoiserRecipe; "
        "add a node that gives it: Adapt or Denoiser"
    ]


def test_a_subclass_fits_and_a_wider_type_does_not(checked):
    assert told(checked(draw="{type: Draw, inputs: {adapter: train.adapter, any_model: offload}}")) == []


def test_an_item_fits_a_list_and_a_list_no_single_port(checked):
    assert told(checked(draw="{type: Draw, inputs: {adapter: train.adapter}}")) == []
    assert (
        "gives list of ClipValue, but this takes ClipValue"
        in told(checked(quiet="{type: Silent, inputs: {clip: scan.clips}}"))[0]
    )


def test_the_output_of_a_type_variable_follows_what_is_linked(checked):
    twice = checked(
        decoder="{type: Decoder}",
        placed="{type: Offload, inputs: {model: decoder}}",
        again="{type: Offload, inputs: {model: placed}}",
        scan="{type: Scan, inputs: {decoder: again}}",
    )
    assert told(twice) == []
    wrong = checked(
        train="{type: Train, inputs: {model: placed, latents: latents}, steps: 3}",
        placed=NODES["offload"].replace("lora", "decoder"),
    )
    assert told(wrong) == [
        "9:40: nodes.train.inputs.model: 'placed' gives DecoderRecipe, but this takes DenoiserRecipe; "
        "link denoiser or lora or offload"
    ]


def test_what_does_not_belong_to_a_type_variable_is_refused(checked):
    (problem,) = checked(
        offload="{type: Offload, inputs: {model: draw}}",
        draw="{type: Draw, inputs: {adapter: [a]}}",
        a="{type: Unknown}",
        train=NODES["train"],
    ).problems[:1]
    assert "gives ClipValue, but this takes DenoiserRecipe | DecoderRecipe" in problem.message


# --- unknown types ---------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_one_problem_and_the_rest_is_checked(checked):
    loaded = checked(
        lora="{type: Adpat, inputs: {model: denoiser}}",
        latents="{type: Encode, inputs: {decoder: denoiser, clips: scan.clips}}",
    )
    assert told(loaded) == [
        "6:45: nodes.latents.inputs.decoder: 'denoiser' gives DenoiserRecipe, but this takes DecoderRecipe; "
        "link decoder",
        "7:16: nodes.lora.type: unknown node type 'Adpat'; did you mean 'Adapt'?",
    ]
    assert "lora" not in loaded.bound
    assert loaded.graph.nodes["lora"].inputs == {"model": "denoiser"}


def test_links_of_an_unknown_type_must_lead_somewhere(checked):
    loaded = checked(lora="{type: Nope, inputs: {model: nobody, other: [scan.clip, scan.clips]}}")
    assert [problem.column for problem in loaded.problems] == [16, 38, 54]


# --- cycles ----------------------------------------------------------------------------------------------------------


def test_a_cycle_is_named_along_its_nodes(checked):
    loaded = checked(lora="{type: Adapt, inputs: {model: third}}", third="{type: Offload, inputs: {model: offload}}")
    assert told(loaded) == [
        "7:39: nodes.lora.inputs.model: a cycle: lora -> offload -> third -> lora; "
        "these nodes wait for each other; drop one of the links"
    ]


def test_a_node_that_waits_for_itself_is_a_cycle(checked):
    loaded = checked(lora="{type: Adapt, inputs: {model: lora}}")
    assert "a cycle: lora -> lora" in told(loaded)[0]
    assert len(loaded.problems) == 1


def test_each_knot_of_nodes_is_told_once_and_what_hangs_on_it_is_still_checked(checked):
    loaded = checked(
        a="{type: Adapt, inputs: {model: b}}",
        b="{type: Adapt, inputs: {model: a}}",
        c="{type: Adapt, inputs: {model: d}}",
        d="{type: Adapt, inputs: {model: c}, rank: 3}",
        e="{type: Scan, inputs: {decoder: draw}}",
    )
    assert [problem.where for problem in loaded.problems] == [
        "nodes.a.inputs.model",
        "nodes.c.inputs.model",
        "nodes.d.rank",
        "nodes.e.inputs.decoder",
    ]


def test_a_chain_of_thousands_of_nodes_is_checked(checked):
    chain = {f"n{i}": f"{{type: Adapt, inputs: {{model: {f'n{i - 1}' if i else 'denoiser'}}}}}" for i in range(3000)}
    assert told(checked(**chain)) == []
    chain["n0"] = "{type: Adapt, inputs: {model: n2999}}"
    assert len(checked(**chain).problems) == 1


# --- disabled --------------------------------------------------------------------------------------------------------


def off(text):
    return text.replace("{type", "{disabled: true, type", 1)


def test_a_disabled_transformation_passes_its_input_through(checked):
    for name in ("lora", "offload"):
        loaded = checked(**{name: off(NODES[name])})
        assert told(loaded) == []
        assert loaded.bound[name].disabled
    assert checked(offload=off(NODES["offload"])).bound["train"].links["model"] == [Link("lora", "output")]
    both = checked(offload=off(NODES["offload"]), lora=off(NODES["lora"]))
    assert both.bound["train"].links["model"] == [Link("denoiser", "output")]


def test_types_are_checked_past_a_disabled_node(checked):
    loaded = checked(offload=off(NODES["offload"].replace("lora", "decoder")))
    assert "'offload' gives DecoderRecipe, but this takes DenoiserRecipe" in told(loaded)[0]


def test_a_disabled_source_yields_nothing(checked):
    loaded = checked(decoder=off(NODES["decoder"]))
    assert told(loaded) == [
        f"{place}.inputs.decoder: 'decoder' is disabled and yields nothing; enable it, or link another node"
        for place in ("5:40: nodes.scan", "6:45: nodes.latents")
    ]
    optional = checked(
        spare=off("{type: Denoiser}"), draw="{type: Draw, inputs: {adapter: train.adapter, any_model: spare}}"
    )
    assert told(optional) == []
    assert list(optional.bound["draw"].links) == ["adapter"]


@pytest.mark.parametrize("name", ["scan", "latents", "train"])
def test_what_depends_on_a_disabled_artifact_is_told(checked, name):
    loaded = checked(**{name: off(NODES[name])})
    assert loaded.problems
    assert all("is disabled and has no result; enable it, or disable this node too" in text for text in told(loaded))


def test_a_disabled_node_from_artifacts_to_artifacts_passes_nothing_on(checked):
    loaded = checked(
        refine=off("{type: Refine, inputs: {latents: latents}}"),
        train=NODES["train"].replace("latents: latents", "latents: refine"),
    )
    assert told(loaded)[0].startswith("9:58: nodes.train.inputs.latents: 'refine' is disabled and has no result")


def test_disabled_nodes_may_depend_on_each_other_and_need_no_inputs(checked):
    loaded = checked(train=off(NODES["train"]), draw=off("{type: Draw}"), outputs="{}")
    assert told(loaded) == []


def test_the_output_of_a_disabled_node_leaves_the_graph_with_a_warning(checked):
    loaded = checked(draw=off(NODES["draw"]), outputs="{result: draw, adapter: train.adapter}")
    (problem,) = loaded.problems
    assert problem.severity == "warning"
    assert str(problem).startswith("g.yaml:11:19: outputs.result: 'draw' is disabled and has no result")
    assert (list(loaded.outputs), list(loaded.graph.outputs)) == (["adapter"], ["adapter"])


# --- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ("{r: drwa}", "11:14: outputs.r: there is no node 'drwa'; did you mean 'draw'?"),
        ("{r: train.adapters}", "11:14: outputs.r: 'train' (Train) has no output 'adapters'; did you mean 'adapter'?"),
        ("{r: train}", "11:14: outputs.r: 'train' has several outputs; write train.adapter or train.kept"),
    ],
)
def test_an_output_that_leads_nowhere_is_told(checked, outputs, text):
    assert told(checked(outputs)) == [text]


def test_a_node_without_outputs_is_no_output(checked):
    assert told(checked("{r: quiet}", quiet="{type: Silent, inputs: {clip: draw}}")) == [
        "12:14: outputs.r: 'quiet' gives nothing: it has no outputs; link another node"
    ]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "where", "words"),
    [
        ("steps: true", "steps", "must be a whole number, not true"),
        ("steps: 'x'", "steps", "must be a whole number, not 'x'"),
        ("steps: '20'", "steps", "must be a whole number, not '20'; write it without quotes"),
        ("steps: 20.0", "steps", "must be a whole number, not 20.0; write 20"),
        ("steps: 1.5", "steps", "must be a whole number, not 1.5"),
        ("steps: ", "steps", "must be a whole number, not empty"),
        ("steps: [1]", "steps", "must be a whole number, not a list"),
        ("lr: .nan", "lr", "must be a finite number, not .nan"),
        ("lr: -.inf", "lr", "must be a finite number, not -.inf"),
        ("lr: 1e999", "lr", "must be a finite number, not .inf"),
        ("lr: true", "lr", "must be a number, not true"),
        ("lr: '1e-4'", "lr", "must be a number, not '1e-4'; write it without quotes"),
        ("name: 5", "name", "must be a text, not 5; put it in quotes"),
        ("name: ''", "name", "must be at least 1 character long, not ''"),
        ("name: abcdefg", "name", "must be at most 5 characters long, not 'abcdefg'"),
        ("name: ABC", "name", "must be a text that matches ^[a-z]*$, not 'ABC'"),
        ("exact: yes", "exact", "must be true or false, not 'yes'; write true or false"),
        ("exact: 1", "exact", "must be true or false, not 1"),
        ("stesp: 5", "stesp", "unknown setting 'stesp'; did you mean 'steps'?"),
        ("input: 5", "input", "unknown setting 'input'; did you mean 'inputs'?"),
        ("latents: latents", "latents", "'latents' is an input port and no setting; write it below `inputs:`"),
        ("optimizer: {name: frist}", "optimizer.name", "there is no 'frist' here; did you mean 'first'?"),
        ("optimizer: {lr: 1}", "optimizer", "does not say its 'name'; write `name: ...` (first or second)"),
        ("optimizer: {name: first, lr: x}", "optimizer.lr", "must be a number, not 'x'"),
        ("optimizer: {name: first, lr: 0}", "optimizer.lr", "must be more than 0.0, not 0"),
        ("optimizer: {name: second, lr: .nan}", "optimizer.lr", "must be a finite number, not .nan"),
        ("optimizer: {name: first, momentun: 1}", "optimizer.momentun", "did you mean 'momentum'?"),
        ("optimizer: {name: first, betas: [1]}", "optimizer.betas", "has no entry 2; write one more"),
        ("optimizer: {name: first, betas: [1, 2, 3]}", "optimizer.betas", "must be at most 2 entries long, not a list"),
        ("optimizer: {name: first, betas: [1, x]}", "optimizer.betas.1", "must be a number, not 'x'"),
        ("optimizer: 3", "optimizer", "must be a mapping, not 3"),
        ("groups: [{lr: 1}, {lr: y}]", "groups.1.lr", "must be a number, not 'y'"),
        ("groups: [{beta: 1}]", "groups.0.beta", "unknown setting 'beta'; did you mean 'betas'?"),
        ("groups: {lr: 1}", "groups", "must be a list, not a mapping"),
        ("groups: [{}, {}, {}]", "groups", "must be at most 2 entries long"),
        ("size: x", "size", "must be a whole number or 'auto' or a list, not 'x'"),
        ("size: [1, x]", "size.1", "must be a whole number, not 'x'"),
        ("mode: fats", "mode", "must be one of fast, slow, not 'fats'; did you mean 'fast'?"),
        ("mode: 3", "mode", "must be one of fast, slow, not 3"),
        ("folder: 3", "folder", "must be a text, not 3"),
        ("extra: {a: x}", "extra.a", "must be a whole number, not 'x'"),
    ],
)
def test_a_wrong_setting_is_told_in_plain_words_at_its_place(checked, settings, where, words):
    text = settings if settings.startswith("steps") else f"{settings}, steps: 3"
    (problem,) = checked(train=NODES["train"].replace("steps: 3", text)).problems
    assert problem.where == f"nodes.train.{where}"
    assert words in str(problem)
    assert problem.line == 9
    assert problem.column > 80


def test_a_missing_setting_is_told_at_the_node_with_what_it_means(checked):
    (problem,) = checked(train=NODES["train"].replace(", steps: 3", "")).problems
    assert str(problem) == (
        "g.yaml:9:3: nodes.train: the setting 'steps' is missing; write `steps: ...` (How many steps.)"
    )


def test_bounds_are_told(checked):
    for rank, words in {0: "at least 1", 66: "at most 64", 3: "a multiple of 2"}.items():
        (problem,) = checked(lora=NODES["lora"].replace("}}", f"}}, rank: {rank}}}")).problems
        assert problem.message == f"must be {words}, not {rank}"


def test_all_wrong_settings_are_told_at_once(checked):
    text = "steps: true, lr: .nan, name: 5, optimizer: {name: first, lr: x, foo: .inf}"
    loaded = checked(train=NODES["train"].replace("steps: 3", text))
    assert [problem.where.removeprefix("nodes.train.") for problem in loaded.problems] == [
        "steps",
        "lr",
        "name",
        "optimizer.lr",
        "optimizer.foo",
    ]
    assert loaded.bound["train"].node is None


def test_a_rule_of_the_node_itself_is_told_at_the_node(checked):
    (problem,) = checked(train=NODES["train"].replace("steps: 3", "steps: 13, exact: true")).problems
    assert str(problem) == "g.yaml:9:3: nodes.train: 13 exact steps bring bad luck"


def test_a_node_type_whose_own_check_breaks_is_told(checked):
    (problem,) = checked(broken="{type: Broken}").problems
    assert problem.message == "the check of CheckBroken itself failed: KeyError: 'oops'"


def test_settings_of_every_plain_kind_are_taken(checked):
    text = "steps: 3, lr: 1, optimizer: {name: second, betas: [1, 0.5]}, size: [1, 2], mode: slow, folder: a/b"
    text += ", extra: {x: 1}"
    node: Any = checked(train=NODES["train"].replace("steps: 3", text)).bound["train"].node
    assert (node.lr, type(node.lr), node.optimizer) == (1.0, float, Second(name="second", betas=(1.0, 0.5)))
    assert (node.size, node.mode, node.folder, node.extra) == ([1, 2], Mode.slow, Path("a/b"), {"x": 1})


# --- the command -----------------------------------------------------------------------------------------------------

BAD = {
    "broken YAML": ("vflow: 1\nnodes: [a", 2, 8, "a '[' is not closed"),
    "a tag": ("vflow: 1\nname: !!python/object/apply:os.system [ls]", 2, 7, "is refused"),
    "brackets": ("vflow: 1\nnodes: " + "[" * 60_000, 2, 57, "nests deeper than 50 levels"),
    "duplicate keys": ("vflow: 1\nname: a\nname: b", 3, 1, "stands twice"),
    "a cycle": (
        "vflow: 1\nnodes:\n  a: {type: X, inputs: {x: b}}\n  b: {type: X, inputs: {x: a}}",
        3,
        28,
        "a -> b -> a",
    ),
    "link to nothing": ("vflow: 1\nnodes:\n  a: {type: X, inputs: {x: b}}", 3, 28, "there is no node 'b'"),
    "unknown type": ("vflow: 1\nnodes:\n  a: {type: X}", 3, 13, "unknown node type 'X'"),
    "unknown parameter": ("vflow: 1\nnodes:\n  a: {type: X, b: '${c}'}", 3, 19, "there is no parameter 'c'"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_command_tells_bad_input_with_its_place_and_ends_with_2(tmp_path, name):
    text, line, column, words = BAD[name]
    (tmp_path / "g.yaml").write_text(text)
    command = [sys.executable, "-m", "vflow.engine", "check", "g.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / ".typing")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 2
    assert any(f"g.yaml:{line}:{column}:" in told and words in told for told in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
