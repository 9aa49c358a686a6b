"""Training on first frames: joined by row, read into batches, evaluated with, and checked before anything starts."""

from dataclasses import replace

import pytest
import torch

from vflow.engine.problems import Failure
from vflow.engine.values import Blob, Items
from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.training import TrainLoop
from vflow.nodes.training.records import Records, moved
from vflow.nodes.training.samples import join
from vflow.nodes.values import EMPTY_ROW, Embedding, ImageEmbedding, Latent, Sampling, Source, Transformer

from .conftest import SIZES

WIDE = ImageEmbedding(blob=Blob(digest="wide", size=1), width=96, height=64)
SMALL = ImageEmbedding(blob=Blob(digest="small", size=1), width=64, height=64)


class Names:
    def label_of(self, row):
        return f"{row}.mp4"


def latents(*rows):
    return Items.of(
        {row: Latent(blob=Blob(digest=row, size=1), frames=17, height=64, width=64, fps=25) for row in rows}
    )


def captions(*rows):
    return Items.of({row: Embedding(blob=Blob(digest=row, size=1)) for row in (*rows, EMPTY_ROW)})


def test_images_are_joined_by_row_and_others_are_passed_over():
    images = Items.of({"c": WIDE, "b": SMALL, "a": SMALL.model_copy(update={"blob": Blob(digest="a", size=1)})})
    joined = join(latents("a", "b"), captions("a", "b"), Names(), images)
    assert [sample.image.blob.digest for sample in joined] == ["a", "small"]
    assert [sample.image for sample in join(latents("a"), captions("a"), Names())] == [None]


def test_a_clip_without_an_image_and_an_image_of_another_size_are_named():
    with pytest.raises(Failure, match=r"without an encoded first frame: b\.mp4"):
        join(latents("a", "b"), captions("a", "b"), Names(), Items.of({"a": SMALL}))
    with pytest.raises(Failure, match=r"another size than their clips: a\.mp4 \(96x64, not 64x64\)"):
        join(latents("a"), captions("a"), Names(), Items.of({"a": WIDE}))


@pytest.fixture(scope="module")
def images(miniature):
    """An image for every sample of the bench, each of another brightness."""
    from vflow.nodes.encoding.tensors import to_bytes

    def image(number, height, width):
        tensors = {"latent": torch.full((16, 1, height // 32, width // 32), float(number))}
        blob = miniature.context().put(to_bytes(tensors), ".safetensors")
        return ImageEmbedding(blob=blob, width=width, height=height)

    return Items.of({row: image(number, *size) for number, (row, size) in enumerate(SIZES.items())})


def records(bench, images):
    samples = join(bench.latents, bench.captions, bench.context(), images)
    return Records(bench.context(), bench.transformer.family, samples, None)


def test_a_batch_holds_the_images_of_its_samples(bench, images):
    batch = records(bench, images).batch([2, 0], [False, False])
    assert batch.image["latent"][:, 0, 0, 0, 0].tolist() == [2.0, 0.0]
    assert batch.image["latent"].shape == (2, 16, 1, 2, 2)
    assert records(bench, None).batch([2, 0], [False, False]).image == {}


def test_images_are_moved_with_their_batch(bench, images):
    batch = records(bench, images).batch([0], [False])
    there = moved(batch, torch.device("meta"))
    assert there.image["latent"].is_meta
    assert there.latents.is_meta
    assert (there.frames, there.fps) == (batch.frames, batch.fps)
    sounding = replace(batch, audio=torch.zeros(1, 3, 8))
    assert moved(sounding, torch.device("meta")).audio.is_meta


def test_a_training_with_images_conditions_every_sample_and_evaluates_so(bench, images, monkeypatch):
    family, seen = type(bench.transformer.family), []
    predict = family.predict

    def watch(self, model, batch, sigmas, draws, options):
        said = predict(self, model, batch, sigmas, draws, options)
        per_frame = batch.height * batch.width // 1024
        clean = (said.weight[:, :per_frame] == 0).all((1, 2)) & (said.weight[:, per_frame:] == 1).all((1, 2))
        seen.append((options, bool(batch.image), bool(clean.all())))
        return said

    monkeypatch.setattr(family, "predict", watch)
    held_out = {"held_out_latents": bench.latents, "held_out_captions": bench.captions, "held_out_images": images}
    settings = {"steps": 2, "evaluation": {"every": 2, "sigmas": [0.5]}}
    conditioned = bench.train("with images", watch={"images": images, **held_out}, **settings)
    assert len(seen) == 2 * len(SIZES) + 2
    assert all(conditioned and clean for _, conditioned, clean in seen)
    assert {options.first_frame_probability for options, _, _ in seen} == {None, 1.0}

    seen.clear()
    plain = bench.train("without images", watch={name: held_out[name] for name in list(held_out)[:2]}, **settings)
    assert not any(conditioned or clean for options, conditioned, clean in seen if options != FlowOptions())
    assert bench.bytes_of(plain.adapter) != bench.bytes_of(conditioned.adapter)


def test_an_explicit_share_of_clean_first_frames_wins_over_the_images(bench, images, monkeypatch):
    from vflow.nodes.families.ltx2 import training

    drawn, clean_tokens = [], training.clean_tokens

    def watch(batch, draws, options):
        drawn.append(clean_tokens(batch, draws, options))
        return drawn[-1]

    monkeypatch.setattr(training, "clean_tokens", watch)
    bench.train("never", watch={"images": images}, steps=2, flow={"first_frame_probability": 0.0})
    assert drawn == [None, None]


class Facts:
    """As much of a context as preflight asks for; `links` are linked, but not known yet."""

    def __init__(self, folder, links=()):
        self.store_folder, self.links = folder, links

    def label_of(self, row):
        return row

    def is_linked(self, port):
        return port in self.links

    def report(self, facts):
        pass


def transformer(task, model="kandinsky5/i2v-lite-5s"):
    source = Source(family="kandinsky5", part="transformer", content="t", model=model, kind="tiny", task=task)
    return Transformer(source=source, transformations=(LoRA(rank=4, alpha=4, pattern=".*"),))


def problems(folder, task, *links, **inputs):
    given = {**dict.fromkeys(TrainLoop.ports), "transformer": transformer(task), **inputs}
    return [p for p in TrainLoop().preflight(Facts(folder, links), **given) if p.severity == "error"]


def test_a_checkpoint_for_one_task_is_refused_for_the_other(tmp_path):
    (problem,) = problems(tmp_path, "i2v", "latents", "captions")
    assert "is for image to video and needs first frames" in problem.message
    assert "EncodeImage" in problem.remedy
    assert problem.where == "inputs.images"
    (problem,) = problems(tmp_path, "t2v", "images")
    assert "is for text to video and takes no first frames" in problem.message
    assert not problems(tmp_path, "i2v", "images")
    assert not problems(tmp_path, "t2v")
    assert not problems(tmp_path, "either")
    assert not problems(tmp_path, "either", "images")


def test_training_and_evaluation_are_of_one_task(tmp_path):
    (problem,) = problems(tmp_path, "either", "images", "held_out_latents")
    assert "no held_out_images" in problem.message
    (problem,) = problems(tmp_path, "either", "held_out_latents", "held_out_images")
    assert "no images" in problem.message
    assert not problems(tmp_path, "either", "images", "held_out_latents", "held_out_images")
    assert not problems(tmp_path, "either", "images")


def test_a_sampler_of_the_other_task_is_refused(tmp_path, bench):
    sampler = bench.sampler()
    vae = sampler.vae.model_copy(update={"source": transformer("i2v").source})
    sampler = Sampling(**{**dict(sampler), "vae": vae})
    (problem,) = problems(tmp_path, "i2v", "images", sampler=sampler)
    assert problem.where == "inputs.sampler"
    assert "link Images or Stills to the images of the sampler" in problem.remedy


def test_images_that_do_not_fit_are_told_before_the_training(tmp_path):
    given = {"latents": latents("a"), "captions": captions("a")}
    (problem,) = problems(tmp_path, "either", images=Items.of({"a": WIDE}), **given)
    assert "another size than their clips" in problem.message
