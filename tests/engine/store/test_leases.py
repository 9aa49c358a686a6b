import os
import signal
import threading
import time

import pytest

from vflow.engine.problems import Interrupted
from vflow.engine.store import Record, Store, leases, owners

#: Computes each of the keys once in all processes: waits at the start for the others, then claims, looks, computes.
WORKER = """
import sys, time
from pathlib import Path
from vflow.engine.store import Record, Store
store, keys, seconds, log = Store(Path(sys.argv[1])), sys.argv[2].split(), float(sys.argv[3]), sys.argv[4]
print("ready", flush=True)
input()
for key in keys:
    with store.lease(key, lambda holder: print("waits for", holder, flush=True)):
        if not store.lookup([key]):
            with open(log, "a") as file:
                file.write("computed\\n")
            print("computes", flush=True)
            time.sleep(seconds)
            store.publish(Record(key=key, node_type="T", version=1, output=[1], seconds=seconds, created=0.0))
    print("has", store.lookup([key])[key].output, flush=True)
"""


def claims(folder):
    return sorted(path.name for path in (folder / "leases").iterdir())


def start_all(children):
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()


def test_a_lease_leaves_nothing_behind(store):
    with store.lease("abc") as lease:
        assert lease.owned
    assert not lease.owned
    assert claims(store.folder) == []


def test_a_lease_is_released_after_an_error(store):
    with pytest.raises(RuntimeError), store.lease("abc"):
        raise RuntimeError
    with store.lease("abc", lambda holder: pytest.fail("nobody holds it")):
        pass


def test_different_keys_do_not_wait_for_one_another(store):
    with store.lease("abc", pytest.fail), store.lease("abd", pytest.fail), store.lease("ab", pytest.fail):
        pass


def test_threads_of_one_process_take_turns(store):
    inside, most, turns = [], [], []

    def work():
        for _ in range(5):
            with store.lease("abc"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()
                turns.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (max(most), len(turns)) == (1, 20)


def test_waiting_can_be_interrupted(store):
    told = []
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with store.lease("abc"), pytest.raises(Interrupted), Store(store.folder).lease("abc", told.append, stop.is_set):
        pytest.fail("it is held")
    assert told == [owners.myself().words]


@pytest.mark.parametrize("number", [2, 4])
def test_several_processes_compute_one_key_once(store, python, key, tmp_path, number):
    log = tmp_path / "log"
    children = [python(WORKER, store.folder, key("a"), 0.3, log, stdin=-1) for _ in range(number)]
    start_all(children)
    outputs = [child.communicate(timeout=30) for child in children]
    assert [child.returncode for child in children] == [0] * number, outputs
    assert all(out.endswith("has [1]\n") for out, _ in outputs)
    assert log.read_text() == "computed\n"
    assert sum("waits for process" in out for out, _ in outputs) == number - 1
    assert claims(store.folder) == []


def test_many_keys_are_computed_once_by_four_processes(store, python, key, tmp_path):
    names = [key(n) for n in range(40)]
    log = tmp_path / "log"
    children = [python(WORKER, store.folder, " ".join(names), 0.001, log, stdin=-1) for _ in range(4)]
    start_all(children)
    for child in children:
        assert child.wait(timeout=60) == 0, child.stderr.read()
    assert set(store.lookup(names)) == set(names)
    assert log.read_text() == "computed\n" * 40
    assert claims(store.folder) == []


def test_a_killed_holder_is_replaced_within_seconds_by_one_waiter(store, python, key, tmp_path):
    log = tmp_path / "log"
    holder = python(WORKER, store.folder, key("a"), 600, log, stdin=-1)
    start_all([holder])
    assert holder.stdout.readline() == "computes\n"
    waiters = [python(WORKER, store.folder, key("a"), 0.3, log, stdin=-1) for _ in range(3)]
    start_all(waiters)
    for waiter in waiters:
        assert waiter.stdout.readline() == f"waits for process {holder.pid} on {owners.myself().host}\n"
    holder.kill()  # and stays a zombie: nobody waits for it yet
    began = time.monotonic()
    for waiter in waiters:
        assert waiter.wait(timeout=30) == 0, waiter.stderr.read()
    assert time.monotonic() - began < 8
    assert log.read_text() == "computed\n" * 2
    assert claims(store.folder) == []


def test_what_a_killed_holder_left_does_not_hold_up_the_next(store, python, key, tmp_path):
    holder = python(WORKER, store.folder, key("a"), 600, tmp_path / "log", stdin=-1)
    start_all([holder])
    assert holder.stdout.readline() == "computes\n"
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with store.lease(key("a")) as lease:
        assert lease.owned
    assert time.monotonic() - began < 2
    assert claims(store.folder) == []


def foreign(key, number=1, count=0, host="elsewhere", boot="other"):
    me = owners.myself()
    owner = owners.Owner(host, boot, me.space, me.pid, me.started)
    return f"{key}.{number}", f"{count:015d}\n{owner.name}\nnonce\n".encode()


def test_a_holder_elsewhere_is_timed_on_the_own_clock(tmp_path):
    store = Store(tmp_path, stall=1.0)
    (tmp_path / "leases").mkdir()
    name, data = foreign("abc")
    path = tmp_path / "leases" / name
    path.write_bytes(data)
    os.utime(path, (10**9 * 5, 10**9 * 5))  # its clock says 2128
    beating = threading.Event()

    def beat():
        count = 0
        while not beating.wait(0.2):
            count += 1
            path.write_bytes(foreign("abc", count=count)[1])

    thread = threading.Thread(target=beat)
    thread.start()
    told = []
    deadline = time.monotonic() + 2.5
    with pytest.raises(Interrupted), store.lease("abc", told.append, lambda: time.monotonic() > deadline):
        pass  # it beats: nobody takes it
    assert told == [f"process {os.getpid()} on elsewhere"]
    beating.set()
    thread.join()
    began = time.monotonic()
    with store.lease("abc") as lease:
        assert 0.9 < time.monotonic() - began < 5
        assert lease.owned
        assert claims(tmp_path) == ["abc.2"]


def test_a_claim_without_content_is_waited_for_and_then_passed(tmp_path):
    store = Store(tmp_path, stall=0.3)
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "abc.1").write_bytes(b"")
    with store.lease("abc") as lease:
        assert lease.owned


def test_the_start_of_another_process_under_the_same_number_is_not_mistaken_for_the_holder(tmp_path):
    me = owners.myself()
    assert not me.is_dead
    assert owners.Owner(me.host, me.boot, me.space, me.pid, me.started - 1).is_dead
    assert owners.Owner(me.host, me.boot, me.space, 2**22 + 1, 1).is_dead
    assert not owners.Owner("elsewhere", me.boot, me.space, 2**22 + 1, 1).is_dead
    assert not owners.Owner(me.host, me.boot, "another container", 2**22 + 1, 1).is_dead
    assert owners.parse(me.name) == me
    assert owners.parse("x~y") is None


def test_a_suspended_holder_loses_its_claim_and_notices(tmp_path, python, key):
    code = """
import sys, time
from pathlib import Path
from vflow.engine.store import Store
with Store(Path(sys.argv[1])).lease("abc") as lease:
    print("holds", flush=True)
    input()
    print(lease.owned, flush=True)
"""
    holder = python(code, tmp_path, stdin=-1)
    assert holder.stdout.readline() == "holds\n"
    holder.send_signal(signal.SIGSTOP)
    try:
        with Store(tmp_path, stall_alive=1.0).lease("abc") as lease:
            assert lease.owned
            holder.send_signal(signal.SIGCONT)
            time.sleep(1.5)  # it beats again, into a file that does not count any more
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "False\n"
            assert holder.wait(timeout=10) == 0
            assert lease.owned
    finally:
        holder.send_signal(signal.SIGCONT)


def test_a_holder_beats_while_it_works(store):
    with store.lease("abc"):
        (path,) = (store.folder / "leases").iterdir()
        before = path.read_bytes()
        time.sleep(leases.BEAT * 1.5)
        after = path.read_bytes()
    assert before != after
    assert before.split(b"\n")[1:] == after.split(b"\n")[1:]


def test_a_higher_claim_that_a_listing_did_not_show_wins(store, monkeypatch):
    folder = store.folder / "leases"
    with store.lease("abc"):
        (folder / "abc.1").rename(folder / "abc.2")
        real = os.listdir
        stale = iter([[]])
        monkeypatch.setattr(os, "listdir", lambda path: next(stale, None) or real(path))
        deadline = time.monotonic() + 0.3
        with pytest.raises(Interrupted), store.lease("abc", should_stop=lambda: time.monotonic() > deadline):
            pass
        assert claims(store.folder) == ["abc.2"]


def test_old_claims_of_ended_processes_are_swept(tmp_path, record):
    me = owners.myself()
    ended = owners.Owner(me.host, me.boot, me.space, me.pid, me.started - 1)
    (tmp_path / "leases").mkdir()
    for name in ("old", "young"):
        (tmp_path / "leases" / f"{name}.1").write_bytes(f"{1:015d}\n{ended.name}\nnonce\n".encode())
    os.utime(tmp_path / "leases" / "old.1", (1, 1))
    with Store(tmp_path).lease("abc"):
        assert claims(tmp_path) == ["abc.1", "young.1"]


def test_a_double_computation_is_harmless(store, record, key):
    one, two = Store(store.folder), Store(store.folder)
    blob = one.put_bytes(b"same")
    fields = {"node_type": "T", "version": 1, "output": [1], "created": 0.0, "blobs": [blob]}
    one.publish(Record(key=key("a"), seconds=1.0, **fields))
    two.put_bytes(b"same")
    two.publish(Record(key=key("a"), seconds=2.0, **fields))
    for reader in (one, two, store):
        assert reader.lookup([key("a")])[key("a")].output == [1]
    assert store.verify() == []
