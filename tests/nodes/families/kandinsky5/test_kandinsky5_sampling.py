from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.kandinsky5 import FAMILY

from .conftest import FPS, FRAMES, HEIGHT, WIDTH

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = (123.74, 51.17)

PROMPT, NEGATIVE = "a red circle moving up", "blurry, still, and much else that is not wanted"


@pytest.fixture(scope="module")
def embeddings(text_stack):
    return FAMILY.encode_text(text_stack, [PROMPT])[0], FAMILY.encode_text(text_stack, [NEGATIVE])[0]


@pytest.fixture
def request_of(embeddings):
    def make(guidance=1.0, negative=True, steps=3, on_step=None, **options):
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


def by_diffusers(checkpoint, guidance=1.0, adapter=None):
    pipeline = Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipeline.load_lora_weights(adapter.parent)
    output = pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    )
    return (output.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_clip_from_kept_embeddings_equals_the_plain_pipelines_bit_for_bit(
    checkpoint, denoiser, vae, request_of, guidance
):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance))
    assert ours.dtype == np.uint8
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(checkpoint, guidance))


def test_an_adapter_draws_in_the_plain_pipeline_what_it_draws_here(checkpoint, denoiser, vae, request_of, tmp_path):
    from peft import LoraConfig

    torch.manual_seed(0)
    denoiser.transformer.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention_ff"].pattern))
    for name, parameter in denoiser.transformer.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    ours = FAMILY.draw(denoiser, vae, request_of(3.0))
    file = FAMILY.save_adapter(denoiser, tmp_path)
    assert np.array_equal(ours, by_diffusers(checkpoint, 3.0, adapter=file))
    assert not np.array_equal(ours, by_diffusers(checkpoint, 3.0))


def test_the_seed_and_the_prompt_decide_the_clip(denoiser, vae, request_of, embeddings):
    request = request_of()
    first = FAMILY.draw(denoiser, vae, request)
    assert np.array_equal(first, FAMILY.draw(denoiser, vae, request))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, seed=12)))
    assert not np.array_equal(first, FAMILY.draw(denoiser, vae, replace(request, embeddings=embeddings[1])))


def test_without_guidance_no_negative_prompt_is_needed(denoiser, vae, request_of):
    FAMILY.draw(denoiser, vae, request_of(1.0, negative=False, steps=1))
    with pytest.raises(Failure, match="negative prompt"):
        FAMILY.draw(denoiser, vae, request_of(3.0, negative=False))


def test_unknown_options_and_sizes_out_of_reach_are_refused(denoiser, vae, request_of):
    with pytest.raises(Failure, match="did you mean 'vae_tiling'"):
        FAMILY.draw(denoiser, vae, request_of(vae_tilling=True))
    with pytest.raises(Failure, match="beyond the 128 x 128 x 128 positions"):
        FAMILY.draw(denoiser, vae, replace(request_of(), frames=4 * 128 + 1))


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
    assert FAMILY.draw(*parts, request_of(2.0)).std() > 0


def test_golden_statistics_of_a_clip(denoiser, vae, request_of):
    clip = FAMILY.draw(denoiser, vae, request_of()).astype(np.float64)
    assert (clip.mean(), clip.std()) == pytest.approx(GOLDEN, abs=0.5)
