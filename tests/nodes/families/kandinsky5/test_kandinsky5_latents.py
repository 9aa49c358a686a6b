import pytest
import torch
from diffusers import Kandinsky5T2VPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.nodes.families.kandinsky5 import FAMILY, latents

from .conftest import FRAMES, HEIGHT, WIDTH, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN_MEAN, GOLDEN_STD = 0.0554, 0.9487

CLIP = drawn_clip((0.9, -0.8, -0.8), 4)


def test_the_mode_is_the_vaes_mean_times_its_scaling_factor(vae):
    with torch.no_grad():
        raw = vae.vae.encode(CLIP).latent_dist.mode()
    assert torch.equal(FAMILY.encode_video(vae, CLIP, "mode", None), raw * vae.vae.config.scaling_factor)
    assert vae.vae.config.scaling_factor == 0.476986


def test_a_sample_equals_that_of_the_posterior_with_the_same_generators(vae):
    clips = torch.cat([CLIP, drawn_clip((-0.8, 0.9, 0.1), -2)])
    seeds = (3, 4)
    drawn = FAMILY.encode_video(vae, clips, "sample", [torch.Generator().manual_seed(s) for s in seeds])
    with torch.no_grad():
        raw = vae.vae.encode(clips).latent_dist.sample([torch.Generator().manual_seed(s) for s in seeds])
    assert torch.equal(drawn, raw * vae.vae.config.scaling_factor)
    assert not torch.equal(drawn, FAMILY.encode_video(vae, clips, "mode", None))


def test_a_sample_without_a_generator_for_each_clip_is_refused(vae):
    with pytest.raises(ValueError, match="sample"):
        FAMILY.encode_video(vae, CLIP, "sample", None)
    with pytest.raises(ValueError, match="median"):
        FAMILY.encode_video(vae, CLIP, "median", None)


def test_a_half_precision_vae_still_gives_float32_drawn_in_float32(checkpoint):
    half = FAMILY.load("vae", checkpoint, "bfloat16")
    drawn = FAMILY.encode_video(half, CLIP, "sample", [torch.Generator().manual_seed(3)])
    assert drawn.dtype == torch.float32
    assert (drawn != drawn.bfloat16().float()).any()


@given(shape=st.tuples(*[st.integers(1, 4)] * 5))
@settings(max_examples=25, deadline=None)
def test_channels_go_last_and_back(shape):
    values = torch.arange(torch.Size(shape).numel()).view(shape).float()
    last = latents.channels_last(values)
    assert last.shape == (shape[0], *shape[2:], shape[1])
    assert torch.equal(last[..., 0], values[:, 0])
    assert torch.equal(latents.channels_first(last), values)


def test_what_the_pipeline_ends_with_is_decoded_from_our_latents(checkpoint, vae):
    pipeline = Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def drawn(output_type):
        return pipeline(
            prompt="a red circle",
            width=WIDTH,
            height=HEIGHT,
            num_frames=FRAMES,
            num_inference_steps=2,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type=output_type,
        ).frames

    last = drawn("latent")
    assert last.shape == (1, *FAMILY.rules.latent_shape(FRAMES, HEIGHT, WIDTH), FAMILY.rules.latent_channels)
    with torch.no_grad():
        video = vae.vae.decode(latents.channels_first(last) / vae.vae.config.scaling_factor).sample
    assert (pipeline.video_processor.postprocess_video(video, output_type="np") == drawn("np")).all()


def test_golden_statistics_of_the_latents(vae):
    normal = FAMILY.encode_video(vae, CLIP, "mode", None)
    assert normal.mean().item() == pytest.approx(GOLDEN_MEAN, abs=0.005)
    assert normal.std().item() == pytest.approx(GOLDEN_STD, abs=0.005)
