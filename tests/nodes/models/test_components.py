"""Sub-folders of a part that come from elsewhere than from its model."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vflow.engine.problems import Failure, GraphError
from vflow.nodes import families
from vflow.nodes.families.rules import Flavour
from vflow.nodes.models import components, facts, fetch, layout
from vflow.nodes.models.nodes import LoadTextEncoder, LoadTransformer
from vflow.nodes.models.source import resolve
from vflow.nodes.models.weights import read_weights, with_weights
from vflow.nodes.values import Source, Transformer

from .conftest import Toy, write_checkpoint, write_weights

VARIABLE = "TOY_TEXT_PATH"


class Grown(Toy):
    """The toy family with all that a family may say of where its components lie."""

    flavours = {
        "1.0": Flavour("Maker/Toy-1", licence_url="https://example.org/licence"),
        "1.0-i2v": Flavour("Maker/Toy-1-i2v", task="i2v"),
    }
    folders = Toy.folders | {"transformer": ("transformer", "scheduler"), "image_encoder": ("image_encoder",)}
    classes = Toy.classes | {"image_encoder": frozenset({"ToyVision"})}
    component_classes = {"text_encoder": frozenset({"ToyText", "WholeToyText"})}
    optional_folders = frozenset({"scheduler"})
    foreign_classes = frozenset({"MakersTransformer", "MakersVAE"})
    variables = {
        VARIABLE: {"text_encoder": ("llm", "text_encoder/llm", ""), "tokenizer": ("llm", "text_encoder/llm", "")}
    }


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(Grown, "built", 0)
    monkeypatch.setitem(families._registered, "toy", Grown())
    monkeypatch.delenv(VARIABLE, raising=False)
    return families.family("toy")


@pytest.fixture
def lacking(toy, tmp_path):
    """A checkpoint without text encoder and tokenizer."""
    folder = tmp_path / "lacking"
    write_checkpoint(folder)
    shutil.rmtree(folder / "text_encoder")
    shutil.rmtree(folder / "tokenizer")
    return folder


def problem(model, part, context, **elsewhere):
    with pytest.raises(GraphError) as caught:
        resolve(str(model), part, context, {name: str(where) for name, where in elsewhere.items()})
    return str(caught.value)


def text_of(model, context, **elsewhere):
    return resolve(str(model), "text_encoder", context, {name: str(where) for name, where in elsewhere.items()})


def files_of(source, context):
    folder = fetch.folder_of(source, context)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*/*")) if path.is_file()}


def test_what_is_taken_from_elsewhere_counts_by_its_content_alone(toy, context, lacking, checkpoint, tmp_path):
    whole = text_of(checkpoint, context)
    joined = text_of(lacking, context, text_encoder=checkpoint, tokenizer=checkpoint / "tokenizer")
    assert (joined.kind, whole.kind) == ("joined", "folder")
    assert joined.identity == whole.identity
    shutil.copytree(checkpoint / "text_encoder", tmp_path / "moved")
    moved = text_of(lacking, context, text_encoder=tmp_path / "moved", tokenizer=checkpoint)
    assert moved.identity == joined.identity
    write_weights(tmp_path / "moved" / "model.safetensors", other=(3,))
    assert text_of(lacking, context, text_encoder=tmp_path / "moved", tokenizer=checkpoint).identity != joined.identity


def test_the_parts_folder_looks_like_a_whole_checkpoints(toy, context, lacking, checkpoint):
    joined = text_of(lacking, context, text_encoder=checkpoint, tokenizer=checkpoint)
    assert fetch.is_fetched(joined, context)
    assert fetch.bytes_to_fetch(joined, context) == 0
    assert files_of(joined, context) == {
        name: data
        for name, data in files_of(text_of(checkpoint, context), context).items()
        if name.startswith("t") and not name.startswith("transformer")
    }
    (checkpoint / "text_encoder" / "model.safetensors").unlink()
    assert not fetch.is_fetched(joined, context)
    with pytest.raises(Failure, match=r"changed or gone: model\.safetensors"):
        fetch.fetch(joined, context)


def test_a_whole_model_may_have_one_component_replaced(toy, context, checkpoint, tmp_path):
    shutil.copytree(checkpoint / "tokenizer", tmp_path / "other")
    (tmp_path / "other" / "merges.txt").write_text("c d")
    plain, other = text_of(checkpoint, context), text_of(checkpoint, context, tokenizer=tmp_path / "other")
    assert other.identity != plain.identity
    assert files_of(other, context)["tokenizer/merges.txt"] == b"c d"
    assert files_of(plain, context)["tokenizer/merges.txt"] == b"a b"


@pytest.mark.parametrize("where", ["toy/1.0", "Some/Model", "Some/Model/text_encoder", "Some/Model/text_encoder@v2"])
def test_components_of_the_hub_are_named_in_many_ways_and_fetched_alone(hub, toy, context, lacking, checkpoint, where):
    hub.listing(where)  # the served repository answers to any name
    joined = text_of(lacking, context, text_encoder=where, tokenizer=checkpoint)
    assert joined.identity == text_of(checkpoint, context).identity
    (_, taken), _ = joined.components
    assert (taken.kind, taken.commit) == ("hub", hub.commit)
    assert not fetch.is_fetched(joined, context)
    size = (hub.folder / "text_encoder" / "model.safetensors").stat().st_size
    assert fetch.bytes_to_fetch(joined, context) == size
    fetch.fetch(joined, context)
    assert fetch.is_fetched(joined, context)
    got = {path.split("/resolve/")[1].split("/", 1)[1] for method, path in hub.log if "/resolve/" in path}
    assert {name for name in got if name.endswith(".safetensors")} == {"text_encoder/model.safetensors"}
    assert set(files_of(joined, context)) == {
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer.json",
    }


def test_a_repository_that_is_a_component_itself_serves_network_and_tokenizer(hub, toy, context, lacking, tmp_path):
    for path in [*hub.folder.rglob("*")]:
        if path.is_file():
            path.unlink()
    write_weights(hub.folder / "model.safetensors", x=(2,))
    (hub.folder / "config.json").write_text(json.dumps({"architectures": ["WholeToyText"]}))
    (hub.folder / "tokenizer.json").write_text("{}")
    joined = text_of(lacking, context, text_encoder="Some/Text", tokenizer="Some/Text")
    fetch.fetch(joined, context)
    weights = (hub.folder / "model.safetensors").stat().st_size
    assert facts.file_bytes(joined) < 2 * weights  # the tokenizer is read without the network beside it
    assert set(files_of(joined, context)) >= {"text_encoder/model.safetensors", "tokenizer/tokenizer.json"}


def test_what_a_model_lacks_is_told_with_every_way_to_have_it(toy, context, lacking):
    message = problem(lacking, "text_encoder", context)
    assert "lacks the sub-folder 'text_encoder'" in message
    assert f"hf download Maker/Toy-1 --include 'text_encoder/*' --local-dir {lacking}" in message
    assert "components: {text_encoder: toy/1.0}" in message
    assert f"let {VARIABLE} name a folder with it" in message
    message = problem(lacking, "image_encoder", context)
    assert "hf download Maker/Toy-1-i2v" in message
    assert "components: {image_encoder: toy/1.0-i2v}" in message


def test_what_a_model_may_lack_is_not_asked_for(toy, context, lacking, tmp_path):
    source = resolve(str(lacking), "transformer", context)
    assert {name.partition("/")[0] for name, _, _ in source.files} == {"transformer"}
    joined = resolve(str(lacking), "transformer", context, {"transformer": str(lacking)})
    assert joined.identity == source.identity
    assert not (fetch.folder_of(joined, context) / "scheduler").exists()


@pytest.mark.parametrize(
    ("elsewhere", "words"),
    [
        ({"tokeniser": "toy/1.0"}, "did you mean 'tokenizer'"),
        ({"text_encoder": "tiny://toy"}, "'tiny://toy' names no component"),
        ({"text_encoder": "./nowhere"}, "there is no folder ./nowhere"),
        ({"text_encoder": "~nobody-here/x"}, "there is no folder ~nobody-here/x"),
        ({"text_encoder": "word"}, "'word' names no component"),
        ({"text_encoder": "toy/2.0"}, "has no flavour '2.0'"),
    ],
)
def test_what_names_no_component_is_refused(toy, context, lacking, elsewhere, words):
    assert words in problem(lacking, "text_encoder", context, **elsewhere)


def test_a_whole_model_is_no_component_and_another_class_is_refused(toy, context, lacking, checkpoint):
    shutil.rmtree(checkpoint / "tokenizer")
    message = problem(lacking, "text_encoder", context, text_encoder=checkpoint, tokenizer=checkpoint)
    assert f"{checkpoint} holds no tokenizer, nor is it one" in message
    (checkpoint / "text_encoder" / "config.json").write_text(json.dumps({"architectures": ["OtherText"]}))
    message = problem(lacking, "text_encoder", context, text_encoder=checkpoint)
    assert "text_encoder is a OtherText, which Toy Video does not know" in message
    assert "ToyText, WholeToyText" in message


def test_a_miniature_takes_no_components(toy, context, checkpoint):
    assert "a miniature has all its components" in problem("tiny://toy", "text_encoder", context, tokenizer=checkpoint)


def test_an_environment_variable_serves_what_the_model_lacks_by_content(
    toy, context, lacking, checkpoint, tmp_path, monkeypatch
):
    root = tmp_path / "encoders"
    shutil.copytree(checkpoint / "text_encoder", root / "llm")
    shutil.copytree(checkpoint / "tokenizer", root / "llm", dirs_exist_ok=True)
    monkeypatch.setenv(VARIABLE, str(root))
    found = text_of(lacking, context)
    assert [component.model for _, component in found.components] == [f"${VARIABLE}"] * 2
    assert set(files_of(found, context)) >= {"text_encoder/model.safetensors", "tokenizer/merges.txt"}
    monkeypatch.setenv(VARIABLE, str(shutil.move(root, tmp_path / "elsewhere")))
    assert text_of(lacking, context).identity == found.identity
    (tmp_path / "elsewhere" / "llm" / "merges.txt").write_text("c d")
    assert text_of(lacking, context).identity != found.identity
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    assert f"{VARIABLE}: there is no folder" in problem(lacking, "text_encoder", context)
    assert text_of(checkpoint, context).kind == "folder"  # a model that has it is taken as it is


def test_a_setting_wins_over_a_variable_and_the_loader_says_what_came_from_where(
    toy, context, lacking, checkpoint, tmp_path, monkeypatch
):
    root = tmp_path / "encoders"
    shutil.copytree(checkpoint / "tokenizer", root / "llm")
    monkeypatch.setenv(VARIABLE, str(root))
    LoadTextEncoder(model=str(lacking), components={"text_encoder": str(checkpoint)}).run(context)
    assert context.reported["from elsewhere"] == f"text_encoder of {checkpoint}, tokenizer of ${VARIABLE}"
    assert str(root) not in json.dumps(context.reported)


def test_the_makers_own_places_inside_a_model_are_known(toy, context, lacking, checkpoint):
    shutil.copytree(checkpoint / "text_encoder", lacking / "text_encoder" / "llm")
    shutil.copytree(checkpoint / "tokenizer", lacking / "text_encoder" / "llm", dirs_exist_ok=True)
    found = text_of(lacking, context)
    assert set(files_of(found, context)) >= {"text_encoder/model.safetensors", "tokenizer/merges.txt"}


# --- several transformers in one model -------------------------------------------------------------------------------


@pytest.fixture
def makers(toy, tmp_path):
    """A model in its makers' layout: several transformers, no index, a configuration of its own."""
    folder = tmp_path / "makers"
    write_checkpoint(folder)
    (folder / "model_index.json").unlink()
    (folder / "config.json").write_text(json.dumps({"_class_name": "MakersPipeline"}))
    shutil.move(folder / "transformer", folder / "whole")
    for name in ("480p", "720p"):
        shutil.copytree(folder / "whole", folder / "transformer" / name)
    shutil.rmtree(folder / "whole")
    return folder


def test_of_several_transformers_one_has_to_be_named_and_the_only_one_is_taken(toy, context, makers, checkpoint):
    message = problem(makers, "transformer", context)
    assert "holds several: 480p, 720p" in message
    assert f"components: {{transformer: {makers}/transformer/480p}}" in message
    named = resolve(str(makers), "transformer", context, {"transformer": str(makers / "transformer" / "480p")})
    assert named.content == resolve(str(checkpoint), "transformer", context).content
    assert facts.weight_shapes(named, context) == facts.weight_shapes(
        resolve(str(checkpoint), "transformer", context), context
    )
    shutil.rmtree(makers / "transformer" / "720p")
    assert resolve(str(makers), "transformer", context).identity == named.identity


def test_a_model_in_classes_of_its_makers_is_answered_with_repositories_that_load(toy, context, makers):
    for name in ("480p", "720p"):
        config = makers / "transformer" / name / "config.json"
        config.write_text(json.dumps({"_class_name": "MakersTransformer"}))
    message = problem(makers, "transformer", context)
    assert "its transformer is a MakersTransformer, which the classes of diffusers do not load" in message
    assert "toy/1.0 (Maker/Toy-1), toy/1.0-i2v (Maker/Toy-1-i2v)" in message
    assert resolve(str(makers), "text_encoder", context).family == "toy"  # what loads is taken
    (makers / "vae" / "config.json").write_text(json.dumps({"_class_name": "MakersVAE"}))
    assert "components: {vae: toy/1.0}" in problem(makers, "vae", context)


def test_trained_weights_take_a_joined_transformers_place(toy, context, makers, checkpoint, tmp_path):
    (makers / "scheduler").mkdir()
    (makers / "scheduler" / "scheduler_config.json").write_text("{}")
    only = {"transformer": str(makers / "transformer" / "480p")}
    joined = LoadTransformer(model=str(makers), components=only).run(context)
    write_weights(tmp_path / "trained" / "diffusion_pytorch_model.safetensors", new=(5,))
    shutil.copy(checkpoint / "transformer" / "config.json", tmp_path / "trained")
    trained = with_weights(joined, read_weights(str(tmp_path / "trained"), context))
    assert isinstance(trained, Transformer)
    shutil.rmtree(makers / "transformer")  # it is not needed any more
    assert fetch.is_fetched(trained.source, context)
    assert facts.weight_shapes(trained.source, context) == {"new": (5,)}
    assert set(files_of(trained.source, context)) >= {"scheduler/scheduler_config.json", "transformer/config.json"}


# --- hostile names ---------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=st.text(max_size=40))
@example(where="a/b/../../c")
@example(where="a/b@../c")
@example(where="\0")
@example(where="~nobody-here")
@example(where="/\0")
@example(where="./" + "x" * 300)
@example(where="x" * 300)
@example(where="a/b/" + "c/" * 10)
def test_any_text_is_refused_in_words_or_taken(toy, context, where):
    context.offline = True
    with pytest.raises(GraphError):
        components.Component("tokenizer", toy, "text_encoder", context).named(where)


@given(name=st.text(max_size=12))
@example(name="../../etc")
@example(name="a/b")
def test_a_recipe_from_a_stranger_cannot_name_a_place_outside(name):
    inner = Source(family="toy", part="vae", content="x", model="m", kind="folder")
    try:
        outer = Source(family="toy", part="vae", content="x", model="m", kind="joined", components=((name, inner),))
    except ValueError:
        return
    assert Path(outer.components[0][0]).name == name


@given(name=st.sampled_from(["tokenizer", "tokenizer_2", "scheduler", "guider", "feature_extractor", "processor"]))
def test_components_without_a_network_are_known_by_name(name):
    assert not layout.has_network(name)
    assert layout.has_network("text_encoder_2")
    assert layout.has_network(f"{name}_network")
