"""Runs that go on without their terminal: started, followed, found dead, stopped and gone on with."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.watching import Tail

ROOT = Path(__file__).parents[2]
LONG = 60  # seconds after which something hangs

NODES = '''
import os, sys, time
from pathlib import Path
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import Failure, Problem
from vflow.engine.values import Artifact, Blob


class GateText(Artifact):
    blob: Blob

    def plain_files(self):
        yield "text.txt", self.blob


class GateNode(Node):
    """Works until a file is there; keeps what it has done when asked to stop."""

    gate: str
    detached_problem: bool = False
    fails: bool = False

    def preflight(self, context, **inputs):
        if self.detached_problem and "--detached" in sys.argv:
            yield Problem("it went away meanwhile", "bring it back")

    def run(self, context: Context) -> GateText:
        state = context.work / "state.txt"
        count = int(state.read_text()) if state.exists() else 0
        while not Path(self.gate).exists():
            count += 1
            context.progress(count, count + 1, "turn")
            if context.stopping:
                state.write_text(str(count))
                context.interrupted()
            time.sleep(0.01)
        if self.fails:
            raise Failure("the gate fell", "build another")
        context.log(f"turned {'again' if state.exists() else 'once'}, {os.environ.get('MY_API_KEY')}")
        return GateText(blob=context.put(b"open", ".txt"))
'''


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """A package of one node, as installed for other processes; imported here too."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "gate_nodes.py").write_text(NODES)
    info = folder / "gate_nodes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gate_nodes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vflow.nodes]\ngate = gate_nodes\n")
    sys.path.insert(0, str(folder))
    import gate_nodes  # noqa: F401

    sys.path.remove(str(folder))
    return folder


@pytest.fixture
def gate(package, vflow, graph, tmp_path, monkeypatch):
    """A graph whose one node works until `gate.open()`; what still goes on at the end of the test is killed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / ".typing"), str(package)]))

    class Gate:
        file = tmp_path / "gate"

        def graph(self, more=""):
            return graph({"gate": f"type: GateNode, gate: {self.file}{more}"}, {"text": "gate"})

        def open(self):
            self.file.write_text("")

    yield Gate()
    for events in tmp_path.rglob("events.jsonl"):
        if not (events.parent / "summary.json").exists() and (pid := pid_of(events.parent)):
            kill(pid)


def pid_of(folder):
    starts = [json.loads(line) for line in (Path(folder) / "events.jsonl").open() if '"run_started"' in line]
    return starts[-1]["pid"] if starts and starts[-1]["pid"] != os.getpid() else None


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for(lambda: not Path(f"/proc/{pid}/stat").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text())


def wait_for(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.02)


def detached(vflow, path, *words):
    result = vflow("run", "--detach", path, *words)
    assert result.code == 0, result.err
    folder = Path(result.out.strip())
    assert f"vflow watch {folder.name}" in result.err
    assert f"vflow stop {folder.name}" in result.err
    return folder


def turning(folder):
    wait_for(lambda: '"kind":"progress"' in (folder / "events.jsonl").read_text())


def status(vflow, folder):
    return next(line.split()[2] for line in vflow("runs").out.splitlines() if line.startswith(folder.name))


def test_a_detached_run_goes_on_and_is_watched_to_its_end(vflow, gate):
    folder = detached(vflow, gate.graph())
    pid = pid_of(folder)
    assert pid != os.getpid()
    assert os.getsid(pid) == pid
    assert status(vflow, folder) == "running"
    turning(folder)
    threading.Timer(0.3, gate.open).start()
    watched = vflow("watch")
    assert watched.code == 0
    assert f"process {pid}" in watched.err
    assert "gate: turned once" in watched.err
    assert "done in" in watched.err
    assert watched.out.split() == [str(folder / "outputs/text/text.txt")]
    assert status(vflow, folder) == "done"
    wait_for(lambda: not Path(f"/proc/{pid}").exists())  # no zombie is left
    assert "done in" in (folder / "console.log").read_text()


def test_a_finished_run_is_shown_and_its_end_is_the_exit_code(vflow, gate):
    gate.open()
    vflow("run", gate.graph(), "--out", "one")
    assert vflow("watch", "one").code == 0
    vflow("run", gate.graph(", fails: true"), "--out", "two")
    failed = vflow("watch", "two")
    assert failed.code == 1
    assert "the gate fell; build another" in failed.err


def test_problems_are_told_before_anything_is_started(vflow, gate):
    result = vflow("run", "--detach", gate.graph(", colour: red"))
    assert result.code == 2
    assert "colour" in result.err
    assert not Path("runs").exists()


def test_a_plan_that_fails_in_the_new_process_is_a_failed_run(vflow, gate):
    folder = detached(vflow, gate.graph(", detached_problem: true"))
    watched = vflow("watch", folder.name)
    assert watched.code == 1
    assert "it went away meanwhile" in watched.err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "it went away meanwhile" in summary["failure"]
    assert status(vflow, folder) == "failed"
    assert "it went away meanwhile" in (folder / "console.log").read_text()


def test_no_secret_lands_in_the_console_log(vflow, gate, monkeypatch):
    gate.open()
    monkeypatch.setenv("MY_API_KEY", "sesame-open-now")
    folder = detached(vflow, gate.graph())
    assert vflow("watch", folder).code == 0
    assert "turned once, ***" in (folder / "console.log").read_text()
    assert not [path for path in folder.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]


def test_a_detached_run_outlives_the_one_who_started_it_and_hang_ups(vflow, gate, tmp_path):
    words = [sys.executable, "-P", "-m", "vflow.engine", "run", "--detach", gate.graph()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True) as parent:
        folder = Path(parent.stdout.readline().strip())
        os.killpg(parent.pid, signal.SIGKILL)
    turning(folder)
    os.kill(pid_of(folder), signal.SIGHUP)
    size = (folder / "events.jsonl").stat().st_size
    wait_for(lambda: (folder / "events.jsonl").stat().st_size > size)
    gate.open()
    assert vflow("watch", folder.name).code == 0


def test_a_run_that_died_is_said_to_have_died_and_can_be_gone_on_with(vflow, gate):
    folder = detached(vflow, gate.graph())
    turning(folder)
    kill(pid_of(folder))
    assert status(vflow, folder) == "died"
    assert "run the same command to go on" in vflow("runs").err
    watched = vflow("watch")
    assert watched.code == 1
    assert "its process is gone; run the same command to go on" in watched.err
    assert vflow("stop", folder.name).code == 2
    gate.open()
    assert vflow("run", gate.graph(), "--out", folder).code == 0
    assert status(vflow, folder) == "done"
    again = vflow("watch", folder)
    assert again.code == 0
    assert f"process {os.getpid()}" in again.err  # the last start is shown, not the first


def test_stop_keeps_the_state_and_the_run_goes_on_from_there(vflow, gate):
    folder = detached(vflow, gate.graph())
    turning(folder)
    stopped = vflow("stop")
    assert stopped.code == 0
    assert "interrupted; run the same command to go on" in stopped.err
    assert status(vflow, folder) == "interrupted"
    assert vflow("watch", folder.name).code == 130
    assert vflow("stop").code == 2
    gate.open()
    assert "turned again" in vflow("run", gate.graph()).err


def test_stop_now_ends_a_run_too(vflow, gate):
    folder = detached(vflow, gate.graph())
    turning(folder)
    assert vflow("stop", folder.name, "--now").code == 0
    assert status(vflow, folder) == "interrupted"


def test_stop_asks_which_when_several_go_on_and_a_folder_belongs_to_one(vflow, gate):
    folders = [detached(vflow, gate.graph(), "--out", f"runs/{name}") for name in ("one", "two")]
    both = vflow("stop")
    assert both.code == 2
    assert "one, two" in both.err
    taken = vflow("run", gate.graph(), "--out", "runs/one")
    assert taken.code == 2
    assert "a run goes on in runs/one" in taken.err
    for folder in folders:
        assert vflow("stop", folder.name).code == 0


def test_leaving_a_watch_stops_nothing(vflow, gate, tmp_path):
    folder = detached(vflow, gate.graph())
    turning(folder)
    words = [sys.executable, "-P", "-m", "vflow.engine", "watch"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as watch:
        assert folder.name in watch.stderr.readline()
        watch.send_signal(signal.SIGINT)
        assert "the run goes on" in watch.stderr.read()
    assert watch.returncode == 130
    assert status(vflow, folder) == "running"


def test_a_run_goes_on_when_whoever_reads_its_events_leaves(gate, tmp_path):
    words = [sys.executable, "-P", "-m", "vflow.engine", "run", "--json", gate.graph(), "--out", "run"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as run:
        assert "run_started" in run.stdout.readline()
        run.stdout.close()
        turning(tmp_path / "run")
        gate.open()
        assert run.wait(LONG) == 0, run.stderr.read()
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "done"


def test_a_run_without_events_yet_is_waited_for(vflow, gate):
    folder = Path("runs/soon")
    folder.mkdir(parents=True)
    (folder / "graph.yaml").write_text("")
    gate.open()

    def later():
        data = Path("whole/events.jsonl").read_bytes()
        with (folder / "events.jsonl").open("ab", buffering=0) as file:
            for start in range(0, len(data), 37):  # lines come in pieces
                file.write(data[start : start + 37])
                time.sleep(0.002)
        Path("whole/summary.json").rename(folder / "summary.json")

    vflow("run", gate.graph(), "--out", "whole")
    thread = threading.Timer(0.2, later)
    thread.start()
    assert vflow("watch", "soon").code == 0
    thread.join()


def test_a_line_that_a_crash_cut_off_takes_nothing_with_it(vflow, gate):
    gate.open()
    vflow("run", gate.graph(), "--out", "run")
    events = Path("run/events.jsonl")
    torn = events.read_text().rstrip()[:-20]
    events.write_text(torn)
    vflow("run", gate.graph(), "--out", "run")
    assert events.read_text().startswith(torn + "\n")
    watched = vflow("watch", "run")
    assert watched.code == 0
    assert "reused 1" in watched.err


def test_watching_what_is_no_run_is_a_wrong_call(vflow):
    assert vflow("watch").code == 2
    assert vflow("watch", "nowhere").code == 2


LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=20)


@given(
    lines=st.lists(LINES, max_size=8),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_a_tail_gives_every_whole_line_once_however_the_file_grows(lines, cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("tail") / "lines"
    data = "".join(f"{line}\n" for line in lines).encode()
    tail, found, at = Tail(path), [], 0
    assert list(tail.lines()) == []
    for cut in [*sorted(cuts), len(data)]:
        with path.open("ab") as file:
            file.write(data[at : max(at, cut)])
        at = max(at, min(cut, len(data)))
        found += tail.lines()
    assert found == lines
