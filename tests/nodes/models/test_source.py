import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.problems import Failure, GraphError
from vflow.nodes import families
from vflow.nodes.models import fetch
from vflow.nodes.models.source import miniature_seed, resolve


def problem(model, context, part="transformer"):
    with pytest.raises(GraphError) as caught:
        resolve(model, part, context)
    return str(caught.value)


def test_a_miniature_is_family_builder_version_and_seed(toy, context, monkeypatch):
    one = resolve("tiny://toy", "transformer", context)
    assert (one.family, one.kind, one.part) == ("toy", "tiny", "transformer")
    assert one.identity == resolve("tiny://toy?random", "transformer", context).identity
    assert one.identity == resolve("tiny://toy?seed=0", "transformer", context).identity
    assert one.identity != resolve("tiny://toy?seed=1", "transformer", context).identity
    assert one.identity != resolve("tiny://toy", "vae", context).identity
    monkeypatch.setattr(type(toy), "miniature_version", 2)
    assert one.identity != resolve("tiny://toy", "transformer", context).identity


def test_a_trained_miniature_is_its_files_like_any_other_checkpoint(toy, context, checkpoint, monkeypatch):
    random = resolve("tiny://toy", "transformer", context)
    monkeypatch.setattr(type(toy), "trained_miniature", checkpoint)
    trained = resolve("tiny://toy", "transformer", context)
    assert (trained.kind, trained.model) == ("tiny", "tiny://toy")
    assert trained.files == resolve(str(checkpoint), "transformer", context).files
    assert trained.content == resolve(str(checkpoint), "transformer", context).content
    assert fetch.folder_of(trained, context) == checkpoint
    assert fetch.is_fetched(trained, context)
    fetch.fetch(trained, context)
    assert toy.built == 0
    for name in ("?random", "?seed=0"):
        assert resolve(f"tiny://toy{name}", "transformer", context).identity == random.identity


def test_a_trained_miniature_that_is_not_whole_is_told(toy, context, checkpoint, monkeypatch):
    monkeypatch.setattr(type(toy), "trained_miniature", checkpoint)
    trained = resolve("tiny://toy", "vae", context)
    shutil.rmtree(checkpoint / "vae")
    assert "install vflow again" in problem("tiny://toy", context, "vae")
    assert not fetch.is_fetched(trained, context)
    with pytest.raises(Failure, match="gone"):
        fetch.fetch(trained, context)


@given(st.integers(0, 10**18 - 1))
def test_the_seed_stands_in_the_name(seed):
    assert miniature_seed(f"tiny://toy?seed={seed}") == seed


@pytest.mark.parametrize("options", ["seed=-1", "seed=1.5", "seed=", "seed=x", "sed=1"])
def test_a_miniature_takes_no_other_options(toy, context, options):
    assert "tiny://toy?" in problem(f"tiny://toy?{options}", context)


def test_an_unknown_family_is_suggested(toy, context):
    assert "did you mean 'toy'?" in problem("tiny://toyy", context)


@pytest.mark.parametrize("model", ["", "toy toy", "https://example.org/toy", "a/b/c", "/", "owner/../x", "o/n@../../x"])
def test_what_names_no_model_is_told_how_to(toy, context, model):
    assert ";" in problem(model, context)


def test_a_family_alone_is_told_its_flavours(toy, context):
    assert "write toy/1.0, or tiny://toy" in problem("toy", context)
    assert "did you mean '1.0'?" in problem("toy/1.1", context)


def test_a_folder_is_its_loaded_files_and_not_its_place(toy, context, checkpoint, tmp_path):
    one = resolve(str(checkpoint), "text_encoder", context)
    assert [name for name, _, _ in one.files] == [
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer.json",
    ]
    assert context.places[one.content] == checkpoint
    moved = checkpoint.rename(tmp_path / "elsewhere")
    (moved / "README.md").write_text("other words")
    (moved / "text_encoder" / "pytorch_model.bin").write_bytes(b"pickle")
    (moved / "text_encoder" / "model.fp16.safetensors").write_bytes(b"variant")
    (moved / "transformer" / "config.json").write_text('{"_class_name": "ToyTransformer", "other": 1}')
    again = resolve(str(moved), "text_encoder", context)
    assert again.identity == one.identity
    assert str(tmp_path) not in json.dumps(again.identity_data())
    (moved / "tokenizer" / "merges.txt").write_text("a c")
    assert resolve(str(moved), "text_encoder", context).identity != one.identity


def test_a_folder_may_be_relative_or_below_home(toy, context, checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    contents = {resolve(m, "vae", context).content for m in ("checkpoint", "./checkpoint", "~/checkpoint")}
    assert len(contents) == 1
    assert "there is no folder" in problem("./checkpoints", context)


def test_pickles_are_never_opened(toy, context, checkpoint):
    weights = checkpoint / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    if os.getuid():
        weights.with_suffix(".bin").chmod(0)
    message = problem(str(checkpoint), context)
    assert "pickles only (diffusion_pytorch_model.bin)" in message
    assert "convert them to safetensors" in message
    assert not [path for path in context.hashed if path.suffix == ".bin"]


def test_a_missing_part_is_named_with_where_to_get_it(toy, context, checkpoint):
    shutil.rmtree(checkpoint / "tokenizer")
    message = problem(str(checkpoint), context, "text_encoder")
    assert "lacks the sub-folder 'tokenizer'" in message
    assert f"hf download Maker/Toy-1 --include 'tokenizer/*' --local-dir {checkpoint}" in message
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert "vae has no weights" in problem(str(checkpoint), context, "vae")


def test_a_class_of_no_known_family_lists_the_families(toy, context, checkpoint):
    (checkpoint / "model_index.json").write_text(json.dumps({"transformer": ["diffusers", "OtherTransformer"]}))
    message = problem(str(checkpoint), context)
    assert "OtherTransformer" in message
    assert "toy: ToyTransformer" in message


def test_a_foreign_part_in_a_known_model_is_refused(toy, context, checkpoint):
    index = {"transformer": ["diffusers", "ToyTransformer"], "vae": ["diffusers", "OtherVAE"]}
    (checkpoint / "model_index.json").write_text(json.dumps(index))
    assert "vae is a OtherVAE, which Toy Video does not know" in problem(str(checkpoint), context, "vae")


def test_without_an_index_the_parts_say_what_they_are(toy, context, checkpoint):
    (checkpoint / "model_index.json").unlink()
    assert resolve(str(checkpoint), "vae", context).family == "toy"
    assert "one part of a model" in problem(str(checkpoint / "vae"), context, "vae")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\0"])
def test_a_broken_index_is_said_to_be(toy, context, checkpoint, text):
    (checkpoint / "model_index.json").write_text(text)
    assert "model_index.json" in problem(str(checkpoint), context)


def test_shards_are_those_of_the_index(toy, context, checkpoint, weights):
    folder = checkpoint / "transformer"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    names = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name in (*names, "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"):
        weights(folder / name, x=(2,))
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": names[0], "y": names[1]}}))
    found = [name for name, _, _ in resolve(str(checkpoint), "transformer", context).files]
    assert found == sorted(f"transformer/{n}" for n in ("config.json", index.name, *names))
    (folder / names[1]).unlink()
    assert f"lacks weights: {names[1]}" in problem(str(checkpoint), context)


def test_an_index_cannot_lead_out_of_the_folder(toy, context, checkpoint):
    folder = checkpoint / "transformer"
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../vae/diffusion_pytorch_model.safetensors"}}))
    assert "lacks weights: ../vae" in problem(str(checkpoint), context)


def test_families_are_recognised_by_class_names(toy):
    assert families.recognise("ToyVAE") == (toy, "vae")
    assert families.recognise("NobodysVAE") is None
    assert {"toy", "ltx2"} <= families.families().keys()
    with pytest.raises(GraphError, match="did you mean 'ltx2'"):
        families.family("ltx")


def test_a_shared_text_encoder_goes_to_the_family_of_the_transformer(toy, monkeypatch):
    class Other(type(toy)):
        name = "other"
        classes = type(toy).classes | {"transformer": frozenset({"OtherTransformer"})}

    monkeypatch.setitem(families._registered, "other", Other())
    found = families.family_of({"text_encoder": "ToyText", "vae": "ToyVAE", "transformer": "OtherTransformer"})
    assert found.name == "other"
