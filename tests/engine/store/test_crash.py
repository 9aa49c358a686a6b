"""The process is killed, or the power fails, at every write, sync and rename in turn: what is found then is whole."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from vflow.engine.store import Store

HOOKED = ("open", "write", "fsync", "replace", "mkdir", "unlink")


def work(store, folder, record):
    """Everything that comes into a store: bytes, files, records one by one and as a group, facts, leases."""
    source = folder / "source"
    source.write_bytes(b"from a file" * 1000)
    with store.lease("abc"):
        one, two = store.put_bytes(b"one" * 1000), store.put_file(source, ".bin")
        store.publish(record("a", [one, two]))
        store.publish_many([record("b", [one]), record("c", [store.put_bytes(b"three")])])
        store.record_fact("probe", "x", {"y": 1})
    store.publish(record("a", [one, two]))


class Hook:
    """Stands before the system calls of a process, counts them, and ends the process before the given one.

    With `power`, what was not synced is lost at that moment: content of files, and (`undo`) names in folders.
    """

    def __init__(self, at, power=False, undo=False):
        self.at, self.power, self.undo, self.count = at, power, undo, 0
        self.unsynced, self.renamed = set(), {}
        self.real = {name: getattr(os, name) for name in HOOKED}

    def install(self):
        for name in HOOKED:
            setattr(os, name, self._hooked(name))
        return self

    def remove(self):
        for name, call in self.real.items():
            setattr(os, name, call)

    def _hooked(self, name):
        def call(*args, **kwargs):
            self.count += 1
            if self.count == self.at:
                self._end(name, args)
            # what is synced is kept in mind here; really syncing would only take time
            result = self.real[name](*args, **kwargs) if name != "fsync" else None
            self._note(name, args)
            return result

        return call

    def _note(self, name, args):
        if name == "write":
            self.unsynced.add(_path(args[0]))
        elif name == "fsync":
            path = _path(args[0])
            self.unsynced.discard(path)
            self.renamed = {t: s for t, s in self.renamed.items() if str(Path(t).parent) != path}
        elif name == "replace":
            source, target = map(str, args)
            self.renamed[target] = source
            if source in self.unsynced:
                self.unsynced.remove(source)
                self.unsynced.add(target)

    def _end(self, name, args):
        if name == "write":
            self.real["write"](args[0], bytes(args[1])[: len(args[1]) // 2])
        if self.power:
            for path in self.unsynced:
                if Path(path).exists():
                    os.truncate(path, 0)
            for target, source in self.renamed.items() if self.undo else ():
                Path(target).rename(source)
        os.kill(os.getpid(), signal.SIGKILL)


def _path(handle):
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def killed_at(point, folder, record, **how):
    """Do the work in a child that is killed at that call; tell whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            hook = Hook(point, **how)
            hook.unsynced.add(str(folder / "source"))
            hook.install()
            work(Store(folder / "store"), folder, record)
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status != 0


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "how",
    [{}, {"power": True}, {"power": True, "undo": True}],
    ids=["killed", "power failed", "power failed and names lost"],
)
def test_whenever_the_process_ends_the_next_one_finds_only_whole_results(
    tmp_path, monkeypatch, record, key, how, stride
):
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    point, ends = 1, 0
    while True:
        folder = tmp_path / str(point)
        folder.mkdir()
        if not killed_at(point, folder, record, **how):
            break
        ends += 1
        store = Store(folder / "store", stall=0.1)  # a claim may have lost its content, and with it its holder's name
        before = store.lookup(map(key, "abc"))
        for found in before.values():
            for blob in found.blobs:
                store.blob_path(blob, verify=True)
        assert store.verify() == []
        work(store, folder, record)
        after = store.lookup(map(key, "abc"))
        assert set(after) == {key("a"), key("b"), key("c")}
        assert all(after[key] == found for key, found in before.items())
        assert store.recall("probe", "x") == {"y": 1}
        assert len(list((store.folder / "tmp").iterdir())) == 1  # what the killed one left was swept
        store.close()
        point += stride
    assert ends > 60 // stride


def test_a_process_killed_at_any_time_leaves_an_index_that_works(tmp_path, record, key):
    draw = random.Random(7)
    names = [f"n{n}" for n in range(4000)]
    for _ in range(6):
        child = os.fork()
        if child == 0:
            try:
                store = Store(tmp_path / "store")
                for name in draw.sample(names, len(names)):
                    store.publish(record(name))
                    store.record_fact("probe", name, name)
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0.02, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        store = Store(tmp_path / "store")
        on_disk = {path.stem for path in (tmp_path / "store" / "records").rglob("*.json")}
        assert set(store.lookup(map(key, names))) == on_disk
        assert all(name == fact for name, fact in store.recall_many("probe", names).items())
        store.close()
