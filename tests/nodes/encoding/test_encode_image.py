"""Stills to what image to video reads of a first frame."""

import numpy as np
import pytest

from vflow.engine.problems import Failure, Interrupted
from vflow.engine.values import Items
from vflow.nodes.data.pictures import to_png
from vflow.nodes.encode import EncodeImage
from vflow.nodes.values import Image, ImageEncoder, Source


@pytest.fixture
def still(studio):
    def make(seed=0, width=64, height=64):
        pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
        pixels = pixels.repeat(8, 0).repeat(8, 1)
        return Image(blob=studio.context.put(to_png(pixels), ".png"), width=width, height=height), pixels

    return make


def encode(studio, *images, **settings):
    items = Items.of({f"row {number}": image for number, image in enumerate(images)})
    return list(EncodeImage(**settings).run(studio.context, studio.vae, items))


def test_an_image_is_what_the_family_makes_of_its_pixels(studio, still):
    import torch

    image, pixels = still(width=96)
    (found,) = encode(studio, image)
    assert (found.width, found.height) == (96, 64)
    with studio.context.load(studio.vae) as live:
        given = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        (wanted,) = studio.vae.family.encode_image(live, None, given)
    tensors = studio.tensors_of(found)
    assert tensors.keys() == wanted.keys() == {"latent"}
    assert torch.equal(tensors["latent"], wanted["latent"])
    assert tensors["latent"].shape == (16, 1, 2, 3)


def test_a_batch_gives_the_same_up_to_rounding_in_order_and_never_mixes_sizes(studio, still):
    import torch

    images = [still(seed, width)[0] for seed, width in enumerate((64, 64, 96, 64))]
    for one, batched in zip(encode(studio, *images), encode(studio, *images, batch_size=3), strict=True):
        found, wanted = studio.tensors_of(batched)["latent"], studio.tensors_of(one)["latent"]
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, atol=1e-3)


def test_values_that_are_not_finite_are_refused(studio, still, monkeypatch):
    import torch

    bad = [{"latent": torch.full((16, 1, 2, 2), float("nan"))}]
    monkeypatch.setattr(type(studio.vae.family), "encode_image", lambda *_: bad)
    with pytest.raises(Failure, match="not finite"):
        encode(studio, still()[0])


def test_the_image_encoder_is_lent_where_there_is_one(studio, still, monkeypatch):
    import torch

    seen = []

    def see(self, vae, image_encoder, pixels):
        seen.append(image_encoder)
        return [{"latent": torch.zeros(16, 1, 2, 2), "features": torch.ones(3)}]

    monkeypatch.setattr(type(studio.vae.family), "encode_image", see)
    encoder = studio.vae.model_copy(update={"dtype": "bfloat16"})  # any part will do here
    items = Items.of({"row": still()[0]})
    (found,) = EncodeImage().run(studio.context, studio.vae, items, encoder)
    assert seen[0].vae.dtype == torch.bfloat16
    assert studio.tensors_of(found)["features"].tolist() == [1.0, 1.0, 1.0]


def test_a_run_that_stops_is_left_between_two_images(studio, still):
    items = Items.of({"a": still(0)[0], "b": still(1)[0]})
    results = EncodeImage().run(studio.context, studio.vae, items)
    next(results)
    studio.world.stopping = True
    with pytest.raises(Interrupted):
        next(results)
    results.close()


def source(family, part, task="i2v"):
    return Source(family=family, part=part, content=part, model=f"tiny://{family}", kind="tiny", task=task)


def problems(studio, family, **inputs):
    vae = studio.vae.model_copy(update={"source": source(family, "vae")})
    return list(EncodeImage().preflight(studio.context, vae=vae, **inputs))


def test_a_missing_and_a_foreign_image_encoder_are_problems(studio):
    (problem,) = problems(studio, "hunyuan15")
    assert "no image encoder" in problem.message
    assert "LoadImageEncoder" in problem.remedy
    encoder = ImageEncoder(source=source("hunyuan15", "image_encoder"))
    assert not problems(studio, "hunyuan15", image_encoder=encoder)
    (problem,) = problems(studio, "ltx2", image_encoder=encoder)
    assert "the image_encoder is of hunyuan15" in problem.message
    assert not problems(studio, "ltx2")
