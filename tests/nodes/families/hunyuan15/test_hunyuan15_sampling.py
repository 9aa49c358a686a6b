from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import HunyuanVideo15Pipeline
from peft import LoraConfig

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.hunyuan15 import FAMILY

from .conftest import FPS, HEIGHT, WIDTH

FRAMES = 9

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = (144.72, 38.67)

PROMPT, NEGATIVE = 'a red circle moving up, it says "UP"', "blurry, still"


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


def pipeline_of(checkpoint, guidance):
    pipeline = HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.guider = pipeline.guider.new(guidance_scale=guidance)
    return pipeline


def by_diffusers(pipeline, prompt=PROMPT, negative=NEGATIVE):
    output = pipeline(
        prompt=prompt,
        negative_prompt=negative,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    )
    return (output.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_clip_from_kept_embeddings_equals_the_plain_pipelines_bit_for_bit(
    checkpoint, denoiser, vae, request_of, guidance
):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance))
    assert ours.dtype == np.uint8
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(pipeline_of(checkpoint, guidance)))


def test_an_adapter_of_ours_draws_in_the_pipeline_what_it_draws_here_bit_for_bit(
    checkpoint, denoiser, vae, request_of, tmp_path
):
    trained = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    trained.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=FAMILY.lora_targets["attention"].pattern))
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    file = FAMILY.save_adapter(trained, tmp_path)
    pipeline = pipeline_of(checkpoint, 4.0)
    pipeline.transformer.load_lora_adapter(tmp_path, prefix=None, weight_name=file.name)
    plain = FAMILY.draw(denoiser, vae, request_of(4.0))
    FAMILY.load_adapter(denoiser, file, 1.0)
    ours = FAMILY.draw(denoiser, vae, request_of(4.0))
    assert np.array_equal(ours, by_diffusers(pipeline))
    assert not np.array_equal(ours, plain)


def test_the_empty_caption_is_the_pipelines_negative_prompt(checkpoint, denoiser, vae, request_of, text_stack):
    empty = FAMILY.encode_text(text_stack, [""])[0]
    ours = FAMILY.draw(denoiser, vae, replace(request_of(4.0), negative=empty))
    assert np.array_equal(ours, by_diffusers(pipeline_of(checkpoint, 4.0), negative=None))


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_text_without_its_padding_draws_the_same_clip_but_for_rounding(denoiser, vae, request_of, guidance):
    whole = FAMILY.draw(denoiser, vae, request_of(guidance, steps=2)).astype(int)
    trimmed = FAMILY.draw(denoiser, vae, request_of(guidance, steps=2, trim_text=True)).astype(int)
    assert np.abs(whole - trimmed).max() <= 1
    assert (whole != trimmed).mean() < 0.01


def test_the_guiders_other_settings_are_the_checkpoints(denoiser, vae, request_of):
    plain = FAMILY.draw(denoiser, vae, request_of(4.0, steps=1))
    denoiser.guider = denoiser.guider.new(guidance_rescale=0.9)
    assert not np.array_equal(FAMILY.draw(denoiser, vae, request_of(4.0, steps=1)), plain)


def test_the_seed_and_the_prompt_decide_the_clip(denoiser, vae, request_of, embeddings):
    request = request_of(steps=1)
    first = FAMILY.draw(denoiser, vae, request)
    assert np.array_equal(first, FAMILY.draw(denoiser, vae, request))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, seed=12)))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, embeddings=embeddings[1])))


def test_without_guidance_no_negative_prompt_is_needed(denoiser, vae, request_of):
    FAMILY.draw(denoiser, vae, request_of(1.0, negative=False, steps=1))
    with pytest.raises(Failure, match="negative prompt"):
        FAMILY.draw(denoiser, vae, request_of(3.0, negative=False))


def test_unknown_options_are_refused(denoiser, vae, request_of):
    with pytest.raises(Failure, match="did you mean 'trim_text'"):
        FAMILY.draw(denoiser, vae, request_of(trim_texts=True))
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
    FAMILY.draw(denoiser, vae, request_of(vae_tiling=True, steps=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert denoiser.transformer.training
    assert not vae.vae.use_tiling
    assert dict(denoiser.scheduler.config) == config
    assert denoiser.scheduler.step_index is None


def test_an_offloaded_transformer_draws_the_same_bits(checkpoint, denoiser, vae, request_of):
    expected = FAMILY.draw(denoiser, vae, request_of(2.0, steps=1))
    offloaded = FAMILY.load("transformer", checkpoint, "float32")
    offloaded.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=2
    )
    assert np.array_equal(FAMILY.draw(offloaded, vae, request_of(2.0, steps=1)), expected)


def test_half_precision_draws_from_float32_embeddings(checkpoint, request_of):
    parts = [FAMILY.load(part, checkpoint, "bfloat16") for part in ("transformer", "vae")]
    clip = FAMILY.draw(*parts, request_of(2.0, steps=1))
    assert clip.std() > 0


def test_golden_statistics_of_a_clip(denoiser, vae, request_of):
    clip = FAMILY.draw(denoiser, vae, request_of()).astype(np.float64)
    assert clip.mean() == pytest.approx(GOLDEN[0], abs=0.5)
    assert clip.std() == pytest.approx(GOLDEN[1], abs=0.5)
