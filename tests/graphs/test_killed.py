"""Killed at any moment, run again: it goes on, repeats little, and ends with the bytes of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml

from .conftest import environment, run_here

STEPS, EVERY = 40, 8
LORA = "outputs/lora/pytorch_lora_weights.safetensors"


def variant(source, target):
    """The quickstart with dropout in the adapter, several data workers, and many checkpoints."""
    graph = yaml.safe_load(source.read_text())
    graph["nodes"]["lora"]["dropout"] = 0.1
    graph["nodes"]["train"] |= {"data_workers": 2}
    graph["profiles"]["tiny"]["nodes"]["train"] |= {"checkpoint_every": EVERY, "sample_every": 0}
    target.write_text(yaml.safe_dump(graph, sort_keys=False))
    return target


class Runner:
    """Runs the variant over stores of its own."""

    def __init__(self, place, graph, clips):
        self.place, self.graph, self.clips = place, graph, clips

    def words(self, out):
        given = ("--set", f"clips={self.clips}", "--set", f"steps={STEPS}")
        return ["run", str(self.graph), "--profile", "tiny", *given, "--out", str(out), "--json"]

    def start(self, store, out, *python):
        words = [sys.executable, *(python or ("-m", "vflow.engine")), *self.words(out)]
        env = os.environ | environment(store)
        return subprocess.Popen(
            words, env=env, cwd=self.place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def finish(self, store, out):
        with self.start(store, out) as process:
            events = [json.loads(line) for line in process.stdout]
        assert process.returncode == 0, events[-3:]
        return events

    def killed_before(self, store, out, operation):
        """Kill the process before its n-th sync or rename; return the events until then, and whether it was."""
        with self.start(store, out, "-c", COUNTING, str(operation)) as process:
            events = [json.loads(line) for line in process.stdout if line.endswith("\n")]
        assert process.returncode in (0, -signal.SIGKILL)
        return events, process.returncode != 0

    def interrupt_at(self, store, out, moment, how):
        """Send a signal at the n-th event of a kind; return the events until then (and until the end)."""
        kind, node, count = moment
        events = []
        with self.start(store, out) as process:
            for line in process.stdout:
                events.append(json.loads(line))
                if (events[-1]["kind"], events[-1]["node"]) == (kind, node):
                    count -= 1
                    if count == 0:
                        os.kill(process.pid, how)
        return events, process.returncode


#: counts the syncs and renames of this process, and ends it before the one that is asked for
COUNTING = """
import os, signal, sys
left = [int(sys.argv.pop(1))]
def counted(call):
    def counting(*args, **kwargs):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return counting
for name in ("fsync", "replace", "rename"):
    setattr(os, name, counted(getattr(os, name)))
from vflow.engine.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="session")
def runner(quickstart, tmp_path_factory):
    place = tmp_path_factory.mktemp("killed")
    return Runner(place, variant(quickstart.graph, place / "graph.yaml"), quickstart.clips)


@pytest.fixture(scope="session")
def undisturbed(runner, quickstart):
    """The adapter's bytes of a run that nobody disturbed; what the quickstart encoded is not encoded again."""
    out = runner.place / "calm"
    result = run_here(*runner.words(out), store=quickstart.store, cwd=runner.place)
    assert result.returncode == 0, result.stderr
    return (out / LORA).read_bytes()


MOMENTS = [
    ("fetched", "", 1),
    ("item_finished", "captions", 5),
    ("item_finished", "latents", 9),
    ("node_started", "latents", 1),
    ("node_started", "train", 1),
    ("progress", "train", EVERY + 3),
    ("progress", "train", 2 * EVERY),
    ("progress", "train", EVERY),
    ("published", "train", 1),
    ("published", "train", 3),
    ("progress", "train", STEPS),
    ("node_finished", "train", 1),
    ("node_started", "validate", 1),
]


def steps_in(events):
    """The steps of the training that are told in events."""
    return [event["done"] for event in events if (event["kind"], event["node"]) == ("progress", "train")]


def check(runs, undisturbed, run):
    """Look at the events of processes that followed one another, each killed but the last, and at what came of them."""
    assert (run / LORA).read_bytes() == undisturbed
    items = [event["item"] for events in runs for event in events if event["kind"] == "item_finished"]
    assert len(items) <= len(set(items)) + len(runs) - 1
    told = [steps for steps in map(steps_in, runs) if steps]
    for before, after in pairwise(told):
        assert min(after) > max(before) // EVERY * EVERY - EVERY  # at most back to the checkpoint being written


def test_killed_and_interrupted_again_and_again_a_run_goes_on_and_ends_with_the_same_bytes(
    runner, undisturbed, tmp_path
):
    store, run = tmp_path / "store", tmp_path / "run"
    encoding, code = runner.interrupt_at(store, run, ("item_finished", "latents", 9), signal.SIGKILL)
    assert code == -signal.SIGKILL
    killed, code = runner.interrupt_at(store, run, ("progress", "train", EVERY + 3), signal.SIGKILL)
    assert code == -signal.SIGKILL
    interrupted = check_interrupt(runner, store, run, signal.SIGINT, 130)
    terminated = check_interrupt(runner, store, run, signal.SIGTERM, 143)
    after = runner.finish(store, run)
    # an interrupt keeps the state at the end of the step: nothing is done twice
    assert min(steps_in(terminated)) > max(steps_in(interrupted))
    assert min(steps_in(after)) > max(steps_in(terminated))
    check([encoding, killed, interrupted, terminated, after], undisturbed, run)


def check_interrupt(runner, store, run, how, code):
    """Interrupt a run some steps after it went on, and look at what it says of that; return its events."""
    events, returned = runner.interrupt_at(store, run, ("progress", "train", 2), how)
    assert returned == code
    assert events[-1]["status"] == "interrupted"
    assert json.loads((run / "summary.json").read_text())["nodes"]["train"]["state"] == "interrupted"
    return events


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, moment)))
def test_a_run_killed_at_any_of_many_moments_ends_with_the_same_bytes(runner, undisturbed, moment, tmp_path):
    before, _ = runner.interrupt_at(tmp_path / "store", tmp_path / "run", moment, signal.SIGKILL)
    after = runner.finish(tmp_path / "store", tmp_path / "run")
    check([before, after], undisturbed, tmp_path / "run")


@pytest.mark.long
@pytest.mark.parametrize("first", [1, 17, 33])
def test_a_run_killed_at_every_so_manieth_sync_or_rename_ends_with_the_same_bytes(runner, undisturbed, first, tmp_path):
    # one run, killed again and again, each time some operations later than where the last one began
    operation, kills = first, 0
    while runner.killed_before(tmp_path / "store", tmp_path / "run", operation)[1]:
        operation, kills = operation + 48, kills + 1
        assert kills < 60
    assert kills > 2
    assert (tmp_path / "run" / LORA).read_bytes() == undisturbed
