import json
import os
import pickle
import sqlite3

import pytest

from vflow.engine.store import Store


def database(store):
    return store.folder / "index" / "cache.db"


def open_diskcache(store):
    import diskcache

    return diskcache.Cache(str(store.folder / "index"))


def test_what_diskcache_keeps_is_what_the_one_query_reads(store, record, key):
    """Pins the table that the read-only query relies on."""
    from diskcache.core import MODE_RAW

    store.publish_many([record(n) for n in range(1200)])
    store.close()
    with open_diskcache(store) as cache:
        assert cache[f"result:{key(7)}"] == record(7).to_row()
        assert len(cache) == 1200
        assert (cache.eviction_policy, cache.cull_limit) == ("none", 0)
    with sqlite3.connect(database(store)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(Cache)")}
        assert {"key", "raw", "mode", "value"} <= columns
        assert list(connection.execute("SELECT DISTINCT raw, mode, filename FROM Cache")) == [(1, MODE_RAW, None)]
        (plan,) = connection.execute("EXPLAIN QUERY PLAN SELECT value FROM Cache WHERE raw = 1 AND key IN ('a', 'b')")
        assert "USING INDEX Cache_key_raw" in plan[3]
    assert len(Store(store.folder).lookup(key(n) for n in range(1200))) == 1200


def test_a_large_lookup_is_a_few_queries_and_no_file_is_read(store, record, key, monkeypatch):
    store.publish_many([record(n) for n in range(1000)])
    fresh = Store(store.folder)
    statements = []
    fresh.lookup([key("warm")])
    fresh._index._connection.set_trace_callback(statements.append)
    monkeypatch.setattr("vflow.engine.store.records.read_or_none", lambda _path: pytest.fail("a file was read"))
    assert len(fresh.lookup(key(n) for n in range(1000))) == 1000
    assert len(statements) <= 3


def test_nothing_is_ever_dropped_by_size_or_age(store, record, key):
    store.publish_many([record(n, facts={"much": "x" * 20_000}) for n in range(100)])
    store.close()
    with open_diskcache(store) as cache:
        cache.reset("size_limit", 1)
    again = Store(store.folder)
    again.publish(record("one more"))
    again.close()
    with open_diskcache(store) as cache:
        assert len(cache) == 101


def test_everything_is_in_the_database(store, record):
    store.publish(record("a", facts={"much": "x" * 200_000}))
    assert {path.name for path in database(store).parent.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["key", "value"])
def test_a_pickle_in_the_index_is_never_opened(store, record, key, tmp_path, kind):
    store.publish(record("a"))
    store.close()
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    with sqlite3.connect(database(store)) as connection:
        if kind == "value":
            connection.execute("UPDATE Cache SET mode = 4, value = ?", (bomb,))
        else:
            connection.execute("UPDATE Cache SET raw = 0, key = ? WHERE key LIKE 'result:%'", (bomb,))
    connection.close()
    again = Store(store.folder)
    assert again.lookup([key("a")])[key("a")] == record("a")  # from its file
    again.publish(record("a"))
    list(again.entries())
    assert not (tmp_path / "exploded").exists()


def test_the_disk_refuses_everything_but_text(store, record):
    store.publish(record())
    cache = store._index._writer()
    for value in (1, b"x", None, ["x"], {"a": 1}):
        with pytest.raises(TypeError):
            cache.set("key", value)
        with pytest.raises(TypeError):
            cache.set(value, "text")
    with sqlite3.connect(database(store)) as connection:
        connection.execute("UPDATE Cache SET mode = 4")
    with pytest.raises(ValueError, match="not text"):
        cache.get(f"result:{record().key}")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database" * 500),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: _execute(path, "DROP TABLE Cache"),
        lambda path: _execute(path, "DROP TABLE Cache; CREATE TABLE Cache (key, value)"),
        lambda path: _execute(path, "UPDATE Settings SET value = 'nonsense'"),
        lambda path: _execute(path, "DELETE FROM Settings; INSERT INTO Settings VALUES ('disk_evil', 1)"),
        lambda path: _execute(path, "UPDATE Cache SET value = 'nonsense'"),
        lambda path: _execute(path, "UPDATE Cache SET value = value || '}'"),
    ],
)
def test_a_broken_index_is_made_anew(store, record, key, damage):
    records = {key(n): record(n) for n in range(200)}
    store.publish_many(list(records.values()))
    store.close()
    damage(database(store))
    again = Store(store.folder)
    assert again.lookup(records) == records
    again.publish(record("new"))
    assert again.remember("fact", "a", lambda: 1) == 1
    assert again.recall("fact", "a") == 1
    assert Store(store.folder).lookup(records) == records
    again.close()
    with sqlite3.connect(database(store)) as connection:
        assert list(connection.execute("SELECT count(*) FROM Cache")) == [(202,)]  # the new one, and the fact


def test_an_index_that_breaks_while_it_is_open_is_made_anew(store, record, key):
    store.publish_many([record(n) for n in range(200)])
    assert store.lookup([key(1)])
    database(store).write_bytes(b"gone" * 5000)
    for _ in range(2):
        assert len(store.lookup(key(n) for n in range(200))) == 200
        store.publish(record("new"))


def test_a_deleted_index_does_not_disturb_a_store_in_use(store, record, key):
    import shutil

    store.publish(record("a"))
    assert store.lookup([key("a")])
    shutil.rmtree(store.folder / "index")
    store.publish(record("b"))
    assert set(store.lookup([key("a"), key("b")])) == {key("a"), key("b")}
    assert set(Store(store.folder).lookup([key("a"), key("b")])) == {key("a"), key("b")}


def test_a_locked_index_delays_nothing_that_matters(store, record, key, monkeypatch):
    monkeypatch.setattr("vflow.engine.store.index._TIMEOUT", 0.2)
    store.publish(record("a"))
    store.close()
    connection = sqlite3.connect(database(store), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        other = Store(store.folder)
        other._index._cache = None
        assert other.lookup([key("a")])[key("a")] == record("a")
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_transaction_of_another_process_is_not_waited_for_long(store, record, key, monkeypatch):
    monkeypatch.setattr("vflow.engine.store.index._TIMEOUT", 0.2)
    store.publish(record("a"))
    blocker = sqlite3.connect(database(store), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        store.publish(record("b"))
        assert set(store.lookup([key("a"), key("b")])) == {key("a"), key("b")}
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    store.publish(record("c"))
    store.close()
    with open_diskcache(store) as cache:
        assert f"result:{key('c')}" in cache


def test_a_read_only_store_can_be_read(store, record, key, python):
    store.publish(record("a"))
    store.close()
    code = """
import os, sys
from pathlib import Path
from vflow.engine.problems import Failure
from vflow.engine.store import Store
import diskcache  # before the rights are gone: the interpreter may lie where nobody else may read
if os.geteuid() == 0:
    os.setuid(65534)
store = Store(Path(sys.argv[1]))
print(store.lookup([sys.argv[2]])[sys.argv[2]].seconds)
print(store.remember("fact", "x", lambda: 2))
try:
    store.put_bytes(b"x")
except Failure as failure:
    print(failure)
"""
    folders = [store.folder, *(path for path in store.folder.rglob("*") if path.is_dir())]
    above = [
        path for path in store.folder.parents if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 1 == 0
    ]
    for path in above:
        path.chmod(path.stat().st_mode | 0o111)
    for path in folders:
        path.chmod(0o555)
    try:
        out, err = python(code, store.folder, key("a")).communicate()
    finally:
        for path in folders:
            path.chmod(0o755)
    assert out.splitlines()[:2] == ["1.5", "2"], err
    assert len(out.splitlines()) == 3, err
    assert "cannot be written" in out.splitlines()[2], err


def test_importing_and_looking_up_imports_no_diskcache(store, record, key, python):
    store.publish(record("a"))
    store.remember("fact", "a", lambda: 1)
    code = """
import sys
from pathlib import Path
from vflow.engine.store import Store
store = Store(Path(sys.argv[1]))
assert store.lookup([sys.argv[2]]) and store.recall("fact", "a") == 1
heavy = {"diskcache", "networkx", "rich", "huggingface_hub", "torch", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""
    out, err = python(code, store.folder, key("a")).communicate()
    assert out.strip() == "[]", err


def test_a_forked_process_reads_and_writes_on_its_own(store, record, key):
    store.publish(record("a"))
    assert store.lookup([key("a")])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert store.lookup([key("a")])
            store.publish(record("b"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert set(store.lookup([key("a"), key("b")])) == {key("a"), key("b")}


def test_processes_that_start_on_an_empty_store_at_once_lose_nothing(store, python, key):
    code = """
import sys, json
from pathlib import Path
from vflow.engine.store import Record, Store
store, me = Store(Path(sys.argv[1])), sys.argv[2]
keys = json.loads(sys.argv[3])
input()
for key in keys:
    blob = store.put_bytes(key.encode())
    store.publish(Record(key=key, node_type="T", version=1, output=None, seconds=0.0, created=0.0, blobs=[blob]))
    store.record_fact("made", key, me)
"""
    shares = [[key((process, n)) for n in range(30)] + [key(("both", n)) for n in range(10)] for process in range(4)]
    children = [python(code, store.folder, number, json.dumps(share), stdin=-1) for number, share in enumerate(shares)]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        assert child.wait() == 0, child.stderr.read()
    everything = {key for share in shares for key in share}
    assert set(store.lookup(everything)) == everything
    assert set(store.recall_many("made", everything)) == everything
    assert store.verify() == []
    store.close()
    with open_diskcache(store) as cache:
        assert cache.check() == []


def _execute(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
