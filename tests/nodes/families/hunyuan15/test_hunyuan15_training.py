"""Parity of the training forward with what diffusers' pipeline hands to the transformer and does with its answer."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideo15Pipeline
from peft import LoraConfig

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.hunyuan15 import FAMILY, attention, latents

from .conftest import FRAMES, HEIGHT, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"prediction": 0.627, "loss": 2.604}

PLAIN = FlowOptions()
CAPTIONS = {
    "plain": "a red square moving left to right on a dark background",
    "glyphs": 'a sign says "OPEN"',
}
STEPS = 3


class Watched:
    """Runs diffusers' pipeline for some steps and keeps what its transformer was given and what each step gave."""

    def __init__(self, checkpoint, caption):
        self.pipeline = HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.guider = self.pipeline.guider.new(guidance_scale=1.0)
        self.calls, self.answers, self.latents = [], [], []

        def watch(_module, args, kwargs, answer):
            assert not args
            self.calls.append(dict(kwargs))
            self.answers.append(answer[0])

        self.pipeline.transformer.register_forward_hook(watch, with_kwargs=True)
        step = self.pipeline.scheduler.step

        def watch_step(*args, **kwargs):
            stepped = step(*args, **kwargs)
            self.latents.append(stepped[0])
            return stepped

        self.pipeline.scheduler.step = watch_step
        self.pipeline(
            caption,
            width=WIDTH,
            height=HEIGHT,
            num_frames=FRAMES,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        )

    @property
    def sigmas(self):
        return self.pipeline.scheduler.sigmas


@pytest.fixture(scope="module", params=list(CAPTIONS))
def watched(request, checkpoint):
    return Watched(checkpoint, CAPTIONS[request.param]), CAPTIONS[request.param]


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 4), "mode", None)


@pytest.fixture(scope="module")
def rows(text_stack):
    return dict(zip(CAPTIONS, FAMILY.encode_text(text_stack, list(CAPTIONS.values())), strict=True))


@pytest.fixture(scope="module")
def empty(text_stack):
    return FAMILY.encode_text(text_stack, [""])[0]


class Recorded:
    """The transformer in `predict`: keeps its arguments."""

    def __init__(self, denoiser):
        self.arguments = {}
        denoiser.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.arguments = kwargs


def noise_for(noisy, x0, sigma):
    """Return the noise with which x0 at sigma is noised to these latents."""
    return (noisy - (1 - sigma) * x0) / sigma


def predict(denoiser, x0, embeddings, sigma=0.5, draws=None):
    sigmas = torch.full((len(x0),), float(sigma))
    return FAMILY.predict(denoiser, batch_of(x0, embeddings), sigmas, draws or SeededDraws(len(x0)), PLAIN)


@pytest.mark.parametrize("step", range(STEPS))
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(
    watched, denoiser, text_stack, clip_latents, step
):
    pipeline, caption = watched
    theirs, recorded, sigma = pipeline.calls[step], Recorded(denoiser), pipeline.sigmas[step]
    embeddings = FAMILY.encode_text(text_stack, [caption])
    noise = noise_for(theirs["hidden_states"][:, :8], clip_latents, sigma)
    said = predict(denoiser, clip_latents, embeddings, sigma, GivenNoise(noise))
    ours = recorded.arguments
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours["hidden_states"], theirs["hidden_states"], atol=1e-5, rtol=1e-5)
    assert torch.equal(ours["hidden_states"][:, 8:], torch.zeros(1, 9, 5, 4, 6))  # condition channels and their mask
    assert torch.equal(ours["timestep"], theirs["timestep"])
    assert ours["timestep"].dtype == theirs["timestep"].dtype == torch.float32
    for suffix in ("", "_2"):
        tokens, mask = f"encoder_hidden_states{suffix}", f"encoder_attention_mask{suffix}"
        length = ours[tokens].shape[1]
        assert torch.equal(ours[tokens], theirs[tokens][:, :length])
        assert torch.equal(ours[mask].float(), theirs[mask][:, :length])
        # what is left out is what the transformer zeroes and masks itself
        assert ours[mask].all()
        assert not theirs[mask][:, length:].any()
    assert not theirs["image_embeds"].any()
    assert theirs["image_embeds"].shape == (1, 729, 16)
    assert ours["image_embeds"].shape == (1, 0, 16)
    assert ours["attention_kwargs"] == theirs["attention_kwargs"]
    assert ours["return_dict"] == theirs["return_dict"]
    # diffusers' own attention, with all its padding and a dense mask, says the same
    torch.testing.assert_close(said.prediction, latents.pack(pipeline.answers[step]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", range(STEPS))
def test_one_euler_step_with_our_prediction_is_the_pipelines_step(watched, denoiser, text_stack, clip_latents, step):
    pipeline, caption = watched
    before, sigma = pipeline.calls[step]["hidden_states"][:, :8], pipeline.sigmas[step]
    draws = GivenNoise(noise_for(before, clip_latents, sigma))
    said = predict(denoiser, clip_latents, FAMILY.encode_text(text_stack, [caption]), sigma, draws)
    after = latents.pack(before) + (pipeline.sigmas[step + 1] - sigma) * said.prediction
    torch.testing.assert_close(after, latents.pack(pipeline.latents[step]), atol=1e-5, rtol=1e-5)

    scheduler = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config)
    scheduler.set_timesteps(sigmas=[1.0, 2 / 3, 1 / 3])
    torch.testing.assert_close(scheduler.sigmas, pipeline.sigmas)
    torch.testing.assert_close(scheduler.timesteps[step], sigma * 1000)
    stepped = scheduler.step(said.prediction, scheduler.timesteps[step], latents.pack(before), return_dict=False)[0]
    torch.testing.assert_close(after, stepped, atol=1e-6, rtol=1e-6)


def test_the_schedule_is_shifted_by_5_and_without_given_sigmas_would_be_another(watched, denoiser):
    assert denoiser.scheduler.config.shift == 5.0
    plain = torch.tensor([1.0, 2 / 3, 1 / 3])
    torch.testing.assert_close(watched[0].sigmas[:-1], 5 * plain / (1 + 4 * plain))
    other = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config)
    other.set_timesteps(STEPS)
    assert (other.sigmas - watched[0].sigmas).abs().max() > 0.01


def test_stepping_along_the_target_leads_from_noise_to_the_latents(denoiser, rows, clip_latents):
    said = predict(denoiser, clip_latents, [rows["plain"]], 0.7)
    noise = SeededDraws(1).normal("noise", clip_latents.shape[1:])
    noised = latents.pack(0.3 * clip_latents + 0.7 * noise)
    torch.testing.assert_close(noised + (0 - 0.7) * said.target, latents.pack(clip_latents), atol=1e-5, rtol=1e-5)
    assert said.prediction.dtype == said.target.dtype == said.weight.dtype == torch.float32
    assert torch.equal(said.weight, torch.ones(1, 120, 1))


def test_captions_of_unlike_length_in_one_batch_say_what_each_says_alone(denoiser, rows, empty, clip_latents):
    x0 = clip_latents.expand(3, -1, -1, -1, -1)
    embeddings = [rows["plain"], rows["glyphs"], empty]
    together = predict(denoiser, x0, embeddings)
    noise = SeededDraws(3).normal("noise", x0.shape[1:])
    for place, embedding in enumerate(embeddings):
        alone = predict(denoiser, clip_latents, [embedding], draws=GivenNoise(noise[place : place + 1]))
        torch.testing.assert_close(together.prediction[place : place + 1], alone.prediction, atol=1e-5, rtol=1e-5)


def test_no_mask_of_tokens_times_tokens_is_built(denoiser, rows, empty, clip_latents, monkeypatch):
    masks = []
    dispatch = attention.dispatch_attention_fn

    def watch(*args, attn_mask, **kwargs):
        masks.append(attn_mask)
        return dispatch(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(attention, "dispatch_attention_fn", watch)
    predict(denoiser, clip_latents, [rows["glyphs"]])
    assert masks == [None] * 6
    masks.clear()
    predict(denoiser, clip_latents.expand(2, -1, -1, -1, -1), [rows["plain"], empty])
    assert [mask.shape for mask in masks] == [(2, 1, 1, 120 + len(rows["plain"]["text"]))] * 6


@pytest.mark.parametrize(
    "pitfall", ["padding without its mask", "glyphs left out", "a condition mask of ones", "image features", "sigma"]
)
def test_a_pitfall_swapped_back_says_something_else(denoiser, rows, clip_latents, pitfall):
    recorded = Recorded(denoiser)
    right = predict(denoiser, clip_latents, [rows["glyphs"]]).prediction
    arguments = dict(recorded.arguments)
    if pitfall == "padding without its mask":
        arguments["encoder_hidden_states"] = torch.nn.functional.pad(arguments["encoder_hidden_states"], (0, 0, 0, 9))
        arguments["encoder_attention_mask"] = torch.ones(1, arguments["encoder_hidden_states"].shape[1])
    elif pitfall == "glyphs left out":
        arguments["encoder_attention_mask_2"] = torch.zeros_like(arguments["encoder_attention_mask_2"])
    elif pitfall == "a condition mask of ones":
        arguments["hidden_states"] = arguments["hidden_states"].clone()
        arguments["hidden_states"][:, -1] = 1
    elif pitfall == "image features":
        arguments["image_embeds"] = torch.randn(1, 4, 16)
    else:
        arguments["timestep"] = arguments["timestep"] / 1000
    with torch.no_grad():
        wrong = latents.pack(denoiser.transformer(**arguments)[0])
    assert (wrong - right).abs().max() > 1e-3


def test_rows_without_an_image_would_change_beside_one_that_has_one(checkpoint, denoiser, rows, clip_latents):
    """Why image-conditioned and other rows must never share a batch: zero rows then count as image tokens."""
    recorded = Recorded(denoiser)
    predict(denoiser, clip_latents.expand(2, -1, -1, -1, -1), [rows["plain"]] * 2)
    images = torch.zeros(2, 4, 16)
    with torch.no_grad():
        alone = denoiser.transformer(**recorded.arguments | {"image_embeds": images})[0]
        images[1] = torch.randn(4, 16)
        mixed = denoiser.transformer(**recorded.arguments | {"image_embeds": images})[0]
    assert (alone[0] - mixed[0]).abs().max() > 1e-3


def test_a_first_frame_that_is_told_is_refused_since_that_is_image_to_video(denoiser, rows, clip_latents):
    batch = batch_of(clip_latents, [rows["plain"]])
    FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions(first_frame_probability=0.0))
    with pytest.raises(Failure, match="first frame"):
        FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions(first_frame_probability=0.5))


def test_half_precision_mixes_in_float32_and_is_told_the_exact_time(checkpoint, rows, clip_latents, denoiser):
    half = FAMILY.load("transformer", checkpoint, "bfloat16")
    recorded = Recorded(half)
    said, full = (predict(live, clip_latents, [rows["plain"]], 0.7013) for live in (half, denoiser))
    assert recorded.arguments["hidden_states"].dtype == torch.bfloat16
    assert recorded.arguments["timestep"].dtype == torch.float32
    assert recorded.arguments["timestep"].item() == pytest.approx(701.3)  # in bfloat16 this would be 700
    assert torch.equal(said.target, full.target)
    torch.testing.assert_close(said.prediction, full.prediction, atol=0.08, rtol=0.08)


def test_mixed_precision_computes_in_float32_what_inference_does(checkpoint, rows, clip_latents, products):
    model = FAMILY.load("transformer", checkpoint, "bfloat16")
    batch = batch_of(clip_latents, [next(iter(rows.values()))])
    inference, training = products(lambda: FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN))
    assert training == inference
    assert inference["torch.bfloat16",] > 0


def test_the_bare_module_and_a_wrapped_one_are_taken_too(denoiser, rows, clip_latents):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, **kwargs):
            return self.module(**kwargs)

    lives = (denoiser, denoiser.transformer, Wrapper(denoiser.transformer))
    said = [predict(live, clip_latents, [rows["plain"]]).prediction for live in lives]
    assert torch.equal(said[0], said[1])
    assert torch.equal(said[0], said[2])


def test_group_offload_between_cpu_and_cpu_gives_the_same_bits(checkpoint, denoiser, rows, clip_latents):
    plain = predict(denoiser, clip_latents, [rows["plain"]])
    offloaded = FAMILY.load("transformer", checkpoint, "float32")
    offloaded.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    assert torch.equal(predict(offloaded, clip_latents, [rows["plain"]]).prediction, plain.prediction)


def test_gradient_checkpointing_gives_the_same_gradients_and_only_the_last_texts_output_has_none(
    checkpoint, rows, empty, clip_latents
):
    gradients = []
    for checkpointing in (False, True):
        model = FAMILY.load("transformer", checkpoint, "float32").transformer
        torch.manual_seed(0)
        model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention"].pattern))
        model.train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        said = predict(model, clip_latents.expand(2, -1, -1, -1, -1), [rows["plain"], empty])
        (said.prediction - said.target).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert len(gradients[0]) == 96
    missing = {name for name, gradient in gradients[0].items() if gradient is None}
    assert missing == {name for name in gradients[0] if name.startswith("transformer_blocks.5.attn.to_add_out.")}
    assert len(missing) == 2
    for name in gradients[0].keys() - missing:
        assert torch.equal(gradients[0][name], gradients[1][name]), name


def test_golden_statistics_of_prediction_and_target(denoiser, rows, clip_latents):
    said = predict(denoiser, clip_latents, [rows["plain"]])
    assert said.prediction.std().item() == pytest.approx(GOLDEN["prediction"], abs=0.01)
    assert (said.prediction - said.target).square().mean().item() == pytest.approx(GOLDEN["loss"], abs=0.02)
