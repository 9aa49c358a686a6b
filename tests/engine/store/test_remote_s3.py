"""Two stores share results over a real S3 server on loopback, through the command line."""

import json
import logging
import uuid

import pytest

pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[test]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[test]'")

NODES = {
    "words": "type: ToyWords, words: [One, Two, Three]",
    "tool": "type: ToyTake, name: knife",
    "carve": "type: ToyCarve, inputs: {words: words, tool: tool}",
    "measure": "type: ToyMeasure, inputs: {texts: carve}",
}
OUTPUTS = {"carved": "carve", "measured": "measure"}


@pytest.fixture(scope="session")
def server():
    """The address of an S3 server."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """The address of an empty bucket, with what the driver needs in the environment."""
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs = fsspec.filesystem("s3")
    fs.clear_instance_cache()
    name = f"b{uuid.uuid4().hex}"
    fsspec.filesystem("s3").call_s3("create_bucket", Bucket=name)
    return f"s3://{name}/vflow"


@pytest.fixture
def files():
    """Tell which objects an address holds, with their sizes."""
    import fsspec

    def below(address):
        fs = fsspec.filesystem("s3")
        fs.invalidate_cache()
        return {path: one["size"] for path, one in fs.find(address, detail=True).items()}

    return below


def test_a_second_store_reuses_everything_and_computes_nothing(vflow, graph, bucket, files, tmp_path):
    file = graph(NODES, OUTPUTS)
    first = vflow("run", file, "--remote", bucket, "--out", "one")
    assert first.code == 0, first.err
    assert "carve two" in first.done
    assert "still to be sent" not in first.err
    assert len([path for path in files(bucket) if "/records/" in path]) == 4

    plan = vflow("plan", file, "--remote", bucket, "--cache", "second", "--json")
    nodes = json.loads(plan.out)["nodes"]
    assert (nodes["carve"]["state"], nodes["carve"]["reason"]) == ("reused", "3 items kept (remote)")
    assert (nodes["measure"]["state"], nodes["measure"]["reason"]) == ("reused", "kept (remote)")

    second = vflow("run", file, "--remote", bucket, "--cache", "second", "--out", "two")
    assert second.code == 0, second.err
    assert second.done == ["words"]
    states = {
        name: node["state"] for name, node in json.loads((tmp_path / "two/summary.json").read_text())["nodes"].items()
    }
    assert (states["carve"], states["measure"]) == ("reused", "reused")
    for path in (tmp_path / "one/outputs").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_what_the_remote_lacks_is_computed_and_sent(vflow, graph, bucket):
    vflow("run", graph(NODES, OUTPUTS), "--remote", bucket)
    more = {**NODES, "words": "type: ToyWords, words: [One, Two, Four]"}
    second = vflow("run", graph(more, OUTPUTS), "--remote", bucket, "--cache", "second")
    assert [one for one in second.done if one.startswith("carve")] == ["carve four"]
    third = vflow("run", graph(more, OUTPUTS), "--remote", bucket, "--cache", "third")
    assert third.done == ["words"]


def test_nothing_is_sent_twice(vflow, graph, bucket, files):
    import fsspec

    file = graph(NODES, OUTPUTS)
    vflow("run", file, "--remote", bucket)
    before = {path: fsspec.filesystem("s3").info(path)["LastModified"] for path in files(bucket)}
    vflow("run", file, "--cache", "second")  # without the remote
    done = vflow("cache", "sync", "--all", "--remote", bucket, "--cache", "second")
    assert done.code == 0, done.err
    fsspec.filesystem("s3").invalidate_cache()
    assert {path: fsspec.filesystem("s3").info(path)["LastModified"] for path in files(bucket)} == before


def test_a_store_is_sent_as_a_whole(vflow, graph, bucket):
    file = graph(NODES, OUTPUTS)
    vflow("run", file)
    done = vflow("cache", "sync", "--all", "--remote", bucket)
    assert done.code == 0, done.err
    assert vflow("run", file, "--remote", bucket, "--cache", "second").done == ["words"]


def test_a_damaged_object_is_computed_again_by_the_next_run(vflow, graph, bucket, files):
    import fsspec

    file = graph(NODES, OUTPUTS)
    vflow("run", file, "--remote", bucket)
    for path, size in files(bucket).items():
        if "/blobs/" in path:
            fsspec.filesystem("s3").pipe_file(path, b"x" * size)
    first = vflow("run", file, "--remote", bucket, "--cache", "second")
    assert "is damaged" in first.err
    assert "Traceback" not in first.err
    second = vflow("run", file, "--remote", bucket, "--cache", "second")
    assert second.code == 0, second.err
    assert vflow("run", file, "--remote", bucket, "--cache", "third").done == ["words"]


def test_a_plan_says_what_it_would_send_and_where(vflow, graph, bucket):
    plan = vflow("plan", graph(NODES, OUTPUTS), "--remote", bucket)
    assert f"{bucket} (results, to your remote)" in plan.out


def test_a_bucket_that_does_not_exist_costs_a_warning(vflow, graph, bucket):
    done = vflow("run", graph(NODES, OUTPUTS), "--remote", "s3://nosuchbucket/vflow")
    assert done.code == 0, done.err
    assert "does not answer" in done.err
    assert "vflow cache sync" in done.err
    later = vflow("cache", "sync", "--remote", "s3://nosuchbucket/vflow")
    assert later.code == 1
