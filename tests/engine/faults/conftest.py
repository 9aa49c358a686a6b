"""Calls of `vflow` over torch-free nodes in processes of their own, disturbed as a test wants it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DRIVER = str(Path(__file__).with_name("driver.py"))
GRAPH = """vflow: 1
name: g
nodes:
  words: {type: FaultWords, words: [one, three, eleven]}
  more: {type: FaultWords, many: 34}
  carve: {type: FaultCarve, inputs: {words: words}, seconds: 0.025}
  lengths: {type: FaultLengths, inputs: {words: more}}
  join: {type: FaultJoin, inputs: {texts: carve, lengths: lengths}}
  walk: {type: FaultWalk, inputs: {text: join}, steps: 3}
outputs:
  texts: carve
  path: walk
"""


@dataclass
class Ended:
    """A call that has ended: its exit code (negative: the signal), what it printed, what it computed."""

    code: int
    out: str
    err: str
    done: list[str]

    def check_told(self):
        """It failed, in words."""
        assert self.code == 1, (self.code, self.err)
        assert "Traceback" not in self.err, self.err
        assert "; " in self.err, self.err


class Place:
    """A folder with a graph, a store and a run's folder; calls are done by a server that has imported everything."""

    def __init__(self, folder, server):
        self.folder, self._server = folder, server
        folder.mkdir(parents=True, exist_ok=True)
        self.graph, self.store, self.run_folder = folder / "graph.yaml", folder / "store", folder / "run"
        self.graph.write_text(GRAPH)
        self._done = folder / "done"

    def job(self, *words, **how):
        env = {"VFLOW_HOME": str(self.store), "XDG_CONFIG_HOME": str(self.folder / "config"), "NO_COLOR": "1"}
        env |= {"FAULT_DONE": str(self._done), "OMP_NUM_THREADS": "1"}
        return {"words": [str(word) for word in words], "cwd": str(self.folder), "env": env, **how}

    def call(self, *words, **how):
        """Call vflow; `how` are the fields of `driver.Job`."""
        if how.keys() & {"kill", "fail", "count"}:
            how.setdefault("place", str(self.folder))
        self._done.unlink(missing_ok=True)
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        code = self._server({"job": self.job(*words, **how), "out": str(out), "err": str(err)})
        return Ended(code, out.read_text(), err.read_text(), self.done())

    def run(self, **how):
        return self.call("run", self.graph, "--out", self.run_folder, **how)

    def done(self):
        return self._done.read_text().split("\n")[:-1] if self._done.exists() else []

    def count(self, **how):
        """How many operations an undisturbed run makes."""
        path = self.folder / "count"
        assert self.run(count=str(path), **how).code == 0
        return int(path.read_text())

    def outputs(self):
        folder = self.run_folder / "outputs"
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def results(self):
        """Key -> output, of every record file; every blob's bytes are what its name says."""
        paths = (self.store / "records").rglob("*.json")
        return {path.stem: json.loads(path.read_bytes()).get("output") for path in paths}

    def blobs(self):
        return {path.name: path for path in (self.store / "blobs").rglob("*") if path.is_file()}

    def start(self, *words, prefix=(), **how):
        """Start a process of its own, below another command."""
        command = [*prefix, sys.executable, DRIVER, json.dumps(self.job(*words, **how))]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="session")
def _server():
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, DRIVER, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:

        def call(asked):
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield call
        process.stdin.close()


@pytest.fixture
def place(tmp_path, _server):
    return Place(tmp_path / "place", _server)


@pytest.fixture
def another(tmp_path, _server):
    """Make more places."""
    return lambda name: Place(tmp_path / name, _server)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, _server):
    """A place where a run went through undisturbed."""
    place = Place(tmp_path_factory.mktemp("undisturbed") / "place", _server)
    place.operations = place.count()
    return place
