"""Parity of the training forward with what diffusers' pipelines hand to the transformer and do with its answer."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTX2ImageToVideoPipeline, LTX2Pipeline
from peft import LoraConfig
from PIL import Image

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.ltx2 import FAMILY, latents

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"prediction": 0.4857, "loss": 2.0273}

SHAPE = (3, 2, 3)
TOKENS, PER_FRAME = 18, 6
PLAIN = FlowOptions(first_frame_probability=0.0)
ALWAYS = FlowOptions(first_frame_probability=1.0)
CAPTION = "a red square moving left to right on a dark background"


class Watched:
    """Runs a pipeline of diffusers for some steps and keeps what its transformer was given, step by step."""

    def __init__(self, kind, checkpoint, isolated=False, **arguments):
        self.pipeline = kind.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.calls, self.latents = [], []

        def watch(_module, args, kwargs):
            assert not args
            self.calls.append(dict(kwargs))
            return args, kwargs | ({"isolate_modalities": True} if isolated else {})

        self.pipeline.transformer.register_forward_pre_hook(watch, with_kwargs=True)
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
            callback_on_step_end=self._after,
            **arguments,
        )

    def _after(self, _pipeline, _step, _timestep, tensors):
        self.latents.append(tensors["latents"].clone())
        return {}

    @property
    def sigmas(self):
        return self.pipeline.scheduler.sigmas


@pytest.fixture(scope="module")
def text_to_video(checkpoint):
    return Watched(LTX2Pipeline, checkpoint)


@pytest.fixture(scope="module")
def isolated(checkpoint):
    return Watched(LTX2Pipeline, checkpoint, isolated=True)


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0]


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 4), "mode", None)


class Recorded:
    """The transformer in `predict`: keeps its arguments."""

    def __init__(self, denoiser):
        self.arguments = {}
        denoiser.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.arguments = kwargs


def noise_for(tokens, x0, sigma):
    """Return the noise with which x0 at sigma is noised to these tokens."""
    return latents.unpack((tokens - (1 - sigma) * latents.pack(x0)) / sigma, SHAPE)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(
    text_to_video, denoiser, embedding, clip_latents, step
):
    theirs, recorded = text_to_video.calls[step], Recorded(denoiser)
    sigma = text_to_video.sigmas[step]
    noise = noise_for(theirs["hidden_states"], clip_latents, sigma)
    FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    ours = recorded.arguments
    torch.testing.assert_close(ours["hidden_states"], theirs["hidden_states"], atol=1e-5, rtol=1e-5)
    for name in ("encoder_hidden_states", "encoder_attention_mask", "timestep", "sigma"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
    for name in ("num_frames", "height", "width", "fps", "use_cross_timestep", "return_dict"):
        assert ours[name] == theirs[name], name
    # the pipeline works the coordinates out beforehand, in training the transformer does it from the same numbers
    coordinates = denoiser.transformer.rope.prepare_video_coords(1, *SHAPE, torch.device("cpu"), fps=ours["fps"])
    assert torch.equal(coordinates, theirs["video_coords"])
    # silent clips differ on purpose: the pipeline draws sound along, training keeps the two streams apart
    assert ours["isolate_modalities"]
    assert not theirs["isolate_modalities"]


def test_one_token_of_audio_is_as_good_as_the_whole_stream_when_the_streams_are_apart(
    isolated, denoiser, embedding, clip_latents
):
    theirs, sigma = isolated.calls[1], isolated.sigmas[1]
    noise = noise_for(theirs["hidden_states"], clip_latents, sigma)
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    with torch.no_grad():
        whole = denoiser.transformer(**theirs | {"isolate_modalities": True})[0]
    torch.testing.assert_close(said.prediction, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_one_euler_step_with_our_prediction_is_the_pipelines_step(isolated, denoiser, embedding, clip_latents, step):
    before, sigma = isolated.calls[step]["hidden_states"], isolated.sigmas[step]
    noise = noise_for(before, clip_latents, sigma)
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    after = before + (isolated.sigmas[step + 1] - sigma) * said.prediction
    torch.testing.assert_close(after, isolated.latents[step], atol=1e-5, rtol=1e-5)

    scheduler = FlowMatchEulerDiscreteScheduler.from_config(isolated.pipeline.scheduler.config)
    scheduler.set_timesteps(sigmas=[1.0, 2 / 3, 1 / 3], mu=noise_mean())
    torch.testing.assert_close(scheduler.sigmas, isolated.sigmas)
    stepped = scheduler.step(said.prediction, scheduler.timesteps[step], before, return_dict=False)[0]
    torch.testing.assert_close(after, stepped, atol=1e-6, rtol=1e-6)


def noise_mean():
    # the pipeline's shift is the line that the training noise follows too
    from vflow.nodes.families.ltx2.noise import mean_of

    return mean_of(TOKENS)


def test_stepping_along_the_target_leads_from_noise_to_the_latents(denoiser, embedding, clip_latents):
    sigma = torch.tensor([0.7])
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma, SeededDraws(1), PLAIN)
    noise = latents.pack(SeededDraws(1).normal("noise", clip_latents.shape[1:]))
    noised = 0.3 * latents.pack(clip_latents) + 0.7 * noise
    torch.testing.assert_close(noised + (0 - 0.7) * said.target, latents.pack(clip_latents))
    assert said.prediction.dtype == said.target.dtype == said.weight.dtype == torch.float32
    assert torch.equal(said.weight, torch.ones(1, TOKENS, 1))


def test_a_clean_first_frame_is_given_as_the_image_pipeline_gives_it(checkpoint, vae, denoiser, embedding):
    clip = drawn_clip((0.9, -0.8, -0.8), 4)
    pixels = ((clip[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    theirs = Watched(LTX2ImageToVideoPipeline, checkpoint, image=Image.fromarray(pixels), image_crf=0)
    step, call = 1, theirs.calls[1]
    sigma = theirs.sigmas[step]
    exact = torch.from_numpy(pixels).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    first = FAMILY.encode_video(vae, exact, "mode", None)
    x0 = torch.cat([first, torch.zeros(1, 16, 2, 2, 3)], dim=2)
    tokens = call["hidden_states"]

    recorded = Recorded(denoiser)
    said = FAMILY.predict(
        denoiser, batch_of(x0, [embedding]), sigma[None], GivenNoise(noise_for(tokens, x0, sigma)), ALWAYS
    )
    ours = recorded.arguments
    torch.testing.assert_close(ours["timestep"], call["timestep"])
    assert ours["timestep"].shape == (1, TOKENS)
    assert torch.equal(ours["timestep"][:, :PER_FRAME], torch.zeros(1, PER_FRAME))
    torch.testing.assert_close(ours["audio_timestep"], call["audio_timestep"])
    torch.testing.assert_close(ours["sigma"], call["sigma"])
    torch.testing.assert_close(ours["hidden_states"], tokens, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours["hidden_states"][:, :PER_FRAME], latents.pack(first))
    assert torch.equal(said.weight[0, :, 0], torch.tensor([0.0] * PER_FRAME + [1.0] * (TOKENS - PER_FRAME)))
    with torch.no_grad():
        whole = denoiser.transformer(**call | {"isolate_modalities": True})[0]
    torch.testing.assert_close(said.prediction, whole, atol=1e-5, rtol=1e-5)


def test_the_first_frame_stays_clean_as_often_as_asked(denoiser, embedding, clip_latents):
    from vflow.nodes.families.ltx2.training import clean_tokens

    rows = 4000
    batch = batch_of(clip_latents.expand(rows, -1, -1, -1, -1), [embedding])
    for options, share in ((FlowOptions(), 0.1), (FlowOptions(first_frame_probability=0.5), 0.5)):
        clean = clean_tokens(batch, SeededDraws(rows), options)
        assert clean.any(1).float().mean().item() == pytest.approx(share, abs=0.02)
    assert clean_tokens(batch, SeededDraws(rows), PLAIN) is None
    image = batch_of(clip_latents[:, :, :1], [embedding])
    assert clean_tokens(image, SeededDraws(1), ALWAYS) is None


def test_a_row_with_clean_first_frame_does_not_change_its_neighbour(denoiser, embedding, clip_latents):
    class OnlyTheFirst(SeededDraws):
        def uniform(self, purpose, shape=()):
            return torch.tensor([0.0, 0.9])

    batch = batch_of(clip_latents.expand(2, -1, -1, -1, -1), [embedding, embedding])
    sigmas = torch.tensor([0.4, 0.6])
    half = FlowOptions(first_frame_probability=0.5)
    mixed = FAMILY.predict(denoiser, batch, sigmas, OnlyTheFirst(2), half)
    plain = FAMILY.predict(denoiser, batch, sigmas, OnlyTheFirst(2), PLAIN)
    torch.testing.assert_close(mixed.prediction[1], plain.prediction[1], atol=1e-5, rtol=1e-5)
    assert mixed.weight.mean((1, 2)).tolist() == pytest.approx([2 / 3, 1.0])
    assert (mixed.prediction[0] - plain.prediction[0]).abs().max() > 1e-3


def test_the_clips_rate_reaches_the_transformer(denoiser, embedding, clip_latents):
    batch = batch_of(clip_latents, [embedding])
    slow = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    batch.fps = 8.0
    fast = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert (slow.prediction - fast.prediction).abs().max() > 1e-4


def test_half_precision_mixes_in_float32_and_answers_in_float32(checkpoint, embedding, clip_latents, denoiser):
    half, recorded = FAMILY.load("transformer", checkpoint, "bfloat16"), None
    recorded = Recorded(half)
    said = FAMILY.predict(half, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
    full = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert recorded.arguments["hidden_states"].dtype == torch.bfloat16
    assert recorded.arguments["timestep"].dtype == torch.float32
    assert torch.equal(said.target, full.target)
    torch.testing.assert_close(said.prediction, full.prediction, atol=0.05, rtol=0.05)


def test_the_bare_module_and_a_wrapped_one_are_taken_too(denoiser, embedding, clip_latents):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, **kwargs):
            return self.module(**kwargs)

    batch = batch_of(clip_latents, [embedding])
    said = [
        FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN).prediction
        for live in (denoiser, denoiser.transformer, Wrapper(denoiser.transformer))
    ]
    assert torch.equal(said[0], said[1])
    assert torch.equal(said[0], said[2])


def test_group_offload_between_cpu_and_cpu_gives_the_same_bits(checkpoint, denoiser, embedding, clip_latents):
    batch = batch_of(clip_latents, [embedding])
    plain = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    offloaded = FAMILY.load("transformer", checkpoint, "float32")
    offloaded.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    said = FAMILY.predict(offloaded, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert torch.equal(said.prediction, plain.prediction)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("options", [PLAIN, ALWAYS])
def test_gradient_checkpointing_gives_the_same_gradients(checkpoint, embedding, clip_latents, options, mixed):
    gradients = []
    for checkpointing in (False, True):
        model = FAMILY.load("transformer", checkpoint, "float32").transformer
        torch.manual_seed(0)
        model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["video_attention"].pattern))
        model.train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        batch = batch_of(clip_latents, [embedding])
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            said = FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), options)
        (said.prediction - said.target).square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert len(gradients[0]) == 128
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_golden_statistics_of_prediction_and_target(denoiser, embedding, clip_latents):
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert said.prediction.std().item() == pytest.approx(GOLDEN["prediction"], abs=0.005)
    assert (said.prediction - said.target).square().mean().item() == pytest.approx(GOLDEN["loss"], abs=0.01)
