"""Any number of processes on one store: each key is computed once, unless a holder stalls, and nobody is held up."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

ONCE = ["carve eleven", "carve one", "carve three", "join", "step 0", "step 1", "step 2", "walk"]


class Together:
    """Several processes over one store, each with a run's folder of its own."""

    def __init__(self, place):
        self.place, self.started = place, {}

    def start(self, name, graph=None, prefix=(), **how):
        path = self.place.folder / f"{name}.yaml"
        path.write_text(graph or self.place.graph.read_text())
        self.started[name] = self.place.start("run", path, "--out", self.place.folder / name, prefix=prefix, **how)
        return self.started[name]

    def events(self, name):
        path = self.place.folder / name / "events.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def waits(self, name):
        events = self.events(name)
        said = [event["message"] for event in events if event["kind"] == "log"]
        waits = [event for event in events if event["kind"] == "node_waiting"]
        return bool(waits) and any(f"another process computes this ({waits[0]['holder']})" in one for one in said)

    def finish(self):
        """All succeed with the same outputs."""
        outputs = []
        for name, process in self.started.items():
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, (name, err)
            folder = self.place.folder / name / "outputs"
            outputs.append({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        assert all(found == outputs[0] for found in outputs)
        return outputs[0]


@pytest.fixture
def together(place):
    together = Together(place)
    yield together
    for process in together.started.values():
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def slow(place, **seconds):
    """The graph with other delays, which are in no key."""
    text = place.graph.read_text()
    for node, value in seconds.items():
        lines = [
            f"{line[:-1]}, seconds: {value}}}" if line.startswith(f"  {node}:") else line for line in text.split("\n")
        ]
        text = "\n".join(lines).replace("seconds: 0.025, ", "")
    return text


@pytest.mark.parametrize("number", [2, 4])
def test_processes_that_start_the_same_graph_at_once_compute_each_key_once(together, place, undisturbed, number):
    for n in range(number):
        together.start(f"p{n}", slow(place, carve=0.1, join=0.2, walk=0.05))
    assert together.finish() == undisturbed.outputs()
    assert sorted(place.done()) == ONCE
    items = [
        event["item"] for n in range(number) for event in together.events(f"p{n}") if event["kind"] == "item_finished"
    ]
    assert len(items) == len(set(items)) == 3 + 34
    assert place.results() == undisturbed.results()
    assert list((place.store / "leases").iterdir()) == []


def test_what_a_model_needs_is_fetched_once(together, place, undisturbed):
    graph = place.graph.read_text().replace("nodes:\n", "nodes:\n  tool: {type: FaultTake, name: knife}\n")
    for name in "abc":
        together.start(name, graph.replace("inputs: {words: words}", "inputs: {words: words, tool: tool}"))
    assert together.finish() == undisturbed.outputs()
    assert sorted(place.done()) == sorted([*ONCE, "fetch knife"])


def test_graphs_that_share_a_part_compute_it_once(together, place):
    one = slow(place, carve=0.2)
    other = one.replace("[one, three, eleven]", "[one, three, eleven, twelve]")
    for name, graph in (("a", one), ("b", other)):
        together.start(name, graph)
    for process in together.started.values():
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert sorted(line for line in place.done() if line.startswith("carve")) == [
        "carve eleven", "carve one", "carve three", "carve twelve",
    ]  # fmt: skip


def test_a_waiter_says_whom_it_waits_for_and_takes_over_when_the_holder_is_killed(together, place, undisturbed):
    holder = together.start("a", slow(place, carve=600))
    until(lambda: "carve one" in place.done())
    together.start("b")
    together.start("c")
    until(lambda: together.waits("b") and together.waits("c"))
    holder.kill()
    holder.communicate()
    del together.started["a"]
    assert together.finish() == undisturbed.outputs()
    assert place.done().count("carve one") == 2  # it was in flight
    assert sorted(place.done()) == sorted([*ONCE, "carve one"])
    said = next(e["message"] for e in together.events("b") if e["kind"] == "log" and "another process" in e["message"])
    assert f"process {holder.pid} on " in said


def test_what_a_killed_holder_had_finished_is_taken_over(together, place, undisturbed):
    graph = slow(place, carve=0.3)
    holder = together.start("a", graph)
    until(lambda: "carve three" in place.done())
    holder.kill()
    holder.communicate()
    together.started.clear()
    together.start("b", graph)
    assert together.finish() == undisturbed.outputs()
    assert place.done().count("carve one") == 1
    assert not together.waits("b")  # nothing of the killed one is in the way


@pytest.mark.parametrize("drawn", [False, True])
def test_a_holder_that_stalls_is_passed_and_does_no_harm_when_it_wakes(together, place, undisturbed, drawn):
    if drawn:  # a result that comes out otherwise each time: the one that was published first counts
        place.graph.write_text(place.graph.read_text().replace("lengths: lengths}}", "lengths: lengths}, drawn: true}"))
    holder = together.start("a", slow(place, join=2), stall_alive=1.0)
    until(lambda: (place.folder / "a/events.jsonl").exists())
    until(lambda: any((e["kind"], e["node"]) == ("node_started", "join") for e in together.events("a")))
    os.kill(holder.pid, signal.SIGSTOP)
    passing = together.start("b", stall_alive=1.0)
    passing.wait(timeout=60)
    assert place.done().count("join") == 1
    os.kill(holder.pid, signal.SIGCONT)
    outputs = together.finish()
    assert place.done().count("join") == 2
    assert drawn or outputs == undisturbed.outputs()
    before = place.done()
    together.start("c")
    together.finish()
    assert place.done() == before
    assert place.call("cache", "verify").code == 0


def test_machines_whose_clocks_are_apart_compute_each_key_once(together, place, undisturbed):
    graph = slow(place, carve=0.8, walk=0.1)
    for n, clock in enumerate((0, 86400 * 3, -86400 * 3)):
        together.start(f"p{n}", graph, clock=clock, host=f"machine{n}", stall=2.0)
    assert together.finish() == undisturbed.outputs()
    assert sorted(place.done()) == ONCE


def test_a_holder_killed_on_another_machine_is_noticed_by_its_silence(together, place, undisturbed):
    holder = together.start("a", slow(place, carve=600), host="far", clock=-5000.0, stall=1.5)
    until(lambda: "carve one" in place.done())
    together.start("b", stall=1.5)
    until(lambda: together.waits("b"))
    time.sleep(2.0)
    assert "b" in together.started
    assert place.done() == ["carve one"]  # it lives: its sign changes
    holder.kill()
    holder.communicate()
    del together.started["a"]
    assert together.finish() == undisturbed.outputs()


def test_processes_in_namespaces_of_their_own_compute_each_key_once(together, place, undisturbed):
    apart = ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces cannot be made here")
    graph = slow(place, carve=0.4, join=0.4)
    together.start("a", graph, prefix=apart, stall=3.0)
    together.start("b", graph, prefix=apart, stall=3.0)
    together.start("c", graph, stall=3.0)
    assert together.finish() == undisturbed.outputs()
    assert sorted(place.done()) == ONCE


def test_equal_nodes_of_one_graph_do_not_wait_for_each_other(place):
    text = place.graph.read_text().replace(
        "outputs:", "  twin: {type: FaultJoin, inputs: {texts: carve, lengths: lengths}}\noutputs:"
    )
    place.graph.write_text(text.replace("path: walk", "path: walk\n  twin: twin"))
    ended = place.run()
    assert ended.code == 0, ended
    assert ended.done.count("join") == 1
    assert "another process" not in ended.err


@pytest.mark.long
def test_eight_processes_killed_at_random_leave_a_store_that_one_more_finishes(together, place, undisturbed):
    import random

    draw = random.Random(5)
    graph = slow(place, carve=0.3, join=0.3, walk=0.2)
    for attempt in range(5):
        for n in range(8):
            together.start(f"{attempt}-{n}", graph)
        for _ in range(20):
            time.sleep(draw.uniform(0.05, 0.4))
            draw.choice(list(together.started.values())).kill()
        for process in together.started.values():
            process.kill() if draw.random() < 0.8 else process.wait(timeout=60)
            process.communicate()
        together.started.clear()
    together.start("last", graph)
    assert together.finish() == undisturbed.outputs()
    assert place.call("cache", "verify").code == 0
    assert max(place.done().count(line) for line in ONCE) < 40
