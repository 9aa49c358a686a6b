import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.engine import keys
from vflow.engine.problems import Failure
from vflow.engine.store import Store

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def reads(monkeypatch):
    """The files that were read to be hashed."""
    seen = []
    real = keys.digest_file

    def digest_file(path):
        seen.append(path)
        return real(path)

    monkeypatch.setattr(keys, "digest_file", digest_file)
    return seen


@pytest.fixture
def later(monkeypatch):
    """Move the clock on, so that files written just now are not suspected any more."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 60 * 10**9)


@settings(max_examples=40, deadline=None)
@given(facts=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), plain, max_size=6))
def test_facts_come_back_in_the_same_and_in_another_process(tmp_path_factory, facts):
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder)
    for name, data in facts.items():
        store.record_fact("probe", name, data)
    for reader in (store, Store(folder)):
        assert reader.recall_many("probe", [*facts, "something else entirely"]) == facts
        assert reader.recall_many("other", facts) == {}
        reader.close()


def test_what_is_remembered_is_computed_once(store):
    calls = []
    for _ in range(3):
        assert store.remember("probe", "a", lambda: calls.append(1) or {"size": (64, 48)}) == {"size": [64, 48]}
    assert Store(store.folder).remember("probe", "a", lambda: pytest.fail("known")) == {"size": [64, 48]}
    assert len(calls) == 1
    assert store.remember("probe", "nothing", lambda: None) is None
    assert store.remember("probe", "nothing", lambda: pytest.fail("known")) is None


def test_a_fact_is_replaced(store):
    store.record_fact("revision", "model@main", "abc")
    store.record_fact("revision", "model@main", "def")
    assert store.recall("revision", "model@main") == "def"
    assert store.recall("revision", "model@v2") is None


def test_only_plain_json_is_a_fact(store):
    for data in (object(), {1, 2}, float("nan"), b"x"):
        with pytest.raises((TypeError, ValueError)):
            store.record_fact("probe", "a", data)


def test_an_unchanged_file_is_read_once(store, tmp_path, reads, later):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    assert store.digest_of(path) == keys.digest_bytes(b"clip")
    assert Store(store.folder).digest_of(path) == keys.digest_bytes(b"clip")
    assert reads == [path]


def test_a_file_written_just_now_is_not_trusted(store, tmp_path, reads):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    store.digest_of(path)
    store.digest_of(path)
    assert reads == [path, path]


def test_a_modification_time_far_from_now_does_not_cost_a_second_read(store, tmp_path, reads, later):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    os.utime(path, (time.time() + 10**8, time.time() + 10**8))
    store.digest_of(path)
    store.digest_of(path)
    assert reads == [path]


def rewrite_in_place(path):
    with path.open("r+b") as file:
        file.write(b"two!")


def replace_by_another(path):
    other = path.with_suffix(".new")
    other.write_bytes(b"two!")
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite_in_place, replace_by_another])
def test_an_edit_that_keeps_size_and_time_is_noticed(store, tmp_path, later, change):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"one!")
    before = path.stat()
    assert store.digest_of(path) == keys.digest_bytes(b"one!")
    time.sleep(0.02)  # a tick of the file system's clock
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert store.digest_of(path) == keys.digest_bytes(b"two!")


def test_many_files_are_asked_for_by_one_query(store, tmp_path, reads, later):
    paths = [tmp_path / f"{n}.mp4" for n in range(300)]
    for number, path in enumerate(paths):
        path.write_bytes(str(number).encode())
    expected = {path: keys.digest_bytes(path.read_bytes()) for path in paths}
    assert store.digests_of(paths) == expected
    fresh = Store(store.folder)
    fresh.recall("warm", "up")
    statements = []
    fresh._index._connection.set_trace_callback(statements.append)
    assert fresh.digests_of(paths) == expected
    assert len(statements) == 1
    assert len(reads) == 300
    paths[7].write_bytes(b"changed")
    assert fresh.digests_of(paths) == {**expected, paths[7]: keys.digest_bytes(b"changed")}
    assert len(reads) == 301


def test_a_file_that_cannot_be_read_is_told(store, tmp_path):
    for path in (tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(Failure, match="cannot read"):
            store.digest_of(path)


def test_a_file_that_does_not_stop_changing_is_told(store, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"")
    real = keys.digest_file

    def digest_file(of):
        digest = real(of)
        with path.open("ab") as file:
            file.write(b"more")
        return digest

    monkeypatch.setattr(keys, "digest_file", digest_file)
    with pytest.raises(Failure, match="changes while it is read"):
        store.digest_of(path)


def test_losing_the_index_costs_one_more_read(store, tmp_path, reads, later):
    import shutil

    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    store.digest_of(path)
    store.close()
    shutil.rmtree(store.folder / "index")
    assert store.digest_of(path) == keys.digest_bytes(b"clip")
    assert len(reads) == 2
