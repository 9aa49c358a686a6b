"""A full disk, a read-only store, torn and damaged files: a clear error or a recomputation, never a wrong result."""

import json
import os

import pytest

SAMPLE = 6


def check(place, undisturbed, point, **how):
    """Let an operation fail, then run again on a sound disk; return whether the point was reached."""
    broken = place.run(fail=point, count=str(place.folder / "count"), **how)
    assert broken.code in (0, 1), broken
    if broken.code:
        broken.check_told()
    else:  # it could do without
        assert place.outputs() == undisturbed.outputs()
    again = place.run()
    assert again.code == 0, (point, broken, again)
    assert place.outputs() == undisturbed.outputs()
    assert place.results() == undisturbed.results()
    assert place.call("cache", "verify").code == 0
    return int((place.folder / "count").read_text()) >= point


def through(points, another, undisturbed, **how):
    reached = 0
    for point in points:
        if not check(another(f"{how['error']}-{point}"), undisturbed, point, **how):
            break
        reached += 1
    return reached


@pytest.mark.parametrize(("error", "lasting"), [("ENOSPC", True), ("ENOSPC", False), ("EIO", False)])
def test_a_disk_that_fails_at_an_operation_ends_in_words_and_nothing_is_wrong_after(
    another, undisturbed, error, lasting
):
    step = undisturbed.operations // SAMPLE
    points = range(3 + 7 * lasting, undisturbed.operations, step)
    assert through(points, another, undisturbed, error=error, lasting=lasting)


@pytest.mark.long
@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize(("error", "stride"), [("ENOSPC", 1), ("EACCES", 5), ("EROFS", 5), ("EIO", 5)])
def test_a_disk_that_fails_at_any_operation(another, undisturbed, error, stride, lasting):
    assert through(range(1, 10_000, stride), another, undisturbed, error=error, lasting=lasting)


@pytest.mark.parametrize("error", ["EACCES", "EROFS"])
def test_a_store_that_cannot_be_written_is_told(place, error):
    ended = place.run(fail=1, error=error, under=str(place.store))
    ended.check_told()
    assert "the store cannot be written" in ended.err
    assert "--cache" in ended.err


def test_a_store_that_cannot_be_written_still_serves_what_it_has(place, undisturbed):
    assert place.run().code == 0
    again = place.run(fail=1, error="EROFS", under=str(place.store))
    assert again.code == 0, again
    assert again.done == []
    assert place.outputs() == undisturbed.outputs()


@pytest.mark.parametrize("error", ["EACCES", "ENOSPC"])
def test_a_folder_of_the_run_that_cannot_be_written_is_told_and_costs_nothing(place, undisturbed, error):
    ended = place.run(fail=1, error=error, under=str(place.run_folder))
    ended.check_told()
    assert "the run's folder cannot be" in ended.err
    late = place.run(fail=250, error=error, under=str(place.run_folder))
    late.check_told()
    again = place.run()
    assert again.code == 0
    assert place.outputs() == undisturbed.outputs()


def test_a_full_disk_stops_the_whole_run_at_once(place):
    ended = place.run(fail=120, error="ENOSPC")
    ended.check_told()
    assert ended.err.count("the disk that holds the store is full") == 1, ended.err
    assert "free some space" in ended.err
    assert "join" not in ended.done


# --- damage ----------------------------------------------------------------------------------------------------------


def torn(path):
    os.truncate(path, path.stat().st_size // 2)


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


DAMAGES = [torn, flipped, emptied]


def blob_with(place, start):
    path = next(path for path in place.blobs().values() if path.read_bytes().startswith(start))
    path.chmod(0o644)
    return path


def joined(place):
    """The newest blob that `join` wrote: plain JSON."""
    found = [
        path
        for path in place.blobs().values()
        if path.read_bytes().startswith(b"[[") and path.read_bytes().endswith(b"]")
    ]
    found = max(found, key=lambda path: path.stat().st_mtime_ns)
    found.chmod(0o644)
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_finds_every_damaged_blob_and_the_next_run_computes_them_again(place, undisturbed, damage):
    place.run()
    blobs = place.blobs()
    for path in blobs.values():
        path.chmod(0o644)
        damage(path)
    found = place.call("cache", "verify")
    assert found.code == 1
    assert all(digest[:12] in found.out + found.err for digest in blobs)
    again = place.run()
    assert again.code == 0, again
    assert place.outputs() == undisturbed.outputs()
    assert place.results() == undisturbed.results()
    assert place.call("cache", "verify").code == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damaged_record_is_found_and_computed_again(place, undisturbed, damage):
    place.run()
    for path in (place.store / "records").rglob("*.json"):
        damage(path)
    assert place.call("cache", "verify").code == 1
    again = place.run()
    assert again.code == 0, again
    assert place.outputs() == undisturbed.outputs()
    assert place.results() == undisturbed.results()


def test_a_node_that_meets_a_damaged_blob_has_it_computed_again_and_says_so(place, undisturbed):
    place.run()
    flipped(blob_with(place, b"eleven"))  # of the right size: only its digest tells
    again = place.call("run", place.graph, "--out", place.run_folder, "--force", "join", "--json")
    assert again.code == 0, again
    assert again.done == ["carve eleven", "join"]
    assert place.outputs() == undisturbed.outputs()
    events = [json.loads(line) for line in again.out.splitlines()]
    warning = next(event for event in events if event["kind"] == "log" and event["level"] == "warning")
    assert warning["node"] == "carve"
    assert "is damaged" in warning["message"]
    assert "computing it again" in warning["message"]
    assert [e["computed"] for e in events if e["kind"] == "node_finished" and e["node"] == "carve"][-1] == 1


def test_all_that_is_damaged_is_computed_again_in_one_go(place, undisturbed):
    place.run()
    for start in (b"one", b"three", b"eleven"):
        flipped(blob_with(place, start))
    again = place.call("run", place.graph, "--out", place.run_folder, "--force", "join")
    assert again.code == 0, again
    assert again.done == ["carve one", "carve three", "carve eleven", "join"]
    assert place.outputs() == undisturbed.outputs()


def test_a_damaged_blob_behind_an_output_is_not_exported(place, undisturbed):
    place.run()
    for start in (b"eleven", b"[["):
        flipped(blob_with(place, start))
    again = place.run()
    assert again.code == 0, again
    assert "damaged" in again.err
    assert "carve eleven" in again.done
    assert place.outputs() == undisturbed.outputs()
    assert place.run().done == []


def test_a_damaged_result_that_comes_out_otherwise_changes_what_is_below_it(place):
    graph = place.graph.read_text().replace("lengths: lengths}}", "lengths: lengths}, drawn: true}")
    place.graph.write_text(graph)
    place.run()
    before = place.outputs()
    flipped(joined(place))
    again = place.call("run", place.graph, "--out", place.run_folder, "--force", "walk")
    assert again.code == 0, again
    # the walk first meets the damage; what is joined now is something else, and so the walk is another one
    assert again.done == ["walk", "join", "walk", "step 0", "step 1", "step 2"]
    assert place.outputs() != before
    assert place.outputs()["path/text.txt"].startswith(joined(place).read_bytes() + b" ")
    assert place.run().done == []


def test_a_lost_result_that_comes_out_otherwise_never_leaves_a_result_under_a_key_without_it(place):
    graph = place.graph.read_text().replace("lengths: lengths}}", "lengths: lengths}, drawn: true}")
    graph = graph.replace("outputs:", "  again: {type: FaultWalk, inputs: {text: walk}, steps: 2}\noutputs:")
    place.graph.write_text(graph.replace("path: walk", "path: again\n  joined: join"))
    place.run()
    seen = set(place.results())
    for _ in range(3):
        joined(place).unlink()  # both walks are there, but they stand on what is lost
        ended = place.run()
        assert ended.code == 0, ended
        new = set(place.results()) - seen
        assert len(new) == 2, ended
        seen |= new
        assert place.outputs()["joined/text.txt"] == joined(place).read_bytes()
        assert place.outputs()["path/text.txt"].startswith(joined(place).read_bytes() + b" ")


def test_a_blob_damaged_each_time_ends_the_run_in_words(place):
    # the disk cannot hold this blob: it is damaged again as soon as it is written
    place.run()
    flipped(blob_with(place, b"eleven"))
    ended = place.call("run", place.graph, "--out", place.run_folder, "--force", "join", rot="eleven")
    ended.check_told()
    assert "damaged" in ended.err


def test_a_damaged_blob_in_a_store_that_cannot_be_written_is_told(place):
    place.run()
    flipped(blob_with(place, b"eleven"))
    ended = place.run(fail=1, error="EROFS", under=str(place.store))
    ended.check_told()
    assert "the store cannot be written" in ended.err or "is damaged" in ended.err
    assert place.run().done == ["carve eleven"]


# --- the index -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [torn, flipped, emptied, lambda path: path.write_bytes(os.urandom(5000))])
def test_a_damaged_index_costs_a_rebuild_and_nothing_else(place, undisturbed, damage):
    place.run()
    for path in (place.store / "index").iterdir():
        damage(path)
    again = place.run()
    assert again.code == 0, again
    assert again.done == []
    assert place.outputs() == undisturbed.outputs()


def test_a_store_copied_without_its_index_serves_everything(place, another, undisturbed):
    import shutil

    place.run()
    copy = another("copy")
    shutil.copytree(place.store, copy.store, ignore=shutil.ignore_patterns("index", "leases", "tmp", "runs"))
    ended = copy.run()
    assert ended.code == 0
    assert ended.done == []
    assert copy.outputs() == undisturbed.outputs()


def test_an_index_deleted_while_a_run_goes_on_disturbs_it_not(place, undisturbed):
    import shutil
    import time

    slow = place.graph.read_text().replace("seconds: 0.025", "seconds: 0.3")
    place.graph.write_text(slow)
    process = place.start("run", place.graph, "--out", place.run_folder)
    deadline = time.monotonic() + 30
    while "carve one" not in place.done() and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(place.store / "index")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert place.outputs() == undisturbed.outputs()
    assert place.run().done == []
