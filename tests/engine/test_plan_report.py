"""What a plan says is data, whatever is wrong: the command prints it, another process can make it."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vflow.engine import plan_worker
from vflow.engine.context import Context
from vflow.engine.load import shipped_graphs
from vflow.engine.node import Node
from vflow.engine.plan_report import PlanReport, node_of, report
from vflow.engine.problems import GraphError, Problem, Unasked, errors
from vflow.engine.rehearsal import Cost, passed
from vflow.engine.session import Request
from vflow.engine.values import Artifact, Value

ROOT = Path(__file__).parents[2]

CARVED = {
    "words": "type: ToyWords, words: [one, two, skipped]",
    "carve": "type: ToyCarve, inputs: {words: words}",
    "measure": "type: ToyMeasure, inputs: {texts: carve}",
}


class ReportedName(Value):
    text: str


class ReportedHub(Node):
    """Knows a name only from the network."""

    light = True
    name: str

    def run(self, context: Context) -> ReportedName:
        if context.offline and context.recall("reported", self.name) is None:
            raise GraphError(Unasked(f"{self.name} is not on this machine", "go online"))
        context.record_fact("reported", self.name, True)
        return ReportedName(text=self.name)


class ReportedText(Artifact):
    text: str


class ReportedLong(Node):
    """Long work on a name."""

    def rehearse(self, context, output, **inputs):
        yield passed("ran", "it runs", Cost(seconds=90.0, disk=5_000, peaks={"GPU": 2**30}, pace="20 s per step"))

    def run(self, context: Context, name: ReportedName) -> ReportedText:
        return ReportedText(text=name.text)


class ReportedBug(Node):
    """Somebody's node with a mistake in it."""

    light = True

    def run(self, context: Context) -> ReportedName:
        raise KeyError("nothing")


def states(found):
    return {node.name: node.state for node in found.nodes.values()}


def test_a_plan_says_of_each_node_its_state_its_reason_and_its_items(vflow, graph):
    path = graph(CARVED)
    assert vflow("run", path, "--until", "carve").code == 0
    found = report(Request(str(path)))
    assert found.graph == "g"
    assert states(found) == {"words": "light", "carve": "reused", "measure": "will run"}
    carve, measure = found.nodes["carve"], found.nodes["measure"]
    assert (carve.total, carve.missing, carve.per_item, carve.reason) == (2, 0, True, "2 items kept")
    assert carve.bytes == len("onetwo")
    assert (measure.total, measure.missing, measure.head) == (1, 1, "never run before")
    assert found.nodes["words"].left_out == (("skipped", "it starts with skip"),)
    assert found.summary() == "3 nodes: 1 kept, 1 to run, 1 light"
    assert found.can_run
    assert found.free > 0


def test_the_command_prints_what_the_report_holds(vflow, graph):
    path = graph(CARVED)
    vflow("run", path)
    changed = graph({**CARVED, "carve": "type: ToyCarve, times: 2, inputs: {words: words}"})
    found = report(Request(str(changed)))
    printed = json.loads(vflow("plan", changed, "--json").out)
    assert {name: node["reason"] for name, node in printed["nodes"].items()} == {
        name: node.reason for name, node in found.nodes.items()
    }
    assert printed["effects"] == [effect.to_json() for effect in found.effects]
    assert found.nodes["carve"].head.startswith("times 1 → 2 since run")
    assert found.nodes["carve"].head in vflow("plan", changed).out


def test_a_report_goes_through_json_unchanged(vflow, graph):
    path = graph(CARVED)
    vflow("run", path, "--until", "carve")
    for given in (path, path.parent / "none.yaml"):
        found = report(Request(str(given)))
        assert PlanReport.from_json(json.loads(json.dumps(found.to_json()))) == found


WORDS = "w: {type: ToyWords, words: [a]}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodes: {a: {type: Nothing}}", "Nothing"),
        ("nodes: [", "bracket is not closed"),
        (f"nodes: {{{WORDS}, c: {{type: ToyCarve, inputs: {{words: x}}}}}}", "no node"),
        ("nodes: {w: {type: ToyWords, words: [bad]}}", "a bad word"),
        ("nodes: {f: {type: ToyFolder, source: nowhere}}", "no folder nowhere"),
        (f"nodes: {{{WORDS}, c: {{type: ToyCarve, times: 10, inputs: {{words: w}}}}}}", "too many times"),
    ],
)
def test_no_mistake_of_a_user_is_raised(vflow, tmp_path, text, words):
    found = report(Request(str(tmp_path / "g.yaml"), text=f"vflow: 1\n{text}\n"))
    assert any(words in problem.message for problem in errors(found.problems)), found.problems
    assert not found.can_run


def test_what_a_node_finds_wrong_stands_beside_the_rest_of_the_plan(vflow, graph):
    path = graph(
        {**CARVED, "other": "type: ToyFolder, source: nowhere", "read": "type: ToyRead, inputs: {pages: other}"}
    )
    found = report(Request(str(path)))
    assert states(found) == {
        "words": "light", "carve": "will run", "measure": "decided later", "other": "failed", "read": "decided later",
    }  # fmt: skip
    assert found.nodes["other"].reason == "there is no folder nowhere"
    (problem,) = errors(found.problems)
    assert node_of(problem) == "other"
    assert problem.line > 0


def test_a_store_that_cannot_be_used_is_a_problem(vflow, graph, tmp_path):
    path = graph(CARVED)
    vflow("run", path)
    (tmp_path / "store" / "store.json").write_text('{"format": 99}')
    found = report(Request(str(path)))
    assert "format 99" in errors(found.problems)[0].message
    assert "update vflow" in errors(found.problems)[0].remedy
    assert not found.nodes


def test_an_unsaved_text_is_planned_in_place_of_the_file(vflow, graph):
    path = graph(CARVED)
    text = path.read_text().replace("words: [one, two, skipped]", "words: [one, two, three, four]")
    assert report(Request(str(path), text=text)).nodes["carve"].total == 4
    assert report(Request(str(path))).nodes["carve"].total == 2


# --- while it is edited ----------------------------------------------------------------------------------------------

NAMED = {"hub": "type: ReportedHub, name: far/away", "long": "type: ReportedLong, inputs: {name: hub}"}


def test_live_what_only_the_network_knows_stays_open(vflow, graph):
    path = graph({**NAMED, **CARVED})
    found = report(Request(str(path), live=True))
    assert states(found)["hub"] == "not asked"
    assert states(found)["long"] == "decided later"
    assert states(found)["carve"] == "will run"
    assert found.nodes["hub"].reason == "not asked yet: far/away is not on this machine"
    assert not found.problems
    assert found.summary() == "5 nodes: 1 to run, 2 decided later, 1 not asked yet, 1 light"


def test_offline_is_not_live_and_an_error(vflow, graph):
    path = graph(NAMED)
    found = report(Request(str(path), offline=True))
    assert states(found)["hub"] == "failed"
    assert errors(found.problems)
    assert "far/away is not on this machine; go online" in vflow("plan", path, "--offline").err


def test_what_was_asked_once_is_known_live(vflow, graph):
    path = graph(NAMED)
    assert report(Request(str(path))).can_run
    assert states(report(Request(str(path), live=True))) == {"hub": "light", "long": "will run"}


def test_a_mistake_is_told_live_too(vflow, graph):
    path = graph({**NAMED, "words": "type: ToyWords, words: [bad]", "carve": "type: ToyCarve, inputs: {words: words}"})
    found = report(Request(str(path), live=True))
    assert [problem.message for problem in errors(found.problems)] == ["a bad word", "really"]
    assert states(found)["hub"] == "not asked"


def test_what_a_rehearsal_measured_is_told_for_all_that_is_to_be_done(vflow, graph):
    path = graph(NAMED)
    assert not report(Request(str(path))).phases
    assert vflow("rehearse", path).code == 0
    found = report(Request(str(path), live=True))
    (phase,) = found.phases
    assert (phase.node, phase.what) == ("long", "ran")
    assert (phase.cost.seconds, phase.cost.disk, phase.cost.peaks) == (90.0, 5_000, {"GPU": 2**30})
    assert "20 s per step" in found.rehearsed["long"]
    vflow("run", path)
    assert not report(Request(str(path))).phases  # it is done


def test_light_nodes_are_heard_while_they_work(vflow, tmp_path):
    text = "vflow: 1\nnodes: {w: {type: ReportedSlow}}\n"
    said = []
    report(Request(str(tmp_path / "g.yaml"), text=text), said.append)
    assert said == ["w: looking around", "w: 1 of 2"]


class ReportedSlow(Node):
    light = True

    def run(self, context: Context) -> ReportedName:
        context.log("looking around")
        context.progress(1, 2)
        return ReportedName(text="found")


# --- the process that plans ------------------------------------------------------------------------------------------


class Worker:
    """The process, with what it says read as it comes."""

    def __init__(self):
        environment = os.environ | {"PYTHONPATH": str(ROOT / ".typing")}
        words = [sys.executable, *plan_worker.ARGUMENTS]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def ask(self, number, request):
        self.process.stdin.write(json.dumps({"id": number, "request": plan_worker.to_json(request)}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        while (line := self.lines.get(timeout=60)) is not None and "report" not in line:
            pass
        return line


@pytest.fixture
def worker(tmp_path, monkeypatch):
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    found = Worker()
    yield found
    found.process.kill()
    found.process.wait()


def test_a_process_answers_one_request_after_the_other_and_ends_with_its_input(worker, tmp_path):
    text = "vflow: 1\nnodes: {p: {type: Prompts, prompts: [a circle]}}\n"
    worker.ask(1, Request(str(tmp_path / "g.yaml"), text=text, live=True))
    worker.ask(2, Request(str(tmp_path / "g.yaml"), text="vflow: 1\nnodes: {p: {type: Promts}}\n", live=True))
    first, second = worker.answer(), worker.answer()
    assert (first["id"], second["id"]) == (1, 2)
    assert states(PlanReport.from_json(first["report"])) == {"p": "light"}
    assert "Promts" in second["report"]["problems"][0]["message"]
    worker.process.stdin.close()
    assert worker.process.wait(60) == 0


def test_a_request_goes_through_json_unchanged():
    request = Request(
        "g.yaml", ("a", "b"), ("x=1",), cache=Path("here"), until=("n",), lock=Path("l"), text="vflow: 1", live=True
    )
    assert plan_worker.from_json(json.loads(json.dumps(plan_worker.to_json(request)))) == request
    assert plan_worker.from_json(json.loads(json.dumps(plan_worker.to_json(Request("g"))))) == Request("g")


def test_an_error_in_somebodys_node_is_a_problem_as_any_other(vflow, tmp_path):
    text = "vflow: 1\nnodes: {b: {type: ReportedBug}}\n"
    found = plan_worker.reported(Request(str(tmp_path / "g.yaml"), text=text), lambda _said: None)
    assert [problem.message for problem in found.problems] == ["planning broke off: KeyError: 'nothing'"]
    assert isinstance(found.problems[0], Problem)


def test_planning_imports_no_torch(tmp_path):
    """Every shipped graph, cold, with the clips still to be drawn: what a newcomer opens."""
    program = """
import json, sys
from vflow.engine.load import load, shipped_graphs
from vflow.engine.plan_report import report
from vflow.engine.session import Request

for name in shipped_graphs():
    profiles = [profile for profile in load(name).graph.profiles if profile == "tiny"]
    found = report(Request(name, tuple(profiles), live=True))
    heavy = [module for module in ("torch", "diffusers", "transformers", "peft") if module in sys.modules]
    print(json.dumps([name, bool(found.nodes), [str(problem) for problem in found.problems], heavy]))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".typing"), "VFLOW_HOME": str(tmp_path / "home")}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {name for name, *_ in lines} == set(shipped_graphs())
    assert [heavy for *_, heavy in lines] == [[] for _ in lines]
    planned = [name for name, nodes, problems, _ in lines if nodes and not problems]
    assert len(planned) >= len(lines) - 1, lines  # ltx2_sample waits for an adapter
