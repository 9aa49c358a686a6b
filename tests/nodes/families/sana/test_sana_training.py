"""Parity of the training forward with what diffusers' pipelines hand to the transformer and do with its answer."""

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaImageToVideoPipeline,
    SanaVideoPipeline,
)
from peft import LoraConfig
from PIL import Image

from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.families.sana import FAMILY, latents, training

from .conftest import FPS, FRAMES, HEIGHT, SHAPE, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"prediction": 0.599, "loss": 2.402}

PLAIN = FlowOptions()
ALWAYS = FlowOptions(first_frame_probability=1.0)
CAPTION = "A red square moving left to right on a dark background"


class Watched:
    """Runs a pipeline of diffusers for three steps and keeps what its transformer was given, and what came of it."""

    def __init__(self, pipeline, **arguments):
        self.pipeline, self.calls, self.latents = pipeline, [], []
        pipeline.set_progress_bar_config(disable=True)

        def watch(_module, args, kwargs):
            assert not args[1:]
            self.calls.append({"hidden_states": args[0]} | kwargs)

        pipeline.transformer.register_forward_pre_hook(watch, with_kwargs=True)
        pipeline(
            prompt=CAPTION,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            num_inference_steps=3,
            guidance_scale=1.0,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(0),
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
    return Watched(SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True))


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0]


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 8), "mode", None)


class Recorded:
    """The transformer in `predict`: keeps its arguments."""

    def __init__(self, denoiser):
        self.arguments = {}
        denoiser.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.arguments = kwargs


def noise_for(noised, x0, sigma):
    """Return the noise with which x0 at sigma is noised to this."""
    return (noised - (1 - sigma) * x0) / sigma


def unpacked(tokens, shape=SHAPE):
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *shape)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(
    text_to_video, denoiser, embedding, clip_latents, step
):
    theirs, recorded, sigma = text_to_video.calls[step], Recorded(denoiser), text_to_video.sigmas[step]
    noise = noise_for(theirs["hidden_states"], clip_latents, sigma)
    FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    ours = recorded.arguments
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours["hidden_states"], theirs["hidden_states"], atol=1e-5, rtol=1e-5)
    for name in ("encoder_hidden_states", "encoder_attention_mask", "timestep"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
        assert ours[name].shape == theirs[name].shape, name
    for name in ("return_dict", "attention_kwargs"):
        assert ours[name] == theirs[name], name


@pytest.mark.parametrize("shift", [3.0, 7.0, 8.0])
def test_timesteps_are_those_of_the_checkpoints_scheduler_for_any_number_of_steps(checkpoint, shift):
    for steps in (1, 2, 3, 7, 20, 30, 50, 100):
        scheduler = DPMSolverMultistepScheduler.from_pretrained(checkpoint, subfolder="scheduler", flow_shift=shift)
        scheduler.set_timesteps(steps)
        ours = training.whole_timesteps(scheduler.sigmas[:-1])
        assert ours.dtype == scheduler.timesteps.dtype
        assert (ours - scheduler.timesteps).abs().max() <= 1  # where 1000 s is whole, rounding decides
        assert (ours == scheduler.timesteps).float().mean() >= 0.9


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_scheduler_step_with_our_prediction_is_the_pipelines_step(
    text_to_video, denoiser, embedding, clip_latents, step
):
    scheduler = DPMSolverMultistepScheduler.from_config(text_to_video.pipeline.scheduler.config)
    scheduler.set_timesteps(3)
    for done in range(step + 1):  # the solver remembers the step before
        before, sigma = text_to_video.calls[done]["hidden_states"], text_to_video.sigmas[done]
        noise = noise_for(before, clip_latents, sigma)
        said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
        velocity = unpacked(said.prediction.detach())
        after = scheduler.step(velocity, scheduler.timesteps[done], before, return_dict=False)[0]
    torch.testing.assert_close(after, text_to_video.latents[step], atol=1e-4, rtol=1e-4)
    if step == 0:  # the first is a step of Euler's, by the velocity's own sign and scale
        euler = before + (text_to_video.sigmas[1] - sigma) * velocity
        torch.testing.assert_close(euler, after, atol=1e-3, rtol=1e-3)


def test_stepping_along_the_target_leads_from_noise_to_the_latents(denoiser, embedding, clip_latents):
    sigma = torch.tensor([0.7])
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma, SeededDraws(1), PLAIN)
    noised = 0.3 * clip_latents + 0.7 * SeededDraws(1).normal("noise", clip_latents.shape[1:])
    torch.testing.assert_close(latents.pack(noised) - 0.7 * said.target, latents.pack(clip_latents))
    assert said.weight.shape == (1, 3 * 8 * 12, 1)
    assert said.weight.min() == said.weight.max() == 1


def test_pitfalls_swapped_back_are_seen(text_to_video, denoiser, text_stack, embedding, clip_latents):
    """Each of these would train on something that inference does not do; the parity tests above must notice."""
    theirs, sigma = text_to_video.calls[1], text_to_video.sigmas[1]
    batch = batch_of(clip_latents, [embedding])
    noised = theirs["hidden_states"]

    def said(batch=batch, timestep=theirs["timestep"]):
        with torch.no_grad():
            return denoiser.transformer(**training.arguments(denoiser, batch, noised, timestep))[0]

    right = said()
    with torch.no_grad():
        assert torch.equal(right, denoiser.transformer(**theirs)[0])
    bare = batch_of(clip_latents, FAMILY.encode_negative(text_stack, [CAPTION]))  # without the instruction
    unmasked = batch_of(clip_latents, [embedding | {"mask": torch.ones_like(embedding["mask"])}])
    fraction = sigma[None]  # noise levels from 0 to 1 where thousandths are wanted
    # the class without a `flow_shift` falls back to an unshifted schedule
    unshifted = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config, flow_shift=8.0)
    unshifted.set_timesteps(3)
    wrong = {
        "bare": said(bare),
        "unmasked": said(unmasked),
        "fraction": said(timestep=fraction),
        "flow_shift": said(timestep=unshifted.timesteps[1:2]),
    }
    for name, other in wrong.items():
        assert (other - right).abs().max() > 1e-4, name
    assert unshifted.config.shift == 1.0


def test_a_clean_first_frame_is_given_as_the_image_pipeline_gives_it(checkpoint, vae, denoiser, embedding):
    clip = drawn_clip((0.9, -0.8, -0.8), 8)
    pixels = ((clip[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    pipeline = SanaImageToVideoPipeline.from_pretrained(checkpoint, local_files_only=True, scheduler=scheduler)
    theirs = Watched(pipeline, image=Image.fromarray(pixels))
    call, sigma = theirs.calls[1], theirs.sigmas[1]
    exact = torch.from_numpy(pixels).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    first = FAMILY.encode_video(vae, exact, "mode", None)
    x0 = torch.cat([first, torch.zeros(1, 16, 2, 8, 12)], dim=2)
    recorded = Recorded(denoiser)
    noise = noise_for(call["hidden_states"], x0, sigma)
    said = FAMILY.predict(denoiser, batch_of(x0, [embedding]), sigma[None], GivenNoise(noise), ALWAYS)
    ours = recorded.arguments
    assert ours.keys() == call.keys()
    torch.testing.assert_close(ours["timestep"], call["timestep"])
    assert ours["timestep"].shape == (1, 1, 3, 4, 6)
    assert not ours["timestep"][:, :, 0].any()
    torch.testing.assert_close(ours["hidden_states"], call["hidden_states"], atol=1e-5, rtol=1e-5)
    assert torch.equal(ours["encoder_hidden_states"], call["encoder_hidden_states"])
    assert torch.equal(said.weight[0, :, 0], torch.tensor([0.0] * 96 + [1.0] * 192))
    with torch.no_grad():
        torch.testing.assert_close(unpacked(said.prediction), denoiser.transformer(**call)[0], atol=1e-4, rtol=1e-4)


def test_the_first_frame_stays_clean_as_often_as_asked_and_never_by_default(embedding, clip_latents):
    rows = 4000
    batch = batch_of(clip_latents[..., :2, :2].expand(rows, -1, -1, -1, -1), [embedding])
    clean = training.clean_frames(batch, SeededDraws(rows), FlowOptions(first_frame_probability=0.5))
    assert clean[:, 0, 0, 0, 0].mean().item() == pytest.approx(0.5, abs=0.03)
    assert training.clean_frames(batch, SeededDraws(rows), PLAIN) is None
    image = batch_of(clip_latents[:, :, :1], [embedding])
    assert training.clean_frames(image, SeededDraws(1), ALWAYS) is None


def test_noise_levels_are_the_official_logit_normal_shifted_by_3(clip_latents):
    n = 40_000
    batch = Batch(torch.empty(n, 1, *SHAPE, device="meta"), {}, FRAMES, HEIGHT, WIDTH, FPS)
    own = FAMILY.draw_sigmas(batch, SeededDraws(n), PLAIN)
    same = FAMILY.draw_sigmas(batch, SeededDraws(n), FlowOptions(distribution="logit_normal", shift=3.0))
    assert torch.equal(own, same)
    assert own.dtype == torch.float32
    assert 0 < own.min() <= own.max() <= 1
    quantiles = own.quantile(torch.tensor([0.1, 0.5, 0.9]))
    assert quantiles.tolist() == pytest.approx([0.454, 0.75, 0.915], abs=0.01)
    uniform = FAMILY.draw_sigmas(batch, SeededDraws(n), FlowOptions(distribution="uniform"))
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="cauchy"):
        FAMILY.draw_sigmas(batch, SeededDraws(n), FlowOptions(distribution="cauchy"))


def test_half_precision_mixes_in_float32_and_answers_in_float32(checkpoint, embedding, clip_latents, denoiser):
    half = FAMILY.load("transformer", checkpoint, "bfloat16")
    recorded = Recorded(half)
    batch = batch_of(clip_latents, [embedding])
    said = FAMILY.predict(half, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    full = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert recorded.arguments["hidden_states"].dtype == torch.bfloat16
    assert recorded.arguments["timestep"].item() == 500
    assert torch.equal(said.target, full.target)
    assert said.prediction.dtype == torch.float32
    torch.testing.assert_close(said.prediction, full.prediction, atol=0.1, rtol=0.1)


def test_mixed_precision_computes_in_float32_what_inference_does(checkpoint, embedding, clip_latents, products):
    model = FAMILY.load("transformer", checkpoint, "bfloat16")
    batch = batch_of(clip_latents, [embedding])
    inference, training = products(lambda: FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), ALWAYS))
    assert training == inference
    assert inference["torch.float32",] == 2 * len(model.transformer.transformer_blocks)


def test_the_bare_module_and_a_wrapped_one_are_taken_too(denoiser, embedding, clip_latents):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, **kwargs):
            return self.module(**kwargs)

    batch = batch_of(clip_latents, [embedding])
    said = [
        FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), ALWAYS).prediction
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
        model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention"].pattern))
        model.train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        batch = batch_of(clip_latents, [embedding])
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            said = FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), options)
        (said.prediction - said.target).square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert len(gradients[0]) == 48
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_golden_statistics_of_prediction_and_target(denoiser, embedding, clip_latents):
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert said.prediction.std().item() == pytest.approx(GOLDEN["prediction"], abs=0.005)
    assert (said.prediction - said.target).square().mean().item() == pytest.approx(GOLDEN["loss"], abs=0.01)
