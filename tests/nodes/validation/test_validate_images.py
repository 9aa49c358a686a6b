"""Drawing from images: what the family is handed for each prompt, by Validate and on the way of a training."""

import numpy as np
import pytest

from vflow.engine.values import Items
from vflow.nodes.data.pictures import to_png
from vflow.nodes.families.exchange import Drawn
from vflow.nodes.training.previews import Previews
from vflow.nodes.validation import Sampler, Validate
from vflow.nodes.values import Image, ImageEncoder

from .conftest import SMALL


@pytest.fixture
def stills(stage):
    """Two pictures, and what they are kept as."""
    pixels = [np.full((64, 64, 3), shade, np.uint8) for shade in (40, 200)]
    kept = [Image(blob=stage.context.put(to_png(one), ".png"), width=64, height=64) for one in pixels]
    return pixels, Items.of({f"{number}": image for number, image in enumerate(kept)})


@pytest.fixture
def requests(stage, monkeypatch):
    """Every request that the family gets; nothing is drawn."""
    seen = []

    def draw_clip(self, transformer, vae, request):
        seen.append(request)
        return Drawn(np.zeros((request.frames, request.height, request.width, 3), np.uint8))

    monkeypatch.setattr(type(stage.vae.family), "draw_clip", draw_clip)
    return seen


def validate(stage, sampling):
    return list(Validate().run(stage.context, stage.lora, sampling, Items.of({"a": stage.adapter(0.0)})))


def test_every_prompt_is_drawn_from_its_own_image(stage, stills, requests):
    pixels, images = stills
    sampling = Sampler(**SMALL).run(stage.context, stage.vae, stage.prompts, images)
    (videos,) = validate(stage, sampling)
    assert [video.row for video in videos.videos] == ["square", "disc"]
    for request, wanted in zip(requests, pixels, strict=True):
        assert np.array_equal(request.image, wanted)
        assert request.image_encoder is None
    requests.clear()
    validate(stage, stage.sampling())
    assert [request.image for request in requests] == [None, None]


def test_the_image_encoder_is_lent_for_drawing_and_for_clips_on_the_way(stage, stills, requests, monkeypatch):
    lent = object()
    encoder = ImageEncoder(source=stage.vae.source)
    monkeypatch.setattr(ImageEncoder, "open_base", lambda self, context: lent)
    monkeypatch.setattr(ImageEncoder, "prepare", lambda self, base, context: base)
    monkeypatch.setattr(ImageEncoder, "restore", lambda self, base, live, context: True)
    monkeypatch.setattr(ImageEncoder, "close_base", lambda self, base: None)
    sampling = Sampler(**SMALL).run(stage.context, stage.vae, stage.prompts, stills[1])
    sampling = sampling.model_copy(update={"image_encoder": encoder})
    validate(stage, sampling)
    assert [request.image_encoder for request in requests] == [lent, lent]

    requests.clear()
    published = []
    monkeypatch.setattr(type(stage.context), "publish", lambda self, source, name: published.append(name))
    Previews(stage.context, sampling).draw(None, 3)
    assert [request.image_encoder for request in requests] == [lent, lent]
    assert [request.image[0, 0, 0] for request in requests] == [40, 200]
    assert published == ["samples/step-000003/square.mp4", "samples/step-000003/disc.mp4"]


def test_a_clip_is_drawn_from_its_image_by_the_pipeline(stage, stills):
    from vflow.nodes.data.decode import decode
    from vflow.nodes.values import Window

    def first_frames(images):
        sampling = Sampler(**SMALL).run(stage.context, stage.vae, stage.prompts, images)
        (videos,) = validate(stage, sampling)
        whole = Window(clip="", indices=(0,), fps=25.0, scaled=(64, 64), offset=(0, 0), width=64, height=64)
        return [decode(stage.context.blob_path(video.blob), whole)[0].astype(int) for video in videos.videos]

    dark, bright = first_frames(stills[1])
    assert np.abs(dark - bright).mean() > 1
    same, again = first_frames(Items.of({"0": stills[1][0]}))
    assert np.abs(same - dark).mean() < 1  # the same image, prompt and seed
    assert np.abs(again - bright).mean() > 1
