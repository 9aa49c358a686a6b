import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaImageToVideoPipeline, SanaVideoPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.nodes.families.sana import FAMILY, latents

from .conftest import drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN_MEAN, GOLDEN_STD = 0.0002, 0.9968

CLIP = drawn_clip((0.9, -0.8, -0.8), 8)


def test_the_mode_equals_the_image_pipelines_encoding_and_normalisation(checkpoint, vae):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    pipeline = SanaImageToVideoPipeline.from_pretrained(checkpoint, local_files_only=True, scheduler=scheduler)
    image = CLIP[:, :, 0]
    theirs = pipeline.prepare_latents(
        image, 1, 16, 64, 96, 9, torch.float32, torch.device("cpu"), torch.Generator().manual_seed(0)
    )
    ours = FAMILY.encode_video(vae, image[:, :, None], "mode", None)
    assert torch.equal(ours[:, :, 0], theirs[:, :, 0])


def test_a_sample_equals_that_of_the_posterior_with_the_same_generators(vae):
    clips = torch.cat([CLIP, drawn_clip((-0.8, 0.9, 0.1), -4)])
    drawn = FAMILY.encode_video(vae, clips, "sample", [torch.Generator().manual_seed(s) for s in (3, 4)])
    raw = vae.vae.encode(clips).latent_dist.sample([torch.Generator().manual_seed(s) for s in (3, 4)])
    assert torch.equal(drawn, latents.normalise(raw, vae.vae))
    assert not torch.equal(drawn, FAMILY.encode_video(vae, clips, "mode", None))


def test_clips_one_after_the_other_do_not_see_each_other_in_the_vaes_cache(vae):
    first = FAMILY.encode_video(vae, CLIP, "mode", None)
    FAMILY.encode_video(vae, drawn_clip((-0.8, 0.9, 0.1), -4), "mode", None)
    assert torch.equal(FAMILY.encode_video(vae, CLIP, "mode", None), first)


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
def test_tokens_put_frames_first_and_channels_last(shape):
    values = torch.arange(torch.Size(shape).numel()).view(shape).float()
    tokens = latents.pack(values)
    assert tokens.shape == (shape[0], shape[2] * shape[3] * shape[4], shape[1])
    assert torch.equal(tokens[:, : shape[3] * shape[4]], latents.pack(values[:, :, :1]))


def test_what_the_pipeline_ends_with_is_decoded_from_our_latents(checkpoint, vae):
    pipeline = SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def drawn(output_type):
        return pipeline(
            "a red circle",
            width=96,
            height=64,
            frames=9,
            num_inference_steps=2,
            guidance_scale=1.0,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(0),
            output_type=output_type,
        ).frames

    last = drawn("latent")
    raw = latents.denormalise(last, vae.vae)
    torch.testing.assert_close(latents.normalise(raw, vae.vae), last)
    with torch.no_grad():
        video = vae.vae.decode(raw).sample
    assert (pipeline.video_processor.postprocess_video(video, output_type="np") == drawn("np")).all()


def test_golden_statistics_of_the_latents(vae):
    normal = FAMILY.encode_video(vae, CLIP, "mode", None)
    assert normal.mean().item() == pytest.approx(GOLDEN_MEAN, abs=0.005)
    assert normal.std().item() == pytest.approx(GOLDEN_STD, abs=0.005)
