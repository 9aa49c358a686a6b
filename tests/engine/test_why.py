"""Why a node runs, as `vflow plan` and `vflow run` say it; and where a run stops because nothing changed after all."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from vflow.engine import environment, keys
from vflow.engine.cli import main
from vflow.engine.context import Context
from vflow.engine.node import Node, placement
from vflow.engine.past import describe
from vflow.engine.store import Store
from vflow.engine.values import Artifact, Blob, Item, Items, Value
from vflow.engine.why import ago
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.values import Source, Transformer

WORDS = "type: ToyWords, words: [one, two, three]"
CARVE = "type: ToyCarve, inputs: {words: words}"
MEASURE = "type: ToyMeasure, inputs: {texts: carve}"
WALK = "type: ToyWalk, inputs: {text: measure}, steps: 3"


#: what `ToyDouble` did
DOUBLED: list[str] = []


class ToyPage(Value):
    text: str


class ToyEdge(BaseModel):
    angle: float = 30.0
    hollow: bool = False


class ToyShelf(Node):
    """Light: files (name to content), with rows that only a label makes readable."""

    light = True
    files: dict[str, str]

    def run(self, context: Context) -> Items[ToyPage]:
        pages = {name: ToyPage(text=text) for name, text in self.files.items()}
        rows = {keys.digest([name, page.identity])[:32]: (name, page) for name, page in pages.items()}
        for row, (name, _) in rows.items():
            context.label(row, name)
        return Items(Item(row, page) for row, (_, page) in sorted(rows.items()))


class ToyCopied(Artifact):
    blob: Blob


class ToyCopy(Node):
    """Per item."""

    edge: ToyEdge = ToyEdge()
    title: str = ""
    level: int = 0
    speed: int = placement(1)

    def run(self, context: Context, pages: Items[ToyPage]) -> Iterator[ToyCopied]:
        for page in pages:
            if page.text == "die":
                os._exit(9)
            if page.text == "stop":
                raise KeyboardInterrupt
            yield ToyCopied(blob=context.put(page.text.encode()))


class ToyRounded(Value):
    number: int


class ToyCount(Node):
    """Whole: how many pages there are, to the next ten."""

    def run(self, context: Context, copies: Items[ToyCopied]) -> ToyRounded:
        return ToyRounded(number=-(-len(copies) // 10) * 10)


class ToyDouble(Node):
    """Whole, heavy, and deterministic."""

    times: int = 2

    def run(self, context: Context, of: ToyRounded) -> ToyRounded:
        DOUBLED.append(f"double {of.number}")
        return ToyRounded(number=of.number * self.times)


@pytest.fixture
def doubled():
    DOUBLED.clear()
    return DOUBLED


ODD = {"carve": {"type": "ToyCarve", "version": 1, "settings": {}, "key": "k", "ports": ["words"]}}


def chain(graph, words=WORDS, carve=CARVE, measure=MEASURE, walk=WALK, name="g", **more):
    return graph({"words": words, "carve": carve, "measure": measure, "walk": walk, **more}, {"p": "walk.path"}, name)


def shelf(graph, files, copy="type: ToyCopy, inputs: {pages: shelf}", **more):
    listed = ", ".join(f"{name}: {text}" for name, text in files.items())
    return graph({"shelf": f"type: ToyShelf, files: {{{listed}}}", "copy": copy, **more})


def why(vflow, path, node, *words):
    result = vflow("plan", path, "--json", *words)
    assert result.code == 0, result.err
    return json.loads(result.out)["nodes"][node]


def last_run():
    return max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def started(folder, node):
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return next(e["reason"] for e in events if e["kind"] == "node_started" and e["node"] == node)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_a_node_that_never_ran_says_so(vflow, graph):
    assert why(vflow, chain(graph), "carve")["why"] == ["never run before"]
    assert why(vflow, chain(graph), "carve")["reason"] == "never run before (3 of 3)"


def test_a_changed_setting_is_told_with_the_run_it_changed_since(vflow, graph):
    vflow("run", chain(graph))
    said = why(vflow, chain(graph, carve=CARVE + ", times: 2"), "carve")["reason"]
    assert said.startswith(f"times 1 → 2 since run {last_run().name} (")
    assert said.endswith(" s ago) (3 of 3)")


def test_nested_settings_are_told_with_their_path_and_placement_is_not_told(vflow, graph):
    files = {"a": "one"}
    vflow("run", shelf(graph, files))
    edge = "type: ToyCopy, inputs: {pages: shelf}, edge: {angle: 4.5e1, hollow: true}, title: a b, speed: 4"
    said = why(vflow, shelf(graph, files, edge), "copy")["why"]
    assert len(said) == 1
    assert said[0].startswith('edge.angle 30.0 → 45.0, edge.hollow false → true, title "" → "a b" since run ')


def test_many_changes_stand_below_each_other(vflow, graph):
    vflow("run", shelf(graph, {"a": "one"}))
    copy = "type: ToyCopy, inputs: {pages: shelf}, edge: {angle: 4.5e1, hollow: true}, title: x, level: 3"
    path = shelf(graph, {"a": "one", "b": "two"}, copy)
    said = why(vflow, path, "copy")["why"]
    assert said[0].startswith("changed since run ")
    assert said[1:4] == ["edge.angle 30.0 → 45.0", "edge.hollow false → true", 'title "" → x']
    assert said[5].startswith("input pages: 1 added (b)")
    text = vflow("plan", path).out.splitlines()
    at = next(n for n, line in enumerate(text) if line.lstrip().startswith("copy "))
    assert text[at].endswith("ago) (2 of 2)")
    assert text[at + 1] == "      edge.angle 30.0 → 45.0"


def test_items_are_told_apart_by_name_and_identity(vflow, graph):
    before = {"a": "one", "b": "two", "c": "three", "d": "four"}
    vflow("run", shelf(graph, before))
    after = {"a": "one", "b": "TWO", "e": "five", "f": "six", "g": "seven"}
    node = why(vflow, shelf(graph, after), "copy")
    assert node["why"][0].startswith("input pages: 3 added (")
    assert "1 changed (b), 2 gone (c, d)" in node["why"][0] or "1 changed (b), 2 gone (d, c)" in node["why"][0]
    assert "shelf.files.b two → TWO" in node["why"][0]
    assert node["missing"] == 4


def test_long_lists_are_kept_packed_and_told_in_numbers(vflow, graph):
    words = [f"w{n}" for n in range(300)]
    vflow("run", chain(graph, words=f"type: ToyWords, words: [{', '.join(words)}]"))
    words[5:8] = ["x", "y"]
    said = why(vflow, chain(graph, words=f"type: ToyWords, words: [{', '.join(words)}]"), "carve")["why"][0]
    assert said.startswith("input words: 2 added (x, y), 3 gone (w5, w6, w7) (words.words: 2 added, 3 gone) since run ")


def test_a_changed_recipe_says_which_setting_differs(vflow, graph):
    def tooled(tool):
        return chain(graph, carve=CARVE.replace("words: words", "words: words, tool: tool"), tool=tool)

    vflow("run", tooled("type: ToyTake, name: knife"))
    said = why(vflow, tooled("type: ToyTake, name: knife, sharpness: 4"), "carve")["why"][0]
    assert said.startswith("input tool: sharpness 0 → 4 since run ")
    said = why(vflow, chain(graph), "carve")["why"][0]
    assert said.startswith("input tool is not linked any more since run ")


def test_a_new_version_is_told(vflow, graph, monkeypatch):
    vflow("run", chain(graph))
    monkeypatch.setattr(Node.types["ToyCarve"], "version", 2)
    assert why(vflow, chain(graph), "carve")["why"][0].startswith("version 1 → 2 since run ")


def test_another_type_under_the_same_name_is_told(vflow, graph):
    vflow("run", graph({"words": WORDS, "carve": CARVE}))
    copy = "type: ToyCopy, inputs: {pages: words}"
    path = graph({"words": "type: ToyShelf, files: {a: b}", "carve": copy})
    assert why(vflow, path, "carve")["why"][0].startswith("type ToyCarve → ToyCopy since run ")


def test_a_forced_node_says_so(vflow, graph):
    vflow("run", chain(graph))
    assert why(vflow, chain(graph), "measure", "--force", "measure")["why"] == ["forced"]


def test_lost_results_are_told(vflow, graph, tmp_path):
    vflow("run", chain(graph))
    blobs = {p.read_bytes(): p for p in (tmp_path / "store/blobs").rglob("*") if p.is_file()}
    blobs[b"[3, 3, 5] 3"].unlink()
    assert why(vflow, chain(graph), "walk")["why"] == ["result missing from the store"]
    blobs[b"one"].unlink()
    node = why(vflow, chain(graph, walk=WALK), "carve", "--force", "measure")
    assert node["reason"] == "1 result missing from the store (1 of 3)"


def test_records_that_are_gone_are_told_too(vflow, graph, tmp_path):
    vflow("run", chain(graph))
    key = why(vflow, chain(graph), "walk")["key"]
    store = Store(tmp_path / "store")
    (tmp_path / f"store/records/{key[:2]}/{key}.json").unlink()
    store._index.forget([f"result:{key}"])
    assert why(vflow, chain(graph), "walk")["why"] == ["result missing from the store"]


def test_new_items_and_lost_results_are_told_apart(vflow, graph, tmp_path):
    vflow("run", chain(graph))
    for path in (tmp_path / "store/blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"one":
            path.unlink()
    record = next(r for r in Store(tmp_path / "store").entries() if r.output["value"].get("length") == 5)
    Store(tmp_path / "store")._index.forget([f"result:{record.key}"])
    (tmp_path / f"store/records/{record.key[:2]}/{record.key}.json").unlink()
    node = why(vflow, chain(graph, words=WORDS.replace("one", "four")), "carve")
    assert node["why"][0].startswith("input words: 1 added (four), 1 gone (one)")
    assert node["why"][1] == "1 result missing from the store"


def test_what_a_stopped_run_left_undone_is_told(vflow, graph):
    pages = {"a": "one", "b": "two", "c": "stop"}
    assert vflow("run", shelf(graph, pages)).code == 130
    said = why(vflow, shelf(graph, pages), "copy")["why"]
    assert len(said) == 1
    assert f"not finished in run {last_run().name} (" in said[0]


def test_a_killed_run_is_remembered_as_begun(vflow, graph):
    pages = {"a": "die"}
    path = shelf(graph, pages)
    child = os.fork()
    if not child:
        main(["run", str(path), "--quiet"])
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert why(vflow, path, "copy")["why"][0].startswith("1 item not finished in run ")


def test_a_node_that_cannot_be_decided_yet_says_what_is_known_to_differ(vflow, graph):
    vflow("run", chain(graph))
    path = chain(graph, carve=CARVE + ", times: 2", walk=WALK.replace("3", "5"))
    node = why(vflow, path, "walk")
    assert node["state"] == "decided later"
    assert node["reason"].startswith("decided after measure: steps 3 → 5 since run ")


def test_the_run_says_why_once_it_is_known(vflow, graph):
    vflow("run", chain(graph))
    first = last_run()
    result = vflow("run", chain(graph, words=WORDS.replace("two", "seventy")))
    assert "measure: computing (input texts: 1 added (seventy), 1 gone (two)" in result.err
    assert started(last_run(), "walk").startswith(f"input text came out otherwise since run {first.name} (")


def test_a_result_used_again_is_what_the_node_was(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", chain(graph, carve=CARVE + ", times: 2"))
    vflow("run", chain(graph))  # all reused
    said = why(vflow, chain(graph, carve=CARVE + ", times: 3"), "carve")["why"][0]
    assert said.startswith(f"times 1 → 3 since run {last_run().name} (")


def test_an_input_that_only_watches_is_no_reason(vflow, graph):
    more = {"others": "type: ToyWords, words: [x]", "watched": "type: ToyCarve, inputs: {words: others}"}
    walk = "type: ToyWalk, inputs: {text: measure, watch: watched}, steps: 3"
    vflow("run", chain(graph, walk=walk, **more))
    more["others"] = "type: ToyWords, words: [y]"
    node = why(vflow, chain(graph, carve=CARVE + ", times: 2", walk=walk, **more), "walk")
    assert node["reason"] == "decided after measure"


def test_settings_of_light_nodes_that_came_to_the_same_are_not_told_later(vflow, graph, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("one two")
    words = "type: ToyWords, words: [], file: "
    vflow("run", chain(graph, words=words + "a.txt"))
    assert vflow("run", chain(graph, words=words + "b.txt")).done == ["words"]  # the same words
    (tmp_path / "b.txt").write_text("one six")
    said = why(vflow, chain(graph, words=words + "b.txt"), "carve")["why"][0]
    assert said.startswith("input words: 1 added (six), 1 gone (two) since run ")


# --- what it is told from --------------------------------------------------------------------------------------------


def test_a_warm_run_writes_nothing_down(vflow, graph, monkeypatch):
    vflow("run", chain(graph))

    def fail(*_):
        raise AssertionError("a fact was written")

    monkeypatch.setattr(Store, "record_fact", fail)
    monkeypatch.setattr(Store, "record_facts", fail)
    assert vflow("run", chain(graph)).code == 0


def test_without_its_memory_the_store_still_tells_from_its_records(vflow, graph, tmp_path):
    vflow("run", chain(graph))
    shutil.rmtree(tmp_path / "store/index")
    node = why(vflow, chain(graph, carve=CARVE + ", times: 2", walk=WALK + ", shaped: true"), "carve")
    assert node["why"][0].startswith("times 1 → 2 since it last ran (")
    vflow("run", chain(graph))  # nothing runs, and all is known again
    assert "since run" in why(vflow, chain(graph, carve=CARVE + ", times: 2"), "carve")["why"][0]


def test_a_copied_graph_is_compared_with_the_one_it_was_copied_from(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", graph({"words": WORDS}, name="other"))
    said = why(vflow, chain(graph, carve=CARVE + ", times: 2", name="copied"), "carve")["why"]
    assert said[0].startswith("never run before; unlike in g, run ")
    assert said[1] == "times 1 → 2"


@pytest.mark.parametrize(
    "fact", [17, "x", [], {"carve": 1}, {"carve": {"type": "ToyCarve"}}, {"carve": {"odd": 1}}, ODD]
)
def test_facts_of_another_version_only_make_the_answer_poorer(vflow, graph, tmp_path, fact):
    vflow("run", chain(graph))
    Store(tmp_path / "store").record_fact("last", "g", fact)
    assert why(vflow, chain(graph, carve=CARVE + ", times: 2"), "carve")["why"]
    assert vflow("run", chain(graph, carve=CARVE + ", times: 2")).code == 0


def test_moving_weights_is_no_reason():
    source = Source(family="ltx2", part="transformer", content="c" * 64, model="tiny://ltx2", kind="tiny")
    plain = Transformer(source=source)
    adapted = plain.having(LoRA(rank=16, alpha=16.0, pattern="to_q", dropout=0.0))
    placed = adapted.having(GroupOffloading())
    assert describe(placed)["transformations"] == describe(adapted)["transformations"] != []


def test_times_are_told_roughly():
    assert [ago(s) for s in (0, 59, 61, 7300, 100000, 200000)] == [
        "0 s ago", "59 s ago", "1 min ago", "2 h ago", "28 h ago", "2 days ago",
    ]  # fmt: skip


# --- other machines --------------------------------------------------------------------------------------------------


def test_results_of_another_major_version_are_told_and_computed_again_if_asked(vflow, graph, monkeypatch):
    versions = {"torch": "2.9.1", "diffusers": "0.42.1"}
    monkeypatch.setattr(environment, "versions", lambda: dict(versions))
    vflow("run", chain(graph))
    versions |= {"torch": "2.13.0", "diffusers": "0.42.9"}
    assert "warning" not in vflow("plan", chain(graph)).out
    versions |= {"torch": "3.0.0", "diffusers": "0.43.0"}
    assert why(vflow, chain(graph), "carve")["other_environment"] == {
        "torch 2.9.1, now 3.0.0; diffusers 0.42.1, now 0.43.0": 3
    }
    shown = vflow("plan", chain(graph)).out
    assert "warning: carve: 3 of 3 kept results computed with torch 2.9.1, now 3.0.0; " in shown
    assert vflow("run", chain(graph)).done == ["words"]  # told, but used
    node = why(vflow, chain(graph), "carve", "--fresh-env")
    assert node["reason"].startswith("computed with torch 2.9.1, now 3.0.0")
    fresh = vflow("run", chain(graph), "--fresh-env")
    assert fresh.done == ["words", "carve one", "carve two", "carve three", "measure"]  # the walk's state is kept
    assert vflow("run", chain(graph), "--fresh-env").done == ["words"]
    assert "warning" not in vflow("plan", chain(graph)).out


def test_results_of_another_kind_of_device_are_told(vflow, graph, monkeypatch):
    device = ["cuda"]
    monkeypatch.setattr(type(Value.kinds["ToyTool"](name="x")), "computes_on", property(lambda self: device[0]))
    carve = "type: ToyCarve, inputs: {words: words, tool: tool}"
    path = chain(graph, carve=carve, tool="type: ToyTake, name: knife")
    vflow("run", path)
    assert why(vflow, path, "carve")["other_environment"] == {}
    device[0] = "cpu"
    assert why(vflow, path, "carve")["other_environment"] == {"device cuda, now cpu": 3}
    assert why(vflow, path, "carve", "--fresh-env")["why"] == ["computed with device cuda, now cpu"]
    assert why(vflow, path, "measure", "--fresh-env")["state"] == "decided later"


# --- early stop ------------------------------------------------------------------------------------------------------


def test_a_wave_of_recomputation_stops_at_the_first_equal_result_however_much_is_below(vflow, graph, doubled):
    below = {
        f"n{i}": f"type: ToyDouble, inputs: {{of: {f'n{i - 1}' if i else 'count'}}}, times: {i + 2}" for i in range(5)
    }
    count = "type: ToyCount, inputs: {copies: copy}"

    def of(files):
        return shelf(graph, files, count=count, **below)

    vflow("run", of({"a": "one"}))
    assert doubled == ["double 10", "double 20", "double 60", "double 240", "double 1200"]
    doubled.clear()
    # copy and count run again, and count comes out as before: five levels below it are not even asked
    assert vflow("run", of({"a": "one", "b": "two"})).code == 0
    states = {
        name: node["state"] for name, node in json.loads((last_run() / "summary.json").read_text())["nodes"].items()
    }
    assert states == {"shelf": "light", "copy": "computed", "count": "computed"} | dict.fromkeys(below, "reused")
    assert doubled == []
    # the wave is known to stop nowhere only after the eleventh page
    assert vflow("run", of({f"p{n}": f"text {n}" for n in range(11)})).code == 0
    assert doubled == ["double 20", "double 40", "double 120", "double 480", "double 2400"]


def test_a_wave_stops_at_different_depths_on_different_branches(vflow, graph, doubled):
    count = "type: ToyCount, inputs: {copies: copy}"
    half = {"n0": "type: ToyDouble, inputs: {of: count}, times: 0", "n1": "type: ToyDouble, inputs: {of: n0}"}
    other = {"m0": "type: ToyDouble, inputs: {of: count}, times: 3", "m1": "type: ToyDouble, inputs: {of: m0}"}

    def of(number):
        return shelf(graph, {f"p{n}": f"t{n}" for n in range(number)}, count=count, **half, **other)

    vflow("run", of(3))
    doubled.clear()
    vflow("run", of(13))
    nodes = json.loads((last_run() / "summary.json").read_text())["nodes"]
    # nothing times anything stays nothing: n0 runs and is equal, n1 is not reached; the other branch runs to its end
    assert {name: nodes[name]["state"] for name in ("count", "n0", "n1", "m0", "m1")} == {
        "count": "computed", "n0": "computed", "n1": "reused", "m0": "computed", "m1": "computed",
    }  # fmt: skip
    assert sorted(doubled) == ["double 20", "double 20", "double 60"]


def test_an_equal_result_stops_the_wave_when_a_lost_blob_was_computed_again(vflow, graph, tmp_path):
    vflow("run", chain(graph))
    for path in (tmp_path / "store/blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"[3, 3, 5]":
            path.unlink()
    again = vflow("run", chain(graph, walk=WALK.replace("3", "4")))
    assert again.done == ["words", "measure", "step 3"]
