import pytest
import torch
from diffusers import LTX2ImageToVideoPipeline, LTX2Pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.nodes.families.ltx2 import FAMILY, latents

from .conftest import drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN_MEAN, GOLDEN_STD = -0.0064, 0.9606

CLIP = drawn_clip((0.9, -0.8, -0.8), 4)


def statistics(vae):
    return vae.latents_mean, vae.latents_std, vae.config.scaling_factor


def test_the_mode_equals_the_pipelines_encoding_and_normalisation(vae):
    raw = vae.vae.encode(CLIP).latent_dist.mode()
    expected = LTX2Pipeline._normalize_latents(raw, *statistics(vae.vae))
    assert torch.equal(FAMILY.encode_video(vae, CLIP, "mode", None), expected)
    image = LTX2ImageToVideoPipeline._normalize_latents(raw, vae.vae.latents_mean, vae.vae.latents_std)
    assert torch.equal(expected, image)


def test_a_sample_equals_that_of_the_posterior_with_the_same_generators(vae):
    clips = torch.cat([CLIP, drawn_clip((-0.8, 0.9, 0.1), -2)])
    seeds = (3, 4)
    drawn = FAMILY.encode_video(vae, clips, "sample", [torch.Generator().manual_seed(s) for s in seeds])
    raw = vae.vae.encode(clips).latent_dist.sample([torch.Generator().manual_seed(s) for s in seeds])
    assert torch.equal(drawn, LTX2Pipeline._normalize_latents(raw, *statistics(vae.vae)))
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


def test_denormalising_and_unpacking_undo_as_in_the_pipeline(vae):
    normal = FAMILY.encode_video(vae, CLIP, "mode", None)
    tokens = latents.pack(normal)
    assert torch.equal(tokens, LTX2Pipeline._pack_latents(normal))
    assert torch.equal(latents.unpack(tokens, (3, 2, 3)), LTX2Pipeline._unpack_latents(tokens, 3, 2, 3))
    raw = latents.denormalise(normal, vae.vae)
    assert torch.equal(raw, LTX2Pipeline._denormalize_latents(normal, *statistics(vae.vae)))
    torch.testing.assert_close(latents.normalise(raw, vae.vae), normal)


@given(shape=st.tuples(*[st.integers(1, 4)] * 5))
@settings(max_examples=25, deadline=None)
def test_packing_is_undone_by_unpacking_and_puts_frames_first(shape):
    values = torch.arange(torch.Size(shape).numel()).view(shape).float()
    tokens = latents.pack(values)
    assert tokens.shape == (shape[0], shape[2] * shape[3] * shape[4], shape[1])
    assert torch.equal(latents.unpack(tokens, shape[2:]), values)
    assert torch.equal(tokens[:, : shape[3] * shape[4]], latents.pack(values[:, :, :1]))


def test_golden_statistics_of_the_latents(vae):
    normal = FAMILY.encode_video(vae, CLIP, "mode", None)
    assert normal.mean().item() == pytest.approx(GOLDEN_MEAN, abs=0.005)
    assert normal.std().item() == pytest.approx(GOLDEN_STD, abs=0.005)


def test_what_the_pipeline_ends_with_is_decoded_from_our_latents(checkpoint, vae):
    pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    last = []

    def keep(_pipeline, _step, _timestep, tensors):
        last.append(tensors["latents"])
        return {}

    def drawn(output_type):
        return pipeline(
            prompt="a red circle",
            width=96,
            height=64,
            num_frames=17,
            num_inference_steps=2,
            guidance_scale=1.0,
            audio_guidance_scale=1.0,
            stg_scale=0.0,
            audio_stg_scale=0.0,
            modality_scale=1.0,
            audio_modality_scale=1.0,
            max_sequence_length=64,
            generator=torch.Generator().manual_seed(0),
            output_type=output_type,
            callback_on_step_end=keep,
        ).frames

    frames = drawn("np")
    raw = latents.denormalise(latents.unpack(last[-1], (3, 2, 3)), vae.vae)
    assert torch.equal(raw, drawn("latent"))
    with torch.no_grad():
        video = vae.vae.decode(raw).sample
    assert (pipeline.video_processor.postprocess_video(video, output_type="np") == frames).all()
