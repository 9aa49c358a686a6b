"""Plans follow the edits by themselves, in a process of their own: the newest wins, and nothing that goes wrong there
reaches the editor."""

import json
import os

import pytest
from textual.app import App

from tests.tui.graphs import SMALL
from vflow.engine import plan_worker
from vflow.engine.editing import edits
from vflow.engine.load import load
from vflow.engine.plan_report import NodePlan, PlanReport
from vflow.engine.problems import Problem, errors
from vflow.tui.glyphs import Mark
from vflow.tui.planning import Planner, counted, marks_of
from vflow.tui.workspace import Workspace

#: stands in for the process that plans: what it does is said by a word in the graph's text
STAND_IN = """
import json, os, sys, time
with open({pids!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
for line in sys.stdin:
    asked = json.loads(line)
    text = asked["request"]["text"]
    print(json.dumps({{"id": asked["id"], "said": "looking"}}), flush=True)
    if "never" in text:
        time.sleep(1000)
    if "crash" in text:
        print("it broke", file=sys.stderr)
        os._exit(3)
    if "nonsense" in text:
        print("this is no answer", flush=True)
        continue
    report = json.loads({report!r})
    report["graph"] = text.partition("name: ")[2].partition("\\n")[0]
    report["live"] = asked["request"]["live"]
    print(json.dumps({{"id": asked["id"], "report": report}}), flush=True)
"""
PLANNED = PlanReport(nodes={"a": NodePlan("a", "ToyWords", "light")})


class Host(App):
    """Keeps what a planner says."""

    def __init__(self, path, wait=0.01):
        super().__init__()
        self.workspace, self.wait = Workspace(path), wait
        self.said, self.done = [], []

    def on_mount(self):
        self.planner = Planner(self, self.workspace, wait=self.wait)

    def on_planner_busy(self, event):
        self.said.append(event.said)

    def on_planner_done(self, event):
        self.done.append(event)

    def type(self, name):
        """Edit the graph such that it is called by this name, and plan."""
        self.workspace.replace("rename", f"vflow: 1\nname: {name}\nnodes: {{}}\n")
        self.planner.request()


async def until(pilot, wanted):
    for _ in range(3000):
        await pilot.pause(0.01)
        if wanted():
            return
    raise AssertionError("it did not come to that")


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def live(monkeypatch, a_users_place):
    monkeypatch.setattr(Planner, "live", True)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "small.yaml"
    found.write_text(SMALL)
    return found


@pytest.fixture
def pids(tmp_path, monkeypatch):
    """Put the stand-in in place of the process; returns which there were."""
    file, script = tmp_path / "pids", tmp_path / "stand_in.py"
    script.write_text(STAND_IN.format(pids=str(file), report=json.dumps(PLANNED.to_json())))
    monkeypatch.setattr(plan_worker, "ARGUMENTS", (str(script),))
    return lambda: [int(line) for line in file.read_text().split()] if file.exists() else []


# --- with the real process -------------------------------------------------------------------------------------------


async def test_a_plan_follows_each_edit_and_a_mistake_leaves_the_last_one(path):
    app = Host(path)
    async with app.run_test() as pilot:
        app.planner.request()
        await until(pilot, lambda: app.done)
        first = app.planner.report
        assert {first.nodes[name].state for name in ("captions", "latents")} == {"will run"}
        assert first.live
        assert app.done[0].version == app.workspace.version

        app.workspace.edit("misspell", lambda text: text.replace("TrainLoop", "TrainLop"))
        app.planner.request()
        await until(pilot, lambda: len(app.done) > 1)
        assert "TrainLop" in errors(app.done[1].report.problems)[0].message
        assert app.planner.report is first

        app.workspace.undo()
        app.workspace.edit("more", lambda text: edits.set_setting(text, "lora", ("target",), "attention"))
        app.workspace.edit("less", lambda text: text.replace("resolution: 64 ", "resolution: 32 "))
        app.planner.request()
        await until(pilot, lambda: len(app.done) > 2)
        assert app.planner.report is app.done[2].report
        assert not app.planner.busy


# --- when something goes wrong ---------------------------------------------------------------------------------------


async def test_of_many_edits_in_a_row_the_last_is_planned_and_no_other(path, pids):
    app = Host(path, wait=0.05)
    async with app.run_test() as pilot:
        for number in range(20):
            app.type(f"g{number}")
        await until(pilot, lambda: app.done)
        await until(pilot, lambda: not app.planner.busy)
    assert [event.report.graph for event in app.done] == ["g19"]
    assert len(pids()) == 1


async def test_a_plan_that_nobody_wants_any_more_is_ended(path, pids):
    app = Host(path)
    async with app.run_test() as pilot:
        app.type("never")
        await until(pilot, lambda: "looking" in app.said)
        assert app.planner.busy
        app.type("quick")
        await until(pilot, lambda: app.done)
        first, second = pids()
        assert not lives(first)
        assert lives(second)
    assert [event.report.graph for event in app.done] == ["quick"]


@pytest.mark.parametrize(("word", "told"), [("crash", "(exit code 3): it broke"), ("nonsense", "broke off")])
async def test_a_process_that_breaks_off_is_a_problem_and_the_next_plan_is_made(path, pids, word, told):
    app = Host(path)
    async with app.run_test() as pilot:
        app.type("before")
        await until(pilot, lambda: len(app.done) == 1)
        app.type(word)
        await until(pilot, lambda: len(app.done) == 2)
        (problem,) = app.done[1].report.problems
        assert told in problem.message
        assert app.planner.report.graph == "before"
        app.type("after")
        await until(pilot, lambda: len(app.done) == 3)
        assert app.planner.report.graph == "after"


async def test_where_no_process_can_be_started_that_is_told(path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    app = Host(path)
    async with app.run_test() as pilot:
        app.type("g")
        await until(pilot, lambda: app.done)
    assert "no process for planning could be started" in app.done[0].report.problems[0].message


async def test_leaving_ends_the_process_and_stop_ends_it_too(path, pids):
    app = Host(path)
    async with app.run_test() as pilot:
        app.type("one")
        await until(pilot, lambda: app.done)
        app.planner.stop()
        await until(pilot, lambda: not lives(pids()[0]))
        app.planner = Planner(app, app.workspace, wait=0.01)
        app.type("never")
        await until(pilot, lambda: len(pids()) == 2)
    assert not lives(pids()[1])
    assert len(app.done) == 1


async def test_the_network_is_asked_only_when_the_user_says_so(path, pids, monkeypatch):
    app = Host(path)
    async with app.run_test() as pilot:
        app.type("one")
        await until(pilot, lambda: len(app.done) == 1)
        app.planner.request(online=True)
        await until(pilot, lambda: len(app.done) == 2)
        monkeypatch.setattr(Planner, "live", False)
        app.planner.request()
        app.planner.request(online=True)
        await until(pilot, lambda: len(app.done) == 3)
    assert [(event.report.live, event.online) for event in app.done] == [(True, False), (False, True), (False, True)]


# --- marks -----------------------------------------------------------------------------------------------------------


def test_nodes_are_marked_by_the_plan_and_what_the_file_shows_comes_first():
    text = SMALL.replace("type: ApplyLoRA", "type: ApplyLora").replace(
        "type: TrainLoop", "type: TrainLoop\n    disabled: true"
    )
    nodes = {
        "vae": NodePlan("vae", "LoadVAE", "light"),
        "transformer": NodePlan("transformer", "LoadTransformer", "not asked"),
        "captions": NodePlan("captions", "EncodeText", "reused", per_item=True, total=24),
        "latents": NodePlan("latents", "EncodeVideo", "will run", per_item=True, total=24, missing=3),
        "lora": NodePlan("lora", "ApplyLoRA", "light"),
        "train": NodePlan("train", "TrainLoop", "decided later"),
    }
    marks = marks_of(PlanReport(nodes=nodes), load("small.yaml", text=text))
    assert marks["vae"] == Mark("light")
    assert marks["transformer"] == Mark("unknown", "not asked yet")
    assert marks["captions"] == Mark("kept", "24 items")
    assert marks["latents"] == Mark("to run", "3 of 24")
    assert marks["train"] == Mark("disabled")
    assert marks["lora"] == Mark("error")
    assert marks["clips"] == Mark("light")  # the plan does not know it yet


def test_without_a_plan_light_nodes_are_known_and_no_others():
    marks = marks_of(None, load("small.yaml", text=SMALL))
    assert {name for name, mark in marks.items() if mark.state == "light"} == {
        "transformer", "vae", "text_encoder", "clips", "lora",
    }  # fmt: skip
    assert marks["train"] == Mark("unknown")


def test_a_problem_of_the_plan_marks_its_node():
    report = PlanReport(nodes={}, problems=(Problem("too short", where="nodes.clips.frames"),))
    assert marks_of(report, load("small.yaml", text=SMALL))["clips"] == Mark("error")


def test_items_are_counted_where_there_are_any():
    assert counted(NodePlan("a", "T", "reused", per_item=True, total=1)) == "1 item"
    assert counted(NodePlan("a", "T", "will run", per_item=True, total=2_000, missing=2_000)) == "2,000 items"
    assert counted(NodePlan("a", "T", "will run", missing=1, total=1)) == ""
    assert counted(NodePlan("a", "T", "decided later", per_item=True)) == ""
