"""Parameters in the long form: what a file says of them, which values they take, and how they are shown."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine.graph import flow
from vflow.engine.load import load
from vflow.engine.node import Node
from vflow.engine.schema import graph_schema
from vflow.engine.values import Value


class ParamThing(Value):
    x: int = 0


class ParamMake(Node):
    """Take anything."""

    anything: int | float | str | bool | list | dict | None = None
    more: list[str] = []
    rank: int = 1

    def run(self, context) -> ParamThing: ...


KNOWN = {"Make": ParamMake}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Load a graph with these parameters and one node that takes `${x}`."""
    monkeypatch.chdir(tmp_path)

    def _open(params, *profiles, sets=(), more="", setting="anything: '${x}'", **files):
        text = f"vflow: 1\nparams:\n{params}\nnodes:\n  a: {{type: Make, {setting}}}\n{more}"
        for name, content in {"g": text, **files}.items():
            (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
        return load("g.yaml", profiles, sets, KNOWN)

    return _open


def texts(loaded):
    return [str(problem) for problem in loaded.problems]


def value(loaded):
    assert texts(loaded) == []
    return loaded.bound["a"].node.anything


# --- declarations ----------------------------------------------------------------------------------------------------


def test_the_long_form_gives_its_default(opened):
    loaded = opened("  x: {default: 16, help: How wide., min: 1, max: 256}")
    assert value(loaded) == 16
    (parameter,) = loaded.graph.parameters.values()
    assert (parameter.type, parameter.help, parameter.words) == ("int", "How wide.", "whole number, 1 to 256")
    assert (parameter.used_by, parameter.place) == (["nodes.a.anything"], ("g.yaml", 3, 16))
    assert loaded.graph.params == {"x": 16}


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("{default: 1, help: h}", "int"),
        ("{default: 1.0, help: h}", "float"),
        ("{default: 1, type: float}", "float"),
        ("{default: a, help: h}", "text"),
        ("{default: true, help: h}", "bool"),
        ("{default: [1], help: h}", "list"),
        ("{default: {a: 1}, help: h}", "mapping"),
        ("{default: null, help: h}", ""),
        ("{default: null, min: 1}", "float"),
        ("{default: 1, choices: [1, 2]}", "int"),
        ("{default: null, choices: [a, b]}", "text"),
        ("{default: null, choices: [1, 2.5]}", "float"),
        ("{default: null, choices: [1, b]}", ""),
        ("{default: 1}", ""),
        ("1", ""),
    ],
)
def test_the_type_is_that_of_the_default_unless_it_is_written(opened, declared, kind):
    loaded = opened(f"  x: {declared}")
    assert texts(loaded) == []
    assert loaded.graph.parameters["x"].type == kind


@pytest.mark.parametrize(
    ("declared", "place", "text"),
    [
        ("{default: 1, mni: 0}", 19, "params.x.mni: unknown key 'mni'; did you mean 'min'?"),
        ("{defualt: 1, help: h}", 7, "params.x.defualt: unknown key 'defualt'; did you mean 'default'?"),
        ("{defualt: 1}", 6, "is no part of that; did you mean 'default'?"),
        (
            "{name: adamw, lr: 1}",
            6,
            "a mapping says what a parameter is, and 'name' is no part of that; known: default,",
        ),
        (
            "{default: 1, type: integer}",
            25,
            "params.x.type: must be the name of a type, not 'integer'; did you mean 'int'?",
        ),
        ("{default: 1, type: str}", 25, "not 'str'; known: int, float, text, bool, list, mapping"),
        ("{default: 1, type: [int]}", 25, "must be the name of a type, not a list; known: int, float"),
        ("{default: 1, help: 3}", 25, "params.x.help: must be a text, not 3; put it in quotes"),
        ("{default: 1, min: a}", 24, "params.x.min: must be a number, not 'a'"),
        ("{default: 1, min: .nan}", 24, "must be a number, not .nan"),
        ("{default: 1, max: true}", 24, "must be a number, not true"),
        ("{default: a, min: 1}", 24, "only numbers have bounds, and this is a text; drop it"),
        ("{default: 1, min: 5, max: 3}", 32, "params.x.max: 3 is less than `min: 5`; exchange them"),
        ("{default: 1, choices: 1}", 28, "params.x.choices: must be a list, not 1; write `choices: [a, b]`"),
        ("{default: 1, choices: []}", 28, "must be a list, not an empty one"),
        ("{default: 1, choices: [1, a]}", 32, "params.x.choices: must be a whole number, not 'a'"),
        ("{default: 1, choices: [1, 9], max: 5}", 32, "params.x.choices: must be at most 5, not 9"),
        ("{default: 0, min: 1}", 16, "params.x: must be at least 1, not 0"),
        ("{default: 1, type: text}", 16, "params.x: must be a text, not 1; put it in quotes"),
        ("{default: c, choices: [a, b]}", 16, "params.x: must be one of 'a', 'b', not 'c'"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_told_once_at_its_place(opened, declared, place, text):
    (problem,) = opened(f"  x: {declared}").problems
    assert (problem.line, problem.column, problem.severity) == (3, place, "error")
    assert text in str(problem)


def test_huge_numbers_are_bounds_like_others(opened):
    huge = "0x" + "f" * 290
    loaded = opened(f"  x: {{default: 1, min: -{'9' * 299}, max: {huge}}}", sets=["x=1" + "0" * 290])
    assert texts(loaded) == []
    assert "at most" in opened(f"  x: {{default: 1.5, max: {huge}}}", sets=["x=.inf"]).graph.parameters["x"].words


def test_a_mapping_as_a_value_stands_under_default(opened):
    assert value(opened("  x: {default: {a: 1}}")) == {"a": 1}
    assert value(opened("  x: {default: {a: 1}}", sets=["x={b: 2}"])) == {"b": 2}


def test_too_many_parameters_are_one_problem(opened):
    (problem,) = opened("\n".join(f"  x{n}: 1" for n in range(10_001)), setting="rank: 1").problems
    assert "more than 10,000 parameters" in problem.message


# --- values ----------------------------------------------------------------------------------------------------------

WRONG = [
    ("{default: 1, help: h}", "1.5", "a whole number, not 1.5; its default is a whole number; `type: float` takes any"),
    ("{default: 1, type: int}", "1.5", "a whole number, not 1.5"),
    ("{default: 1, help: h}", "2.0", "must be a whole number, not 2.0; write 2"),
    ("{default: 1, help: h}", "true", "must be a whole number, not true"),
    ("{default: 1, help: h}", "'2'", "must be a whole number, not '2'; write it without quotes"),
    ("{default: 1, help: h}", "''", "must be a whole number, not ''"),
    ("{default: 1, help: h}", "", "must be a whole number, not empty"),
    ("{default: 1.5, help: h}", ".nan", "must be a finite number, not .nan"),
    ("{default: 1.5, max: 3}", "-.inf", "must be a finite number, not -.inf"),
    ("{default: 1.5, max: 3}", "4", "must be at most 3, not 4"),
    ("{default: 1.5, min: 0.5}", "0", "must be at least 0.5, not 0"),
    ("{default: true, help: h}", "1", "must be true or false, not 1"),
    ("{default: [1], help: h}", "1", "must be a list, not 1"),
    ("{default: {a: 1}, help: h}", "[1]", "must be a mapping, not a list"),
    ("{default: a, choices: [a, fast]}", "fats", "must be one of 'a', 'fast', not 'fats'; did you mean 'fast'?"),
    ("{default: 1, choices: [1, 2]}", "true", "must be a whole number, not true"),
    ("{default: null, choices: [1, a]}", "true", "must be one of 1, 'a', not true"),
]


@pytest.mark.parametrize(("declared", "given", "text"), WRONG)
def test_a_wrong_value_of_the_call_is_told_once_and_names_the_call(opened, declared, given, text):
    loaded = opened(f"  x: {declared}", sets=[f"x={given}"])
    (told,) = texts(loaded)
    assert told.startswith(f"--set x={given}: params.x: ")
    assert text in told


@pytest.mark.parametrize(("declared", "given", "text"), WRONG)
def test_a_wrong_value_of_a_profile_is_told_with_its_line_chosen_or_not(opened, declared, given, text):
    for chosen in ((), ("p",)):
        loaded = opened(f"  x: {declared}", *chosen, more=f"profiles:\n  p:\n    params: {{x: {given}}}\n")
        (told,) = texts(loaded)
        assert told.startswith("g.yaml:8:")
        assert text in told


@pytest.mark.parametrize(
    ("declared", "given", "result"),
    [
        ("{default: 1.5, help: h}", "2", 2),
        ("{default: 1, min: 0, max: 9}", "9", 9),
        ("{default: [1], help: h}", "[]", []),
        ("{default: a, choices: [a, b]}", "b", "b"),
        ("{default: 1.0, choices: [1.0, 2.0]}", "2", 2),
        ("{default: null, type: int}", "", None),
        ("{default: null, type: int}", "3", 3),
        ("{default: null, type: text}", "null", None),
        ("{default: null, help: h}", "anything", "anything"),
        ("{type: int}", "3", 3),
        ("{help: h}", "3", 3),
        ("1", "text", "text"),
    ],
)
def test_a_value_that_fits_is_put_in(opened, declared, given, result):
    assert value(opened(f"  x: {declared}", sets=[f"x={given}"])) == result


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ("16", "16"),
        ("true", "true"),
        ("null", "null"),
        ("", ""),
        ("a dog: asleep # really", "a dog: asleep # really"),
        ("[a, b]", "[a, b]"),
        ("'16'", "16"),
        ('"a\\nb"', "a\nb"),
        ("it's", "it's"),
        (" - x", " - x"),
        ("& *", "& *"),
    ],
)
def test_a_text_is_taken_as_it_is_unless_it_stands_in_quotes(opened, given, result):
    assert value(opened("  x: {default: a, help: h}", sets=[f"x={given}"])) == result


def test_a_text_in_broken_quotes_is_told(opened):
    (told,) = texts(opened("  x: {default: a, help: h}", sets=["x='a"]))
    assert told == "--set x='a: params.x: a quote is not closed; close it"


def test_a_setting_whose_parameter_is_wrong_is_not_told_too(opened):
    loaded = opened("  x: {default: 16, help: h}", sets=["x=wide"], setting="rank: '${x}', more: ['${x}']")
    assert texts(loaded) == ["--set x=wide: params.x: must be a whole number, not 'wide'"]


def test_a_parameter_without_a_value_has_to_be_given(opened):
    (told,) = texts(opened("  x:\n    help: Folder of clips.", setting="anything: '${x}/${x}', more: ['${x}']"))
    assert told == (
        "g.yaml:3:3: params.x: this parameter has no value yet; give it with --set x=... (Folder of clips.)"
    )
    assert value(opened("  x: {help: Folder of clips.}", sets=["x=here"])) == "here"
    assert value(opened("  x: {help: h}", "p", more="profiles: {p: {params: {x: 1}}}")) == 1


def test_a_parameter_without_a_value_that_nothing_in_force_takes_need_not_be_given(opened):
    profile = "profiles: {p: {nodes: {a: {anything: 1}}}}"
    assert len(opened("  x: {help: h}", more=profile).problems) == 1
    assert opened("  x: {help: h}", "p", more=profile).problems == []


def test_a_dollar_is_written_twice_in_a_default_too(opened):
    assert value(opened("  x: {default: 'a $${b}', help: h}")) == "a ${b}"
    (problem,) = opened("  x: {default: 'a ${y}', help: h}").problems
    assert problem.message == "a parameter cannot hold another"


# --- profiles and extends --------------------------------------------------------------------------------------------


def test_a_profile_gives_a_value_and_says_nothing_else(opened):
    profiles = "profiles: {p: {params: {x: 3}}, q: {params: {x: {default: 4}}}}"
    assert value(opened("  x: {default: 1, max: 9}", "p", more=profiles)) == 3
    loaded = opened("  x: {default: 1, max: 9}", "p", "q", more=profiles)
    assert value(loaded) == 4
    assert loaded.graph.parameters["x"].words == "whole number, at most 9"
    (problem,) = opened("  x: 1", more="profiles: {p: {params: {x: {max: 3}}}}").problems
    assert problem.message == "a profile changes a parameter's value, not its 'max'"
    assert (problem.line, problem.column) == (6, 29)


def test_a_graph_that_extends_another_replaces_a_value_or_parts_of_a_declaration(tmp_path, opened):
    base = "vflow: 1\nparams: {x: {default: 1, max: 9, help: h}}\nnodes: {a: {type: Make, anything: '${x}'}}\n"
    loaded = opened("  x: 5", setting="rank: 1", more="extends: base.yaml\n", base=base)
    assert value(loaded) == 5
    assert loaded.graph.parameters["x"].maximum == 9
    loaded = opened("  x: {max: 3}", setting="rank: 1", more="extends: base.yaml\n", base=base)
    assert (value(loaded), loaded.graph.parameters["x"].maximum) == (1, 3)
    (told,) = texts(opened("  x: 10", setting="rank: 1", more="extends: base.yaml\n", base=base))
    assert told == "g.yaml:3:6: params.x: must be at most 9, not 10"


def test_a_declaration_repeated_by_an_alias_stays_whole(opened):
    loaded = opened("  x: &x {default: 1, max: 9}\n  y: *x", setting="anything: '${x}', rank: '${y}'")
    assert value(loaded) == 1
    assert loaded.bound["a"].node.rank == 1


DECLARED = st.fixed_dictionaries(
    {},
    optional={
        "default": st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3) | st.booleans() | st.none(),
        "type": st.sampled_from(["int", "float", "text", "bool", "list", "mapping", "no"]),
        "help": st.text(max_size=5),
        "min": st.integers(-5, 5) | st.text(max_size=1),
        "max": st.integers(-5, 5) | st.floats(),
        "choices": st.lists(st.integers(-5, 5) | st.text(max_size=2) | st.none(), max_size=4),
    },
)


@given(DECLARED, st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.integers(), max_size=2) | st.none())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_value_that_is_put_in_is_one_that_the_declaration_takes(tmp_path, declared, given):
    path = tmp_path / "g.yaml"
    path.write_text(f"vflow: 1\nparams: {flow({'x': declared})}\nnodes: {{a: {{type: Make, anything: '${{x}}'}}}}")
    loaded = load(path, (), {"x": given}, KNOWN)
    if loaded.problems:
        return
    found = loaded.bound["a"].node.anything
    assert found == given
    if isinstance(found, int) and found is not None:
        assert declared.get("min", found) <= found <= declared.get("max", found)
    choices = [one for one in declared.get("choices", ()) if one is not None]
    assert not choices or found in choices or found is None
    again = tmp_path / "again.yaml"
    again.write_text(loaded.graph.to_text())
    assert load(again, known=KNOWN).graph == loaded.graph


# --- shown -----------------------------------------------------------------------------------------------------------

SHOWN = """vflow: 1
name: g
params:
  rank: {default: 16, help: Rank of the adapter., min: 1, max: 256}
  words: {help: "What to carve: one or more words.", type: list}
  mode: {default: fast, choices: [fast, slow]}
  note: x
profiles:
  small: {params: {rank: 4}}
nodes:
  words: {type: ToyWords, words: '${words}'}
  carve: {type: ToyCarve, inputs: {words: words}, times: '${rank}'}
  walk: {type: ToyWalk, inputs: {text: measure}, note: '${note}', steps: '${rank}'}
  measure: {type: ToyMeasure, inputs: {texts: carve}}
"""


@pytest.fixture
def shown(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(SHOWN)
    return path


@pytest.mark.parametrize("command", ["plan", "run", "sweep"])
def test_help_params_lists_what_they_are_and_who_takes_them(vflow, shown, command):
    result = vflow(command, shown, "--help-params", "--profile", "small")
    assert (result.code, result.err, result.done) == (0, "", [])
    assert result.out == (
        "parameters of g\n"
        "\n  rank   4 (default 16)  whole number, 1 to 256\n"
        "      Rank of the adapter.\n      used by carve.times, walk.steps\n"
        "\n  words  to be given     list\n"
        "      What to carve: one or more words.\n      used by words.words\n"
        "\n  mode   fast            text: fast | slow\n"
        "\n  note   x               any value\n      used by walk.note\n"
    )


def test_help_params_as_data(vflow, shown):
    told = json.loads(vflow("plan", shown, "--help-params", "--json", "--set", "rank=8").out)
    assert told[0] == {
        "name": "rank",
        "type": "int",
        "help": "Rank of the adapter.",
        "min": 1,
        "max": 256,
        "choices": None,
        "default": 16,
        "value": 8,
        "used_by": ["nodes.carve.times", "nodes.walk.steps"],
    }
    assert "value" not in told[1]


def test_help_params_of_a_wrong_choice_or_file_is_refused(vflow, shown, tmp_path):
    assert vflow("plan", shown, "--help-params", "--set", "rank=0").code == 2
    assert vflow("plan", shown, "--help-params", "--profile", "smal").code == 2
    (tmp_path / "broken.yaml").write_text("vflow: [")
    assert vflow("plan", tmp_path / "broken.yaml", "--help-params").code == 2
    (tmp_path / "none.yaml").write_text("vflow: 1\nname: none\n")
    assert vflow("plan", tmp_path / "none.yaml", "--help-params").out == "parameters of none: none\n"


def test_what_a_stranger_writes_gives_no_terminal_a_command(vflow, tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text('vflow: 1\nparams: {x: {default: "\\e[2J", help: "\\e]0;x\\a", choices: ["\\e[2J"]}}\n')
    assert "\x1b" not in vflow("plan", path, "--help-params").out
    path.write_text('vflow: 1\nparams: {x: {help: "\\e]0;x"}}\nnodes: {a: {type: ToyTake, name: "${x}"}}\n')
    assert "\x1b" not in vflow("plan", path).err


def test_the_schema_takes_both_forms():
    schema = graph_schema(KNOWN)
    in_graph = schema["properties"]["params"]["additionalProperties"]["anyOf"]
    assert in_graph[1] == {"$ref": "#/$defs/declaration"}
    declaration = schema["$defs"]["declaration"]
    assert set(declaration["properties"]) == {"default", "type", "help", "min", "max", "choices"}
    assert declaration["additionalProperties"] is False
    in_profile = schema["$defs"]["profile"]["properties"]["params"]["additionalProperties"]["anyOf"]
    assert set(in_profile[1]["properties"]) == {"default"}
