import json
import os
import shutil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from vflow.engine.problems import Failure
from vflow.engine.store import Damaged, Record, Store, files
from vflow.engine.values import Blob


def record_file(store, record):
    return store.folder / "records" / record.key[:2] / f"{record.key}.json"


def test_a_record_comes_back_as_it_was(store, record, key):
    blob = store.put_bytes(b"x", ".bin")
    store.publish(record("a", [blob]))
    found = Store(store.folder).lookup([key("a"), key("b")])
    assert list(found) == [key("a")]
    back = found[key("a")]
    assert back == record("a", [blob])
    assert back.output == {"type": "Text", "value": {"text": "result of a"}}
    assert (back.key, back.node_type, back.version, back.seconds) == (key("a"), "Echo", 1, 1.5)
    assert (back.created, back.graph, back.node) == (1_700_000_000.25, "graph", "echo")
    assert back.blobs == (blob,)
    assert back.blobs[0].suffix == ".bin"
    assert back.settings == {"rank": 16, "lr": 1e-4}
    assert back.inputs == {"clips": key("clips")}
    assert (back.environment, back.facts) == ({"vflow": "0.1.0"}, {"trained": 3})


def test_a_record_cannot_be_changed(record):
    with pytest.raises(AttributeError):
        record().seconds = 2.0


def test_a_record_file_is_json_that_anyone_can_read(store, record):
    store.publish(record("a"))
    data = json.loads(record_file(store, record("a")).read_text())
    assert data["record"]["key"] == record("a").key
    assert data["record"]["details"]["node"] == "echo"


def test_facts_that_are_no_json_do_not_cost_the_result(store, record, key):
    store.publish(record("a", facts={"path": store.folder, "loss": float("nan"), "name": "\udcff"}))
    assert store.lookup([key("a")])[key("a")].facts["path"] == str(store.folder)
    store.close()
    shutil.rmtree(store.folder / "index")
    assert store.lookup([key("a")])[key("a")].facts["name"] == "\udcff"


def test_publishing_again_replaces(store, record, key):
    store.publish(record("a"))
    store.publish(record("a", output=None, seconds=9.0))
    for reader in (store, Store(store.folder)):
        assert reader.lookup([key("a")])[key("a")].seconds == 9.0
        assert reader.lookup([key("a")])[key("a")].output is None


@pytest.mark.parametrize("whole_disk", [True, False])
def test_a_large_group_is_durable_before_it_is_known(store, record, key, monkeypatch, whole_disk):
    events = []
    real_sync, real_replace = files.sync, os.replace
    monkeypatch.setattr(files, "_sync_disk", lambda _root: events.append("disk") or whole_disk)
    monkeypatch.setattr(files, "sync", lambda path: events.append("sync") or real_sync(path))
    monkeypatch.setattr(os, "replace", lambda *names: events.append("rename") or real_replace(*names))
    monkeypatch.setattr(store._index, "put_many", lambda rows: events.append("index"))
    store.put_bytes(b"makes the folders")
    for shard in range(256):
        (store.folder / "records" / f"{shard:02x}").mkdir(parents=True)
    events.clear()
    store.publish_many([record(n) for n in range(100)])
    syncs = ["disk"] if whole_disk else ["disk"] + ["sync"] * 100
    assert events[: len(syncs) + 100] == syncs + ["rename"] * 100
    folders = len({key(n)[:2] for n in range(100)})
    assert events[len(syncs) + 100 :] == (["disk"] if whole_disk else ["disk"] + ["sync"] * folders) + ["index"]
    assert len(store.lookup(key(n) for n in range(100))) == 100


def test_a_record_is_not_published_without_its_blobs(store, record, key):
    gone = Blob(digest="0" * 64, size=3)
    with pytest.raises(Damaged):
        store.publish_many([record("b"), record("a", [gone])])
    assert store.lookup([key("a"), key("b")]) == {}


def test_a_record_whose_blob_is_gone_counts_as_absent(store, record, key):
    kept, lost = store.put_bytes(b"kept"), store.put_bytes(b"lost")
    store.publish_many([record("a", [kept]), record("b", [kept, lost])])
    store.blob_path(lost).unlink()
    assert list(store.lookup([key("a"), key("b")])) == [key("a")]
    assert set(store.lookup([key("a"), key("b")], check_blobs=False)) == {key("a"), key("b")}
    store.put_bytes(b"lost")
    assert set(store.lookup([key("a"), key("b")])) == {key("a"), key("b")}


def test_a_store_without_its_index_costs_a_rebuild_and_nothing_else(store, record, key):
    store.publish_many([record(n) for n in range(50)])
    store.close()
    shutil.rmtree(store.folder / "index")
    copy = Store(store.folder)
    assert len(copy.lookup(key(n) for n in range(50))) == 50
    copy.close()
    # now the index has them: the files are not needed to look them up
    shutil.rmtree(store.folder / "records")
    assert len(Store(store.folder).lookup(key(n) for n in range(50))) == 50


def test_a_record_that_the_index_lacks_is_found(store, record, key, tmp_path):
    store.publish(record("a"))
    store.close()
    shutil.copytree(store.folder / "index", tmp_path / "older")
    store.publish(record("b"))
    store.close()
    shutil.rmtree(store.folder / "index")
    shutil.copytree(tmp_path / "older", store.folder / "index")
    assert set(Store(store.folder).lookup([key("a"), key("b"), key("c")])) == {key("a"), key("b")}


def test_an_outdated_row_does_not_hide_a_good_record(store, record, key, tmp_path):
    old, new = store.put_bytes(b"old"), store.put_bytes(b"new")
    store.publish(record("a", [old]))
    elsewhere = Store(store.folder, index=tmp_path / "other index")  # another machine, with its own index
    elsewhere.publish(record("a", [new]))
    store.blob_path(old).unlink()
    assert store.lookup([key("a")])[key("a")].blobs == (new,)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 300, None])
def test_a_damaged_record_counts_as_absent_and_is_written_over(store, record, key, damage):
    store.publish(record("a"))
    path = record_file(store, record("a"))
    good = path.read_bytes()
    path.write_bytes(good[:-40] if damage is None else damage)
    store.close()
    shutil.rmtree(store.folder / "index")
    assert store.lookup([key("a")]) == {}
    store.publish(record("a"))
    assert path.read_bytes() == good


def test_one_flipped_bit_in_a_record_is_noticed(store, record, key):
    store.publish(record("a"))
    path = record_file(store, record("a"))
    good = path.read_bytes()
    store.close()
    shutil.rmtree(store.folder / "index")
    for place in range(0, len(good) - 2, 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises((ValueError, KeyError)):
            Record.from_file(key("a"), path.read_bytes())
        assert store.lookup([key("a")]) == {}


def test_a_record_under_a_wrong_name_counts_as_absent(store, record, key):
    store.publish(record("a"))
    wrong = record_file(store, record("b"))
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_bytes(record_file(store, record("a")).read_bytes())
    assert store.lookup([key("b")]) == {}


def test_a_key_that_is_no_file_name_is_refused(store, record):
    with pytest.raises(ValueError, match="not a key"):
        store.publish(record("a", key="../../evil"))


def test_entries_lists_all_and_find_goes_by_prefix(store, record, key):
    blob = store.put_bytes(b"x")
    records = [record(n, [blob] if n % 2 else []) for n in range(20)]
    store.publish_many(records)
    assert list(store.entries()) == sorted(records, key=lambda r: r.key)
    assert store.find(key(3)[:10]) == [record(3, [blob])]
    assert {r.key for r in store.find(blob.digest[:12])} == {key(n) for n in range(1, 20, 2)}
    assert store.find("zz") == store.find("") == store.find("../") == []
    assert {r.key for r in store.find(key(3)[:1])} >= {key(3)}


def test_verify_finds_every_damage_and_clears_the_way(store, record, key):
    fine, altered, lost = (store.put_bytes(data) for data in (b"fine", b"altered", b"lost"))
    store.publish_many([record(n, [fine]) for n in "abc"] + [record("d", [altered, fine]), record("e", [lost])])
    store.blob_path(altered).chmod(0o644)
    store.blob_path(altered).write_bytes(b"ALTERED")
    store.blob_path(lost).unlink()
    record_file(store, record("c", [fine])).write_bytes(b"torn")
    seen = []
    damages = {(d.what, d.name): d for d in store.verify(lambda done, total: seen.append((done, total)))}
    assert set(damages) == {("blob", altered.digest), ("blob", lost.digest), ("record", key("c"))}
    assert damages["blob", altered.digest].needed_by == (key("d"),)
    assert "missing" in str(damages["blob", lost.digest])
    assert seen == [(n, 7) for n in range(1, 8)]
    assert set(store.lookup(map(key, "abcde"))) == {key("a"), key("b")}
    assert not store.has_blob(altered)
    # what was damaged is missing now, and is named until it is computed again
    assert {d.name for d in store.verify()} == {altered.digest, lost.digest}
    store.put_bytes(b"altered")
    store.put_bytes(b"lost")
    assert store.verify() == []


def test_an_empty_or_absent_store_has_nothing_and_nothing_is_written_by_looking(tmp_path, key):
    store = Store(tmp_path / "absent")
    assert store.lookup([key("a")]) == {}
    assert store.recall("probe", "x") is None
    assert list(store.entries()) == store.find("ab") == []
    assert not store.folder.exists()


def test_the_folder_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "mine"))
    assert Store().folder == tmp_path / "mine"
    monkeypatch.setenv("VFLOW_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store().folder == tmp_path / ".cache" / "vflow"
    assert Store(tmp_path).models_folder == tmp_path / "models"


@pytest.mark.parametrize("marker", ['{"format": 2}', "torn", "[]"])
def test_a_store_of_a_newer_version_is_refused(tmp_path, record, marker):
    (tmp_path / "store.json").write_text(marker)
    for use in (lambda s: s.lookup(["abc"]), lambda s: s.put_bytes(b"x"), lambda s: s.publish(record())):
        with pytest.raises(Failure, match="format"):
            use(Store(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]


def test_a_store_says_its_format(store):
    store.put_bytes(b"x")
    assert json.loads((store.folder / "store.json").read_text()) == {"format": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path, record):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(Failure, match="cannot be written") as caught:
        Store(tmp_path / "closed" / "store").publish(record())
    assert "--cache" in caught.value.remedy


@pytest.mark.parametrize(("code", "words"), [("ENOSPC", "full"), ("EACCES", "cannot be written"), ("EROFS", "written")])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "mkdir"])
def test_trouble_with_the_disk_is_told_in_words(tmp_path, monkeypatch, record, key, code, words, call):
    import errno

    def fail(*_, **__):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(Failure, match=words) as caught:
            store.publish(record())
    assert "--cache DIR" in caught.value.remedy
    store.publish(record())
    assert store.lookup([key("a")])


def test_a_store_whose_place_is_a_file_is_told(tmp_path, record):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(Failure, match="not a folder"):
        Store(tmp_path / "store").publish(record())


class StoreMachine(RuleBasedStateMachine):
    """Whatever is put, lost, damaged and reopened: a lookup gives what was published last, or nothing."""

    blobs = Bundle("blobs")

    def __init__(self):
        super().__init__()
        import tempfile

        self.folder = tempfile.mkdtemp()
        self.store = Store(self.folder)
        self.published = {}
        self.there = set()

    @rule(target=blobs, data=st.binary(max_size=20))
    def put(self, data):
        blob = self.store.put_bytes(data)
        self.there.add(blob.digest)
        return blob

    @rule(key=st.sampled_from(["aaa", "aab", "bbb"]), of=st.lists(blobs, max_size=3), number=st.integers())
    def publish(self, key, of, number):
        fields = {"node_type": "T", "version": 1, "seconds": 0.0, "created": 0.0}
        record = Record(key=key, output=[number], blobs=of, **fields)
        if {blob.digest for blob in of} <= self.there:
            self.store.publish(record)
            self.published[key] = record
        else:
            with pytest.raises(Damaged):
                self.store.publish(record)

    @rule(blob=consumes(blobs))
    def lose_blob(self, blob):
        if self.store.has_blob(blob):
            self.store.blob_path(blob).unlink()
            self.there.discard(blob.digest)

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store(self.folder)

    @rule()
    def lose_index(self):
        self.store.close()
        shutil.rmtree(self.store.folder / "index", ignore_errors=True)

    @rule(garbage=st.binary(min_size=1, max_size=300))
    def break_index(self, garbage):
        self.store.close()
        if (self.store.folder / "index" / "cache.db").exists():
            (self.store.folder / "index" / "cache.db").write_bytes(garbage)

    @invariant()
    def lookup_agrees(self):
        whole = {k: r for k, r in self.published.items() if {b.digest for b in r.blobs} <= self.there}
        assert self.store.lookup(["aaa", "aab", "bbb", "ccc"]) == whole
        assert self.store.lookup(self.published, check_blobs=False) == self.published

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStoreMachine = StoreMachine.TestCase


def test_the_items_of_a_node_share_their_details_and_each_knows_its_own_identity(store, key):
    """A hundred thousand items cost one text that explains them, in the index as in memory."""

    def of_item(n):
        given = {"node_type": "Each", "version": 1, "seconds": 1.0, "created": 2.0, "inputs": {"vae": "v"}}
        return Record(key=key(n), output=[n], item={"clips": f"c{n}"}, **given)

    store.publish_many([of_item(n) for n in range(3)])
    fresh = Store(store.folder)
    found = fresh.lookup(key(n) for n in range(3))
    assert [found[key(n)].inputs for n in range(3)] == [{"vae": "v", "clips": f"c{n}"} for n in range(3)]
    ((name, _),) = {row for record in found.values() for row in record.shared_row().items()}
    assert found == {key(n): of_item(n) for n in range(3)}
    fresh._index.forget([f"details:{name}"])
    assert fresh.lookup([key(1)]) == {key(1): of_item(1)}  # from its file, where it stands as well
    with pytest.raises(ValueError, match="item"):
        Record(key="k", node_type="T", version=1, output=None, seconds=0, created=0, item={"two words": "x"})


def test_what_explains_a_record_leaves_the_index_with_it(store, record, key):
    store.publish_many([record("a", node="first"), record("b", node="second")])
    store._records.remove([key("a")])
    rows = store._index.get_many([f"result:{key(n)}" for n in ("a", "b")])
    assert list(rows) == [f"result:{key('b')}"]
    assert "second" in rows[f"result:{key('b')}"]
