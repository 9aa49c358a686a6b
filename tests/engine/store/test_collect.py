"""Pins, removal and collection: what is needed stays whatever is asked for, what goes is computed again."""

import itertools
import json
import os
import signal
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine.problems import Failure
from vflow.engine.store import Store
from vflow.engine.store.collect import GRACE, Limits
from vflow.engine.store.uses import blob_name
from vflow.engine.values import Blob

EVERYTHING = Limits(older_than=0, grace=0)
NAMES = "abcdefgh"


def content(name):
    """Results of neighbouring names share a file."""
    return [f"own {name}".encode() * 10, f"shared {'abcdefgh'.index(name) // 2}".encode() * 5]


@pytest.fixture
def run(record, key):
    """Do what a run does: look up, compute what is missing, publish; check every byte. Returns what was computed."""

    def call(store, names):
        found = store.lookup([key(name) for name in names], check_blobs=False)
        computed = []
        for name in names:
            known = found.get(key(name))
            if known is None or not store.has_blobs(known):
                blobs = [store.put_bytes(data) for data in content(name)]
                store.publish(record(name, blobs))
                computed.append(name)
        check(store, names, key)
        return computed

    return call


def check(store, names, key):
    for name in names:
        (found,) = store.lookup([key(name)]).values()
        assert [store.blob_path(blob, verify=False).read_bytes() for blob in found.blobs] == content(name)


def age(store, days):
    """Make everything look as if it had been written and used long ago."""
    then = time.time() - days * 86400
    for path in [*store.folder.glob("records/*/*"), *store.folder.glob("runs/*"), *store.folder.glob("work/**/*")]:
        if path.suffix == ".json" and path.parent.name == "runs":
            note = json.loads(path.read_text())
            path.write_text(json.dumps({**note, "started": then, "ended": then}))
        os.utime(path, (then, then))


def held(store, key):
    found = store.lookup([key(name) for name in NAMES])
    return {name for name in NAMES if key(name) in found}


# --- what goes and what stays ----------------------------------------------------------------------------------------


def test_what_was_used_last_stays_longest(store, run, key):
    for name in "aceg":  # no shared files
        with store.held():
            run(store, name)
        age(store, 1)
    with store.held():
        run(store, "a")
    size = store.keeper().total()
    taken = store.keeper().collect(Limits(max_size=size // 2 + 50))
    assert "a" in held(store, key)
    assert taken.left == store.keeper().total() <= size // 2 + 50
    assert taken.freed == size - taken.left > 0


def test_what_was_not_used_for_long_goes(store, run, key):
    with store.held():
        run(store, "abc")
    age(store, 10)
    with store.held():
        run(store, "c")
    store.keeper().collect(Limits(older_than=5 * 86400))
    assert held(store, key) == {"c"}


def test_what_the_last_runs_used_stays(store, run, key):
    for names in ("ab", "cd", "ef", "cd"):
        with store.held():
            run(store, names)
        time.sleep(0.002)
    store.keeper().collect(Limits(older_than=0, keep_runs=2))
    assert held(store, key) == {"c", "d", "e", "f"}
    store.keeper().collect(Limits(keep_runs=1))
    assert held(store, key) == {"c", "d"}


def test_without_limits_only_what_nobody_needs_goes(store, run, key):
    run(store, "ab")
    orphan = store.put_bytes(b"of a killed process")
    keeper = store.keeper()
    assert not keeper.collect(Limits())  # it may belong to a result that is just being written
    taken = keeper.collect(Limits(grace=0))
    assert taken.blobs == [orphan.digest]
    assert not taken.entries
    assert not store.has_blob(orphan)
    assert held(store, key) == {"a", "b"}


def test_a_file_goes_with_the_last_result_that_needs_it(store, run, key):
    run(store, "ab")
    store.keeper().remove([key("a")])
    check(store, "b", key)
    store.keeper().remove([key("b")])
    assert not list(store.folder.glob("blobs/*/*"))
    assert not list(store.folder.glob("records/*/*"))


def test_what_is_pinned_stays_until_it_is_unpinned(store, run, key):
    run(store, "abc")
    keeper = store.keeper()
    assert keeper.pin([key("a"), key("nothing")], "the good one") == {key("a")}
    assert keeper.pinned()[key("a")] == "the good one"
    keeper.collect(EVERYTHING)
    assert held(store, key) == {"a"}
    taken = keeper.remove([key("a")])
    assert [reason for _, reason in taken.refused] == ["it is pinned"]
    assert keeper.unpin([key("a")]) == {key("a")}
    keeper.collect(EVERYTHING)
    assert held(store, key) == set()


def test_a_pin_that_cannot_be_read_stops_every_collection(store, run, key):
    run(store, "a")
    store.keeper().pin([key("a")])
    (pin,) = store.folder.glob("pins/*")
    pin.write_text("torn")
    with pytest.raises(Failure, match="cannot be read"):
        store.keeper().collect(EVERYTHING)
    assert held(store, key) == {"a"}


def test_a_record_that_may_not_be_read_stops_every_collection(store, run, key, monkeypatch):
    run(store, "ab")
    store.close()
    (store.folder / "index").rename(store.folder / "gone")
    hidden = store.folder / "records" / key("a")[:2] / f"{key('a')}.json"
    real = open

    def refuse(path, *args, **options):
        if str(path) == str(hidden):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Failure):
        store.keeper().collect(EVERYTHING)
    monkeypatch.undo()
    check(store, "ab", key)


def test_a_trial_changes_nothing_and_tells_the_same(store, run, key):
    run(store, "abcd")
    before = store.keeper().total()
    would = store.keeper().choose(EVERYTHING)
    assert store.keeper().total() == before
    taken = store.keeper().collect(EVERYTHING)
    assert (would.freed, would.left, would.blobs) == (taken.freed, taken.left, taken.blobs)
    assert store.keeper().total() == taken.left == 0


def test_models_and_samples_go_only_while_no_run_goes_on(store, run):
    for kind in ("models", "samples"):
        (store.folder / kind / "x").mkdir(parents=True)
        (store.folder / kind / "x" / "file").write_bytes(b"made again when missed")
    keeper = store.keeper()
    with store.held():
        run(store, "a")
        keeper.collect(EVERYTHING)
        assert (store.folder / "models/x/file").exists()
    keeper.collect(EVERYTHING)
    assert not list(store.folder.glob("models/*")) + list(store.folder.glob("samples/*"))


def test_what_was_damaged_goes_after_a_while(store, run, key):
    run(store, "a")
    (path,) = [path for path in store.folder.glob("blobs/*/*") if path.read_bytes() == content("a")[0]]
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    store.verify()
    keeper = store.keeper()
    keeper.collect(Limits())
    assert list(store.folder.glob("damaged/*"))
    keeper.collect(Limits(grace=0))
    assert not list(store.folder.glob("damaged/*"))


# --- trainings -------------------------------------------------------------------------------------------------------


@pytest.fixture
def training(store, record):
    """A training with its state, of which a checkpoint's file is known from the state only."""
    checkpoint = store.put_bytes(b"adapter of step 5")
    state = store.work_folder("train") / "step-5"
    state.mkdir()
    (state / "state.json").write_text(json.dumps({"adapter": {"digest": checkpoint.digest}}))
    (state / "state.safetensors").write_bytes(b"moments")
    for steps in (5, 9):
        store.publish(record(f"train {steps}", [store.put_bytes(b"adapter %d" % steps)], work="train"))
    return checkpoint


def test_a_training_stays_with_its_state_unless_it_is_asked_for(store, training, key):
    keeper = store.keeper()
    for limits in (EVERYTHING, Limits(max_size=0, grace=0), Limits(keep_runs=1, grace=0)):
        keeper.collect(limits)
        assert len(store.lookup([key("train 5"), key("train 9")])) == 2
        assert (store.folder / "work/train/step-5/state.safetensors").exists()
        assert store.has_blob(training)
    keeper.collect(Limits(older_than=0, trainings=True, grace=0))
    assert keeper.total() == 0


def test_a_state_goes_with_the_last_result_that_it_belongs_to(store, training, key):
    store.keeper().remove([key("train 5")])
    assert (store.folder / "work/train/step-5/state.json").exists()
    assert store.has_blob(training)
    store.keeper().remove([key("train 9")])
    assert not (store.folder / "work/train").exists()
    assert not store.has_blob(training)


def test_an_interrupted_training_stays_unless_it_is_asked_for(store):
    (store.work_folder("half") / "state.json").write_text("{}")
    keeper = store.keeper()
    keeper.collect(EVERYTHING)
    assert (store.folder / "work/half/state.json").exists()
    assert [state.key for state in keeper.look().unfinished()] == ["half"]
    keeper.remove(["half"])
    assert not (store.folder / "work/half").exists()


def test_a_state_that_somebody_works_in_is_not_even_removed_by_name(store):
    (store.work_folder("half") / "state.json").write_text("{}")
    with store.lease("half"):
        taken = store.keeper().remove(["half"])
    assert [reason for _, reason in taken.refused] == ["a process works on it"]
    assert (store.folder / "work/half/state.json").exists()


# --- beside runs -----------------------------------------------------------------------------------------------------


def test_what_a_run_in_progress_holds_stays(store, run, key):
    run(store, "abc")
    with store.held():
        run(store, "bd")
        mine = store.put_bytes(b"not published yet")
        other = Store(store.folder)
        other.keeper().collect(EVERYTHING)
        other.keeper().remove([key("b")])
        assert held(other, key) == {"b", "d"}
        assert store.has_blob(mine)
    Store(store.folder).keeper().collect(EVERYTHING)
    assert held(store, key) == set()


def test_a_killed_run_holds_nothing_but_what_it_used_is_known(store, run, key, python):
    run(store, "ab")
    code = """
import os, sys
from pathlib import Path
from vflow.engine.store import Store
store = Store(Path(sys.argv[1]))
with store.held() as use:
    use.describe(graph="g")
    store.lookup([sys.argv[2]])
    print("held", flush=True)
    sys.stdin.read()
"""
    process = python(code, store.folder, key("a"), stdin=-1)
    assert process.stdout.readline() == "held\n"
    keeper = store.keeper()
    age(store, 10)
    keeper.collect(EVERYTHING)
    assert held(store, key) == {"a"}
    process.send_signal(signal.SIGKILL)
    process.wait()
    (past,) = keeper.look().runs
    assert (past.graph, past.live) == ("g", False)
    keeper.collect(Limits(keep_runs=1, older_than=0))
    assert held(store, key) == {"a"}
    assert not list(store.folder.glob("runs/*.live"))
    keeper.collect(EVERYTHING)
    assert held(store, key) == set()


def test_a_run_that_looks_up_during_a_collection_waits_and_looks_again(store, run, key):
    run(store, "a")
    looking, waited, found = threading.Event(), [], []

    def look():
        other = Store(store.folder)
        with other.held(on_wait=waited.append):
            looking.set()
            found.append(other.lookup([key("a")], check_blobs=False))
            run(other, "a")

    keeper = store.keeper()
    with keeper._uses.collecting(lambda _: None):  # between its reading of what is held and its end
        thread = threading.Thread(target=look)
        thread.start()
        looking.wait()
        time.sleep(0.1)
        assert not found
        store._records.remove([key("a")])
        for path in store.folder.glob("blobs/*/*"):
            path.unlink()
    thread.join()
    assert found == [{}]
    assert "process" in waited[0]
    check(store, "a", key)


def test_a_collection_that_was_killed_holds_nobody_up(store, run, key, python):
    run(store, "a")
    code = """
import sys, time
from pathlib import Path
from vflow.engine.store import Store
with Store(Path(sys.argv[1])).keeper()._uses.collecting(print):
    print("collecting", flush=True)
    time.sleep(60)
"""
    process = python(code, store.folder)
    assert process.stdout.readline() == "collecting\n"
    process.kill()
    process.wait()
    with store.held():
        run(store, "a")
    assert not (store.folder / "runs/collecting").exists()
    store.keeper().collect(EVERYTHING)
    assert held(store, key) == set()


def test_a_store_that_cannot_be_written_is_read_all_the_same(store, run, key, monkeypatch):
    run(store, "a")
    real = os.open

    def refuse(path, flags, *args, **options):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with store.held():
        check(store, "a", key)


WORKER = """
import random, sys, time
from pathlib import Path
from vflow.engine.store import Record, Store
folder, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
store = Store(folder)
for _ in range(rounds):
    names = rng.sample(range(12), 4)
    with store.held():
        keys = {f"{n:064x}"[::-1]: n for n in names}
        found = store.lookup(keys, check_blobs=False)
        for key, n in keys.items():
            if key in found and store.has_blobs(found[key]):
                continue
            blobs = [store.put_bytes(b"own %d" % n), store.put_bytes(b"shared %d" % (n // 3))]
            time.sleep(0.001)
            store.publish(Record(key=key, node_type="T", version=1, output=None, seconds=1, created=1, blobs=blobs))
        time.sleep(rng.random() * 0.01)
        for key, n in keys.items():
            (record,) = store.lookup([key], check_blobs=False).values()
            texts = [store.blob_path(blob).read_bytes() for blob in record.blobs]
            assert texts == [b"own %d" % n, b"shared %d" % (n // 3)], texts
print("well")
"""


def test_runs_beside_collections_never_miss_what_they_hold(tmp_path, python):
    processes = [python(WORKER, tmp_path / "store", seed, 30) for seed in range(2)]
    keeper, taken = Store(tmp_path / "store").keeper(), 0
    while any(process.poll() is None for process in processes):
        taken += len(keeper.collect(EVERYTHING).entries)
        time.sleep(0.02)  # those who wait look every half second
    assert [process.communicate() for process in processes] == [("well\n", "")] * 2
    assert taken


GRAPH_OF_SLOW_NODES = """
import sys, time
from collections.abc import Iterator
from vflow.engine.cli import main
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.values import Artifact, Blob, Item, Items, Value

class SlowWord(Value):
    text: str

class SlowText(Artifact):
    blob: Blob
    def plain_files(self):
        yield "text.txt", self.blob

class SlowWords(Node):
    '''Words.'''
    light = True
    words: tuple[str, ...]
    def run(self, context: Context) -> Items[SlowWord]:
        return Items(Item(word, SlowWord(text=word)) for word in self.words)

class SlowCarve(Node):
    '''Carves each word slowly.'''
    def run(self, context: Context, words: Items[SlowWord]) -> Iterator[SlowText]:
        for word in words:
            time.sleep(0.05)
            yield SlowText(blob=context.put(word.text.encode()))

class SlowJoin(Node):
    '''Joins what was carved.'''
    mark: str = ""
    def run(self, context: Context, texts: Items[SlowText]) -> SlowText:
        time.sleep(0.3)
        words = [context.blob_path(text.blob).read_text() for text in texts]
        return SlowText(blob=context.put((self.mark + " ".join(words)).encode()))

sys.exit(main(["run", sys.argv[1], "--out", sys.argv[2], "--cache", sys.argv[3]]))
"""


def test_collecting_beside_a_run_of_slow_nodes_takes_nothing_that_it_will_need(tmp_path, python, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    words = [f"w{n}" for n in range(10)]
    text = (
        "vflow: 1\nname: g\nnodes:\n  words: {type: SlowWords, words: [%s]}\n"
        "  carve: {type: SlowCarve, inputs: {words: words}}\n"
        "  join: {type: SlowJoin, mark: '%s', inputs: {texts: carve}}\noutputs:\n  text: join\n"
    )
    graph, store = tmp_path / "g.yaml", tmp_path / "store"

    def start(number, mark, count):
        graph.write_text(text % (", ".join(words[:count]), mark))
        return python(GRAPH_OF_SLOW_NODES, graph, tmp_path / f"out{number}", store)

    keeper = Store(store).keeper()
    first = start(1, "a", 4)
    assert first.wait() == 0, first.stderr.read()
    # the second run reuses four words, computes six more, and needs all of them at its end
    second = start(2, "b", 10)
    while not any(run.live and len(run.names) > 4 for run in keeper.look().runs):
        assert second.poll() is None, second.stderr.read()
        time.sleep(0.01)
    taken = []
    while second.poll() is None:
        taken += keeper.collect(EVERYTHING).entries
        time.sleep(0.05)  # each collection makes the run wait and look again
    assert second.returncode == 0, second.stderr.read()
    assert (tmp_path / "out2/outputs/text/text.txt").read_text() == "b" + " ".join(words)
    assert json.loads((tmp_path / "out2/summary.json").read_text())["nodes"]["carve"]["items"] == {
        "computed": 6, "reused": 4, "left_out": 0,
    }  # fmt: skip
    assert {entry.record.node for entry in taken} <= {"join", "carve"}
    assert any(entry.record.settings == {"mark": "a"} for entry in taken)  # what only the first run used went


# --- any sequence ----------------------------------------------------------------------------------------------------

some = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("run"), some),
        st.tuples(st.just("begin"), some),
        st.tuples(st.just("end"), st.none()),
        st.tuples(st.just("pin"), some),
        st.tuples(st.just("unpin"), some),
        st.tuples(st.just("remove"), some),
        st.tuples(st.just("forget the index"), st.none()),
        st.tuples(
            st.just("collect"),
            st.builds(
                Limits,
                max_size=st.none() | st.integers(0, 4000),
                older_than=st.none() | st.just(0),
                keep_runs=st.integers(0, 3),
                grace=st.sampled_from([0, GRACE]),
            ),
        ),
    ),
    max_size=12,
)
numbers = itertools.count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
def test_nothing_pinned_or_in_progress_is_ever_lost_and_the_rest_is_computed_to_the_same_bytes(
    tmp_path_factory, record, key, operations
):
    folder = tmp_path_factory.mktemp(f"s{next(numbers)}")
    pinned, running, runs = set(), [], []

    def do_run(store, names):
        for name in names:
            found = store.lookup([key(name)], check_blobs=False).get(key(name))
            if found is None or not store.has_blobs(found):
                store.publish(record(name, [store.put_bytes(data) for data in content(name)]))
        check(store, names, key)

    for what, given_ in operations:
        store = Store(folder)
        keeper = store.keeper()
        if what == "run":
            with store.held():
                do_run(store, given_)
            runs.append(set(given_))
        elif what == "begin":
            holding = store.held()
            holding.__enter__()
            do_run(store, given_)
            running.append((store, holding, given_))
        elif what == "end" and running:
            _, holding, _ = running.pop(0)
            holding.__exit__(None, None, None)
        elif what == "pin":
            there = held(store, key) & set(given_)
            pinned |= {name for name in there if key(name) in keeper.pin([key(name) for name in given_])}
        elif what == "unpin":
            keeper.unpin([key(name) for name in given_])
            pinned -= set(given_)
        elif what == "remove":
            keeper.remove([key(name) for name in given_])
        elif what == "collect":
            taken = keeper.collect(given_)
            assert taken.left == keeper.total()
        elif what == "forget the index":
            for path in (folder / "index").glob("*"):
                path.unlink()
        needed = pinned.union(*(names for _, _, names in running))
        check(Store(folder), needed, key)
    for _, holding, _ in running:
        holding.__exit__(None, None, None)
    do_run(Store(folder), NAMES)
    assert not Store(folder).verify()


def test_a_blob_written_again_meanwhile_is_not_taken_for_the_old_one(store, run, key):
    """A process that is no run puts an equal file back just before the old one would go."""
    run(store, "a")
    keeper = store.keeper()
    found = keeper.look()
    from vflow.engine.store.collect import Chooser

    taking = Chooser(found, EVERYTHING, time.time()).choose()
    blob: Blob = store.put_bytes(content("a")[0])
    for _ in keeper._letting_go(taking, found):
        pass
    assert store.has_blob(blob)


@pytest.mark.parametrize("calls", range(1, 14))
def test_a_collection_killed_anywhere_leaves_a_store_that_is_whole(store, run, key, calls):
    with store.held():
        run(store, "abcdef")
    store.keeper().pin([key("a")])
    store.close()
    if (child := os.fork()) == 0:
        real, count = os.unlink, itertools.count(1)
        os.unlink = lambda path: os._exit(9) if next(count) == calls else real(path)
        Store(store.folder).keeper().collect(EVERYTHING)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with store.held():
        check(store, "a", key)
        run(store, NAMES)
    assert not store.verify()
    store.keeper().collect(EVERYTHING)
    assert held(store, key) == {"a"}
    assert {path.name for path in store.folder.glob("blobs/*/*")} == set(store.lookup([key("a")])[key("a")].sizes)


def test_what_a_run_releases_goes_at_once_unless_somebody_else_needs_it(store, record):
    def put(text):
        return store.put_bytes(text.encode())

    with store.held():
        mine, shared, stated, again = put("mine"), put("shared"), put("stated"), put("again")
        store.publish(record("holder", blobs=[shared]))
        folder = store.work_folder("a" * 64)
        (folder / "state.json").write_text(f'{{"adapter": "{stated.digest}"}}')
        with Store(store.folder).held() as other:
            other.hold([blob_name(again.digest)])
            store.release([mine, shared, stated, again])
            assert [store.has_blob(blob) for blob in (mine, shared, stated, again)] == [False, True, True, True]
        assert put("mine") == mine  # and it is held again
        store.release([again])
        assert not store.has_blob(again)
        assert store.keeper().collect(Limits(grace=-1.0)).blobs == []
        assert store.has_blob(mine)
    assert not any(name.startswith("-") for run in store.keeper().look().runs for name in run.names)


def test_outside_of_a_run_nothing_is_released(store):
    blob = store.put_bytes(b"mine")
    store.release([blob])
    assert store.has_blob(blob)
