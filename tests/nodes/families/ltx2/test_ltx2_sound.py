"""Sound: the front end against other implementations, and encoding, training and drawing against the pipeline."""

import numpy as np
import pytest
import torch
from diffusers import LTX2Pipeline
from peft import LoraConfig

from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.ltx2 import FAMILY, latents, sound
from vflow.nodes.training.evaluation import losses_of

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, SeededDraws, batch_of, drawn_clip

SECONDS = FRAMES / FPS
TOKENS = 17  #: of the sound of 17 frames: 0.68 s, 25 for each second
SHAPE = (3, 2, 3)
PLAIN = FlowOptions(first_frame_probability=0.0)
CAPTION = "a red square moving left to right on a dark background"


def tone(pitch, seconds=SECONDS, rate=16000):
    time = torch.arange(round(seconds * rate)) / rate
    wave = 0.6 * torch.sin(2 * torch.pi * pitch * time) * torch.sin(torch.pi * time / seconds)
    return torch.stack([wave, 0.5 * wave.flip(0)])[None]


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0]


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 4), "mode", None)


@pytest.fixture(scope="module")
def audio_latents(vae):
    return FAMILY.encode_audio(vae, tone(330.0), SECONDS)


# --- the front end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "bins"), [(16000, 64), (16000, 16), (24000, 80)])
def test_the_filters_are_those_of_another_implementation(rate, bins):
    from transformers.audio_utils import mel_filter_bank

    theirs = mel_filter_bank(513, bins, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(sound.mel_filters(rate, bins).numpy(), theirs, atol=1e-12)


def test_the_spectrogram_is_that_of_another_implementation():
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    wave = torch.randn(2, 2, 10880, generator=torch.Generator().manual_seed(0)) * 0.2
    ours = sound.log_mel(wave, 16000, 160, 64)
    assert ours.shape == (2, 2, 69, 64)
    filters = mel_filter_bank(513, 64, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    for row in range(2):
        for channel in range(2):
            theirs = spectrogram(
                wave[row, channel].numpy(),
                window_function(1024, "hann", periodic=True),
                frame_length=1024,
                hop_length=160,
                power=1.0,
                center=True,
                pad_mode="reflect",
                mel_filters=filters,
                mel_floor=1e-5,
                log_mel="log",
            )
            np.testing.assert_allclose(ours[row, channel].numpy(), theirs.T, atol=2e-5)


def test_one_column_written_out_by_hand():
    wave = np.random.default_rng(0).normal(size=4000)
    around = np.pad(wave, 512, mode="reflect")[5 * 160 : 5 * 160 + 1024]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitudes = np.abs(np.fft.rfft(around * hann))
    expected = np.log(np.maximum(magnitudes @ sound.mel_filters(16000, 64).numpy(), 1e-5))
    ours = sound.log_mel(torch.from_numpy(wave)[None, None].float(), 16000, 160, 64)[0, 0, 5]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-4)


def test_silence_is_the_floor():
    assert torch.allclose(sound.log_mel(torch.zeros(1, 2, 3200), 16000, 160, 64), torch.tensor(1e-5).log())


# --- latents -------------------------------------------------------------------------------------------------------


def test_latents_are_what_the_pipeline_makes_of_the_vaes_own(vae, audio_latents):
    """`LTX2Pipeline.prepare_audio_latents` packs and normalises latents as the VAE gives them."""
    audio_vae, _ = vae.sound()
    mel = sound.log_mel(tone(330.0), 16000, 160, audio_vae.config.mel_bins)
    with torch.no_grad():
        raw = audio_vae.encode(mel).latent_dist.mode()[:, :, :TOKENS]
    packed = LTX2Pipeline._pack_audio_latents(raw)
    theirs = LTX2Pipeline._normalize_audio_latents(packed, audio_vae.latents_mean, audio_vae.latents_std)
    assert audio_latents.shape == (1, TOKENS, 8)
    assert audio_latents.dtype == torch.float32
    torch.testing.assert_close(audio_latents, theirs)
    assert torch.equal(sound.pack(raw), packed)


def test_statistics_belong_to_tokens_and_not_to_the_vaes_channels(vae):
    """The real VAE has 8 channels and 16 bins: normalising (B, 8, L, 16) by 128 numbers is a mistake that may not run.

    With numbers spread over channels and bins the other way round it runs, and gives something else.
    """
    audio_vae, _ = vae.sound()
    raw = torch.randn(1, 2, TOKENS, 4, generator=torch.Generator().manual_seed(0))
    right = sound.normalise(sound.pack(raw), audio_vae)
    mean, std = (getattr(audio_vae, name).view(4, 2).T[None, :, None, :] for name in ("latents_mean", "latents_std"))
    assert not torch.allclose(sound.pack((raw - mean) / std), right, atol=0.1)
    bins_first = raw.permute(0, 2, 3, 1).flatten(2)
    assert not torch.allclose(sound.normalise(bins_first, audio_vae), right, atol=0.1)
    back = LTX2Pipeline._denormalize_audio_latents(right, audio_vae.latents_mean, audio_vae.latents_std)
    torch.testing.assert_close(LTX2Pipeline._unpack_audio_latents(back, TOKENS, num_mel_bins=4), raw)


def test_the_miniatures_latents_are_spread_like_real_ones(vae):
    found = torch.cat([FAMILY.encode_audio(vae, tone(pitch), SECONDS) for pitch in (220.0, 330.0, 494.0, 740.0)])
    assert found.std().item() == pytest.approx(1.0, abs=0.4)
    assert (vae.sound()[0].latents_std - 1).abs().max() > 0.05
    assert found.mean((1, 2)).std() > 0.02  # tones differ


@pytest.mark.parametrize(("frames", "fps"), [(1, 25.0), (9, 25.0), (17, 24.0), (25, 50.0), (121, 25.0), (121, 23.976)])
def test_there_are_as_many_tokens_as_the_pipeline_draws(vae, frames, fps):
    seconds = frames / fps
    theirs = round(seconds * (16000 / 160 / float(4)))
    found = FAMILY.encode_audio(vae, torch.zeros(1, 2, round(seconds * 16000)), seconds)
    assert found.shape == (1, theirs, 8)


def test_half_precision_encodes_sound_in_full_precision(checkpoint, audio_latents):
    half = FAMILY.load("vae", checkpoint, "bfloat16")
    torch.testing.assert_close(FAMILY.encode_audio(half, tone(330.0), SECONDS), audio_latents)


# --- training ------------------------------------------------------------------------------------------------------


class Watched:
    """Runs the pipeline for some steps and keeps what its transformer was given and what came of both streams."""

    def __init__(self, checkpoint):
        self.pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.calls = []
        self.pipeline.transformer.register_forward_pre_hook(
            lambda _module, _args, kwargs: self.calls.append(dict(kwargs)), with_kwargs=True
        )
        self.pipeline(
            prompt=CAPTION,
            width=WIDTH,
            height=HEIGHT,
            num_frames=FRAMES,
            frame_rate=FPS,
            num_inference_steps=3,
            guidance_scale=1.0,
            audio_guidance_scale=1.0,
            guidance_rescale=0.0,
            audio_guidance_rescale=0.0,
            stg_scale=0.0,
            audio_stg_scale=0.0,
            modality_scale=1.0,
            audio_modality_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            max_sequence_length=64,
            output_type="latent",
        )
        self.sigmas = self.pipeline.scheduler.sigmas


class GivenNoises(SeededDraws):
    def __init__(self, **noises):
        super().__init__(1)
        self.noises = noises

    def normal(self, purpose, shape):
        return self.noises[purpose.replace(" ", "_")]


@pytest.fixture(scope="module")
def watched(checkpoint):
    return Watched(checkpoint)


def sounding(clip_latents, embedding, audio_latents):
    batch = batch_of(clip_latents, [embedding] * len(clip_latents))
    batch.audio = audio_latents
    return batch


def noises_for(call, clip_latents, audio_latents, sigma):
    """Return draws with which both streams, noised at sigma, are what the pipeline gave to its transformer."""
    video = (call["hidden_states"] - (1 - sigma) * latents.pack(clip_latents)) / sigma
    audio = (call["audio_hidden_states"] - (1 - sigma) * audio_latents) / sigma
    return GivenNoises(noise=latents.unpack(video, SHAPE), audio_noise=audio)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_sounding_clip_is_given_to_the_transformer_as_the_pipeline_gives_both_streams(
    watched, denoiser, embedding, clip_latents, audio_latents, step
):
    theirs, ours = watched.calls[step], {}
    denoiser.transformer.register_forward_pre_hook(lambda _module, _args, kwargs: ours.update(kwargs), with_kwargs=True)
    sigma = watched.sigmas[step]
    draws = noises_for(theirs, clip_latents, audio_latents, sigma)
    FAMILY.predict(denoiser, sounding(clip_latents, embedding, audio_latents), sigma[None], draws, PLAIN)
    for name in ("hidden_states", "audio_hidden_states"):
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-5)
    exact = ("encoder_hidden_states", "audio_encoder_hidden_states", "encoder_attention_mask")
    for name in (*exact, "audio_encoder_attention_mask", "timestep", "sigma"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
    same = ("num_frames", "height", "width", "fps", "audio_num_frames", "isolate_modalities", "use_cross_timestep")
    for name in (*same, "return_dict"):
        assert ours[name] == theirs[name], name
    # what only one of them says is what the transformer makes of the rest
    assert torch.equal(ours["audio_timestep"], theirs["timestep"])
    assert torch.equal(ours["audio_sigma"], theirs["sigma"])
    rope = denoiser.transformer.audio_rope
    assert torch.equal(rope.prepare_audio_coords(1, TOKENS, torch.device("cpu")), theirs["audio_coords"])
    unsaid = {"video_coords", "audio_coords", "spatio_temporal_guidance_blocks", "perturbation_mask"}
    assert theirs.keys() - ours.keys() == {*unsaid, "attention_kwargs"}
    assert all(theirs[name] is None for name in unsaid - {"video_coords", "audio_coords"})


@pytest.mark.parametrize("step", [0, 1])
def test_one_euler_step_of_both_streams_is_the_pipelines_step(
    watched, denoiser, embedding, clip_latents, audio_latents, step
):
    before, after = watched.calls[step], watched.calls[step + 1]
    sigma, following = watched.sigmas[step], watched.sigmas[step + 1]
    draws = noises_for(before, clip_latents, audio_latents, sigma)
    said = FAMILY.predict(denoiser, sounding(clip_latents, embedding, audio_latents), sigma[None], draws, PLAIN)
    for stream, name in ((said, "hidden_states"), (said.audio, "audio_hidden_states")):
        stepped = before[name] + (following - sigma) * stream.prediction
        torch.testing.assert_close(stepped, after[name], atol=1e-5, rtol=1e-5)


def test_both_streams_are_noised_alike_each_with_its_own_noise(denoiser, embedding, clip_latents, audio_latents):
    batch = sounding(clip_latents.expand(2, -1, -1, -1, -1), embedding, audio_latents.expand(2, -1, -1))
    sigmas = torch.tensor([0.7, 0.2])
    said = FAMILY.predict(denoiser, batch, sigmas, SeededDraws(2), PLAIN)
    noise = SeededDraws(2).normal("audio noise", (TOKENS, 8))
    torch.testing.assert_close(said.audio.target, noise - audio_latents)
    assert said.audio.prediction.shape == (2, TOKENS, 8)
    assert said.audio.prediction.dtype == said.audio.target.dtype == torch.float32
    assert torch.equal(said.audio.weight, torch.ones(2, TOKENS, 1))
    assert not torch.equal(noise.flatten()[:8], SeededDraws(2).normal("noise", (16, *SHAPE)).flatten()[:8])


def test_what_is_heard_and_what_is_seen_change_each_other_and_silent_clips_hear_nothing(
    denoiser, embedding, clip_latents, audio_latents
):
    def predict(audio, video=clip_latents):
        batch = sounding(video, embedding, audio)
        return FAMILY.predict(denoiser, batch, torch.tensor([0.3]), SeededDraws(1), PLAIN)

    plain, louder, other = predict(audio_latents), predict(audio_latents * 3), predict(audio_latents, -clip_latents)
    assert (plain.prediction - louder.prediction).abs().max() > 1e-4
    assert (plain.audio.prediction - other.audio.prediction).abs().max() > 1e-4
    assert predict(None).audio is None
    assert torch.equal(predict(None).target, plain.target)


def test_mixed_precision_computes_in_float32_what_inference_does(
    checkpoint, embedding, clip_latents, audio_latents, products
):
    model = FAMILY.load("transformer", checkpoint, "bfloat16")
    batch = sounding(clip_latents, embedding, audio_latents)
    inference, training = products(lambda: FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN))
    assert training == inference
    assert list(training) == [("torch.bfloat16",)]


def test_a_clean_first_frame_leaves_the_sound_at_its_level(denoiser, embedding, clip_latents, audio_latents):
    seen = {}
    denoiser.transformer.register_forward_pre_hook(lambda _m, _a, kwargs: seen.update(kwargs), with_kwargs=True)
    batch = sounding(clip_latents, embedding, audio_latents)
    said = FAMILY.predict(denoiser, batch, torch.tensor([0.6]), SeededDraws(1), FlowOptions("family", None, 1.0))
    assert seen["timestep"].shape == (1, 18)
    torch.testing.assert_close(seen["audio_timestep"], torch.tensor([600.0]))
    assert said.weight.mean() < 1
    assert said.audio.weight.mean() == 1


@pytest.mark.parametrize(("full", "steps", "lr"), [(False, 60, 3e-2), (True, 60, 5e-3)])
def test_training_lowers_the_losses_of_both_streams_by_three_tenths(checkpoint, vae, text_stack, full, steps, lr):
    clips = [
        ((0.9, -0.8, -0.8), 4, 220.0, "a red square moving left to right on a dark background"),
        ((-0.8, -0.8, 0.9), -2, 494.0, "a blue square moving top to bottom on a dark background"),
    ]
    drawn = torch.cat([drawn_clip(colour, step) for colour, step, _, _ in clips])
    video = FAMILY.encode_video(vae, drawn, "mode", None)
    batch = batch_of(video, FAMILY.encode_text(text_stack, [caption for *_, caption in clips]))
    batch.audio = torch.cat([FAMILY.encode_audio(vae, tone(pitch), SECONDS) for _, _, pitch, _ in clips])
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    if full:
        model.requires_grad_(True)
    else:
        model.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=FAMILY.lora_targets["attention"].pattern))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)

    def evaluate():
        with torch.no_grad():
            found = [
                losses_of(FAMILY.predict(model, batch, torch.full((2,), s), SeededDraws(2, 1000), PLAIN), 1.0)
                for s in (0.3, 0.5, 0.7)
            ]
        return tuple(torch.stack([getattr(one, name).mean() for one in found]).mean() for name in ("video", "audio"))

    before = evaluate()
    for step in range(steps):
        draws = SeededDraws(2, step)
        sigmas = FAMILY.draw_sigmas(batch, draws, PLAIN)
        losses_of(FAMILY.predict(model, batch, sigmas, draws, PLAIN), 1.0).total.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = evaluate()
    assert after[0] < 0.7 * before[0]
    assert after[1] < 0.7 * before[1]


# --- drawing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_sound_of_a_drawn_clip_is_the_pipelines_bit_for_bit(checkpoint, denoiser, vae, text_stack, guidance):
    texts = FAMILY.encode_text(text_stack, [CAPTION, ""])
    request = SamplingRequest(*texts, WIDTH, HEIGHT, FRAMES, FPS, 2, guidance, seed=3, sound=True)
    drawn = FAMILY.draw_clip(denoiser, vae, request)
    pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=CAPTION,
        negative_prompt="",
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        frame_rate=FPS,
        num_inference_steps=2,
        guidance_scale=guidance,
        audio_guidance_scale=guidance,
        guidance_rescale=0.7,
        audio_guidance_rescale=0.7,
        stg_scale=0.0,
        audio_stg_scale=0.0,
        modality_scale=1.0,
        audio_modality_scale=1.0,
        generator=torch.Generator().manual_seed(3),
        max_sequence_length=64,
        output_type="np",
    )
    assert drawn.sound.rate == pipeline.vocoder.config.output_sampling_rate == 24000
    assert drawn.sound.samples.shape == (2, 65 * 240)  # 17 tokens are 65 columns, of 240 samples each
    assert np.array_equal(drawn.sound.samples, output.audio[0].numpy())
    assert drawn.sound.samples.std() > 0
    assert np.array_equal(drawn.frames, (output.frames[0] * 255).round().astype(np.uint8))


def test_sound_is_drawn_where_it_is_asked_for(denoiser, vae, text_stack):
    (text,) = FAMILY.encode_text(text_stack, [CAPTION])
    request = SamplingRequest(text, None, WIDTH, HEIGHT, FRAMES, FPS, 2, 1.0, seed=3)
    drawn = FAMILY.draw_clip(denoiser, vae, request)
    assert drawn.sound is None
    assert np.array_equal(drawn.frames, FAMILY.draw(denoiser, vae, request))


def test_the_modules_of_the_sound_are_those_of_its_stream():
    import re

    def heard(name):
        return re.fullmatch(FAMILY.sound_modules, f"transformer_blocks.3.{name}") is not None

    inside = ("audio_attn1.to_q", "audio_to_video_attn.to_out.0", "video_to_audio_attn.to_k", "audio_ff.net.2")
    assert all(heard(name) for name in inside)
    assert not any(heard(name) for name in ("attn1.to_q", "attn2.to_out.0", "ff.net.2"))
    assert FAMILY.sound_target in FAMILY.lora_targets
