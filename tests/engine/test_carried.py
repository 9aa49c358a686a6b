"""What exported files carry, and `vflow open`, which reads it back; with a format of their own for these tests."""

import json
import sys
import types
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine import carried, opened
from vflow.engine.context import Context
from vflow.engine.document import parse
from vflow.engine.node import Node, private
from vflow.engine.opened import open_file
from vflow.engine.problems import GraphError, printable
from vflow.engine.values import Artifact, Blob

MARK = b"\n--recipe--\n"


class ToyNote(Artifact):
    """A text with a card beside it."""

    blob: Blob

    def plain_files(self):
        yield "note.toy", self.blob

    def card(self, carried):
        return f"# {carried.data['graph']['name']}\n{carried.text}\n"


class ToyWrite(Node):
    """Writes a note, and has settings that are the user's own."""

    words: tuple[str, ...] = private(())
    source: str = private("", when="path")
    style: str = "plain"
    api_token: str = ""
    options: dict[str, str] = {}
    figure: float | None = None

    def run(self, context: Context) -> ToyNote:
        if self.style == "odd":
            context.report({carried.FINAL: {"a": float("nan"), "b": "x", "c": [1], "d": 2}})
        if self.figure is not None:
            context.report({carried.FINAL: {"step": 3, "eval/loss": self.figure}})
        return ToyNote(blob=context.put(self.style.encode(), ".toy"))


@pytest.fixture(autouse=True)
def toy_format(monkeypatch):
    """Files that end in `.toy` carry a text behind a mark, besides the formats that are installed."""
    module = types.ModuleType("toy_carrier")

    def write(source, target, text):
        if source.read_bytes() == b"stubborn":
            raise ValueError("it will not")
        target.write_bytes(source.read_bytes() + MARK + text.encode())

    def read(file):
        _, mark, text = file.read_bytes().partition(MARK)
        return text.decode() if mark else None

    module.write, module.read = write, read
    monkeypatch.setitem(sys.modules, "toy_carrier", module)
    installed = carried.carriers()
    for place in (carried, opened):
        monkeypatch.setattr(place, "carriers", lambda: {**installed, "toy": "toy_carrier"})


@pytest.fixture
def note(vflow, graph, tmp_path):
    """Run a graph with one note, and return the exported file."""

    def write(settings="", *words, name="g", out="run", params=""):
        path = graph({"n": f"type: ToyWrite{settings}"}, {"note": "n"}, name=name, more=params)
        result = vflow("run", path, "--out", tmp_path / out, *words)
        assert result.code == 0, result.err
        return tmp_path / out / "outputs/note/note.toy"

    return write


def graph_of(file):
    return open_file(file).recipe.graph


# --- what is carried -------------------------------------------------------------------------------------------------


def test_an_exported_file_carries_its_recipe_and_the_stores_blob_does_not(note, tmp_path):
    recipe = open_file(note(", style: fancy, figure: 0.25")).recipe
    assert (recipe.graph.name, recipe.output) == ("g", "note")
    assert recipe.graph.nodes == {"n": {"type": "ToyWrite", "style": "fancy", "figure": 0.25}}
    assert recipe.nodes["n"].type == "ToyWrite"
    assert recipe.metrics == {"n": {"step": 3, "eval/loss": 0.25}}
    assert recipe.packages["vflow"]
    blobs = [path.read_bytes() for path in (tmp_path / "store/blobs").rglob("*") if path.is_file()]
    assert blobs == [b"fancy"]


def test_every_repetition_gives_the_same_bytes(note, tmp_path, monkeypatch):
    first = note(", style: fancy, figure: 0.25", out="first")
    warm = note(", style: fancy, figure: 0.25", out="warm")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "another store"))
    cold = note(", style: fancy, figure: 0.25", out="cold")
    assert first.read_bytes() == warm.read_bytes() == cold.read_bytes()
    card = first.with_name("README.md").read_bytes()
    assert card == warm.with_name("README.md").read_bytes() == cold.with_name("README.md").read_bytes()


def test_what_is_the_users_own_stays_out_and_becomes_a_parameter(note, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("")
    file = note(
        ", words: [my words], source: mine, style: sub/file, options: {a: ~/x, b: 'in /home/me/y', c: a/b, d: '$${x}'}"
    )
    data = file.read_bytes()
    for word in (b"my words", b"mine", b"sub/file", b"~/x", b"/home/me", str(tmp_path).encode()):
        assert word not in data.partition(MARK)[2]
    graph = graph_of(file)
    assert graph.nodes["n"]["options"]["c"] == "a/b"
    assert graph.nodes["n"]["options"]["d"] == "$${x}"
    assert open_file(file).wanted == ["n_words", "n_source", "n_style", "n_options_a", "n_options_b"]


def test_a_parameter_keeps_its_name_and_addresses_stay(note):
    params = "params: {place: ~/clips, shapes: 'sample://shapes'}"
    file = note(", source: '${place}', style: '${shapes}'", params=params)
    assert graph_of(file).nodes["n"] == {"type": "ToyWrite", "source": "${place}", "style": "sample://shapes"}
    assert open_file(file).wanted == ["place"]


def test_secrets_stay_out_even_where_everything_is_asked_for(note, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "squeamish-ossifrage")
    file = note(
        ", words: [mine], source: /srv/x, api_token: abc, style: a squeamish-ossifrage, options: {password: p}",
        "--embed",
        "all",
    )
    graph = graph_of(file)
    assert graph.nodes["n"]["words"] == ["mine"]
    assert graph.nodes["n"]["source"] == "/srv/x"
    assert b"squeamish" not in file.read_bytes().partition(MARK)[2]
    assert open_file(file).wanted == ["n_api_token", "n_style", "n_options_password"]


def test_about_is_dropped_where_it_gives_something_away(note):
    assert graph_of(note(params="about: good clips")).about == "good clips"
    assert graph_of(note(params="about: clips of /home/me/clips", out="other")).about == ""


def test_nothing_is_carried_where_the_user_wants_nothing(note, vflow, tmp_path):
    assert note("", "--embed", "none").read_bytes() == b"plain"
    assert not (tmp_path / "run/outputs/note/README.md").exists()
    assert vflow("config", "set", "embed", "none").code == 0
    assert note("", out="other").read_bytes() == b"plain"
    assert MARK in note("", "--embed", "recipe", out="third").read_bytes()


def test_of_the_figures_only_finite_numbers_are_carried(note):
    assert open_file(note(", style: odd")).recipe.metrics == {"n": {"d": 2}}


def test_a_format_whose_package_is_broken_costs_no_result(note, monkeypatch):
    monkeypatch.setattr(carried, "carriers", lambda: {"toy": "no_such_module"})
    assert note().read_bytes() == b"plain"


def test_a_file_that_takes_no_recipe_is_exported_without(note):
    assert note(", style: stubborn").read_bytes() == b"stubborn"


def test_a_recipe_that_is_too_long_is_left_out(note, monkeypatch):
    monkeypatch.setattr(carried, "MAX_TEXT", 100)
    assert note().read_bytes() == b"plain"


def test_what_is_only_observed_is_no_part_of_it(vflow, graph, tmp_path):
    def run(watched):
        nodes = {
            "words": "type: ToyWords, words: [a]",
            "carve": "type: ToyCarve, inputs: {words: words}",
            "others": f"type: ToyWords, words: [{watched}]",
            "watch": "type: ToyCarve, inputs: {words: others}",
            "text": "type: ToyMeasure, inputs: {texts: carve}",
            "walk": "type: ToyWalk, inputs: {text: text, watch: watch}",
        }
        path = graph(nodes, {"stops": "walk.path"})
        from vflow.engine.session import Request, planned

        assert vflow("run", path, "--out", tmp_path / watched).code == 0
        session = planned(Request(str(path)))
        return carried.recipe(session.plan, session.world.store, "stops")

    one, other = run("x"), run("y")
    assert list(one["nodes"]) == ["words", "carve", "text", "walk"]
    assert one["nodes"] == other["nodes"]
    assert len(one["nodes"]["carve"]["items"]) == one["nodes"]["carve"]["count"] == 1


def test_the_keys_of_very_many_items_are_left_out(vflow, graph, monkeypatch, tmp_path):
    from vflow.engine.session import Request, planned

    monkeypatch.setattr(carried, "MAX_ITEMS", 2)
    nodes = {"words": "type: ToyWords, words: [a, b, c]", "carve": "type: ToyCarve, inputs: {words: words}"}
    path = graph(nodes, {"all": "carve"})
    vflow("run", path)
    session = planned(Request(str(path)))
    node = carried.recipe(session.plan, session.world.store, "all")["nodes"]["carve"]
    assert node["count"] == 3
    assert "items" not in node


# --- opening ---------------------------------------------------------------------------------------------------------


def test_open_says_what_it_is_and_what_this_store_has(note, vflow, monkeypatch, tmp_path):
    file = note(", figure: 0.125, source: ~/x")
    here = vflow("open", file)
    assert here.code == 0
    assert f"{file}: output note of the graph g" in here.out
    assert "n  ToyWrite" in here.out
    assert "  in this store" in here.out
    assert "n  step 3  eval/loss 0.125" in here.out
    assert "to be given: n_source" in here.out
    elsewhere = vflow("open", file, "--cache", tmp_path / "empty")
    assert "not in this store" in elsewhere.out
    told = json.loads(vflow("open", file, "--json").out)
    assert told["kept"] == {"n": {"found": 1, "total": 1}}


def test_the_graph_is_written_out_never_over_a_file_and_runs_from_there(note, vflow, tmp_path):
    first = note(", words: [mine], figure: 0.5")
    written = vflow("open", first, "-o", "new.yaml")
    assert (written.code, written.out) == (0, "new.yaml\n")
    assert "vflow plan new.yaml --set n_words=..." in written.err
    again = vflow("open", first, "-o", "new.yaml")
    assert again.code == 2
    assert "not written over" in again.err
    missing = vflow("run", "new.yaml")
    assert missing.code == 2
    assert (
        "new.yaml:4:3: params.n_words: this parameter has no value yet; give it with --set n_words=..." in missing.err
    )
    assert missing.err.count("error:") == 1
    run = vflow("run", "new.yaml", "--set", "n_words=[mine]", "--out", "again")
    assert run.code == 0, run.err
    assert Path("again/outputs/note/note.toy").read_bytes() == first.read_bytes()


def test_the_graph_can_be_read_without_writing_it(note, vflow):
    file = note()
    assert vflow("open", file, "-o", "-").out == open_file(file).text


def pack(vflow, graph):
    nodes = {"words": "type: ToyWords, words: [a, b]", "carve": "type: ToyCarve, inputs: {words: words}"}
    path = graph(nodes, {"all": "carve"})
    for words in (("run", path), ("pack", path, "-o", "a.zip")):
        result = vflow(*words)
        assert result.code == 0, result.err


def test_a_pack_is_opened_too(vflow, graph):
    pack(vflow, graph)
    result = vflow("open", "a.zip")
    assert result.code == 0, result.err
    assert "a.zip: a pack of the graph g" in result.out
    assert "results in it: 2, of which this store has 2" in result.out
    assert vflow("open", "a.zip", "-o", "unpacked.yaml").code == 0
    assert vflow("run", "unpacked.yaml").done == ["words"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.toy", "is not there"),
        (".", "is a folder"),
        ("g.yaml", "of this ending carries no recipe"),
        ("x.toy", "carries no recipe"),
    ],
)
def test_what_cannot_be_opened_is_told_in_words(note, vflow, tmp_path, name, message):
    note()
    (tmp_path / "x.toy").write_bytes(b"plain")
    result = vflow("open", name)
    assert result.code == 2
    assert message in result.err


# --- somebody else's files -------------------------------------------------------------------------------------------


def hostile(tmp_path, recipe):
    file = tmp_path / "hostile.toy"
    file.write_bytes(MARK + (recipe if isinstance(recipe, bytes) else json.dumps(recipe).encode()))
    return file


def a_recipe(**more):
    return {"vflow": 1, "graph": {"name": "g", "nodes": {}, **more}}


def test_names_do_nothing_to_the_terminal(vflow, tmp_path):
    evil = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\nerror: nothing"
    graph = {
        "name": evil,
        "about": evil,
        "nodes": {evil: {"type": evil}},
        "outputs": {evil: evil},
        "params": {evil: {"help": evil}},
    }
    facts = {evil: {"type": evil, "key": evil, "items": [evil], "pins": {evil: evil}}}
    recipe = {
        "vflow": 1,
        "graph": graph,
        "output": evil,
        "nodes": facts,
        "packages": {evil: evil},
        "metrics": {evil: {evil: 1.0}},
    }
    file = hostile(tmp_path, recipe)
    for words in (("open", file), ("open", file, "--json"), ("open", file, "-o", "new.yaml"), ("check", "new.yaml")):
        result = vflow(*words)
        for said in (result.out, result.err):
            assert all(character.isprintable() or character == "\n" for character in said)
            assert "\nerror: nothing" not in said
            assert "\u202e" not in said


def test_tags_and_parts_that_are_no_graph_are_plain_text_or_dropped(tmp_path):
    nodes = {"n": {"type": "!!python/object/apply:os.system", "x": "!!binary aGk=", "y": "*a", "z": "a: b\n- c"}}
    file = hostile(tmp_path, a_recipe(nodes=nodes, extends="../../other.yaml", profiles={"p": {}}))
    document = parse(open_file(file).text)
    assert document.problems == []
    assert document.root.plain() == {"vflow": 1, "name": "g", "nodes": nodes}


@pytest.mark.parametrize(
    "recipe",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"vflow": 1}',
        b'{"vflow": 1, "graph": 1}',
        b'{"vflow": "1", "graph": {"nodes": {}}}',
        b'{"vflow": 2, "graph": {"nodes": {}}}',
        b'{"vflow": 1, "graph": {"nodes": {"n": 1}}}',
        b'{"vflow": 1, "graph": {"nodes": {}}, "nodes": {"n": {"items": 3}}}',
        b'{"vflow": 1, "graph": {"nodes": {"n": {"x": ' + b"9" * 5000 + b"}}}}",
        b"[" * 100_000,
        b'{"vflow": 1, "graph": {"nodes": {"n": {"x": ' + b"[" * 180 + b"]" * 180 + b"}}}}",
        b'{"a":' * 100_000,
        json.dumps(a_recipe(about="x" * (5 << 20))).encode(),
    ],
    ids=lambda recipe: recipe[:30].decode("latin-1"),
)
def test_a_recipe_of_another_form_is_told_in_words(vflow, tmp_path, recipe):
    file = hostile(tmp_path, recipe)
    for words in (("open", file), ("open", file, "-o", "new.yaml"), ("open", file, "--json")):
        result = vflow(*words)
        assert result.code in (0, 2)
        assert "Traceback" not in result.err
    assert result.code == 2


def test_keys_are_looked_up_only_where_they_are_keys(vflow, tmp_path):
    facts = {"n": {"type": "T", "key": "../../../etc/passwd"}, "m": {"count": 2, "items": ["/etc/passwd", "0" * 64]}}
    recipe = {**a_recipe(nodes={"n": {"type": "T"}, "m": {"type": "T"}}), "nodes": facts}
    told = json.loads(vflow("open", hostile(tmp_path, recipe), "--json").out)
    assert told["kept"] == {"m": {"found": 0, "total": 1}}


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["vflow", "graph", "nodes", "params", "outputs", "name", "about", "output", "metrics", "packages", "n"]
)
recipes = st.fixed_dictionaries(
    {
        "vflow": st.just(1),
        "graph": st.fixed_dictionaries(
            {
                "nodes": st.dictionaries(
                    st.text(max_size=5), st.dictionaries(st.text(max_size=5), json_data, max_size=3), max_size=3
                )
            },
            optional={"params": json_data, "name": st.text(max_size=9), "outputs": json_data},
        ),
    },
    optional={"nodes": st.dictionaries(names, json_data, max_size=3), "metrics": json_data, "packages": json_data},
)
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@relaxed
@given(recipes | st.dictionaries(names, json_data, max_size=5))
def test_any_recipe_is_shown_or_told_to_be_wrong(vflow, tmp_path, data):
    file = hostile(tmp_path, data)
    for words in (("open", file), ("open", file, "-o", "-")):
        result = vflow(*words)
        assert result.code in (0, 2)
        assert "\x1b" not in result.out + result.err


ENDINGS = ("toy", "safetensors", "mp4", "png", "md", "zip", "x")
BEGINNINGS = (
    b"",
    b"PK\x03\x04",
    b"\x89PNG\r\n\x1a\n",
    b"\0\0\0\x08ftyp",
    b"\x10\0\0\0\0\0\0\0{",
    b"<!-- vflow\n",
    MARK,
)


@relaxed
@given(st.sampled_from(ENDINGS), st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_any_bytes_are_told_to_be_no_recipe(tmp_path, ending, beginning, data):
    file = tmp_path / f"file.{ending}"
    file.write_bytes(beginning + data)
    with pytest.raises(GraphError):
        open_file(file)


def test_a_damaged_pack_is_told_in_words(vflow, graph):
    pack(vflow, graph)
    data = Path("a.zip").read_bytes()
    for place in range(0, len(data), 37):
        Path("b.zip").write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        result = vflow("open", "b.zip")
        assert result.code in (0, 2)
        assert "Traceback" not in result.err
    with zipfile.ZipFile("c.zip", "w") as archive:
        archive.writestr("pack.json", "{}")
    assert vflow("open", "c.zip").code == 2


@given(st.text())
def test_printable_is_one_line_without_commands(text):
    assert printable(text).isprintable()
    assert len(printable(text, 5)) <= 5 * len("\\U0001f600") + 3
