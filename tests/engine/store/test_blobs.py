import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.engine.store import Damaged, Store
from vflow.engine.store import files as store_files
from vflow.engine.values import Blob


def test_bytes_come_back_under_their_digest(store):
    blob = store.put_bytes(b"latents", ".safetensors")
    assert blob == Blob(digest=hashlib.sha256(b"latents").hexdigest(), size=7, suffix=".safetensors")
    assert store.blob_path(blob, verify=True).read_bytes() == b"latents"


@settings(max_examples=30, deadline=None)
@given(contents=st.lists(st.binary(max_size=200), max_size=8))
def test_equal_bytes_are_one_file(tmp_path_factory, contents):
    store = Store(tmp_path_factory.mktemp("store"))
    blobs = [store.put_bytes(data) for data in contents]
    assert [store.blob_path(blob).read_bytes() for blob in blobs] == contents
    kept = [path for path in (store.folder / "blobs").rglob("*") if path.is_file()]
    assert len(kept) == len(set(contents))


def test_a_file_is_moved_in_and_gone_from_its_place(store, tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"clip")
    inode = source.stat().st_ino
    blob = store.put_file(source, ".mp4")
    assert not source.exists()
    assert store.blob_path(blob).read_bytes() == b"clip"
    assert store.blob_path(blob).stat().st_ino == inode


def test_a_file_on_another_disk_is_copied_in(store, tmp_path, monkeypatch):
    import errno

    real = os.replace

    def other_disk(source, target):
        if str(source).endswith("clip.mp4"):
            raise OSError(errno.EXDEV, "another disk")
        real(source, target)

    monkeypatch.setattr(os, "replace", other_disk)
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"clip")
    blob = store.put_file(source)
    assert not source.exists()
    assert store.blob_path(blob, verify=True).read_bytes() == b"clip"


@pytest.mark.parametrize("share", [os.link, os.symlink])
def test_a_file_that_others_can_still_write_to_is_copied(store, tmp_path, share):
    original, source = tmp_path / "original", tmp_path / "source"
    original.write_bytes(b"one")
    share(original, source)
    blob = store.put_file(source)
    original.write_bytes(b"two")
    assert store.blob_path(blob, verify=True).read_bytes() == b"one"
    assert not store.blob_path(blob).is_symlink()


def test_a_blob_is_read_only_and_no_more_open_than_its_source(store, tmp_path):
    source = tmp_path / "private"
    source.write_bytes(b"x")
    source.chmod(0o600)
    assert stat.S_IMODE(store.blob_path(store.put_file(source)).stat().st_mode) == 0o400
    assert stat.S_IMODE(store.blob_path(store.put_bytes(b"y")).stat().st_mode) & 0o222 == 0


def test_a_missing_or_cut_blob_is_told(store):
    blob = store.put_bytes(b"0123456789")
    path = store.blob_path(blob)
    path.chmod(0o644)
    path.write_bytes(b"0123")
    assert not store.has_blob(blob)
    with pytest.raises(Damaged, match="wrong size"):
        store.blob_path(blob)
    path.unlink()
    with pytest.raises(Damaged, match="missing"):
        store.blob_path(blob)


def test_an_altered_blob_is_noticed_by_its_digest_and_moved_aside(store):
    blob = store.put_bytes(b"0123456789")
    path = store.blob_path(blob)
    path.chmod(0o644)
    path.write_bytes(b"0123456780")
    assert store.has_blob(blob)
    with pytest.raises(Damaged, match="damaged"):
        store.blob_path(blob, verify=True)
    assert not store.has_blob(blob)
    assert (store.folder / "damaged" / blob.digest).exists()


def test_putting_a_damaged_blob_again_heals_it(store):
    blob = store.put_bytes(b"0123456789")
    store.blob_path(blob).chmod(0o644)
    store.blob_path(blob).write_bytes(b"9876543210")
    store.put_bytes(b"0123456789")
    assert store.blob_path(blob, verify=True).read_bytes() == b"0123456789"


def test_a_digest_from_a_strangers_file_never_leaves_the_store(store):
    with pytest.raises(ValueError, match="not a digest"):
        store.blob_path(Blob(digest="../../../etc/passwd", size=1))


def test_a_failed_put_leaves_the_source_as_it_was(store, tmp_path, monkeypatch):
    import errno

    from vflow.engine.problems import Failure

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = tmp_path / "clip.mp4"
    source.write_bytes(b"clip")
    store.put_bytes(b"makes the folders")
    monkeypatch.setattr(store_files.os, "fsync", full)
    with pytest.raises(Failure, match="full"):
        store.put_file(source)
    assert source.read_bytes() == b"clip"


def test_scratch_folders_are_removed_also_after_an_error(store):
    with store.scratch() as folder:
        assert list(folder.iterdir()) == []
        assert folder.is_relative_to(store.folder)
        (folder / "half").write_bytes(b"x")
    assert not folder.exists()

    def fail(path):
        (path / "half").mkdir()
        raise RuntimeError

    with pytest.raises(RuntimeError), store.scratch() as folder:
        fail(folder)
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_by_the_next(store, python):
    code = """
import sys, time
from pathlib import Path
from vflow.engine.store import Store
with Store(Path(sys.argv[1])).scratch() as folder:
    (folder / "half").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""
    child = python(code, store.folder)
    left = child.stdout.readline().strip()
    living = Store(store.folder)
    with living.scratch():
        assert Path(left).exists()  # its owner lives
    child.kill()
    child.wait()
    with Store(store.folder).scratch():
        assert not Path(left).exists()


def test_a_temporary_folder_of_another_machine_is_left_alone_for_a_week(store):
    theirs = store.folder / "tmp" / "elsewhere~some-boot~1~42~7"
    theirs.mkdir(parents=True)
    with Store(store.folder).scratch():
        assert theirs.exists()
    os.utime(theirs, (1, 1))
    with Store(store.folder).scratch():
        assert not theirs.exists()


def test_work_folders_stay(store):
    folder = store.work_folder("ab12")
    (folder / "checkpoint").write_bytes(b"x")
    assert Store(store.folder).work_folder("ab12") == folder
    assert (folder / "checkpoint").exists()


def test_a_store_can_be_moved(store, tmp_path, record):
    blob = store.put_bytes(b"x")
    store.publish(record("a", [blob]))
    store.close()
    shutil.move(store.folder, tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert moved.lookup([record("a").key]) == {record("a").key: record("a", [blob])}
    assert moved.blob_path(blob).read_bytes() == b"x"
