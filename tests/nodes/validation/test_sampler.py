"""The sampler's recipe: defaults of the family, and its rules."""

import pytest

from vflow.engine.problems import GraphError
from vflow.engine.values import Blob, Items
from vflow.nodes.validation import Sampler
from vflow.nodes.values import EMPTY_ROW, NEGATIVE_ROW, VAE, Embedding, Source

RECIPE = VAE(source=Source(family="ltx2", part="vae", content="vae", model="tiny://ltx2", kind="tiny"))


def embedding(digest):
    return Embedding(blob=Blob(digest=digest, size=1), caption=digest)


PROMPTS = Items.of({"cat": embedding("cat"), EMPTY_ROW: embedding("empty")})


def run(prompts=PROMPTS, **settings):
    return Sampler(**settings).run(None, RECIPE, prompts)


def test_what_is_left_empty_is_the_family_s_own():
    sampling, usual = run(), RECIPE.family.sampling
    assert (sampling.width, sampling.height, sampling.frames) == (usual.width, usual.height, usual.frames)
    assert (sampling.steps, sampling.guidance, sampling.fps) == (usual.steps, usual.guidance, RECIPE.family.rules.fps)


def test_prompts_keep_their_rows_and_the_empty_one_stands_in_for_a_negative_one():
    assert run().prompts == (("cat", embedding("cat")),)
    assert run().negative == embedding("empty")
    with_negative = PROMPTS + Items.of({NEGATIVE_ROW: embedding("blurry")})
    assert run(with_negative).negative == embedding("blurry")


@pytest.mark.parametrize(
    ("settings", "words", "remedy"),
    [
        ({"frames": 61}, "61 frames", "use 57 or 65"),
        ({"width": 100}, "width 100", "use 96 or 128"),
        ({"height": 33}, "height 33", "use 32 or 64"),
        ({"options": {"stg_scal": 1.0}}, "no sampling option 'stg_scal'", "stg_scale"),
    ],
)
def test_what_the_family_does_not_take_is_told_with_what_it_takes(settings, words, remedy):
    with pytest.raises(GraphError) as caught:
        run(**settings)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert remedy in problem.remedy
    assert list(Sampler(**settings).preflight(None, vae=RECIPE, prompts=None)) == [problem]


def test_all_problems_are_told_at_once():
    with pytest.raises(GraphError) as caught:
        run(frames=61, width=100)
    assert len(caught.value.problems) == 2


def test_no_prompt_is_a_problem():
    with pytest.raises(GraphError, match="no prompt"):
        run(Items.of({EMPTY_ROW: embedding("empty")}))


def test_the_same_settings_give_the_same_recipe_and_others_do_not():
    assert run().identity == run().identity
    assert run(seed=1).identity != run().identity
    assert run(options={"stg_scale": 1.0}).identity != run().identity
