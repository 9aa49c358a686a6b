"""Full fine-tuning in recipes: what trains, where trained weights come from, and what is refused. No torch here."""

import json
import shutil

import pytest
from pydantic import ValidationError

from vflow.engine.problems import Failure, GraphError
from vflow.engine.values import Blob
from vflow.nodes.models import facts, fetch
from vflow.nodes.models.nodes import ApplyLoRA, GroupOffload, LoadTransformer, LoadVAE
from vflow.nodes.models.trained import training_of
from vflow.nodes.models.unfreeze import LoadWeights, Unfreeze
from vflow.nodes.values import Adapter, Value, Weights


@pytest.fixture
def transformer(toy, context, checkpoint):
    return LoadTransformer(model=str(checkpoint)).run(context)


@pytest.fixture
def trained(tmp_path, weights):
    """A folder as full fine-tuning gives it."""
    folder = tmp_path / "out" / "transformer"
    layers = {"blocks.0.to_q.weight": (8, 4), "blocks.1.to_q.weight": (8, 4), "norm.weight": (4,)}
    weights(folder / "diffusion_pytorch_model.safetensors", **layers, **{"out.weight": (3, 8)})
    (folder / "config.json").write_text('{"_class_name": "ToyTransformer"}')
    (folder / "README.md").write_text("a card")
    return folder


@pytest.mark.parametrize(
    ("pattern", "count"), [(".*", 32 + 32 + 4 + 16), (r"blocks\..*", 64), ("norm.weight", 4), (r".*\.weight", 84)]
)
def test_parameters_are_counted_without_loading_anything(transformer, context, pattern, count):
    recipe = Unfreeze(pattern=pattern).run(context, transformer)
    assert context.reported["parameters trained"] == facts.trained_parameters(recipe, context) == count
    assert training_of(recipe).pattern == pattern
    assert recipe.identity != transformer.identity
    assert recipe.base == transformer.base


def test_what_is_kept_is_part_of_the_recipe_and_of_what_it_reads_back(transformer, context):
    plain = Unfreeze().run(context, transformer)
    exact = Unfreeze(saved_as="float32").run(context, transformer)
    assert plain.identity != exact.identity
    assert ApplyLoRA(rank=4).run(context, transformer).transformations[0].count({"to_q.weight": (8, 4)}) == 0


def test_a_pattern_has_to_match_and_to_be_one(transformer, context):
    with pytest.raises(GraphError, match="no weight of the transformer matches 'blocks'"):
        Unfreeze(pattern="blocks").run(context, transformer)
    with pytest.raises(ValidationError, match="no regular expression"):
        Unfreeze(pattern="(")
    assert Unfreeze(pattern="anything").run(context, LoadTransformer(model="tiny://toy").run(context))  # not built yet


def test_one_thing_is_trained_at_a_time(transformer, context):
    full, lora = Unfreeze().run(context, transformer), ApplyLoRA(rank=2).run(context, transformer)
    for node, recipe, does in (
        (ApplyLoRA(rank=2), full, "trains its own weights"),
        (Unfreeze(), full, "trains its own weights"),
        (Unfreeze(), lora, "has an adapter"),
    ):
        with pytest.raises(GraphError, match=f"the transformer {does} already") as caught:
            node.run(context, recipe)
        assert "ApplyLoRA and Unfreeze" in caught.value.problems[0].remedy


def test_trained_weights_take_the_place_of_a_models_own(transformer, context, checkpoint, trained):
    given = LoadTransformer(model=str(checkpoint), weights=str(trained)).run(context)
    assert given.source.family == "toy"
    assert given.source.content != transformer.source.content
    assert given.base != transformer.base
    assert given.is_fetched(context)
    assert facts.weight_shapes(given.source, context)["out.weight"] == (3, 8)
    assert facts.weight_bytes(given, context) == 2 * (32 + 32 + 4 + 24)
    folder = fetch.folder_of(given.source, context)
    assert {path.name for path in (folder / "transformer").iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert (folder / "transformer/config.json").resolve() == trained / "config.json"
    assert Value.kinds["Transformer"].model_validate(given.to_json()["value"]).identity == given.identity


def test_the_folder_above_is_taken_too_and_where_it_lies_does_not_matter(transformer, context, trained, tmp_path):
    found = LoadWeights(source=str(trained)).run(context)
    assert LoadWeights(source=str(trained.parent)).run(context).identity == found.identity
    shutil.copytree(trained, tmp_path / "elsewhere")
    assert LoadWeights(source=str(tmp_path / "elsewhere")).run(context).identity == found.identity
    assert [name for name, _ in found.plain_files()] == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_of_the_base_only_what_is_not_replaced_is_needed(transformer, context, checkpoint, trained):
    given = LoadTransformer(model=str(checkpoint), weights=str(trained)).run(context)
    (checkpoint / "transformer/diffusion_pytorch_model.safetensors").unlink()
    assert given.is_fetched(context)
    assert given.bytes_to_fetch(context) == 0
    (trained / "diffusion_pytorch_model.safetensors").unlink()
    assert not given.is_fetched(context)
    with pytest.raises(Failure, match=r"gone: diffusion_pytorch_model\.safetensors"):
        given.fetch(context)


def test_weights_on_weights_replace_them(transformer, context, trained):
    found = LoadWeights(source=str(trained)).run(context)
    once = found.onto(transformer)
    assert found.onto(once).identity == once.identity
    offloaded = GroupOffload(force=True).run(context, Unfreeze().run(context, transformer))
    drawn = found.onto(offloaded)
    assert training_of(drawn) is None
    assert len(drawn.transformations) == 1


def test_a_folder_that_is_none_is_told_what_it_should_be(context, toy, checkpoint, trained, tmp_path):
    (trained / "config.json").write_text('{"_class_name": "ToyVAE"}')
    with pytest.raises(GraphError, match="holds a ToyVAE"):
        LoadWeights(source=str(trained)).run(context)
    (trained / "config.json").write_text(json.dumps({"_class_name": "Unknown"}))
    with pytest.raises(GraphError, match="holds a Unknown"):
        LoadWeights(source=str(trained)).run(context)
    (trained / "config.json").unlink()
    with pytest.raises(GraphError, match=r"holds no config\.json"):
        LoadWeights(source=str(trained)).run(context)
    with pytest.raises(GraphError, match="there is no folder"):
        LoadTransformer(model=str(checkpoint), weights=str(tmp_path / "nowhere")).run(context)


def test_one_part_as_a_model_is_told_of_weights(context, toy, trained):
    with pytest.raises(GraphError, match="is one part of a model") as caught:
        LoadTransformer(model=str(trained)).run(context)
    assert "`weights` of LoadTransformer" in caught.value.problems[0].remedy


def test_weights_and_adapters_of_another_family_are_refused(transformer):
    blob = Blob(digest="0" * 64, size=1)
    weights = Weights(files=(("config.json", blob),), family="other")
    for learned in (weights, Adapter(blob=blob, family="other", rank=1)):
        with pytest.raises(GraphError, match="of other, the transformer of toy"):
            learned.onto(transformer)


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/b", "", ".hidden"])
def test_names_of_files_stay_in_their_folder(name):
    with pytest.raises(ValidationError, match="no plain name"):
        Weights(files=((name, Blob(digest="0" * 64, size=1)),), family="toy")


def test_a_family_says_in_what_type_its_parts_are_loaded(context, toy, monkeypatch):
    assert LoadVAE(model="tiny://toy").run(context).dtype == "bfloat16"
    monkeypatch.setattr(type(toy), "dtypes", {"vae": "float32"})
    assert LoadVAE(model="tiny://toy").run(context).dtype == "float32"
    assert LoadVAE(model="tiny://toy", dtype="float16").run(context).dtype == "float16"
    assert LoadTransformer(model="tiny://toy").run(context).dtype == "bfloat16"
