import numpy as np
import pytest
import torch
from diffusers import HunyuanVideo15ImageToVideoPipeline, HunyuanVideo15Pipeline
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor
from diffusers.pipelines.hunyuan_video1_5.pipeline_hunyuan_video1_5_image2video import retrieve_latents
from PIL import Image

from vflow.nodes.families.hunyuan15 import FAMILY, latents

from .conftest import drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN_MEAN, GOLDEN_STD = -0.0322, 1.0188

CLIP = drawn_clip((0.9, -0.8, -0.8), 4)


def test_the_mode_is_scaled_as_diffusers_scales_the_latents_of_an_image(vae):
    pixels = ((CLIP[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    exact = torch.from_numpy(pixels).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    with torch.no_grad():
        expected = HunyuanVideo15ImageToVideoPipeline._get_image_latents(
            vae.vae, HunyuanVideo15ImageProcessor(), Image.fromarray(pixels), 64, 96, torch.device("cpu")
        )
    torch.testing.assert_close(FAMILY.encode_video(vae, exact, "mode", None), expected, atol=1e-5, rtol=1e-5)
    raw = retrieve_latents(vae.vae.encode(CLIP), sample_mode="argmax")
    assert torch.equal(FAMILY.encode_video(vae, CLIP, "mode", None), raw * vae.vae.config.scaling_factor)
    assert vae.vae.config.scaling_factor != 1.0


def test_a_sample_equals_that_of_the_posterior_with_the_same_generators(vae):
    clips = torch.cat([CLIP, drawn_clip((-0.8, 0.9, 0.1), -2)])
    seeds = (3, 4)
    drawn = FAMILY.encode_video(vae, clips, "sample", [torch.Generator().manual_seed(s) for s in seeds])
    for clip, seed, ours in zip(clips.split(1), seeds, drawn.split(1), strict=True):
        raw = vae.vae.encode(clip).latent_dist.sample(torch.Generator().manual_seed(seed))
        assert torch.equal(ours, raw * vae.vae.config.scaling_factor)
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


def test_latents_have_the_shape_of_the_rules(vae):
    assert FAMILY.encode_video(vae, CLIP, "mode", None).shape[2:] == FAMILY.rules.latent_shape(17, 64, 96) == (5, 4, 6)


def test_packing_puts_frames_first():
    values = torch.arange(2 * 3 * 4 * 5 * 6.0).view(2, 3, 4, 5, 6)
    tokens = latents.pack(values)
    assert tokens.shape == (2, 120, 3)
    assert torch.equal(tokens[:, :30], latents.pack(values[:, :, :1]))


def test_golden_statistics_of_the_latents(vae):
    normal = FAMILY.encode_video(vae, CLIP, "mode", None)
    assert normal.mean().item() == pytest.approx(GOLDEN_MEAN, abs=0.01)
    assert normal.std().item() == pytest.approx(GOLDEN_STD, abs=0.01)


def test_what_the_pipeline_ends_with_is_decoded_from_our_latents(checkpoint, vae):
    pipeline = HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.guider = pipeline.guider.new(guidance_scale=1.0)

    def drawn(output_type):
        generator = torch.Generator().manual_seed(0)
        sizes = {"width": 96, "height": 64, "num_frames": 9, "num_inference_steps": 1}
        return pipeline("a red circle", generator=generator, output_type=output_type, **sizes).frames

    scaled = drawn("latent")
    with torch.no_grad():
        video = vae.vae.decode(scaled / vae.vae.config.scaling_factor).sample
    assert np.array_equal(pipeline.video_processor.postprocess_video(video, output_type="np"), drawn("np"))
