"""What a checkpoint was made for: told by its name, its pipeline's class, its flavour or its family."""

import json
from dataclasses import replace

import pytest

from vflow.engine.problems import GraphError
from vflow.nodes.models.nodes import LoadImageEncoder
from vflow.nodes.models.source import resolve


@pytest.fixture
def two_tasks(toy, monkeypatch):
    """The toy family, with checkpoints for image to video too."""
    kind = type(toy)
    monkeypatch.setattr(kind, "pipelines", {"ToyPipeline": "t2v", "ToyImagePipeline": "i2v"})
    monkeypatch.setattr(kind, "miniatures", {"toy-i2v": "i2v"})
    monkeypatch.setattr(kind, "classes", {**kind.classes, "image_encoder": frozenset({"ToyEyes"})})
    monkeypatch.setattr(kind, "folders", {**kind.folders, "image_encoder": ("image_encoder",)})
    return toy


def write_index(checkpoint, name):
    index = json.loads((checkpoint / "model_index.json").read_text())
    (checkpoint / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))


def test_a_folder_tells_by_the_class_of_its_pipeline(two_tasks, context, checkpoint):
    assert resolve(str(checkpoint), "vae", context).task == "t2v"
    write_index(checkpoint, "ToyImagePipeline")
    one = resolve(str(checkpoint), "vae", context)
    assert one.task == "i2v"
    write_index(checkpoint, "AnotherPipeline")
    other = resolve(str(checkpoint), "vae", context)
    assert other.task == "t2v"
    assert one.identity == other.identity  # it is of the files that are loaded


def test_a_family_may_do_both_with_one_checkpoint(toy, context, checkpoint, monkeypatch):
    monkeypatch.setattr(type(toy), "task", "either")
    assert resolve(str(checkpoint), "vae", context).task == "either"
    assert resolve("tiny://toy", "vae", context).task == "either"


def test_a_repository_tells_by_its_flavour_where_its_index_does_not(hub, toy, context, monkeypatch):
    flavour = replace(toy.flavours["1.0"], task="i2v")
    monkeypatch.setattr(type(toy), "flavours", {"1.0": flavour})
    assert resolve("toy/1.0", "vae", context).task == "i2v"
    assert resolve("Maker/Toy-1", "vae", context).task == "i2v"
    assert resolve("Maker/Another", "vae", context).task == "t2v"
    monkeypatch.setattr(type(toy), "pipelines", {"ToyPipeline": "t2v"})
    assert resolve("toy/1.0", "vae", context).task == "t2v"


def test_a_miniature_tells_by_its_name(two_tasks, context):
    one, other = (resolve(f"tiny://{name}", "transformer", context) for name in ("toy", "toy-i2v"))
    assert (one.task, other.task) == ("t2v", "i2v")
    assert one.family == other.family == "toy"
    assert one.identity != other.identity
    assert other.identity != resolve("tiny://toy-i2v?seed=1", "transformer", context).identity


def test_a_miniature_is_built_for_its_task(two_tasks, context, monkeypatch):
    built, build = [], type(two_tasks).build_miniature

    def watch(self, folder, seed, task):
        built.append(task)
        build(self, folder, seed)

    monkeypatch.setattr(type(two_tasks), "build_miniature", watch)
    from vflow.nodes.models import fetch

    for name in ("toy", "toy-i2v"):
        fetch.fetch(resolve(f"tiny://{name}", "vae", context), context)
    assert built == ["t2v", "i2v"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("tiny://kandinsky5-i3v", "no miniature 'kandinsky5-i3v'"),
        ("tiny://kandinski5-i2v", "there is no model family"),
        ("tiny://ltx2-i2v", "no miniature 'ltx2-i2v'"),
    ],
)
def test_a_miniature_that_there_is_not_is_told(context, model, words):
    with pytest.raises(GraphError, match=words):
        resolve(model, "transformer", context)


def test_an_image_encoder_is_refused_where_the_family_or_the_checkpoint_has_none(two_tasks, context, checkpoint):
    with pytest.raises(GraphError, match="LTX Video 2 has no image_encoder; leave it out"):
        LoadImageEncoder(model="tiny://ltx2").run(context)
    with pytest.raises(GraphError, match="is for text to video: it has no image_encoder; write tiny://toy-i2v"):
        LoadImageEncoder(model="tiny://toy").run(context)
    with pytest.raises(GraphError, match="lacks the sub-folder 'image_encoder'"):
        LoadImageEncoder(model=str(checkpoint)).run(context)
    assert LoadImageEncoder(model="tiny://toy-i2v").run(context).source.part == "image_encoder"
