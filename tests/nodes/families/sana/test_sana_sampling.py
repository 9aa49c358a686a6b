from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import SanaVideoPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.sana import FAMILY, sampling

from .conftest import FPS, FRAMES, HEIGHT, WIDTH

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = (140.10, 31.14)

PROMPT, NEGATIVE = "A red circle moving up", "Blurry, still"


@pytest.fixture(scope="module")
def embeddings(text_stack):
    return FAMILY.encode_text(text_stack, [PROMPT])[0], FAMILY.encode_negative(text_stack, [NEGATIVE])[0]


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


def by_diffusers(checkpoint, guidance=1.0, steps=3, binning=False, **scheduler):
    pipeline = SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **scheduler)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        frames=FRAMES,
        num_inference_steps=steps,
        guidance_scale=guidance,
        use_resolution_binning=binning,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    )
    return (output.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("guidance", "steps", "options", "scheduler"),
    [
        (1.0, 3, {}, {}),
        (6.0, 3, {}, {}),
        (3.0, 1, {}, {}),
        (3.0, 4, {"shift": 3.0}, {"flow_shift": 3.0}),
    ],
)
def test_a_clip_from_kept_embeddings_equals_the_plain_pipelines_bit_for_bit(
    checkpoint, denoiser, vae, request_of, guidance, steps, options, scheduler
):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance, steps=steps, **options))
    assert ours.dtype == np.uint8
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(checkpoint, guidance, steps, **scheduler))


def test_the_pipelines_binning_would_draw_another_size_and_scale_it(checkpoint, monkeypatch):
    import diffusers.pipelines.sana_video.pipeline_sana_video as module

    monkeypatch.setattr(module, "ASPECT_RATIO_480_BIN", {"0.67": [128.0, 192.0]})
    binned = by_diffusers(checkpoint, 1.0, binning=True)
    assert not np.array_equal(binned, by_diffusers(checkpoint, 1.0))


def test_the_shift_changes_the_schedule_under_the_name_of_its_class(checkpoint, denoiser, vae):
    from diffusers import FlowMatchEulerDiscreteScheduler

    assert sampling.make_pipeline(denoiser, vae).scheduler.config.flow_shift == 8.0
    assert sampling.make_pipeline(denoiser, vae, 3).scheduler.config.flow_shift == 3.0
    denoiser.scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    changed = sampling.make_pipeline(denoiser, vae, 3).scheduler
    changed.set_timesteps(4)
    assert changed.config.shift == 3.0
    assert sampling.make_pipeline(denoiser, vae).scheduler.config.shift == 8.0


def test_a_checkpoint_with_the_other_scheduler_draws_as_its_pipeline_does(checkpoint, denoiser, vae, request_of):
    from diffusers import FlowMatchEulerDiscreteScheduler

    denoiser.scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    ours = FAMILY.draw(denoiser, vae, request_of(2.0))
    pipeline = SanaVideoPipeline.from_pretrained(checkpoint, scheduler=FlowMatchEulerDiscreteScheduler(shift=8.0))
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        frames=FRAMES,
        num_inference_steps=3,
        guidance_scale=2.0,
        use_resolution_binning=False,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    ).frames[0]
    assert np.array_equal(ours, (theirs * 255).round().astype(np.uint8))


def test_the_seed_and_the_prompt_decide_the_clip(denoiser, vae, request_of, embeddings):
    request = request_of()
    first = FAMILY.draw(denoiser, vae, request)
    assert np.array_equal(first, FAMILY.draw(denoiser, vae, request))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, seed=12)))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, embeddings=embeddings[1])))


def test_without_guidance_no_negative_prompt_is_needed(denoiser, vae, request_of):
    FAMILY.draw(denoiser, vae, request_of(1.0, negative=False))
    with pytest.raises(Failure, match="negative prompt"):
        FAMILY.draw(denoiser, vae, request_of(3.0, negative=False))


def test_unknown_options_are_refused(denoiser, vae, request_of):
    with pytest.raises(Failure, match="did you mean 'shift'"):
        FAMILY.draw(denoiser, vae, request_of(shfit=3.0))
    with pytest.raises(Failure, match="write a value like"):
        FAMILY.draw(denoiser, vae, request_of(vae_tiling=1))


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


def test_half_precision_draws_from_float32_embeddings_with_a_vae_in_full(checkpoint, vae, request_of):
    clip = FAMILY.draw(FAMILY.load("transformer", checkpoint, "bfloat16"), vae, request_of(2.0))
    assert clip.std() > 0


def test_what_diverged_is_drawn_black_and_not_as_an_error(denoiser, vae, request_of):
    with torch.no_grad():
        denoiser.transformer.proj_out.weight.fill_(float("nan"))
    assert FAMILY.draw(denoiser, vae, request_of()).max() == 0


def test_golden_statistics_of_a_clip(denoiser, vae, request_of):
    clip = FAMILY.draw(denoiser, vae, request_of()).astype(np.float64)
    assert clip.mean() == pytest.approx(GOLDEN[0], abs=0.5)
    assert clip.std() == pytest.approx(GOLDEN[1], abs=0.5)
