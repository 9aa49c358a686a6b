"""What runs beside the node that computes, and what one node's failure leaves alone."""

import os
import signal
import threading
import time

import pytest

from vflow.engine.beside import Beside
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import Failure
from vflow.engine.values import Artifact, Blob, Item, Items, Recipe, Value

LONG = 30  # seconds after which something hangs
#: what happened, in order; and what a node waits for that another one says
DONE: list[str] = []
SAID: dict[str, threading.Event] = {}


class BesideText(Artifact):
    blob: Blob


class BesideNote(Value):
    note: str


class BesideTool(Recipe):
    name: str

    @property
    def base(self):
        return self.name

    def open_base(self, context):
        DONE.append(f"open {self.name}")
        return self.name


class BesideTake(Node):
    """A recipe."""

    light = True
    name: str

    def run(self, context: Context) -> BesideTool:
        return BesideTool(name=self.name)


class BesideWork(Node):
    """Heavy; says that it began, and may wait for what another node says."""

    name: str
    waits_for: str = ""
    fails: bool = False

    def run(
        self, context: Context, tool: BesideTool | None = None, after: Items[BesideNote] | None = None
    ) -> BesideText:
        DONE.append(self.name)
        SAID.setdefault(self.name, threading.Event()).set()
        if self.waits_for and not SAID.setdefault(self.waits_for, threading.Event()).wait(LONG):
            raise AssertionError(f"{self.waits_for} does not run beside {self.name}")
        if tool is not None:
            with context.load(tool):
                pass
        if self.fails:
            raise Failure(f"{self.name} broke", "mend it")
        return BesideText(blob=context.put(self.name.encode(), ".txt"))


class BesideScan(Node):
    """Light, below a heavy node: like a scan of clips that another node made."""

    light = True
    name: str
    waits_for: str = ""
    fails: str = ""
    interrupts: bool = False

    def run(self, context: Context, text: BesideText) -> Items[BesideNote]:
        if self.interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(LONG)
        if self.waits_for and not SAID.setdefault(self.waits_for, threading.Event()).wait(LONG):
            raise AssertionError(f"{self.name} does not run beside {self.waits_for}")
        if self.fails:
            raise Failure(self.fails, "look")
        DONE.append(self.name)
        SAID.setdefault(self.name, threading.Event()).set()
        return Items([Item("a", BesideNote(note=self.name))])


@pytest.fixture(autouse=True)
def nothing_said():
    DONE.clear()
    SAID.clear()


def test_a_slow_light_node_runs_beside_the_next_heavy_one(vflow, graph):
    # `scan` ends only when `b` has begun, and `b` only when `scan` has ended: one after the other, neither would
    path = graph(
        {
            "a": "type: BesideWork, name: a",
            "scan": "type: BesideScan, name: scan, waits_for: b, inputs: {text: a}",
            "b": "type: BesideWork, name: b, waits_for: scan",
            "c": "type: BesideWork, name: c, inputs: {after: scan}",
        },
        {"b": "b", "c": "c"},
    )
    result = vflow("run", path)
    assert result.code == 0, result.err
    assert DONE == ["a", "b", "scan", "c"]
    assert vflow("run", path).code == 0


def test_a_quick_light_node_is_waited_for_so_that_its_model_is_loaded_once(vflow, graph):
    nodes = {
        "x": "type: BesideTake, name: x",
        "y": "type: BesideTake, name: y",
        "a": "type: BesideWork, name: a, inputs: {tool: x}",
        "other": "type: BesideWork, name: other, inputs: {tool: y}",
        "scan": "type: BesideScan, name: scan, inputs: {text: a}",
        "b": "type: BesideWork, name: b, inputs: {tool: x, after: scan}",
    }
    assert vflow("run", graph(nodes, {"b": "b", "other": "other"})).code == 0
    assert DONE == ["a", "open x", "scan", "b", "other", "open y"]


def test_a_failing_light_node_ends_what_depends_on_it_and_nothing_else(vflow, graph):
    nodes = {
        "a": "type: BesideWork, name: a",
        "scan": "type: BesideScan, name: scan, fails: the folder is gone, inputs: {text: a}",
        "below": "type: BesideWork, name: below, inputs: {after: scan}",
        "b": "type: BesideWork, name: b",
    }
    result = vflow("run", graph(nodes, {"below": "below", "b": "b"}))
    assert result.code == 1
    assert "nodes.scan" in result.err
    assert "the folder is gone" in result.err
    assert DONE == ["a", "b"]


def test_a_failing_branch_lets_independent_ones_finish(vflow, graph):
    nodes = {
        "bad": "type: BesideWork, name: bad, fails: true",
        "below": "type: BesideScan, name: below, inputs: {text: bad}",
        "last": "type: BesideWork, name: last, inputs: {after: below}",
        "good": "type: BesideWork, name: good",
        "scan": "type: BesideScan, name: scan, inputs: {text: good}",
        "fine": "type: BesideWork, name: fine, inputs: {after: scan}",
    }
    path = graph(nodes, {"last": "last", "fine": "fine"})
    result = vflow("run", path)
    assert result.code == 1
    assert result.err.count("bad broke") == 1
    assert DONE == ["bad", "good", "scan", "fine"]
    DONE.clear()
    assert vflow("run", path).code == 1
    assert DONE == ["scan", "bad"]  # what was finished is kept


def test_an_interrupt_while_only_a_light_node_runs_ends_the_run_at_once(vflow, graph):
    nodes = {
        "a": "type: BesideWork, name: a",
        "scan": "type: BesideScan, name: scan, interrupts: true, inputs: {text: a}",
        "b": "type: BesideWork, name: b, inputs: {after: scan}",
    }
    started = time.monotonic()
    assert vflow("run", graph(nodes, {"b": "b"})).code == 130
    assert time.monotonic() - started < LONG / 2


def test_what_a_forgotten_call_gives_is_never_taken():
    beside, go = Beside(), threading.Event()
    beside.start("a", lambda: go.wait(LONG) and "old")
    beside.start("a", lambda: "new")
    go.set()
    taken = dict(beside.take(patience=LONG))
    assert {name: call() for name, call in taken.items()} == {"a": "new"}
    beside.start("b", lambda: 1 / 0)
    beside.forget("b")
    assert not beside.busy
    assert dict(beside.take(patience=0)) == {}


def test_an_accident_is_raised_where_the_result_is_taken():
    beside = Beside()
    beside.start("a", lambda: {}["missing"])
    ((name, call),) = beside.take(patience=LONG)
    assert name == "a"
    with pytest.raises(KeyError, match="missing"):
        call()


def test_a_patient_look_ends_with_the_last_call_and_an_impatient_one_at_once():
    beside, go = Beside(), threading.Event()
    beside.start("slow", lambda: go.wait(LONG))
    assert dict(beside.take(patience=0.01)) == {}
    assert beside.busy
    threading.Timer(0.05, go.set).start()
    assert list(dict(beside.take(patience=0.0, longest=LONG))) == ["slow"]
