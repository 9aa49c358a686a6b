"""Rehearsals of small graphs: which rows are computed, who is asked, what is kept and cited, how it ends."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest

from vflow.engine.context import Context
from vflow.engine.node import Node, Observed, horizon, observe, placement
from vflow.engine.problems import Failure
from vflow.engine.rehearsal import Cost, failed, passed, skipped
from vflow.engine.values import Items

from .conftest import DONE, ToyText, ToyTool, ToyWord


class ToyTry(Node):
    """Works per item, and rehearses."""

    def run(self, context: Context, words: Items[ToyWord], tool: ToyTool | None = None) -> Iterator[ToyText]:
        for word in words:
            DONE.append(f"try {word.text}")
            if tool is not None:
                with context.load(tool):
                    yield ToyText(blob=context.put(word.text.encode(), ".txt"), length=len(word.text))
            else:
                yield ToyText(blob=context.put(word.text.encode(), ".txt"), length=len(word.text))

    def rehearse(self, context, output, **inputs):
        DONE.append(f"rehearse try {[word.text for word in inputs['words']]} {[text.length for text in output]}")
        if inputs["tool"] is not None:
            with context.load(inputs["tool"]):
                yield passed("tried", "the tool is there", Cost(seconds=2.0, disk=10, peaks={"host": 5}))
        else:
            yield passed("tried", "no tool", Cost(seconds=2.0, disk=10, peaks={"host": 5}))


class ToyMarathon(Node):
    """Long: is never run by a rehearsal. What it says of itself is a setting."""

    way: Literal["passed", "failed", "skipped", "raises", "crashes", "stops", "writes"] = "passed"
    steps: int = horizon(3)
    shoes: int = placement(1)
    note: str = observe("")

    def run(
        self,
        context: Context,
        texts: Items[ToyText],
        more: Items[ToyText] | None = None,
        watch: Annotated[Items[ToyText] | None, Observed] = None,
    ) -> ToyText:
        DONE.append("marathon")
        return texts[0]

    def rehearsal_rows(self, known):
        longest = max(known["texts"].items(), key=lambda pair: len(pair[0]))[0]
        return {"texts": [longest], "watch": []}

    def rehearse(self, context, output, **inputs):
        assert output is None
        watched = None if inputs["watch"] is None else len(inputs["watch"])
        DONE.append(f"rehearse marathon {list(inputs['texts'].rows)} {watched}")
        if self.way == "raises":
            raise Failure("the shoes are gone", "find them")
        if self.way == "crashes":
            raise ZeroDivisionError("by accident")
        if self.way == "stops":
            os.kill(os.getpid(), signal.SIGINT)
        if self.way == "writes":
            context.put(b"only for now", ".txt")
            (context.work / "state").write_text("half")
            context.metrics(1, {"loss": 1.0})
            assert context.blob_path(context.put(b"only for now", ".txt")).read_bytes() == b"only for now"
        said = {"failed": lambda: failed("ran", "out of breath", "rest"), "skipped": lambda: skipped("ran", "no way")}
        fine = passed("ran", "well", Cost(seconds=60.0, peaks={"host": 2**30}, pace="20 s per step, 1.0 GiB"))
        yield said.get(self.way, lambda: fine)()


WORDS = "type: ToyWords, words: [one, seven, three]"
TRY = "type: ToyTry, inputs: {words: words}"
MARATHON = "type: ToyMarathon, inputs: {texts: try}"


@pytest.fixture
def rehearsed(graph):
    def write(marathon=MARATHON, tried=TRY, words=WORDS, outputs=None, **more):
        nodes = {"words": words, "try": tried, "marathon": marathon, **more}
        return graph(nodes, outputs or {"text": "marathon"})

    return write


def test_only_the_rows_that_are_asked_for_are_computed_and_each_node_is_asked_once(vflow, rehearsed):
    result = vflow("rehearse", rehearsed())
    assert result.code == 0, result.err
    assert [line for line in result.done if line != "words"] == [
        "try seven",
        "rehearse try ['seven'] [5]",
        "rehearse marathon ['seven'] None",
    ]
    assert "✓ try: tried" in result.out
    assert "✓ marathon: ran" in result.out
    assert "2 checks" in result.err


def test_what_was_computed_is_found_again_by_the_run(vflow, rehearsed):
    path = rehearsed()
    vflow("rehearse", path)
    assert [line for line in vflow("run", path).done if line != "words"] == ["try one", "try three", "marathon"]


def test_kept_results_are_rehearsed_without_being_computed(vflow, rehearsed):
    path = rehearsed()
    vflow("run", path)
    done = [line for line in vflow("rehearse", path).done if line != "words"]
    assert done == [
        "rehearse try ['seven'] [5]",
        "rehearse marathon ['seven'] None",
    ]


def test_what_only_watches_gets_no_rows_where_none_are_asked_for(vflow, rehearsed):
    path = rehearsed(
        "type: ToyMarathon, inputs: {texts: try, watch: looked}",
        looked="type: ToyTry, inputs: {words: others}",
        others="type: ToyWords, words: [a, b]",
    )
    done = vflow("rehearse", path).done
    assert "rehearse marathon ['seven'] 0" in done
    assert not [line for line in done if line in ("try a", "try b") or line.startswith("rehearse try ['a'")]


def test_a_port_of_which_nothing_is_said_is_needed_whole(vflow, rehearsed):
    path = rehearsed(
        "type: ToyMarathon, inputs: {texts: try, more: added}",
        added="type: ToyTry, inputs: {words: others}",
        others="type: ToyWords, words: [a, b]",
    )
    assert {"try a", "try b"} <= set(vflow("rehearse", path).done)


def test_a_model_is_fetched_first_and_opened_once_for_work_and_rehearsal(vflow, rehearsed):
    path = rehearsed(tried="type: ToyTry, inputs: {words: words, tool: tool}", tool="type: ToyTake, name: knife")
    done = [line for line in vflow("rehearse", path).done if line != "words"]
    assert done[:4] == ["fetch knife", "try seven", "open knife", "rehearse try ['seven'] [5]"]
    assert done.count("open knife") == done.count("close knife") == 1


def test_a_long_node_behind_another_is_skipped_with_the_reason(vflow, rehearsed):
    path = rehearsed(
        outputs={"text": "second"},
        second="type: ToyMarathon, inputs: {texts: marathon}",
    )
    result = vflow("rehearse", path)
    assert result.code == 0
    assert "– second: rehearsal  it is made from what marathon gives" in result.out
    assert "marathon" not in result.done


@pytest.mark.parametrize(
    ("way", "code", "said"),
    [
        ("failed", 1, "✗ marathon: ran  out of breath\n    rest"),
        ("skipped", 0, "– marathon: ran  no way"),
        ("raises", 1, "✗ marathon: rehearsal  the shoes are gone\n    find them"),
        ("crashes", 1, "✗ marathon: rehearsal  ZeroDivisionError: by accident"),
    ],
)
def test_each_ending_is_said_and_decides_the_exit_code(vflow, rehearsed, way, code, said):
    result = vflow("rehearse", rehearsed(f"type: ToyMarathon, way: {way}, inputs: {{texts: try}}"))
    assert result.code == code
    assert said in result.out


def test_work_that_fails_on_the_way_is_a_failed_check_and_what_follows_is_skipped(vflow, rehearsed):
    path = rehearsed(
        "type: ToyMarathon, inputs: {texts: carve}",
        carve="type: ToyCarve, inputs: {words: words}",
        words="type: ToyWords, words: [a, fail]",
    )
    result = vflow("rehearse", path)
    assert result.code == 1
    assert "✗ carve: computing  the knife broke" in result.out
    assert "– marathon: rehearsal  what stands at texts could not be computed" in result.out


def test_nothing_is_left_behind_but_results_of_items(vflow, rehearsed):
    result = vflow("rehearse", rehearsed("type: ToyMarathon, way: writes, inputs: {texts: try}"))
    assert result.code == 0, result.out
    store = Path("store")
    assert not any(path.read_bytes() == b"only for now" for path in (store / "blobs").rglob("*") if path.is_file())
    assert not list(store.rglob("state"))
    assert not Path("runs").exists()
    assert not [path for path in (store / "tmp").rglob("*") if path.is_file()]


def test_plan_and_run_cite_it_as_long_as_all_is_the_same(vflow, rehearsed):
    path = rehearsed()
    assert "rehearsed" not in vflow("plan", path).out
    vflow("rehearse", path)
    cited = "rehearsed just now on this device: 20 s per step, 1.0 GiB"
    assert f"marathon: {cited}" in vflow("plan", path).out
    assert json.loads(vflow("plan", "--json", path).out)["rehearsed"] == {"marathon": cited}
    same = "type: ToyMarathon, steps: 9, note: x, inputs: {texts: try}"
    assert cited in vflow("plan", rehearsed(same)).out
    for other in (
        rehearsed("type: ToyMarathon, shoes: 2, inputs: {texts: try}"),
        rehearsed(words="type: ToyWords, words: [one, seven, four]"),
        rehearsed(tried="type: ToyTry, inputs: {words: words, tool: tool}", tool="type: ToyTake, name: knife"),
    ):
        assert "rehearsed" not in vflow("plan", other).out
    vflow("run", rehearsed())
    (folder,) = Path("runs").iterdir()
    lines = [json.loads(line) for line in (folder / "events.jsonl").open()]
    assert [line["message"] for line in lines if line["kind"] == "log" and line["node"] == "marathon"] == [cited]
    assert "rehearsed" not in vflow("plan", rehearsed()).out  # it is done


def test_one_that_failed_is_not_cited(vflow, rehearsed):
    path = rehearsed("type: ToyMarathon, way: failed, inputs: {texts: try}")
    vflow("rehearse", path)
    assert "rehearsed" not in vflow("plan", path).out


def test_json_holds_all_that_is_printed_and_the_cost_of_the_whole(vflow, rehearsed):
    result = vflow("rehearse", "--json", rehearsed())
    data = json.loads(result.out)
    assert (data["passed"], data["failed"], data["skipped"]) == (2, 0, 0)
    assert [(check["node"], check["name"]) for check in data["checks"]] == [("try", "tried"), ("marathon", "ran")]
    costs = {cost["node"]: cost for cost in data["costs"]}
    assert costs["try"]["seconds"] == 6.0  # of three items, none of which was kept before
    assert costs["try"]["disk"] == 30
    assert costs["marathon"]["seconds"] == 60.0


def test_an_interrupt_ends_it_and_keeps_what_was_computed(vflow, rehearsed):
    path = rehearsed("type: ToyMarathon, way: stops, inputs: {texts: try}")
    assert vflow("rehearse", path).code == 130
    assert "try seven" not in vflow("rehearse", path).done


def test_a_graph_that_trains_nothing_is_told_so(vflow, graph):
    result = vflow("rehearse", graph({"words": WORDS, "carve": "type: ToyCarve, inputs: {words: words}"}))
    assert result.code == 2
    assert "nothing in this graph can be rehearsed" in result.err
