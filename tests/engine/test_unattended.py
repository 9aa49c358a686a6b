"""Runs that are told to stop, by whom and when ever; and disks that fill up."""

import json
import math
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from vflow.engine import disk
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import Interrupted, Transient
from vflow.engine.stopping import Stop
from vflow.engine.store import Store
from vflow.engine.values import Artifact, Blob, Item, Items, Recipe, Value

LONG = 60  # seconds after which something hangs
SIGNALS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)]


def tell(name):
    """Send this process a signal, as a user or a system would."""
    os.kill(os.getpid(), getattr(signal, name))


def endure(seconds=LONG):
    """Work that looks at nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    raise AssertionError("nobody stopped this")


class StopText(Artifact):
    blob: Blob


class StopNumber(Value):
    number: int


class StopNumbers(Node):
    """Numbers from 0 on."""

    light = True
    count: int = 4

    def run(self, context: Context) -> Items[StopNumber]:
        return Items(Item(str(n), StopNumber(number=n)) for n in range(self.count))


class StopItems(Node):
    """Per item; something happens at number 1."""

    signals: tuple[str, ...] = ()
    ignores: bool = False

    def run(self, context: Context, numbers: Items[StopNumber]) -> Iterator[StopText]:
        for one in numbers:
            if one.number == 1:
                for name in self.signals:
                    tell(name)
                if self.ignores:
                    endure()
            yield StopText(blob=context.put(f"{one.number}".encode()))


class StopSteps(Node):
    """Like a training: counts to 100 and keeps how far it came."""

    signal: str = ""
    at: int = 10

    def run(self, context: Context) -> StopText:
        state = context.work / "state"
        start = int(state.read_text()) if state.exists() else 0
        for step in range(start + 1, 101):
            if step == self.at and self.signal and not start:
                tell(self.signal)
            context.progress(step, 100)
            if context.stopping:
                assert context.seconds_left < 30 or not self.signal
                state.write_text(str(step))
                context.interrupted()
        return StopText(blob=context.put(f"from {start}".encode()))


class StopModel(Recipe):
    name: str

    @property
    def base(self):
        return self.name

    def is_fetched(self, context):
        return True

    def files_needed(self):
        return ()

    def open_base(self, context):
        threading.Timer(0.1, tell, ["SIGTERM"]).start()
        endure()


class StopTake(Node):
    light = True

    def run(self, context: Context) -> StopModel:
        return StopModel(name="slow")


class StopUse(Node):
    def run(self, context: Context, model: StopModel) -> StopText:
        with context.load(model):
            raise AssertionError("it was never loaded")


class StopRetry(Node):
    def run(self, context: Context) -> StopText:
        threading.Timer(0.1, tell, ["SIGINT"]).start()
        raise Transient("the network sleeps")


class StopFull(Node):
    """Works until it is asked to stop."""

    def run(self, context: Context) -> StopText:
        end = time.monotonic() + LONG
        while not context.stopping and time.monotonic() < end:
            time.sleep(0.01)
        (context.work / "state").write_text("kept")
        context.interrupted()


def summary():
    (folder,) = Path("runs").iterdir()
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize(("name", "code"), SIGNALS)
def test_a_signal_keeps_the_state_and_the_next_run_goes_on(vflow, graph, name, code, tmp_path):
    path = graph({"steps": f"type: StopSteps, signal: {name}"}, {"text": "steps"})
    result = vflow("run", path, "--out", "run")
    assert result.code == code
    assert "run the same command again" in result.err
    assert json.loads(Path("run/summary.json").read_text())["status"] == "interrupted"
    assert json.loads(Path("run/summary.json").read_text())["nodes"]["steps"]["state"] == "interrupted"
    again = vflow("run", path, "--out", "run")
    assert again.code == 0
    assert json.loads(Path("run/summary.json").read_text())["status"] == "done"


@pytest.mark.parametrize(("name", "code"), SIGNALS)
def test_a_signal_between_items_keeps_those_that_are_finished(vflow, graph, name, code):
    items = f"type: StopItems, inputs: {{numbers: numbers}}, signals: [{name}]"
    assert vflow("run", graph({"numbers": "type: StopNumbers", "items": items})).code == code
    assert summary()["nodes"]["items"]["items"]["computed"] == 2


def test_a_second_signal_stops_a_node_that_looks_at_nothing_and_loses_nothing(vflow, graph):
    items = "type: StopItems, inputs: {numbers: numbers}, signals: [SIGTERM, SIGTERM], ignores: true"
    assert vflow("run", graph({"numbers": "type: StopNumbers", "items": items})).code == 143
    assert summary()["status"] == "interrupted"
    assert summary()["nodes"]["items"]["items"]["computed"] == 1


def test_loading_is_left_at_once(vflow, graph):
    assert vflow("run", graph({"model": "type: StopTake", "use": "type: StopUse, inputs: {model: model}"})).code == 143
    assert summary()["nodes"]["use"]["state"] == "interrupted"


def test_waiting_for_another_try_is_left_at_once(vflow, graph, monkeypatch):
    monkeypatch.setattr("vflow.engine.run._RETRIES", (LONG,))
    began = time.monotonic()
    assert vflow("run", graph({"retry": "type: StopRetry"})).code == 130
    assert time.monotonic() - began < LONG


def test_waiting_for_another_process_is_left(vflow, graph, tmp_path):
    path = graph({"steps": "type: StopSteps"})
    key = json.loads(vflow("plan", path, "--json").out)["nodes"]["steps"]["key"]
    with Store(tmp_path / "store").lease(key):
        threading.Timer(1.0, tell, ["SIGTERM"]).start()
        result = vflow("run", path)
    assert result.code == 143
    assert "waiting for its result" in result.err
    assert vflow("run", path).code == 0


def test_a_terminal_that_vanishes_stops_the_run_as_sigterm_does(tmp_path):
    """The run is a child with a terminal of its own, which is taken away."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_unattended
from vflow.engine.cli import main
sys.exit(main(["run", "g.yaml", "--out", "run"]))
"""
    (tmp_path / "g.yaml").write_text("vflow: 1\nname: g\nnodes:\n  full: {type: StopFull}\n")
    env = {**os.environ, "VFLOW_HOME": str(tmp_path / "store")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2] / ".typing")
    mine, its = pty.openpty()
    words = [sys.executable, "-c", TERMINAL + code]
    process = subprocess.Popen(words, stdin=its, stdout=its, stderr=its, cwd=tmp_path, env=env, start_new_session=True)
    os.close(its)
    events = tmp_path / "run/events.jsonl"
    end = time.monotonic() + LONG
    while not (events.exists() and "node_started" in events.read_text()):
        assert process.poll() is None, os.read(mine, 10000).decode()
        assert time.monotonic() < end
        time.sleep(0.02)
    os.close(mine)
    assert process.wait(LONG) == 143
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "interrupted"


TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal is this session's own
"""


# --- disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def low_disk(tmp_path, monkeypatch):
    """Set `low_disk` in the user's configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(size):
        (tmp_path / "config/vflow").mkdir(parents=True)
        (tmp_path / "config/vflow/config.yaml").write_text(f"low_disk: {size}\n")

    return write


def test_a_disk_that_is_as_good_as_full_ends_the_run_before_it_begins(vflow, graph, low_disk):
    low_disk("9000TB")
    path = graph({"steps": "type: StopSteps"})
    result = vflow("run", path)
    assert result.code == 1
    assert "too little to go on; free 9000.0 TB, then run the same command" in result.err
    assert summary()["status"] == "failed"
    assert "too little to go on" in summary()["failure"]
    low = Path(os.environ["XDG_CONFIG_HOME"]) / "vflow/config.yaml"
    low.write_text("low_disk: 0\n")
    assert vflow("run", path).code == 0
    low.write_text("low_disk: 9000TB\n")
    assert vflow("run", path).code == 0  # nothing is to be computed


def test_a_disk_that_is_low_is_said_once(vflow, graph, low_disk, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12 - 10**9, 10**9))
    monkeypatch.setattr(disk, "EVERY", 0.01)
    items = "type: StopItems, inputs: {numbers: numbers}"
    result = vflow("run", graph({"numbers": "type: StopNumbers", "items": items}))
    assert result.code == 0
    assert result.err.count("1.0 GB are free on the disk of the store") == 1
    assert "the run stops at 500.0 MB" in result.err


def test_a_small_disk_is_not_low_for_being_small(vflow, graph, low_disk, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(64 * 10**6, 0, 60 * 10**6))
    result = vflow("run", graph({"steps": "type: StopSteps"}))
    assert result.code == 0
    assert "free on the disk" not in result.err


def test_a_disk_that_fills_up_stops_the_run_with_its_state_kept(vflow, graph, low_disk, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    left = iter([10**11, 10**11, 10**9])
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 0, next(left, 10**8)))
    monkeypatch.setattr(disk, "EVERY", 0.01)
    result = vflow("run", graph({"full": "type: StopFull"}))
    assert result.code == 1
    assert "1.0 GB are free" in result.err
    assert "only 100.0 MB are free on the disk of the store" in result.err
    assert summary()["nodes"]["full"]["state"] == "interrupted"
    assert [path.read_text() for path in (tmp_path / "store/work").rglob("state")] == ["kept"]


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_thread_that_loads_is_torn_out_of_it_by_another():
    stop, inside, ended = Stop(), threading.Event(), []

    def load():
        try:
            with stop.at_once():
                inside.set()
                endure()
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    assert inside.wait(LONG)
    stop.ask()
    thread.join(LONG)
    assert len(ended) == 1
    with pytest.raises(Interrupted), stop.at_once():
        raise AssertionError("nothing begins any more")


def test_the_first_to_ask_says_how_much_time_there_is():
    stop = Stop()
    assert stop.seconds_left == math.inf
    stop.ask(20.0)
    stop.ask(1e6)
    assert 0 < stop.seconds_left <= 20.0
