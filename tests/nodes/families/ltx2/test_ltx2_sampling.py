import numpy as np
import pytest
import torch
from diffusers import LTX2Pipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.ltx2 import FAMILY

from .conftest import FPS, FRAMES, HEIGHT, WIDTH

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = (129.6, 42.55)

PROMPT, NEGATIVE = "a red circle moving up", "blurry, still"


@pytest.fixture(scope="module")
def embeddings(text_stack):
    return FAMILY.encode_text(text_stack, [PROMPT])[0], FAMILY.encode_text(text_stack, [NEGATIVE])[0]


@pytest.fixture
def request_of(embeddings):
    def make(guidance=1.0, negative=True, steps=3, **options):
        on_step = options.pop("on_step", None)
        return SamplingRequest(
            embeddings=embeddings[0],
            negative=embeddings[1] if negative else None,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            fps=FPS,
            steps=steps,
            guidance=guidance,
            seed=11,
            options=options,
            on_step=on_step,
        )

    return make


def by_diffusers(checkpoint, guidance=1.0, audio_guidance=None, stg=0.0, modality=1.0, rescale=0.7, tiling=False):
    pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        frame_rate=FPS,
        num_inference_steps=3,
        guidance_scale=guidance,
        audio_guidance_scale=audio_guidance or guidance,
        guidance_rescale=rescale,
        audio_guidance_rescale=rescale,
        stg_scale=stg,
        audio_stg_scale=stg,
        spatio_temporal_guidance_blocks=[1],
        modality_scale=modality,
        audio_modality_scale=modality,
        generator=torch.Generator().manual_seed(11),
        max_sequence_length=64,
        output_type="np",
    )
    return (output.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("guidance", "options", "plain"),
    [
        (1.0, {}, {}),
        (3.0, {}, {}),
        (3.0, {"audio_guidance": 7.0, "guidance_rescale": 0.0}, {"audio_guidance": 7.0, "rescale": 0.0}),
        (2.0, {"stg_scale": 1.0, "stg_block": 1, "modality_scale": 3.0}, {"stg": 1.0, "modality": 3.0}),
    ],
)
def test_a_clip_from_kept_embeddings_equals_the_plain_pipelines_bit_for_bit(
    checkpoint, denoiser, vae, request_of, guidance, options, plain
):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance, **options))
    assert ours.dtype == np.uint8
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(checkpoint, guidance, **plain))


def test_the_seed_and_the_prompt_decide_the_clip(denoiser, vae, request_of, embeddings):
    from dataclasses import replace

    request = request_of()
    first = FAMILY.draw(denoiser, vae, request)
    assert np.array_equal(first, FAMILY.draw(denoiser, vae, request))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, seed=12)))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, embeddings=embeddings[1])))


def test_without_guidance_no_negative_prompt_is_needed(denoiser, vae, request_of):
    FAMILY.draw(denoiser, vae, request_of(1.0, negative=False))
    with pytest.raises(Failure, match="negative prompt"):
        FAMILY.draw(denoiser, vae, request_of(3.0, negative=False))


def test_unknown_options_and_blocks_that_do_not_exist_are_refused(denoiser, vae, request_of):
    with pytest.raises(Failure, match="did you mean 'stg_scale'"):
        FAMILY.draw(denoiser, vae, request_of(stg_skale=1.0))
    with pytest.raises(Failure, match="the transformer has 8 blocks"):
        FAMILY.draw(denoiser, vae, request_of(stg_scale=1.0))
    for option in ({"vae_tiling": 1}, {"stg_scale": "much"}, {"stg_scale": True}):
        with pytest.raises(Failure, match="write a value like"):
            FAMILY.draw(denoiser, vae, request_of(**option))


def test_a_single_step_is_refused_because_the_schedule_has_none(denoiser, vae, request_of):
    with pytest.raises(Failure, match="take 2 or more"):
        FAMILY.draw(denoiser, vae, request_of(steps=1))
    assert FAMILY.draw(denoiser, vae, request_of(steps=2)).std() > 0


def test_steps_are_told_and_an_exception_there_ends_the_drawing(denoiser, vae, request_of):
    told = []
    FAMILY.draw(denoiser, vae, request_of(on_step=lambda done, total: told.append((done, total))))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FAMILY.draw(denoiser, vae, request_of(on_step=stop))


def test_the_global_generator_the_training_mode_and_the_scheduler_are_left_alone(denoiser, vae, request_of):
    denoiser.transformer.train()
    state, config = torch.get_rng_state(), dict(denoiser.scheduler.config)
    FAMILY.draw(denoiser, vae, request_of(vae_tiling=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert denoiser.transformer.training
    assert not vae.vae.use_tiling
    assert dict(denoiser.scheduler.config) == config
    assert denoiser.scheduler.step_index is None


def test_an_offloaded_transformer_draws_the_same_bits(checkpoint, denoiser, vae, request_of):
    expected = FAMILY.draw(denoiser, vae, request_of(2.0))
    offloaded = FAMILY.load("transformer", checkpoint, "float32")
    offloaded.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=2
    )
    assert np.array_equal(FAMILY.draw(offloaded, vae, request_of(2.0)), expected)


def test_half_precision_draws_from_float32_embeddings(checkpoint, request_of):
    parts = [FAMILY.load(part, checkpoint, "bfloat16") for part in ("transformer", "vae")]
    clip = FAMILY.draw(*parts, request_of(2.0))
    assert clip.std() > 0


def test_golden_statistics_of_a_clip(denoiser, vae, request_of):
    clip = FAMILY.draw(denoiser, vae, request_of()).astype(np.float64)
    assert clip.mean() == pytest.approx(GOLDEN[0], abs=0.5)
    assert clip.std() == pytest.approx(GOLDEN[1], abs=0.5)
