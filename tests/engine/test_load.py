import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from vflow.engine.graph import NodeSpec
from vflow.engine.load import load, shipped_graphs
from vflow.engine.node import Node
from vflow.engine.problems import Problem
from vflow.engine.values import Value


class LoadThing(Value):
    x: int = 0


class LoadGroup(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = 1e-4
    name: str = "a"


class LoadMake(Node):
    """Make something."""

    size: int = 1
    text: str = ""
    words: list[str] = []
    group: LoadGroup = LoadGroup()
    anything: int | str | bool | float | list[int] | dict[str, int] | None = None

    def run(self, context) -> LoadThing: ...


class LoadUse(Node):
    """Use it."""

    def run(self, context, thing: LoadThing) -> LoadThing: ...


KNOWN = {"Make": LoadMake, "Use": LoadUse}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Write files beside each other and load the first of them; the folder is the current one."""
    monkeypatch.chdir(tmp_path)

    def _open(text, *profiles, sets=(), **files):
        for name, content in {"g": text, **files}.items():
            (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
        return load("g.yaml", profiles, sets, KNOWN)

    return _open


def texts(loaded):
    return [str(problem) for problem in loaded.problems]


HEAD = "vflow: 1\n"


# --- finding a file --------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_one_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert texts(load("no/such.yaml", known=KNOWN)) == ["no/such.yaml: there is no such file; check the path"]


def test_a_text_stands_for_what_its_file_holds(tmp_path):
    """An editor's unsaved work: relative files are found from the file's place, and problems name it."""
    (tmp_path / "base.yaml").write_text("vflow: 1\nnodes:\n  make: {type: LoadMake, size: 3}\n")
    path = tmp_path / "mine.yaml"
    text = "vflow: 1\nextends: base.yaml\nnodes:\n  make: {text: unsaved}\n  other: {type: LoadMake, size: x}\n"
    loaded = load(path, known={"LoadMake": LoadMake}, text=text)
    assert loaded.source_text == text
    assert loaded.graph.nodes["make"].settings == {"size": 3, "text": "unsaved"}
    assert [(problem.file, problem.line) for problem in loaded.problems] == [(str(path), 5)]
    assert not path.exists()
    path.write_text("vflow: 1\nnodes: {}\n")
    assert "make" in load(path, known={"LoadMake": LoadMake}, text=text).graph.nodes


def test_the_name_of_a_shipped_graph_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, text = next(iter(shipped_graphs().items()))
    loaded = load(name, known=KNOWN)
    assert (loaded.graph.name, loaded.source_text, loaded.folder) == (name, text, tmp_path)


def test_a_name_nearly_that_of_a_shipped_graph_gets_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = load("ltx2_lroa", known=KNOWN).problems
    assert problem.remedy == "did you mean 'ltx2_lora'?"


def test_the_missing_file_of_a_shipped_graph_names_the_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = load("graphs/ltx2_lora.yaml", known=KNOWN).problems
    assert problem.remedy == "write `ltx2_lora`, which ships with vflow, or copy it with `vflow init ltx2_lora`"


@pytest.mark.parametrize("name", ["", ".", "\0", "a" * 5000, "x/\0", "/"])
def test_a_strange_name_is_one_problem(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load(name, known=KNOWN).problems) == 1


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", 1, "the file is empty"),
        (b"# nothing\n", 1, "the file is empty"),
        (b"- 1", 1, "a graph is a mapping, not a list"),
        (b"hello", 1, "a graph is a mapping, not 'hello'"),
        (b"vflow: 1\nname: caf\xe9\n", 2, "the byte 0xe9 is not UTF-8"),
        (b"\xff\xfev\0", 1, "the byte 0xff is not UTF-8"),
        (b"x" * (5 << 20), 0, "larger than 4 MiB"),
    ],
)
def test_what_is_no_graph_is_told(tmp_path, data, line, words):
    path = tmp_path / "g.yaml"
    path.write_bytes(data)
    (problem,) = load(path, known=KNOWN).problems
    assert (problem.line, words in problem.message) == (line, True)


def test_a_byte_order_mark_is_no_part_of_a_graph(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_bytes(b"\xef\xbb\xbfvflow: 1\nname: x\n")
    assert (load(path, known=KNOWN).problems, load(path, known=KNOWN).graph.name) == ([], "x")


# --- shape -----------------------------------------------------------------------------------------------------------


def test_a_small_graph_is_read_whole(opened):
    loaded = opened(
        HEAD + "name: small\nabout: try\nnodes:\n  a: {type: Make, size: 2, group: {lr: 1}}\n"
        "  b:\n    type: Use\n    inputs: {thing: a}\n    disabled: true\noutputs: {made: a.output}\n"
    )
    assert loaded.problems == []
    assert loaded.graph.nodes == {
        "a": NodeSpec("a", "Make", {"size": 2, "group": {"lr": 1}}),
        "b": NodeSpec("b", "Use", {}, {"thing": "a"}, True),
    }
    assert loaded.bound["a"].node == LoadMake(size=2, group=LoadGroup(lr=1.0))
    assert (loaded.graph.name, loaded.graph.about) == ("small", "try")
    assert (loaded.output_link("made").node, loaded.output_link("made").output) == ("a", "output")


def test_a_graph_without_a_name_is_called_like_its_file(opened):
    assert opened(HEAD).graph.name == "g"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("name: x", (1, 1), "does not say its format; write `vflow: 1`"),
        ("vflow: 2", (1, 8), "format 2 is newer than this vflow, which reads 1; upgrade vflow"),
        ("vflow: '1'", (1, 8), "'1' is no format"),
        ("vflow: true", (1, 8), "true is no format"),
        ("vflow: 0", (1, 8), "0 is no format"),
        (HEAD + "nodse: {}", (2, 1), "unknown key 'nodse'; did you mean 'nodes'?"),
        (HEAD + "name: [a]", (2, 7), "must be a text, not a list"),
        (HEAD + "name: ../x", (2, 7), "'../x' cannot be a graph's name"),
        (HEAD + "params: [1]", (2, 9), "params: must be a mapping of names, not a list"),
        (HEAD + "nodes: 3", (2, 8), "nodes: must be a mapping of names, not 3"),
        (HEAD + "nodes:\n  a:", (3, 3), "nodes.a: the node is empty"),
        (HEAD + "nodes:\n  a: [1]", (3, 3), "a node is a mapping, not a list"),
        (HEAD + "nodes:\n  a: {size: 1}", (3, 3), "the node has no type"),
        (HEAD + "nodes:\n  a: {type: [Make]}", (3, 13), "nodes.a.type: must be a text, not a list"),
        (HEAD + "nodes:\n  a.b: {type: Make}", (3, 3), "'a.b' cannot be a name here"),
        (HEAD + "nodes:\n  1a: {type: Make}", (3, 3), "'1a' cannot be a name here"),
        (HEAD + "nodes:\n  a: {type: Make, disabled: yes}", (3, 29), "must be true or false, not 'yes'"),
        (HEAD + "nodes:\n  a: {type: Use, inputs: [a]}", (3, 26), "nodes.a.inputs: must be a mapping"),
        (HEAD + "nodes:\n  a: {type: Use, inputs: {thing: 3}}", (3, 34), "a link is the name of a node, not 3"),
        (HEAD + "nodes:\n  a: {type: Use, inputs: {thing: }}", (3, 34), "a link is the name of a node, not empty"),
        (HEAD + "outputs: {x: [a]}", (2, 14), "outputs.x: a link is the name of a node, not a list"),
        (HEAD + "outputs: {a/b: x}\nnodes: {x: {type: Make}}", (2, 11), "'a/b' cannot be a name here"),
        (HEAD + "profiles: {a b: {}}", (2, 12), "'a b' cannot be a profile's name"),
        (HEAD + "profiles: {a: {param: {}}}", (2, 16), "unknown key 'param'; did you mean 'params'?"),
        (HEAD + "profiles: {a: {params: {x: 1}}}", (2, 25), "changes a parameter that the graph does not have: 'x'"),
        (
            HEAD + "profiles: {a: {nodes: {trian: {x: 1}}}}\nnodes: {train: {type: Make}}",
            (2, 24),
            "changes a node that the graph does not have: 'trian'; did you mean 'train'?",
        ),
    ],
)
def test_a_wrong_shape_is_told_at_its_place(opened, text, place, words):
    (problem,) = opened(text).problems
    assert (problem.line, problem.column) == place
    assert words in str(problem)


def test_problems_of_all_kinds_are_told_at_once_in_the_order_of_the_file(opened):
    loaded = opened(
        HEAD + "extra: 1\nnodes:\n  a: {type: Mkae}\n  b: {type: Use, inputs: {thing: c}}\n"
        "  d: {type: Make, size: true, size: 2}\noutputs: {x: nothing}\n"
    )
    assert [problem.line for problem in loaded.problems] == [2, 4, 5, 6, 6, 7]


# --- parameters ------------------------------------------------------------------------------------------------------

PARAMS = "params: {rank: 16, name: x, list: [1, 2], none: null, yes_: true, rate: 1.0e-4, map: {default: {a: 1}}}\n"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("anything: ${rank}", 16),
        ("anything: '${rank}'", 16),
        ("anything: ${list}", [1, 2]),
        ("anything: ${none}", None),
        ("anything: ${yes_}", True),
        ("anything: ${map}", {"a": 1}),
        ("text: r${rank}-${name}", "r16-x"),
        ("text: ${rank} and ${rate}", "16 and 0.0001"),
        ("text: is ${yes_}", "is true"),
        ("text: $${rank}", "${rank}"),
        ("text: $${rank} ${rank}", "${rank} 16"),
        ("text: $rank {rank} $", "$rank {rank} $"),
        ("words: [a, '${name}', 'b${rank}']", ["a", "x", "b16"]),
    ],
)
def test_a_parameter_keeps_its_type_and_is_formatted_inside_a_text(opened, setting, value):
    loaded = opened(HEAD + PARAMS + f"nodes:\n  a:\n    type: Make\n    {setting}\n")
    assert [problem for problem in loaded.problems if problem.severity == "error"] == []
    assert getattr(loaded.bound["a"].node, setting.partition(":")[0]) == value


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("nodes:\n  a: {type: Make, text: '${rnak}'}", (4, 25), "there is no parameter 'rnak'; did you mean 'rank'?"),
        ("nodes:\n  a: {type: Make, size: '${rnak}'}", (4, 25), "there is no parameter 'rnak'"),
        ("nodes:\n  a: {type: Make, group: {lr: '${r}'}}", (4, 31), "nodes.a.group.lr: there is no parameter 'r'"),
        ("nodes:\n  a: {type: Make, text: 'a ${rank'}", (4, 25), "a `${` is not closed"),
        ("nodes:\n  a: {type: Make, text: 'a ${}'}", (4, 25), "there is no parameter ''"),
        ("nodes:\n  a: {type: Make, text: 'a ${env:HOME}'}", (4, 25), "there is no parameter 'env:HOME'"),
        ("nodes:\n  a: {type: Make, text: 'a ${list}'}", (4, 25), "parameter 'list' is a list and cannot stand inside"),
        ("nodes:\n  a: {type: '${name}'}", (4, 13), "a type is written out"),
        ("nodes:\n  a: {type: Use, inputs: {thing: '${name}'}}", (4, 34), "a link is written out"),
        ("nodes:\n  a: {type: Make, disabled: '${yes_}'}", (4, 29), "must be true or false, not '${yes_}'"),
        ("outputs: {x: '${name}'}", (3, 14), "a link is written out"),
    ],
)
def test_a_parameter_that_cannot_be_put_in_is_told_once(opened, text, place, words):
    loaded = opened(HEAD + PARAMS + text)
    (problem,) = (problem for problem in loaded.problems if problem.severity == "error")
    assert (problem.line, problem.column) == place
    assert words in str(problem)


def test_a_wrong_value_from_a_parameter_names_the_parameter(opened):
    loaded = opened(HEAD + "params: {rank: true}\nnodes:\n  a: {type: Make, size: '${rank}'}")
    assert texts(loaded) == ["g.yaml:4:25: nodes.a.size: must be a whole number, not true (parameter 'rank', g.yaml:2)"]


def test_a_parameter_holds_no_other(opened):
    loaded = opened(HEAD + "params: {a: 1, b: 'x${a}', c: 'x$${a}'}\nnodes: {n: {type: Make, text: '${c}${b}${a}'}}")
    assert [(problem.line, problem.message) for problem in loaded.problems] == [(2, "a parameter cannot hold another")]
    assert loaded.graph.nodes["n"].settings["text"].startswith("x${a}")


def test_a_parameter_that_nothing_takes_is_a_warning(opened):
    (problem,) = opened(
        HEAD + "params: {a: 1, b: 2}\nprofiles: {p: {nodes: {n: {size: '${b}'}}}}\nnodes: {n: {type: Make}}"
    ).problems
    assert (problem.severity, problem.where) == ("warning", "params.a")


def test_parameters_cannot_blow_up_a_graph(opened):
    loaded = opened(
        HEAD + f"params: {{a: {'x' * 100_000}}}\nnodes:\n  n: {{type: Make, words: ['{'${a}' * 1000}', '${{a}}']}}"
    )
    assert [problem.message for problem in loaded.problems] == ["the parameters fill in more than a graph may hold"]


def test_a_parameter_cannot_nest_a_setting_too_deep(opened):
    loaded = opened(
        HEAD + f"params: {{a: {'[' * 47}{']' * 47}}}\nnodes:\n  n: {{type: Make, group: {{b: {{c: '${{a}}'}}}}}}"
    )
    assert [problem for problem in texts(loaded) if "nests deeper than 50 levels" in problem]


# --- --set -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "value"),
    [
        (["a=8"], 8),
        (["a=1e-4"], 1e-4),
        (["a=true"], True),
        (["a='8'"], "8"),
        (["a=[1, 2]"], [1, 2]),
        (["a={x: 1}"], {"x": 1}),
        (["a="], None),
        (["a=tiny://ltx2"], "tiny://ltx2"),
        (["a=x=y"], "x=y"),
        (["a=1", "a=2"], 2),
        ({"a": "8"}, "8"),
        ({"a": [1, 2]}, [1, 2]),
        ({"a": None}, None),
    ],
)
def test_a_set_parameter_is_read_as_yaml_and_a_given_one_taken_as_it_is(opened, sets, value):
    loaded = opened(HEAD + "params: {a: 0}\nnodes: {n: {type: Make, anything: '${a}'}}", sets=sets)
    assert loaded.problems == []
    assert loaded.bound["n"].node.anything == value
    assert loaded.graph.params == {"a": value}


@pytest.mark.parametrize(
    ("sets", "text"),
    [
        (["rnak=8"], "--set rnak=8: there is no parameter 'rnak'; did you mean 'rank'?"),
        (["rank"], "--set rank: this sets nothing; write --set name=value"),
        (["rank=[1"], "--set rank=[1: params.rank: a '[' is not closed"),
        (["rank=!!x 1"], "--set rank=!!x 1: params.rank: the tag '!!x' is refused"),
        (
            ["rank=yes"],
            "g.yaml:3:31: nodes.n.size: must be a whole number, not 'yes' (parameter 'rank', --set rank=yes)",
        ),
        ({"rank": {1}}, "--set rank={1}: params.rank: Object of type set is not JSON serializable"),
    ],
)
def test_what_cannot_be_set_is_told(opened, sets, text):
    loaded = opened(HEAD + "params: {rank: 1}\nnodes: {n: {type: Make, size: '${rank}'}}", sets=sets)
    (problem,) = texts(loaded)
    assert problem.startswith(text)


def test_a_graph_without_parameters_says_so(opened):
    assert texts(opened(HEAD, sets=["a=1"])) == ["--set a=1: there is no parameter 'a'; the graph has no parameters"]


# --- profiles --------------------------------------------------------------------------------------------------------

PROFILES = (
    HEAD + "params: {size: 1}\n"
    "profiles:\n"
    "  small: {params: {size: 2}, nodes: {a: {group: {lr: 2}, words: [x]}}}\n"
    "  big:\n    params: {size: 3}\n    nodes: {a: {words: [y]}, c: {type: Make}}\n"
    "  24gb: {nodes: {b: null}, outputs: {other: null}}\n"
    "nodes:\n  a: {type: Make, size: '${size}', group: {name: b}, words: [v, w]}\n  b: {type: Make}\n"
    "outputs: {one: a, other: b}\n"
)


def test_a_profile_overrides_parameters_and_settings_and_merges_mappings(opened):
    node = opened(PROFILES, "small").bound["a"].node
    assert (node.size, node.group, node.words) == (2, LoadGroup(lr=2.0, name="b"), ["x"])


def test_later_profiles_override_earlier_ones_and_a_set_parameter_all(opened):
    node = opened(PROFILES, "small", "big").bound["a"].node
    assert (node.size, node.group.lr, node.words) == (3, 2.0, ["y"])
    assert opened(PROFILES, "big", "small").bound["a"].node.size == 2
    assert opened(PROFILES, "big", sets=["size=9"]).bound["a"].node.size == 9


def test_a_profile_may_add_a_node_and_drop_one(opened):
    assert list(opened(PROFILES, "big").bound) == ["a", "b", "c"]
    loaded = opened(PROFILES, "24gb")
    assert (loaded.problems, list(loaded.bound), list(loaded.outputs)) == ([], ["a"], ["one"])


def test_an_unknown_profile_gets_a_suggestion(opened):
    assert texts(opened(PROFILES, "smal")) == ["--profile smal: there is no profile 'smal'; did you mean 'small'?"]
    assert texts(opened(HEAD, "x")) == ["--profile x: there is no profile 'x'; the graph has none"]


def test_a_mistake_in_a_profile_has_its_line_there(opened):
    text = HEAD + "profiles:\n  p:\n    nodes:\n      a: {size: x}\nnodes:\n  a: {type: Make, size: 1}\n"
    assert texts(opened(text, "p")) == ["g.yaml:5:17: nodes.a.size: must be a whole number, not 'x'"]


# --- extends ---------------------------------------------------------------------------------------------------------

BASE = HEAD + (
    "name: base\nabout: the base\nparams: {size: 1}\nprofiles: {p: {params: {size: 5}, nodes: {b: null}}}\n"
    "nodes:\n  a: {type: Make, size: '${size}', words: [v], group: {lr: 3}}\n  b: {type: Use, inputs: {thing: a}}\n"
    "outputs: {one: a, two: b}\n"
)


def test_a_graph_extends_another_and_overrides_parts_of_it(opened):
    loaded = opened(
        HEAD + "extends: base.yaml\nparams: {size: 2}\nnodes: {a: {words: [], group: {name: z}}, c: {type: Make}}\n",
        base=BASE,
    )
    node = loaded.bound["a"].node
    assert loaded.problems == []
    assert (node.size, node.words, node.group, list(loaded.bound)) == (
        2,
        [],
        LoadGroup(lr=3.0, name="z"),
        ["a", "b", "c"],
    )
    assert (loaded.graph.name, loaded.graph.about) == ("g", "the base")


def test_null_drops_a_node_an_output_a_link_and_a_profile(opened):
    loaded = opened(
        HEAD + "extends: base.yaml\nprofiles: {p: null}\nnodes: {b: null}\noutputs: {two: null}\n", base=BASE
    )
    assert (loaded.problems, list(loaded.bound), list(loaded.outputs)) == ([], ["a"], ["one"])
    assert loaded.graph.profiles == {}
    (problem,) = opened(HEAD + "extends: base.yaml\nnodes: {b: {inputs: {thing: null}}}\n", base=BASE).problems
    assert problem.message == "nothing is linked to the input 'thing', a LoadThing"


def test_a_mistake_has_the_line_of_the_file_that_makes_it(opened):
    loaded = opened(HEAD + "extends: base.yaml\nnodes:\n  a: {size: x}\n", base=BASE.replace("lr: 3", "lr: y"))
    assert [
        (problem.file, problem.line, problem.where) for problem in loaded.problems if problem.severity == "error"
    ] == [
        ("g.yaml", 4, "nodes.a.size"),
        ("base.yaml", 7, "nodes.a.group.lr"),
    ]


def test_profiles_are_applied_to_the_extended_graph(opened):
    loaded = opened(HEAD + "extends: base.yaml\nprofiles: {p: {nodes: {b: {disabled: true}}}}\n", "p", base=BASE)
    assert loaded.bound["a"].node.size == 5


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("../base.yaml", "lies outside the folder of this file"),
        ("/etc/passwd", "lies outside the folder of this file"),
        ("link.yaml", "lies outside the folder of this file"),
        ("none.yaml", "there is no file 'none.yaml'"),
        ("g.yaml", "'g.yaml' extends this file itself"),
        ("around.yaml", "'g.yaml' extends this file itself"),
        ("3", "must be the name of a file, not 3"),
        ("", "must be the name of a file, not empty"),
        ('"\\0"', "must be the name of a file"),
        ("a" * 300, "there is no file"),
        (".", "there is no file"),
        ("newer.yaml", "format 7 is newer"),
        ("broken.yaml", "a '[' is not closed"),
    ],
)
def test_extends_stays_in_its_folder_and_ends(opened, tmp_path, extends, words):
    (tmp_path / "link.yaml").symlink_to("/etc/hostname")
    files = {"around": HEAD + "extends: g.yaml", "newer": "vflow: 7", "broken": "vflow: [1"}
    (problem,) = opened(HEAD + f"extends: {extends}\nnodes: {{a: {{size: 1}}}}", **files).problems
    assert words in problem.message


def test_extends_reaches_into_folders_below(opened, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(HEAD + "extends: deeper.yaml\n")
    (tmp_path / "sub" / "deeper.yaml").write_text(HEAD + "nodes:\n  a: {type: Make, size: x}\n")
    assert texts(opened(HEAD + "extends: sub/base.yaml")) == [
        "sub/deeper.yaml:3:25: nodes.a.size: must be a whole number, not 'x'"
    ]


# --- the whole -------------------------------------------------------------------------------------------------------


def test_a_problem_found_at_a_node_later_gets_its_place(opened):
    loaded = opened(HEAD + "nodes:\n  a:\n    type: Make\n    size: 61\n")
    assert str(loaded.place(Problem("wrong", "do better"), "a")) == "g.yaml:3:3: nodes.a: wrong; do better"
    assert str(loaded.place(Problem("wrong", where="size"), "a")) == "g.yaml:5:11: nodes.a.size: wrong"
    elsewhere = Problem("wrong", file="other.yaml")
    assert loaded.place(elsewhere, "a") is elsewhere


def test_a_resolved_graph_loads_to_itself(opened, tmp_path):
    graph = opened(PROFILES, "small", "big").graph
    (tmp_path / "again.yaml").write_text(graph.to_text())
    again = load("again.yaml", known=KNOWN)
    assert (again.problems, again.graph) == ([], graph)


WORDS = """vflow: 1|nodes:|params:|profiles:|extends: g.yaml|outputs:|inputs:|type: Make|type: Use|a:|b:|thing: a|x: 1
|thing: [b]|size: ${x}|null|disabled: true|- a|{a: {}}|size: 1|words: [a]|group: {lr: .nan}|name: x|p:|~|[|&x|*x"""
LINES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(WORDS.replace("\n", "").split("|"))), max_size=25).map(
    lambda lines: "\n".join("  " * depth + word for depth, word in lines)
)


@given(LINES | st.binary(max_size=200) | st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_nothing_in_a_file_makes_it_raise(tmp_path, data):
    path = tmp_path / "g.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    loaded = load(path, ["p"], ["x=1"], KNOWN)
    assert all(isinstance(problem, Problem) for problem in loaded.problems)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_damage_to_a_graph_makes_it_raise(tmp_path, data):
    text = bytearray((PROFILES + BASE.partition("nodes:")[2]).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"\n", b": ", b"{"])
        )
    path = tmp_path / "g.yaml"
    path.write_bytes(text)
    load(path, ["small"], [], KNOWN)


def test_loading_imports_nothing_heavy():
    code = (
        "import sys; from vflow.engine.load import load; load('x', known={});"
        "print({'torch', 'networkx', 'numpy', 'rich', 'diskcache'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
