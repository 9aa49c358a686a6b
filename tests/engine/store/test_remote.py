"""A second tier: what one store computed, another takes from it; and nothing that it does can harm a run."""

import hashlib
import json
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from vflow.engine.problems import GraphError, Interrupted
from vflow.engine.store import Damaged, Record, Store
from vflow.engine.store.remote_address import address_of, chosen
from vflow.engine.store.remote_outbox import Outbox
from vflow.engine.values import Artifact, Blob


class RemoteText(Artifact):
    blob: Blob


def key_of(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


def record_of(name, *blobs, **fields):
    output = {"outputs": {str(n): RemoteText(blob=blob).to_json() for n, blob in enumerate(blobs)}}
    given = {
        "key": key_of(name),
        "node_type": "Echo",
        "version": 1,
        "output": output,
        "seconds": 1.5,
        "created": 1_700_000_000.25,
        "blobs": blobs,
        "settings": {"name": name},
        "graph": "graph",
        "node": "echo",
    }
    return Record(**(given | fields))


def framed(body):
    """Return a record's file with a right checksum around any content."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return b'{"sha256":"' + hashlib.sha256(data).hexdigest().encode() + b'","record":' + data + b"}\n"


def publish(store, name="a", data=b"latents", **fields):
    blob = store.put_bytes(data, ".safetensors")
    record = record_of(name, blob, **fields)
    store.publish(record)
    return record, blob


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there"


@pytest.fixture
def open_store(tmp_path, there):
    opened = []

    def make(name, remote=None):
        opened.append(Store(tmp_path / name, remote=remote or there.as_uri()))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def sent(open_store):
    """A record and its blob that another store has sent."""
    store = open_store("first")
    record, blob = publish(store)
    assert store.remote.flush(20) == 0
    return record, blob


def file_of(there, record):
    return there / "records" / record.key[:2] / f"{record.key}.json"


def blob_file_of(there, blob):
    return there / "blobs" / blob.digest[:2] / blob.digest


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_what_one_store_computed_another_takes(open_store, sent):
    record, blob = sent
    other = open_store("second")
    assert other.lookup([record.key, key_of("unknown")]) == {record.key: record}
    assert other.remote.brought == {record.key}
    assert not list(other.folder.glob("blobs/*/*"))  # blobs come when they are needed
    assert other.has_blobs(record)
    assert other.blob_path(blob).read_bytes() == b"latents"
    assert other.verify() == []


def test_what_was_brought_is_kept_without_the_remote(open_store, sent, tmp_path):
    record, blob = sent
    other = open_store("second")
    other.lookup([record.key])
    other.blob_path(blob)
    alone = Store(tmp_path / "second")
    assert alone.lookup([record.key]) == {record.key: record}
    assert alone.blob_path(blob).stat().st_mode & 0o222 == 0


def test_the_remote_is_laid_out_like_a_store(open_store, sent, there):
    record, blob = sent
    assert file_of(there, record).read_bytes() == record.to_file()
    assert blob_file_of(there, blob).read_bytes() == b"latents"
    assert not list((there / "tmp").iterdir())
    assert Store(there).lookup([record.key]) == {record.key: record}


def test_a_remote_in_memory_serves_too(open_store):
    address = f"memory://{key_of(time.time_ns())}"
    one, two = open_store("first", address), open_store("second", address)
    record, blob = publish(one)
    assert one.remote.flush(20) == 0
    assert two.lookup([record.key]) == {record.key: record}
    assert two.blob_path(blob).read_bytes() == b"latents"


def test_a_blob_that_is_passed_on_without_being_opened_is_brought(open_store, sent):
    _, blob = sent
    other = open_store("second")
    passed = record_of("passed on", blob)
    other.publish(passed)
    assert other.lookup([passed.key]) == {passed.key: passed}


def test_many_records_are_found_by_listing(open_store, monkeypatch):
    from vflow.engine.store import remote_reading

    monkeypatch.setattr(remote_reading, "_MANY", 5)
    one, two = open_store("first"), open_store("second")
    blobs = [one.put_bytes(str(n).encode()) for n in range(12)]
    records = [record_of(n, blob) for n, blob in enumerate(blobs)]
    one.publish_many(records)
    assert one.remote.flush(20) == 0
    wanted = [record.key for record in records] + [key_of(f"missing {n}") for n in range(12)]
    assert two.lookup(wanted) == {record.key: record for record in records}
    two.bring(blobs)
    assert len(list(two.folder.glob("blobs/*/*"))) == 12


def test_what_is_there_is_not_sent_again(open_store, sent, there):
    record, blob = sent
    before = [path.stat().st_mtime_ns for path in (file_of(there, record), blob_file_of(there, blob))]
    other = open_store("second")
    publish(other, seconds=99.0)  # computed again elsewhere, with the same result
    assert other.remote.flush(20) == 0
    assert [path.stat().st_mtime_ns for path in (file_of(there, record), blob_file_of(there, blob))] == before


def test_nothing_is_asked_or_imported_while_the_store_has_everything(open_store, python, sent, there):
    code = """
import sys
from pathlib import Path
from vflow.engine.store import Store
store = Store(Path(sys.argv[1]), remote=sys.argv[2])
assert len(store.lookup([sys.argv[3]])) == 1
store.remote.resume()
assert store.remote.finish() == []
print("fsspec" in sys.modules)
"""
    process = python(code, open_store("first").folder, there.as_uri(), sent[0].key)
    out, err = process.communicate(timeout=30)
    assert (out.strip(), err) == ("False", "")


# --- what comes is not trusted ---------------------------------------------------------------------------------------

BODY = json.loads(record_of("a", Blob(digest="a" * 64, size=3)).to_file())["record"]


def changed(**fields):
    return framed({**BODY, **fields})


DAMAGED = {
    "empty": b"",
    "torn": record_of("a").to_file()[:-20],
    "altered": record_of("a").to_file().replace(b"graph", b"grabh"),
    "of another key": record_of("b").to_file(),
    "not JSON": b"\x80\x04\x95cposix\nsystem\n",
    "no record": framed(["a"]),
    "without output": framed({name: part for name, part in BODY.items() if name != "output"}),
    "of an unknown type": changed(output={"type": "os.system", "value": {}}),
    "with wrong data": changed(output={"type": "RemoteText", "value": {"blob": 3}}),
    "with a blob that it does not name": changed(blobs=[]),
    "with a blob of another size": changed(blobs=[["a" * 64, 4, ""]]),
    "with a path for a digest": changed(blobs=[*BODY["blobs"], ["../../../etc/passwd", 3, ""]]),
    "with a path for a suffix": changed(blobs=[["a" * 64, 3, "/../x"]]),
    "with a pickle": changed(blobs=[["a" * 64, 3, ".pkl"]]),
    "with a negative size": changed(blobs=[*BODY["blobs"], ["b" * 64, -1, ""]]),
    "with endless seconds": changed(seconds=float("inf")),
    "with text for seconds": changed(seconds="1"),
    "with a path for its work folder": changed(details={**BODY["details"], "work": "../../home"}),
    "with a list for a graph": changed(details={**BODY["details"], "graph": []}),
    "nested without end": b'{"sha256":"' + b"0" * 64 + b'","record":' + b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_record_is_ignored_that_is(name, open_store, there):
    path = file_of(there, record_of("a"))
    path.parent.mkdir(parents=True)
    path.write_bytes(DAMAGED[name])
    store = open_store("second")
    assert store.lookup([key_of("a")]) == {}
    (said,) = store.remote.take_notices()
    assert "damaged" in said
    record, _ = publish(store)  # computed here, and the sound one takes the place of the other
    assert store.remote.flush(20) == 0
    assert path.read_bytes() == record.to_file()


def test_a_huge_record_is_not_read(open_store, there):
    path = file_of(there, record_of("a"))
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(200 << 30)  # sparse
    store = open_store("second")
    assert store.lookup([key_of("a")]) == {}
    assert "damaged" in store.remote.take_notices()[0]


def test_a_truncated_blob_makes_its_record_absent_and_is_replaced(open_store, sent, there):
    record, blob = sent
    blob_file_of(there, blob).chmod(0o644)
    blob_file_of(there, blob).write_bytes(b"laten")
    store = open_store("second")
    assert store.lookup([record.key], check_blobs=False) == {record.key: record}
    assert store.lacking({record.key: record}) == [record.key]
    assert store.lookup([record.key]) == {}
    publish(store)
    assert store.remote.flush(20) == 0
    assert blob_file_of(there, blob).read_bytes() == b"latents"


@pytest.mark.parametrize("data", [b"LATENTS", b"latents and a gigabyte more"])
def test_an_altered_blob_is_noticed_by_its_digest_and_replaced(data, open_store, sent, there, monkeypatch):
    record, blob = sent
    store = open_store("second")
    assert store.lookup([record.key])  # it had the right size then
    blob_file_of(there, blob).chmod(0o644)
    blob_file_of(there, blob).write_bytes(data)
    with pytest.raises(Damaged, match="missing"):
        store.blob_path(blob)
    assert not list(store.folder.glob("blobs/*/*"))
    assert "ignored" in store.remote.take_notices()[0]
    again = open_store("second")  # another process knows it too, so that the result is computed again
    assert again.lookup([record.key]) == {}
    publish(again)
    assert again.remote.flush(20) == 0
    assert blob_file_of(there, blob).read_bytes() == b"latents"
    assert open_store("third").blob_path(blob).read_bytes() == b"latents"


def test_a_record_whose_other_result_is_lost_gives_way(open_store, sent, there):
    record, blob = sent
    blob_file_of(there, blob).unlink()
    store = open_store("second")
    assert store.lookup([record.key]) == {}
    mine, other = publish(store, data=b"equal up to rounding")
    assert store.remote.flush(20) == 0
    assert open_store("third").lookup([record.key]) == {record.key: mine}
    assert not blob_file_of(there, blob).exists()
    assert blob_file_of(there, other).exists()


def test_a_locally_damaged_blob_is_not_sent(open_store, there):
    store = open_store("first", "memory://nobody")
    record, blob = publish(store)
    path = store.blob_path(blob)
    path.chmod(0o644)
    path.write_bytes(b"LATENTS")
    again = Store(store.folder, remote=there.as_uri())
    again.remote.announce([record])
    again.remote.push([record])
    assert again.remote.flush(20) == 1
    assert not blob_file_of(there, blob).exists()
    assert not file_of(there, record).exists()


# --- a remote that is dead -------------------------------------------------------------------------------------------


@pytest.fixture
def silent():
    """A server that accepts and never answers; returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def accept():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for connection in taken:
            connection.close()


@pytest.fixture
def closed():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def s3(monkeypatch):
    """Let the s3 driver talk to a port of this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[test]'")

    def at(port):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import fsspec

        fsspec.filesystem("s3").clear_instance_cache()
        return "s3://bucket/vflow"

    return at


@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_a_dead_server_takes_a_few_seconds_once_and_loses_nothing(kind, request, open_store, s3, there):
    address = s3(request.getfixturevalue(kind))
    import s3fs  # noqa: F401 - its import is not what is waited for

    store = open_store("first", address)
    started = time.monotonic()
    assert store.lookup([key_of(n) for n in range(100)]) == {}
    waited = time.monotonic() - started
    assert waited < 5  # 2.5 s; machines that run tests are slow
    started = time.monotonic()
    for n in range(200):
        assert store.lookup([key_of(f"more {n}")]) == {}
    record, blob = publish(store)
    assert store.blob_path(blob).read_bytes() == b"latents"
    assert store.lookup([record.key]) == {record.key: record}
    assert time.monotonic() - started < 2
    said = store.remote.take_notices()
    assert len(said) == 1
    assert "s3://bucket/vflow does not answer" in said[0]
    assert store.remote.flush(0.2) == 1


def test_a_server_that_dies_later_is_noticed_when_a_blob_is_needed(open_store, sent, monkeypatch):
    from vflow.engine.store import remote_link, remote_reading

    record, blob = sent
    store = open_store("second")
    assert store.lookup([record.key])
    monkeypatch.setattr(remote_reading, "PATIENCE_FOR_DATA", 0.2)
    gate = threading.Event()
    monkeypatch.setattr(remote_link.Link, "chunks", lambda _link, _path: iter(gate.wait, True))
    with pytest.raises(Damaged):
        store.blob_path(blob)
    assert not store.has_blobs(record)  # so it is computed again
    assert store.lookup([record.key]) == {}
    assert "does not answer" in store.remote.take_notices()[0]
    gate.set()


def test_an_interrupt_ends_the_wait_for_a_slow_blob(open_store, sent, monkeypatch):
    from vflow.engine.store import remote_link

    record, blob = sent
    store = open_store("second")
    assert store.lookup([record.key])
    gate = threading.Event()
    monkeypatch.setattr(remote_link.Link, "chunks", lambda _link, _path: iter(gate.wait, True))
    started = time.monotonic()
    with pytest.raises(Interrupted):
        store.bring([blob], lambda: time.monotonic() > started + 0.1)
    assert time.monotonic() - started < 5
    gate.set()


def test_errors_of_a_driver_are_a_dead_remote_and_never_a_traceback(open_store, there):
    there.write_bytes(b"a file where a folder should be")
    store = open_store("first")
    assert store.lookup([key_of("a")]) == {}
    publish(store)
    assert store.remote.flush(5) == 1
    assert any("does not answer" in text for text in store.remote.finish())


def test_a_missing_driver_is_told_before_anything_is_done(open_store):
    store = open_store("first", "nosuch://place")
    with pytest.raises(GraphError, match="nosuch"):
        store.lookup([key_of("a")])


# --- sending ---------------------------------------------------------------------------------------------------------

SENDER = """
import os, signal, sys
from pathlib import Path
from vflow.engine.store import Store, remote_link
from vflow.engine.store.remote_link import Link
upload = Link.upload
def slowly(link, local, path):
    if path.startswith(sys.argv[3]):
        if sys.argv[4] == "half":
            Path(sys.argv[2], "tmp").mkdir(parents=True, exist_ok=True)
            Path(sys.argv[2], "tmp", "part").write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    upload(link, local, path)
Link.upload = slowly
store = Store(Path(sys.argv[1]), remote=Path(sys.argv[2]).as_uri())
sys.path.insert(0, sys.argv[5])
import test_remote
test_remote.publish(store)
store.remote.flush(20)
"""


@pytest.mark.parametrize(("at", "how"), [("blobs", "before"), ("blobs", "half"), ("records", "before")])
def test_a_process_killed_while_sending_is_continued_by_a_later_one(at, how, python, tmp_path, there, open_store):
    process = python(SENDER, tmp_path / "first", there, at, how, Path(__file__).parent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    record = record_of("a")
    assert not file_of(there, record).exists()
    assert open_store("second").lookup([record.key]) == {}  # nobody sees a part of it
    store = open_store("first")
    store.remote.resume()
    assert store.remote.flush(20) == 0
    third = open_store("third")
    (found,) = third.lookup([record.key]).values()
    assert third.blob_path(found.blobs[0]).read_bytes() == b"latents"


def test_what_a_dead_remote_did_not_get_is_sent_when_it_is_back(open_store, there):
    there.write_bytes(b"a file where a folder should be")
    store = open_store("first")
    record, _ = publish(store)
    assert store.remote.flush(5) == 1
    there.unlink()
    later = open_store("first")
    later.remote.resume()
    assert later.remote.finish() == []
    assert open_store("second").lookup([record.key])


def test_blobs_are_there_before_their_record(open_store, there, monkeypatch):
    from vflow.engine.store.remote_link import Link

    order, upload = [], Link.upload

    def note(link, local, path):
        order.append(path.partition("/")[0])
        upload(link, local, path)

    monkeypatch.setattr(Link, "upload", note)
    store = open_store("first")
    store.publish(record_of("a", store.put_bytes(b"one"), store.put_bytes(b"two")))
    assert store.remote.flush(20) == 0
    assert order == ["blobs", "blobs", "records"]


def test_publishing_does_not_wait_for_a_slow_remote(open_store, monkeypatch):
    from vflow.engine.store.remote_link import Link

    gate, upload = threading.Event(), Link.upload
    monkeypatch.setattr(Link, "upload", lambda *args: (gate.wait(), upload(*args)))
    store = open_store("first")
    for n in range(20):
        publish(store, n, str(n).encode())
    started = time.monotonic()
    assert store.remote.flush(0.1) == 20
    assert time.monotonic() - started < 2
    gate.set()
    assert store.remote.flush(20) == 0


def test_the_queue_is_bounded_and_the_journal_holds_the_rest(tmp_path, monkeypatch):
    from vflow.engine.store import remote_outbox

    monkeypatch.setattr(remote_outbox, "_QUEUE", 3)
    got, lock = [], threading.Lock()

    def send(key):
        with lock:
            got.append(key)
        return True

    outbox = Outbox(str(tmp_path / "pending"), send, print, lambda: None)
    names = [f"key{n}" for n in range(50)]
    outbox.note(names)
    outbox.push(names)
    assert outbox.flush(20) == 0
    assert sorted(set(got)) == sorted(names)


def test_a_remote_that_can_only_be_read_is_sent_nothing(open_store):
    store = open_store("first", "http://127.0.0.1:1/store")
    publish(store)
    assert not list(store.folder.glob("remote/*/pending/*"))
    assert store.remote.flush(1) == 0


# --- addresses -------------------------------------------------------------------------------------------------------


def test_the_flag_comes_before_the_environment_before_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VFLOW_REMOTE", raising=False)
    assert chosen(None) is None
    (tmp_path / "vflow").mkdir()
    (tmp_path / "vflow" / "config.yaml").write_text("remote: s3://mine/store\n")
    assert chosen(None) == "s3://mine/store"
    monkeypatch.setenv("VFLOW_REMOTE", "s3://other/store/")
    assert chosen(None) == "s3://other/store"
    assert chosen("gs://flag/store") == "gs://flag/store"
    assert chosen("") is None
    assert chosen(None, offline=True) is None
    assert chosen(str(tmp_path), offline=True) == tmp_path.as_uri()


def test_an_address_is_shown_without_its_secrets():
    address = address_of("sftp://me:password@host/folder?token=abc")
    assert address.shown == "sftp://host/folder"
    assert "password" not in address.tag


def test_an_address_without_a_place_is_wrong():
    with pytest.raises(GraphError, match="s3://bucket"):
        address_of("s3://")
