"""A run's screen: what it shows of runs that go on, ended, failed or died, and what can be done with them there."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from textual.events import MouseScrollUp
from textual.widgets import Input, OptionList

from vflow.engine.following import Following
from vflow.engine.problems import GraphError
from vflow.engine.store import owners
from vflow.tui.app import VflowApp
from vflow.tui.dialogs.ask import Ask
from vflow.tui.dialogs.pick import Pick
from vflow.tui.glyphs import ASCII
from vflow.tui.run import launch, title
from vflow.tui.run.charts import Chart
from vflow.tui.run.figures_pane import FiguresPane
from vflow.tui.run.log_pane import LogPane
from vflow.tui.run.log_view import LogView
from vflow.tui.run.metric_row import MetricRow
from vflow.tui.run.node_list import NodeList
from vflow.tui.run.screen import RunScreen

ROOT = Path(__file__).parents[2]
NARROW, WIDE = (80, 24), (160, 48)
BEGIN = 1_763_712_000.0  # 08:00 of a day, in UTC
ELSEWHERE = "far~0000~1~7~1"
DEAD = owners.Owner(**{**vars(owners.myself()), "pid": 2**22 - 3, "started": 1}).name
HERE = owners.myself().name


# --- folders of runs --------------------------------------------------------------------------------------------------


def line(kind, node="", when=0.0, **more):
    return json.dumps({"time": BEGIN + when, "node": node, "kind": kind, **more}, separators=(",", ":")) + "\n"


def start(process=HERE, when=0.0, graph="ltx2_lora", profiles=("tiny",)):
    return line("run_started", when=when, graph=graph, profiles=profiles, pid=7, process=process, vflow="0.1")


def plan(**states):
    return [
        line("node_planned", name, 1.0, type=TYPES.get(name, "Toy"), state=state, reason=REASONS.get(state, ""))
        for name, state in states.items()
    ]


TYPES = {
    "clips": "BucketVideos",
    "captions": "EncodeText",
    "latents": "EncodeVideo",
    "train": "TrainLoop",
    "validate": "Validate",
}
REASONS = {"run": "never computed", "light": ""}


def write(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def append(folder, *lines):
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("".join(lines))


def training(folder=Path("runs/20261121-080000-ltx2_lora"), process=HERE, steps=412):
    """A run in the middle of its training."""
    losses = [
        line("metrics", "train", 100 + 2 * n, step=n, values={
            "train/loss": 0.2 + 1.0 / (1 + n / 40) + 0.1 * ((n * 37) % 11) / 11,
            "train/lr": 1e-4 * min(1.0, n / 100), "train/grad_norm": 0.5 + ((n * 13) % 7) / 20,
            "train/seconds_per_step": 2.0, "train/samples_per_second": 0.5,
            **({"eval/loss": 0.25 + 1.0 / (1 + n / 35)} if n % 50 == 0 else {}),
        })
        for n in range(10, steps + 1, 10)
    ]  # fmt: skip
    far = [
        line("progress", "train", 100 + 2 * n, done=n, total=2000, unit="step", figures={"loss": 0.29})
        for n in range(steps - 40, steps + 1, 4)
    ]
    return write(
        folder,
        start(process),
        *plan(transformer="light", clips="light", captions="run", latents="reused", lora="light"),
        *plan(train="run", validate="run"),
        line("left_out", "clips", 2, what="broken.mp4", reason="it cannot be decoded"),
        line("node_finished", "latents", 3, state="reused", reused=24, saved_seconds=61.0),
        line("node_started", "captions", 4, missing=24, total=24, reason="never computed"),
        *(line("item_finished", "captions", 4 + n, item=str(n), label=f"caption {n}", seconds=1.0) for n in range(24)),
        line("node_finished", "captions", 30, state="computed", computed=24, seconds=26.0),
        line("node_started", "train", 31, missing=1, total=1, reason="never computed"),
        line("log", "train", 40, level="info", message="24 samples in 2 buckets"),
        line("log", "train", 60, level="warning", message="the loss of step 31 was clipped: " + "very " * 20 + "large"),
        *losses,
        line("log", "train", 700, level="info", message="kept the state of step 300"),
        *far,
    )  # fmt: skip


def failed(folder=Path("runs/failed")):
    """A run whose node failed."""
    said = "graph.yaml:12: latents: clip 7 cannot be read: no such file; bring it back, or set on_error: skip"
    write(
        folder, start(DEAD), *plan(clips="light", latents="run", train="run"),
        line("node_started", "latents", 2, missing=24, total=24, reason=""),
        line("node_finished", "latents", 9, state="failed", seconds=7.0, computed=6),
        line("log", "latents", 9, level="error", message=said),
        line("run_finished", when=9, status="failed", seconds=9.0, saved_seconds=0.0),
    )  # fmt: skip
    nodes = {"train": {"state": "skipped", "items": {"computed": 0, "reused": 0, "left_out": 0}, "seconds": 0.0}}
    summary = {"status": "failed", "seconds": 9.0, "saved_seconds": 0.0, "nodes": nodes, "failure": said}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(autouse=True)
def same_everywhere(tmp_path, monkeypatch):
    """A folder to work in, and the same times on every machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(Following, "elapsed_s", property(lambda self: 925.0))
    monkeypatch.setattr(title, "process_words", lambda following: "process 4242, 1.25 GB of memory")
    yield
    monkeypatch.undo()
    time.tzset()


class Sat:
    """Sitting beside a run: the app on its folder, and what one looks at there."""

    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    @property
    def screen(self):
        return next(one for one in reversed(self.app.screen_stack) if isinstance(one, RunScreen))

    def one(self, kind):
        return self.screen.query_one(kind)

    @property
    def following(self):
        return self.screen.following

    def text(self, where):
        return self.screen.query_one(where).render().plain

    async def until(self, condition, what=""):
        for _ in range(1500):
            await self.pilot.pause(0.02)
            if condition():
                return
        raise AssertionError(f"nothing happens: {what}\n{self.text('#banner')}")

    async def settled(self):
        """Everything was read and shown."""
        await self.until(
            lambda: (self.following.complete and self.one(FiguresPane).table.keys) or not self.following.series
        )
        await self.until(lambda: self.one(LogPane).selection.complete)
        self.screen.show_curves()
        await self.pilot.pause()

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()


class sitting:  # noqa: N801 - read as a verb
    """`async with sitting(folder, size) as beside`."""

    def __init__(self, folder, size=NARROW):
        self.app = VflowApp(run=folder)
        self.test = self.app.run_test(size=size)

    async def __aenter__(self):
        beside = Sat(self.app, await self.test.__aenter__())
        await beside.pilot.pause()
        return beside

    async def __aexit__(self, *how):
        await self.test.__aexit__(*how)


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_run_that_goes_on_is_seen_with_progress_curves_and_log(same_screen, size):
    async with sitting(training(), size) as beside:
        await beside.settled()
        nodes = beside.one(NodeList)
        assert nodes.selected == "train"
        assert beside.following.nodes["train"].done == 412
        assert "412 of 2,000 steps, 2.0 s/step, 52 min 56 s left" in beside.text("#about")
        same_screen(beside.app, f"run-{size[0]}x{size[1]}")


async def test_what_the_run_says_next_is_shown_while_one_looks(tmp_path):
    folder = training()
    async with sitting(folder) as beside:
        await beside.settled()
        append(folder, line("progress", "train", 1000, done=500, total=2000, unit="step", figures={"loss": 0.2}))
        await beside.until(lambda: beside.one(NodeList).nodes["train"].done == 500)
        append(
            folder,
            line("node_finished", "train", 1001, state="computed", computed=1, seconds=900.0),
            line("node_started", "validate", 1002, missing=1, total=1, reason="its inputs are new"),
            line("metrics", "train", 1003, step=2000, values={"eval/loss": 0.1}),
        )
        await beside.until(lambda: beside.one(NodeList).selected == "validate", "the cursor goes along")
        assert "running: its inputs are new" in beside.text("#about")
        assert beside.following.series["eval/loss"].last == 2000
        await beside.press("up")
        append(folder, line("node_finished", "validate", 1004, state="computed", computed=1, seconds=2.0))
        append(folder, line("run_finished", when=1005, status="done", seconds=1005.0, saved_seconds=61.0))
        await beside.until(lambda: beside.following.status == "done")
        assert beside.one(NodeList).selected == "train"  # it was moved, and stays
        await beside.press("f")
        assert beside.one(NodeList).selected == "validate"


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_failed_node_shows_what_went_wrong_and_what_to_do(same_screen, size):
    async with sitting(failed(), size) as beside:
        await beside.settled()
        assert beside.one(NodeList).selected == "latents"
        assert "clip 7 cannot be read: no such file; bring it back" in beside.text("#about")
        assert "bring it back, or set on_error: skip" in beside.text("#banner")
        same_screen(beside.app, f"run-failed-{size[0]}x{size[1]}")


@pytest.mark.parametrize(
    ("process", "said"),
    [(DEAD, "its process is gone"), (ELSEWHERE, "started on far: nobody here can tell whether it goes on")],
)
async def test_a_run_that_died_or_is_another_machines_is_said_to_be(process, said):
    async with sitting(training(process=process)) as beside:
        await beside.settled()
        assert said in beside.text("#banner")
        await beside.press("x")
        assert not isinstance(beside.app.screen, Ask)  # there is nothing to be stopped from here
        footer = {one.binding.action for one in beside.screen.active_bindings.values() if one.enabled}
        assert ("go_on" in footer) == (process == DEAD)
        if process == ELSEWHERE:
            append(beside.following.folder, line("log", "train", 2000, level="info", message="still here"))
            await beside.until(lambda: "it goes on there" in beside.text("#banner"))


async def test_what_is_the_matter_with_the_folder_is_said(tmp_path):
    folder = training()
    async with sitting(folder) as beside:
        await beside.settled()
        append(folder, "torn by a cra\n")
        await beside.until(lambda: "1 line of the log cannot be read" in beside.text("#banner"))
        folder.rename("away")
        await beside.until(lambda: "the folder is gone" in beside.text("#banner"))
        assert "train" in beside.one(NodeList).nodes
        write(folder, start(), *plan(other="run"))
        await beside.until(lambda: list(beside.one(NodeList).nodes) == ["other"])
        assert "read anew" in beside.text("#banner")


async def test_a_folder_that_is_none_and_one_that_begins_later():
    async with sitting(Path("runs/soon")) as beside:
        await beside.until(lambda: "the folder is gone" in beside.text("#banner"))
        training(Path("runs/soon"))
        await beside.until(lambda: beside.one(NodeList).nodes)
        assert beside.text("#banner") == ""


# --- panes ------------------------------------------------------------------------------------------------------------


async def test_panes_are_gone_to_by_number_and_by_tab_and_zoomed():
    async with sitting(training()) as beside:
        await beside.settled()
        for key, kind in (("2", Chart), ("3", LogView), ("5", None), ("1", NodeList)):
            await beside.press(key)
            focused = beside.screen.focused
            assert focused is (beside.one(FiguresPane).table if kind is None else beside.one(kind))
            assert focused.region.area > 0
        await beside.pilot.click("TabRow", offset=(10, 0))  # Curves comes first, then Log
        await beside.pilot.pause()
        assert beside.screen.focused is beside.one(LogView)
        assert beside.one(LogView).size.width < 60
        await beside.press("z")
        assert beside.one(LogView).size.width == 80
        assert not beside.one(NodeList).region.area
        await beside.press("escape")
        assert beside.one(NodeList).region.area
        await beside.press("1", "z")
        assert beside.one(NodeList).size.width == 80
        await beside.press("z")
        assert beside.one(LogView).region.area or beside.one(Chart).region.area


async def test_a_terminal_may_become_tiny_and_large_again():
    async with sitting(training(), WIDE) as beside:
        await beside.settled()
        for size in ((20, 5), (160, 48), (59, 12), (80, 24), (3, 2), WIDE):
            await beside.pilot.resize_terminal(*size)
            await beside.pilot.pause()
        for kind in (NodeList, Chart, LogView, FiguresPane):
            assert beside.one(kind).region.area > 0
        await beside.pilot.resize_terminal(59, 12)
        await beside.press("1")
        assert beside.one(NodeList).size.width == 59
        await beside.press("2")
        assert beside.one(Chart).size.width == 59


async def test_curves_go_through_groups_of_metrics_and_figures_lead_to_them(same_screen):
    async with sitting(training()) as beside:
        await beside.settled()
        assert [curve.name for curve in beside.one(Chart).curves] == ["train/loss", "eval/loss"]
        await beside.press("2", "full_stop")
        assert [curve.name for curve in beside.one(Chart).curves] == ["train/lr"]
        await beside.press("comma", "comma")
        assert beside.screen.curves.group == "s/step"
        await beside.press("5")
        same_screen(beside.app, "run-figures-80x24")
        await beside.press("down", "enter")
        assert [curve.name for curve in beside.one(Chart).curves] == ["train/loss", "eval/loss"]
        assert beside.screen.focused is beside.one(Chart)
        await beside.pilot.click("MetricRow", offset=(10, 0))
        assert beside.screen.curves.group == "lr"


async def test_the_curves_of_another_run_are_laid_over_and_taken_away():
    training(Path("runs/other"), DEAD, 200)
    async with sitting(training()) as beside:
        await beside.settled()
        await beside.press("o")
        await beside.until(lambda: isinstance(beside.app.screen, Pick))
        assert beside.app.screen.query_one(OptionList).option_count == 2  # a heading, and the other run
        await beside.press("enter")
        await beside.until(lambda: len(beside.one(Chart).curves) == 4)
        assert [curve.name for curve in beside.one(Chart).curves][2:] == ["train/loss other", "eval/loss other"]
        await beside.until(lambda: beside.one(Chart).curves[2].series.last == 200)
        await beside.press("o")
        await beside.until(lambda: isinstance(beside.app.screen, Pick))
        await beside.press("enter")
        await beside.until(lambda: len(beside.one(Chart).curves) == 2)


# --- the log ----------------------------------------------------------------------------------------------------------


def shown(beside):
    view = beside.one(LogView)
    selection = view.selection
    return [selection.log.at(selection.position(n)).message for n in range(selection.first, selection.end)]


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_log_is_filtered_by_level_node_and_text(same_screen, size):
    async with sitting(training(), size) as beside:
        await beside.settled()
        await beside.press("3", "l")
        assert [said.split(":")[0] for said in shown(beside)] == [
            "left out broken.mp4",
            "the loss of step 31 was clipped",
        ]
        await beside.press("n")
        assert len(shown(beside)) == 1
        same_screen(beside.app, f"run-log-{size[0]}x{size[1]}")
        if size == WIDE:
            return
        await beside.press("escape", "l", "l")
        assert len([said for said in shown(beside) if said.startswith("caption ")]) == 24
        await beside.press("slash", *"TION 1", "enter")
        assert shown(beside) == [f"caption {n} in 1.0 s" for n in (1, *range(10, 20))]
        assert beside.screen.focused is beside.one(LogView)
        await beside.press("slash", "escape")
        assert beside.screen.query_one(Input).value == ""
        assert not beside.screen.query_one(Input).region.area
        await beside.press("1", "home", "down", "enter")
        assert beside.one(LogPane).wanted.node == "clips"
        assert shown(beside) == ["left out broken.mp4: it cannot be decoded"]


async def test_the_log_follows_what_comes_and_stays_where_one_reads():
    folder = training()
    append(folder, *(line("log", "train", 900 + n, level="info", message=f"word {n}") for n in range(100)))
    async with sitting(folder) as beside:
        await beside.settled()
        await beside.press("3")
        view = beside.one(LogView)
        assert view.line.message == "word 99"
        append(folder, line("log", "train", 1000, level="info", message="word 100"))
        await beside.until(lambda: view.line.message == "word 100")
        await beside.press("up", "up", "up")
        append(folder, *(line("log", "train", 1001 + n, level="info", message=f"word {101 + n}") for n in range(50)))
        await beside.until(lambda: view.below == 53)
        assert (view.line.message, view.follow) == ("word 97", False)
        await beside.press("end")
        assert (view.line.message, view.follow) == ("word 150", True)
        await beside.pilot._post_mouse_events([MouseScrollUp], view)
        await beside.until(lambda: not view.follow)
        at = view.line.message
        append(folder, line("log", "train", 1200, level="info", message="word 151"))
        await beside.until(lambda: view.below > 0 and view.count == view.selection.end - view.selection.first)
        assert view.line.message == at
        await beside.press("home")
        assert view.line.kind == "run_started"
        await beside.press("f")
        assert view.line.message == "word 151"


async def test_the_whole_of_a_long_line_stands_below_the_log():
    async with sitting(training()) as beside:
        await beside.settled()
        await beside.press("3", "l")
        assert beside.one(LogView).line.node == "train"
        said = beside.screen.query_one("#said")
        assert "very very" in said.render().plain
        assert said.region.area > 0
        await beside.press("1")
        await beside.pilot.pause()
        assert not said.region.area


# --- real runs: started, stopped, gone on with ------------------------------------------------------------------------

NODES = '''
import time
from pathlib import Path
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.values import Artifact, Blob


class SatText(Artifact):
    blob: Blob

    def plain_files(self):
        yield "text.txt", self.blob


class SatTrain(Node):
    """Works until a file is there; keeps how far it came when asked to stop."""

    gate: str
    stubborn: bool = False

    def run(self, context: Context) -> SatText:
        state = context.work / "state.txt"
        step = first = int(state.read_text()) if state.exists() else 0
        context.log(f"from step {first}")
        while not Path(self.gate).exists():
            step += 1
            context.progress(step, 100_000, "step", loss=1 / step)
            context.metrics(step, {"train/loss": 1 / step})
            if context.stopping and not self.stubborn:
                state.write_text(str(step))
                context.interrupted()
            time.sleep(0.02)
        return SatText(blob=context.put(b"done", ".txt"))
'''


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """A package of one node, as installed for other processes; imported here too."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "sat_nodes.py").write_text(NODES)
    info = folder / "sat_nodes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sat_nodes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vflow.nodes]\nsat = sat_nodes\n")
    sys.path.insert(0, str(folder))
    import sat_nodes  # noqa: F401

    sys.path.remove(str(folder))
    return folder


@pytest.fixture
def graph(package, tmp_path, monkeypatch):
    """A graph whose one node works until the file `gate` is there; what still goes on at the end is killed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / ".typing"), str(package)]))
    path = tmp_path / "sat.yaml"
    gate = tmp_path / "gate"
    path.write_text(
        f"vflow: 1\nname: sat\nparams: {{stubborn: false}}\nnodes:\n  train:\n    type: SatTrain\n    gate: {gate}\n"
        "    stubborn: ${stubborn}\noutputs: {text: train}\n"
    )
    yield path
    for events in tmp_path.rglob("events.jsonl"):
        starts = [json.loads(one) for one in events.open() if '"run_started"' in one]
        owner = owners.parse(starts[-1]["process"]) if starts else None
        if owner is not None and owner.pid != os.getpid() and not owner.is_dead:
            os.kill(owner.pid, signal.SIGKILL)


async def started(graph, *sets):
    return await asyncio.to_thread(launch.start, Path(graph.name), (), sets)


async def test_a_run_is_started_watched_left_stopped_and_gone_on_with(graph, tmp_path):
    folder = await started(graph)
    assert (folder / "events.jsonl").is_file()
    async with sitting(folder) as beside:
        await beside.until(lambda: beside.following.nodes.get("train") and beside.following.nodes["train"].done > 3)
        alive = owners.parse(beside.following.process)
    assert not alive.is_dead  # leaving stops nothing
    async with sitting(folder) as beside:
        await beside.until(lambda: beside.following.status == "running")
        await beside.press("x")
        assert isinstance(beside.app.screen, Ask)
        await beside.press("l")  # let it run
        await beside.press("x", "f")
        await beside.until(lambda: beside.following.status == "interrupted", "it stops at the end of its step")
        assert alive.is_dead
        done = beside.following.nodes["train"].done
        assert done > 3
        assert "its state is kept; g goes on from here" in beside.text("#banner")
        await beside.press("g")
        await beside.until(lambda: beside.following.status == "running", "it goes on")
        await beside.until(lambda: beside.following.nodes["train"].done > done)
        assert f"from step {done}" in shown(beside)
        assert beside.following.starts == 2
        (tmp_path / "gate").touch()
        await beside.until(lambda: beside.following.status == "done")
        assert [one.path for one in beside.following.published] == ["outputs/text/text.txt"]
        first, last = beside.following.series["train/loss"].between()[:: len(beside.following.series["train/loss"]) - 1]
        assert first == (1, 1.0)
        assert last[0] > done


async def test_a_run_that_does_not_hear_is_stopped_now(graph):
    folder = await started(graph, "stubborn=true")
    async with sitting(folder) as beside:
        await beside.until(lambda: beside.following.nodes.get("train") and beside.following.nodes["train"].done > 3)
        await beside.press("x", "f")
        await beside.until(lambda: "stopping at the end of its step; x once more" in beside.text("#banner"))
        await beside.press("x")
        assert "asked to stop already" in beside.app.screen.said
        await beside.press("n")
        await beside.until(lambda: beside.following.status in ("interrupted", "died"))


async def test_a_run_goes_on_with_its_graph_as_it_ran_or_as_it_is_now(graph, tmp_path):
    folder = await started(graph)
    async with sitting(folder) as beside:
        await beside.until(lambda: "train" in beside.following.nodes)
        await beside.press("x", "f")
        await beside.until(lambda: beside.following.status == "interrupted")
        graph.write_text(graph.read_text().replace("name: sat", "name: other"))
        await beside.press("g")
        await beside.until(lambda: isinstance(beside.app.screen, Ask))
        assert "sat.yaml was changed since" in beside.app.screen.said
        (tmp_path / "gate").touch()
        await beside.press("r")
        await beside.until(lambda: beside.following.status == "done")
        assert beside.following.graph == "sat"


async def test_what_hinders_a_start_or_going_on_is_told_in_words(graph):
    graph.write_text(graph.read_text().replace("gate:", "gait:"))
    with pytest.raises(GraphError, match="gait") as told:
        await started(graph)
    assert told.value.problems[0].severity == "error"
    assert not Path("runs").exists()
    with pytest.raises(GraphError, match="no profile 'x'"):
        await asyncio.to_thread(launch.start, graph, ["x"])
    folder = failed()
    async with sitting(folder) as beside:
        await beside.settled()
        await beside.press("g")
        await beside.until(lambda: isinstance(beside.app.screen, Ask))
        assert "holds no graph.yaml" in beside.app.screen.said


# --- manners ----------------------------------------------------------------------------------------------------------


async def test_a_plan_of_thousands_of_nodes_is_gone_through(monkeypatch):
    folder = write(Path("runs/large"), start(), *plan(**{f"node{n}": "run" for n in range(3000)}))
    async with sitting(folder) as beside:
        await beside.settled()
        await beside.press("end")
        nodes = beside.one(NodeList)
        assert nodes.selected == "node2999"
        assert "node2999" in nodes.render_line(nodes.size.height - 1).text
        await beside.press("pageup", "home", "down")
        assert nodes.selected == "node1"
        await beside.pilot.click(NodeList, offset=(4, 5))
        assert nodes.selected == "node5"


async def test_a_terminal_without_unicode_gets_ascii(same_screen, monkeypatch):
    monkeypatch.setenv("VFLOW_ASCII", "1")
    async with sitting(training()) as beside:
        await beside.settled()
        assert beside.app.glyphs is ASCII
        texts = [beside.one(NodeList).render_line(y).text for y in range(8)]
        assert all(text.isascii() for text in texts)
        same_screen(beside.app, "run-ascii-80x24")


async def test_every_key_has_a_name_and_every_part_has_help():
    async with sitting(training()) as beside:
        parts = [beside.screen, *(beside.one(kind) for kind in (NodeList, LogPane, FiguresPane, Chart))]
        parts.append(beside.screen.curves)
        for part in parts:
            assert part.help_text().startswith("# ")
        for owner in (RunScreen, NodeList, LogPane, LogView, type(beside.screen.curves)):
            for binding in owner.BINDINGS:
                assert binding.id, binding
                assert binding.tooltip, binding
            assert sum(binding.show for binding in owner.BINDINGS) <= 6


async def test_the_path_of_the_folder_is_copied():
    async with sitting(training()) as beside:
        await beside.press("Y")
        assert beside.app.clipboard == str(Path("runs/20261121-080000-ltx2_lora").absolute())


# --- what another run computed ----------------------------------------------------------------------------------------


async def test_a_reused_training_shows_the_curves_of_the_run_that_computed_it(toy_run):
    first, again = toy_run("walks", steps=9), toy_run("walks", steps=9)
    async with sitting(again, WIDE) as beside:
        await beside.until(lambda: beside.one(Chart).curves, "the curves of the first run")
        await beside.until(lambda: beside.one(FiguresPane).table.keys)
        assert beside.one(Chart).curves[0].series.last == 9
        assert beside.text("#whose") == f"walk: curves of {first.name}"
        assert not beside.following.series
        paths = {os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")}
        assert str(first / "events.jsonl") in paths
    paths = {os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")}
    assert not {str(first / "events.jsonl"), str(again / "events.jsonl")} & paths


async def test_where_nobody_tells_metrics_that_is_said_and_not_that_some_will_come(toy_run):
    first, again = toy_run("walks", steps=9), toy_run("walks", steps=9)
    shutil.rmtree(first)
    async with sitting(again, WIDE) as beside:
        await beside.until(lambda: "no run beside this one tells" in beside.screen.borrowing.nothing)
        await beside.until(lambda: beside.one(FiguresPane).table.nothing.startswith("no metrics: "))
        shown = "\n".join(strip.text for strip in beside.app.screen._compositor.render_strips())
        assert "no values yet" not in shown
        assert "No metrics yet" not in shown


async def test_a_node_that_waits_for_another_process_says_so_with_that_ones_curves():
    other = training(Path("runs/other"))
    folder = write(
        Path("runs/mine"),
        start(process=f"{HERE.rpartition('~')[0]}~1", graph="mine"), *plan(clips="light", train="run", validate="run"),
    )  # fmt: skip
    holder = owners.parse(HERE).words
    async with sitting(folder, WIDE) as beside:
        beside.following._judge = lambda: False  # as if it went on
        beside.following.status = "running"
        append(folder, line("node_waiting", "train", 5, holder=holder))
        await beside.until(lambda: beside.following.nodes["train"].state == "waiting")
        await beside.until(lambda: beside.one(Chart).curves, "the curves of the run that computes it")
        assert beside.one(NodeList).selected == "train"
        row = next(strip.text for y in range(9) if "train" in (strip := beside.one(NodeList).render_line(y)).text)
        assert "waiting" in row
        assert f"computed now by {holder}" in beside.text("#about")
        assert beside.text("#whose") == f"train, computed now: curves of {other.name}"
        append(folder, line("node_finished", "train", 9, state="reused", reused=1))
        await beside.until(lambda: beside.following.nodes["train"].state == "reused")
        assert f"was computed by {holder}" in beside.text("#about")


async def test_throughput_and_memory_are_seen_without_hunting_at_80_columns():
    folder = training()
    values = {"train/memory": 1.5, "train/gpu_memory": 7.5, **{f"eval/loss_0.{n}": 0.1 for n in range(2, 9)}}
    append(folder, line("metrics", "train", 900, step=412, values=values))
    async with sitting(folder) as beside:
        await beside.settled()
        await beside.until(lambda: beside.one(MetricRow).names)
        row = beside.one(MetricRow).render().plain
        assert row.split()[:5] == ["[loss]", "lr", "samples/s", "memory", "GiB"]
        beside.screen.curves.choose("train/gpu_memory")
        assert [curve.name for curve in beside.one(Chart).curves] == ["train/gpu_memory", "train/memory"]


async def test_a_narrow_log_leaves_the_room_to_what_is_said():
    async with sitting(training()) as beside:
        await beside.settled()
        await beside.press("3")
        assert beside.one(LogView).render_line(0).text.startswith("08:00 ")
        await beside.press("z")
        assert beside.one(LogView).render_line(0).text.startswith("08:00:00 ")


async def test_screens_that_were_left_leave_no_thread_timer_or_file_behind(tmp_path):
    import threading

    def files():
        return sum("events.jsonl" in os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd"))

    folders = [training(Path(f"runs/{n}")) for n in range(3)]
    async with sitting(folders[0]) as beside:
        await beside.settled()
        threads = None
        for _ in range(2):
            for folder in folders[1:]:
                beside.app.open_run(folder)
                await beside.until(lambda name=folder.name: beside.following.folder.name == name)
                await beside.settled()
                gone = beside.screen
                await beside.press("escape")
                await beside.until(lambda: beside.following.folder == folders[0])
                await beside.until(lambda gone=gone: not gone.is_running)
                assert not gone._timers
                await beside.until(lambda: files() == 1, "the logs are closed")
            threads = threads or threading.active_count()
        await beside.until(lambda: threading.active_count() <= threads)


async def test_a_run_without_metrics_that_is_laid_over_says_so(toy_run, monkeypatch):
    first, again = toy_run("walks", steps=9), toy_run("walks", steps=9)
    async with sitting(first, WIDE) as beside:
        said = []
        monkeypatch.setattr(beside.app, "say", lambda text, severity="": said.append(text))
        beside.screen.others = [Following(again)]
        await beside.until(lambda: said)
        assert said == [f"{again.name} told no metrics itself: lay the run over that computed its training"]
