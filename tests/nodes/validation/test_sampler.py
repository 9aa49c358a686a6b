"""The sampler's recipe: defaults of the family, and its rules."""

from types import SimpleNamespace

import pytest

from vflow.engine.problems import GraphError
from vflow.engine.values import Blob, Items
from vflow.nodes.validation import Sampler
from vflow.nodes.values import EMPTY_ROW, NEGATIVE_ROW, VAE, Embedding, Source

RECIPE = VAE(source=Source(family="ltx2", part="vae", content="vae", model="tiny://ltx2", kind="tiny"))
#: as much of a context as the node asks for
CONTEXT = SimpleNamespace(is_linked=lambda port: False, report=lambda facts: None)


def embedding(digest):
    return Embedding(blob=Blob(digest=digest, size=1), caption=digest)


PROMPTS = Items.of({"cat": embedding("cat"), EMPTY_ROW: embedding("empty")})


def run(prompts=PROMPTS, **settings):
    return Sampler(**settings).run(CONTEXT, RECIPE, prompts)


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
        ({"frames": 61}, "8k+1 frames, not 61", "use 57 or 65"),
        ({"resolution": "100x64"}, "multiples of 32, not 100x64", "use 96x64 or 128x64"),
        ({"resolution": 500}, "multiples of 32, not 500", "use 480 or 512"),
        ({"resolution": "0.0001MP"}, "no size", "use 0.001024MP or more"),
        ({"resolution": "96x64", "size_multiple": 64}, "multiples of 64", "use 64x64 or 128x64"),
        ({"frame_step": 12}, "needs multiples of 8", "use 8"),
        ({"options": {"stg_scal": 1.0}}, "no sampling option 'stg_scal'", "stg_scale"),
    ],
)
def test_what_the_family_does_not_take_is_told_with_what_it_takes(settings, words, remedy):
    with pytest.raises(GraphError) as caught:
        run(**settings)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert remedy in problem.remedy
    assert list(Sampler(**settings).preflight(CONTEXT, vae=RECIPE, prompts=None)) == [problem]


def test_all_problems_are_told_at_once():
    with pytest.raises(GraphError) as caught:
        run(frames=61, resolution="100x64")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"resolution": "576x384"}, (576, 384, 121)),
        ({"resolution": 384}, (576, 384, 121)),
        ({"resolution": "0.4MP"}, (768, 512, 121)),
        ({"resolution": "0.2MP", "frames": 57}, (544, 352, 57)),
        ({"resolution": "854x480", "frames": 60, "round": "nearest"}, (864, 480, 57)),
        ({"resolution": "854x480", "frames": 64, "round": "down"}, (832, 480, 57)),
    ],
)
def test_a_short_side_and_an_area_take_the_family_s_shape_and_what_breaks_the_rule_is_rounded(settings, size):
    sampling = run(**settings)
    assert (sampling.width, sampling.height, sampling.frames) == size


def of(model, family):
    return VAE(source=Source(family=family, part="vae", content="vae", model=model, kind="hub"))


@pytest.mark.parametrize(
    ("vae", "guidance", "seen"),
    [
        (RECIPE, 1.0, "washed out or black"),
        (RECIPE, 7.5, "burnt or noisy"),
        (RECIPE, 2.0, ""),
        (RECIPE, 6.0, ""),
        (RECIPE, None, ""),
        (of("hunyuan15/t2v-480p", "hunyuan15"), 8.0, "burnt or noisy"),
        (of("hunyuan15/t2v-480p-distilled", "hunyuan15"), 1.0, ""),
    ],
)
def test_guidance_that_gives_black_or_noisy_clips_is_warned_of_unless_it_is_the_flavour_s_own(vae, guidance, seen):
    found = [p for p in Sampler(guidance=guidance).preflight(CONTEXT, vae=vae, prompts=None) if p.where == "guidance"]
    assert [problem.severity for problem in found] == (["warning"] if seen else [])
    assert all(seen in problem.message for problem in found)


def test_a_flavour_has_usual_settings_of_its_own():
    long = of("kandinsky5/t2v-lite-sft-10s", "kandinsky5")
    assert Sampler().run(CONTEXT, long, PROMPTS).frames == 241


def test_no_prompt_is_a_problem():
    with pytest.raises(GraphError, match="no prompt"):
        run(Items.of({EMPTY_ROW: embedding("empty")}))


def test_the_same_settings_give_the_same_recipe_and_others_do_not():
    assert run().identity == run().identity
    assert run(seed=1).identity != run().identity
    assert run(options={"stg_scale": 1.0}).identity != run().identity


def test_sound_is_drawn_where_the_family_draws_some_unless_it_is_not_wanted():
    assert run().sound
    assert run(sound=True) == run()
    assert not run(sound=False).sound
    assert run(sound=False).identity != run().identity


def test_sound_of_a_family_that_draws_none_is_refused():
    other = VAE(source=Source(family="sana", part="vae", content="vae", model="tiny://sana", kind="tiny"))
    assert not Sampler().run(CONTEXT, other, PROMPTS).sound
    with pytest.raises(GraphError, match="Sana Video draws no sound"):
        Sampler(sound=True).run(CONTEXT, other, PROMPTS)
