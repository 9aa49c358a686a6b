"""Which first frame belongs to which prompt, and what a sampler says of images."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.problems import GraphError
from vflow.engine.values import Blob, Items
from vflow.nodes.validation import Sampler
from vflow.nodes.validation.pairing import paired
from vflow.nodes.values import EMPTY_ROW, VAE, Embedding, Image, ImageEncoder, Source


def image(name, width=768, height=512):
    return Image(blob=Blob(digest=name, size=1), width=width, height=height)


rows = st.lists(st.text("abcd", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


@given(rows, st.lists(st.text("abcdwxyz", min_size=1, max_size=3), max_size=6, unique=True))
def test_every_prompt_gets_one_image_or_none_does(prompts, stills):
    images = Items.of({row: image(row) for row in stills})
    by_row = set(prompts) <= set(stills)
    if not by_row and len(stills) not in (1, len(prompts)):
        with pytest.raises(GraphError, match=rf"{len(prompts)} prompts .* and {len(stills)} images"):
            paired(prompts, images)
        return
    found = dict(paired(prompts, images))
    assert list(found) == prompts
    if by_row:
        assert all(found[row].blob.digest == row for row in prompts)
    elif len(stills) == 1:
        assert {one.blob.digest for one in found.values()} == set(stills)
    else:
        assert [one.blob.digest for one in found.values()] == stills


PROMPTS = Items.of({row: Embedding(blob=Blob(digest=row, size=1)) for row in ("one", "two", EMPTY_ROW)})


def recipe(kind, task="either", family="ltx2", model=""):
    model = model or f"tiny://{family}"
    return kind(source=Source(family=family, part=kind.part, content=kind.part, model=model, kind="tiny", task=task))


def sampling(images=None, image_encoder=None, vae=None, **settings):
    context = SimpleNamespace(report=lambda facts: None)
    return Sampler(**settings).run(context, vae or recipe(VAE), PROMPTS, images, image_encoder)


def problems(vae, linked=(), **settings):
    context = SimpleNamespace(is_linked=lambda port: port in linked)
    return [p for p in Sampler(**settings).preflight(context, vae=vae) if p.severity == "error"]


def test_with_images_the_recipe_is_of_image_to_video_and_without_them_what_it_always_was():
    still = image("still")
    plain, conditioned = sampling(), sampling(Items.of({"a": still}))
    assert plain.images == ()
    assert conditioned.images == (("one", still), ("two", still))
    assert conditioned.image_of("two") == still
    assert plain.image_of("two") is None
    assert plain.identity != conditioned.identity
    assert "images" not in plain.identity_data()


def test_an_image_encoder_is_part_of_the_recipe_and_fetched_with_it():
    vae, encoder = (recipe(kind, "i2v", "hunyuan15", "tiny://hunyuan15-i2v") for kind in (VAE, ImageEncoder))
    still = image("still", 848, 480)
    found = sampling(Items.of({"a": still}), encoder, vae)
    assert list(found.recipes()) == [vae, encoder]
    assert found.files_needed() == vae.files_needed() + encoder.files_needed()


def test_images_of_another_size_name_the_size_that_is_needed():
    with pytest.raises(GraphError) as caught:
        sampling(Items.of({"a": image("a"), "b": image("b", 512, 512)}))
    (problem,) = caught.value.problems
    assert "1 images are of another size than the clips, 768x512: b is 512x512" in problem.message
    assert "resolution: 768x512" in problem.remedy


def test_a_checkpoint_for_one_task_is_refused_for_the_other_before_anything_is_known():
    (problem,) = problems(recipe(VAE, "i2v", "kandinsky5", "kandinsky5/i2v-lite-5s"))
    assert "kandinsky5/i2v-lite-5s is for image to video and needs first frames" in problem.message
    assert "link Images or Stills" in problem.remedy
    (problem,) = problems(recipe(VAE, "t2v", "kandinsky5", "kandinsky5/t2v-lite-sft-5s"), ["images"])
    assert "is for text to video and takes no first frames" in problem.message
    assert "kandinsky5/i2v" in problem.remedy
    assert not problems(recipe(VAE, "either"))
    assert not problems(recipe(VAE, "either"), ["images"])


def test_a_missing_and_a_superfluous_image_encoder_are_problems():
    vae = recipe(VAE, "i2v", "hunyuan15", "tiny://hunyuan15-i2v")
    (problem,) = problems(vae, ["images"])
    assert "there is no image encoder" in problem.message
    assert not problems(vae, ["images", "image_encoder"])
    (problem,) = problems(recipe(VAE), ["image_encoder"])
    assert "an image encoder but no images" in problem.message


def test_too_few_frames_for_a_clip_from_an_image_are_refused():
    vae = recipe(VAE, "i2v", "kandinsky5", "tiny://kandinsky5-i2v")
    (problem,) = problems(vae, ["images"], frames=13)
    assert "17 or more" in problem.message
    assert not problems(vae, ["images"], frames=17)
