import json
import shutil
import sys
from types import SimpleNamespace

import pytest

from vflow.engine.problems import Failure, GraphError, Interrupted, Transient
from vflow.nodes.models import fetch
from vflow.nodes.models import hub as hub_module
from vflow.nodes.models.source import resolve

MODEL = "Maker/Toy-1"


def problem(model, context, part="transformer"):
    with pytest.raises(GraphError) as caught:
        resolve(model, part, context)
    return str(caught.value)


def test_a_repository_is_resolved_once(hub, context):
    one = resolve(MODEL, "transformer", context)
    assert (one.kind, one.repository, one.commit) == ("hub", MODEL, hub.commit)
    resolve(MODEL, "text_encoder", context)
    asked = len(hub.log)
    hub.commit = "c" * 40  # the branch moves on
    assert resolve(MODEL, "transformer", context) == one
    assert len(hub.log) == asked
    hub.server.shutdown()
    shutil.rmtree(hub_module.cache_folder())
    context.offline = True
    assert resolve(MODEL, "transformer", context) == one


def test_only_small_files_are_read_to_resolve(hub, context):
    source = resolve(MODEL, "text_encoder", context)
    assert not [path for _, path in hub.log if path.endswith((".safetensors", "README.md"))]
    assert all(len(digest) == 64 for _, _, digest in source.files)


def test_a_copy_in_a_folder_is_the_same_model(hub, context):
    assert resolve(MODEL, "vae", context).identity == resolve(str(hub.folder), "vae", context).identity


def test_a_flavour_stands_for_its_repository(hub, context):
    assert resolve("toy/1.0", "vae", context).repository == MODEL
    assert resolve("toy/1.0@v2", "vae", context).identity == resolve(MODEL, "vae", context).identity
    assert any("/revision/v2" in path for _, path in hub.log)


def test_refresh_asks_again(hub, context):
    one = resolve(MODEL, "vae", context)
    hub.commit = "c" * 40
    (hub.folder / "vae" / "config.json").write_text('{"_class_name": "ToyVAE", "changed": true}')
    context.refresh = True
    two = resolve(MODEL, "vae", context)
    assert two.commit == hub.commit
    assert two.identity != one.identity


def test_refresh_without_a_network_goes_on_with_what_is_known(hub, context, monkeypatch):
    one = resolve(MODEL, "vae", context)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    context.refresh = True
    assert resolve(MODEL, "vae", context) == one
    assert context.said[-1][0] == "warning"


def test_the_mirror_is_no_part_of_what_a_model_is(hub, context, tmp_path, monkeypatch):
    one = resolve(MODEL, "vae", context)
    other = type(context)(tmp_path / "store")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other hub"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("127.0.0.1", "localhost"))
    assert resolve(MODEL, "vae", other) == one
    assert hub.url not in json.dumps(list(context.facts.values()))


def test_an_unreachable_hub_says_what_to_do(toy, context, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    message = problem(MODEL, context)
    assert "Maker/Toy-1 is not on this machine, and http://127.0.0.1:9 cannot be asked" in message
    for help_ in ("vflow fetch GRAPH", "HF_ENDPOINT", "hf download Maker/Toy-1 --local-dir"):
        assert help_ in message
    context.offline = True
    assert "offline nobody can be asked" in problem(MODEL, context)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_names_its_licence_and_the_login(hub, context, status):
    hub.refuse["/resolve/"] = (status, "GatedRepo")
    message = problem(MODEL, context)
    assert "gated" in message
    assert "https://example.org/licence" in message
    assert "hf auth login" in message


def test_a_repository_or_revision_that_there_is_not_is_said_so(hub, context):
    hub.refuse["/api/models/No/Body"] = (404, "RepoNotFound")
    hub.refuse["/revision/v9"] = (404, "RevisionNotFound")
    assert "no model repository 'No/Body'" in problem("No/Body", context)
    assert "has no revision 'v9'" in problem(f"{MODEL}@v9", context)


def test_a_copy_in_the_hubs_own_cache_serves_without_a_network(hub, context, tmp_path, monkeypatch):
    one = resolve(MODEL, "text_encoder", context)
    for name in ("model_index.json", "text_encoder/config.json", "text_encoder/model.safetensors"):
        hub_module.download(hub_module.Listing(MODEL, "main", {}), name, context)
    for name in ("tokenizer/tokenizer.json", "tokenizer/merges.txt"):
        hub_module.download(hub_module.Listing(MODEL, "main", {}), name, context)
    fresh = type(context)(tmp_path / "store")
    fresh.offline = True
    two = resolve(MODEL, "text_encoder", fresh)
    assert (two.identity, two.commit) == (one.identity, hub.commit)
    assert fetch.is_fetched(two, fresh)
    assert not [path for path in fresh.hashed if path.suffix == ".safetensors"]
    message = problem(MODEL, fresh, "vae")
    assert "the copy of Maker/Toy-1 on this machine lacks the sub-folder 'vae'" in message
    assert "vflow fetch GRAPH" in message


def test_fetching_brings_what_the_part_needs_and_nothing_else(hub, context):
    source = resolve(MODEL, "transformer", context)
    size = (hub.folder / "transformer" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert not fetch.is_fetched(source, context)
    assert fetch.bytes_to_fetch(source, context) == size
    fetch.fetch(source, context)
    assert fetch.is_fetched(source, context)
    assert fetch.bytes_to_fetch(source, context) == 0
    got = {path for method, path in hub.log if method == "GET" and "/resolve/" in path}
    assert {path.split("/resolve/")[1].split("/", 1)[1] for path in got} == {
        "model_index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
    }
    assert (fetch.folder_of(source, context) / "model_index.json").is_file()
    asked = len(hub.log)
    fetch.fetch(source, context)
    assert len(hub.log) == asked


def test_a_broken_download_goes_on_with_the_files_that_are_there(hub, context, monkeypatch):
    source = resolve(MODEL, "text_encoder", context)
    hub.break_off = "text_encoder/model.safetensors"
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    # a run tries it again by itself, some times
    with pytest.raises(Transient, match=r"model\.safetensors of Maker/Toy-1 could not be downloaded"):
        fetch.fetch(source, context)
    assert not fetch.is_fetched(source, context)
    hub.break_off = ""
    hub.log.clear()
    fetch.fetch(source, context)
    assert fetch.is_fetched(source, context)
    got = [path for method, path in hub.log if method == "GET"]
    assert [path.rsplit("/", 1)[1] for path in got] == ["model.safetensors"]


def test_a_file_of_the_wrong_size_is_fetched_again(hub, context):
    source = resolve(MODEL, "vae", context)
    fetch.fetch(source, context)
    damaged = fetch.folder_of(source, context) / "vae" / "diffusion_pytorch_model.safetensors"
    damaged.resolve().write_bytes(b"cut")
    assert not fetch.is_fetched(source, context)
    fetch.fetch(source, context)
    assert fetch.is_fetched(source, context)


def test_too_little_room_is_said_before_the_download(hub, context, monkeypatch):
    source = resolve(MODEL, "vae", context)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**8))
    hub.log.clear()
    with pytest.raises(Failure, match=r"needs 0.0 GB more, and .* has 0.1 GB left"):
        fetch.fetch(source, context)
    assert not hub.log


def test_a_download_ends_when_the_run_is_stopping(hub, context):
    source = resolve(MODEL, "vae", context)
    context.stop_now = True
    with pytest.raises(Interrupted):
        fetch.fetch(source, context)


def test_what_was_resolved_needs_neither_network_nor_the_hubs_library(hub, context, monkeypatch):
    one = resolve(MODEL, "vae", context)
    fetch.fetch(one, context)
    hub.refuse["/"] = (500, "")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert resolve(MODEL, "vae", context) == one
    assert fetch.is_fetched(one, context)


def test_a_miniature_is_built_once_and_whole(toy, context):
    source = resolve("tiny://toy?seed=4", "vae", context)
    assert fetch.bytes_to_fetch(source, context) == 0
    assert not fetch.is_fetched(source, context)
    fetch.fetch(source, context)
    fetch.fetch(source, context)
    fetch.fetch(resolve("tiny://toy?seed=4", "transformer", context), context)
    assert type(toy).built == 1
    folder = fetch.folder_of(source, context)
    assert [path.name for path in (context.store_folder / "models").iterdir()] == [folder.name]
    (folder / "vae" / "config.json").unlink()
    assert not fetch.is_fetched(source, context)
    fetch.fetch(source, context)
    assert fetch.is_fetched(source, context)
    assert type(toy).built == 2


def test_a_miniature_that_another_process_built_meanwhile_is_taken(toy, context, monkeypatch, checkpoints):
    source = resolve("tiny://toy", "vae", context)

    def slow(self, folder, seed, task):
        checkpoints(folder)
        monkeypatch.undo()
        monkeypatch.setitem(families_registered(), "toy", toy)
        fetch.fetch(source, context)

    monkeypatch.setattr(type(toy), "build_miniature", slow)
    fetch.fetch(source, context)
    assert fetch.is_fetched(source, context)
    assert len(list((context.store_folder / "models").iterdir())) == 1


def families_registered():
    from vflow.nodes import families

    return families._registered


def test_a_full_disk_leaves_nothing_half_built(toy, context, monkeypatch):
    source = resolve("tiny://toy", "vae", context)

    def full(self, folder, seed, task):
        (folder / "model_index.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(toy), "build_miniature", full)
    with pytest.raises(Failure, match="No space left"):
        fetch.fetch(source, context)
    assert not list((context.store_folder / "models").iterdir())


def test_a_folder_that_changed_after_the_plan_is_said_so(toy, context, checkpoint):
    source = resolve(str(checkpoint), "vae", context)
    assert fetch.is_fetched(source, context)
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Failure, match="changed or gone: vae/diffusion_pytorch_model"):
        fetch.fetch(source, context)
