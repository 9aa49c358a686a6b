"""Image to video against `SanaImageToVideoPipeline` on the miniature: latents, arguments, steps, clips, learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaImageToVideoPipeline
from peft import LoraConfig
from PIL import Image

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.sana import FAMILY, latents, sampling, training

from .conftest import FPS, FRAMES, HEIGHT, SHAPE, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

PLAIN = FlowOptions()
CAPTION = "A red square moving left to right on a dark background"
NEGATIVE = "a blue circle"
SHIFT = 7.0


@pytest.fixture(scope="module")
def still():
    """The first frame as an image-to-video pipeline is given it, (H, W, 3) uint8."""
    clip = drawn_clip((0.9, -0.8, -0.8), 8)
    return ((clip[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def encoded(vae, still):
    """What training is given of that image: (1, 16, 1, h, w)."""
    pixels = torch.from_numpy(still).permute(2, 0, 1)[None].float() / 127.5 - 1
    (found,) = FAMILY.encode_image(vae, None, pixels)
    return found["latent"][None]


@pytest.fixture(scope="module")
def embeddings(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0], FAMILY.encode_negative(text_stack, [NEGATIVE])[0]


class Watched:
    """Runs the pipeline with guidance, as its documentation sets it up, and keeps what was passed and what came."""

    def __init__(self, checkpoint, still, steps=3):
        # the documentation hands on `flow_shift`, which this class passes over: its name here is `shift`
        scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
        self.pipeline = SanaImageToVideoPipeline.from_pretrained(checkpoint, local_files_only=True, scheduler=scheduler)
        self.pipeline.set_progress_bar_config(disable=True)
        self.calls, self.said, self.latents = [], [], []
        hook = self.pipeline.transformer.register_forward_hook(self._keep, with_kwargs=True)
        self.frames = self.pipeline(
            image=Image.fromarray(still),
            prompt=CAPTION,
            negative_prompt=NEGATIVE,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            num_inference_steps=steps,
            guidance_scale=2.0,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
            callback_on_step_end=self._after,
        ).frames[0]
        hook.remove()

    def _keep(self, _module, args, kwargs, output):
        assert len(args) == 1
        self.calls.append({"hidden_states": args[0]} | kwargs)
        self.said.append(output[0])

    def _after(self, _pipeline, _step, _timestep, tensors):
        self.latents.append(tensors["latents"].clone())
        return {}


@pytest.fixture(scope="module")
def watched(checkpoint, still):
    return Watched(checkpoint, still)


class Recorded:
    """The transformer in `predict`: keeps its arguments."""

    def __init__(self, denoiser):
        self.arguments = {}
        denoiser.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.arguments = kwargs


def predicted(denoiser, watched, encoded, embeddings, step, image=None):
    """Predict at a step of the pipeline: both halves of its guidance as two rows of a batch, on its own noise."""
    call, sigma = watched.calls[step], watched.pipeline.scheduler.sigmas[step]
    clip = torch.cat([torch.full_like(encoded, 9.0), torch.zeros(1, 16, 2, *SHAPE[1:])], dim=2).repeat(2, 1, 1, 1, 1)
    noise = call["hidden_states"] / sigma
    positive, negative = embeddings
    batch = replace(
        batch_of(clip, [negative, positive]),
        image={"latent": (encoded if image is None else image).repeat(2, 1, 1, 1, 1)},
    )
    return FAMILY.predict(denoiser, batch, sigma.repeat(2), GivenNoise(noise), PLAIN)


def unpacked(tokens):
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *SHAPE)


def test_the_image_s_latent_is_the_pipelines_and_the_clips_own_first_one(watched, encoded, vae, still):
    theirs = watched.calls[0]["hidden_states"][:1, :, :1]
    torch.testing.assert_close(encoded, theirs, atol=1e-5, rtol=1e-5)
    clip = torch.from_numpy(still).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    clip = torch.cat([clip, drawn_clip((0.9, -0.8, -0.8), 8)[:, :, 1:]], dim=2)
    whole = FAMILY.encode_video(vae, clip, FAMILY.posterior, None)
    torch.testing.assert_close(whole[:, :, :1], encoded, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_every_argument_of_the_transformer_is_the_pipelines(watched, denoiser, encoded, embeddings, step):
    recorded, theirs = Recorded(denoiser), watched.calls[step]
    predicted(denoiser, watched, encoded, embeddings, step)
    ours = recorded.arguments
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        if isinstance(tensor, torch.Tensor):
            assert ours[name].dtype == tensor.dtype, name
            assert ours[name].shape == tensor.shape, name
            torch.testing.assert_close(ours[name], tensor, atol=1e-4, rtol=1e-5, msg=name)
        else:
            assert ours[name] == tensor, name
    assert ours["timestep"].shape == (2, 1, *(SHAPE[0], SHAPE[1] // 2, SHAPE[2] // 2))
    assert not ours["timestep"][:, :, 0].any()
    assert ours["timestep"][:, :, 1:].min() > 0


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_scheduler_step_with_our_prediction_is_the_pipelines(watched, denoiser, encoded, embeddings, step):
    said = unpacked(predicted(denoiser, watched, encoded, embeddings, step).prediction.detach())
    torch.testing.assert_close(said, watched.said[step], atol=1e-4, rtol=1e-4)
    guided = said[:1] + 2.0 * (said[1:] - said[:1])
    scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    scheduler.set_timesteps(3)
    before = watched.calls[step]["hidden_states"][:1]
    after = scheduler.step(guided[:, :, 1:], scheduler.timesteps[step], before[:, :, 1:], return_dict=False)[0]
    torch.testing.assert_close(after, watched.latents[step][:, :, 1:], atol=1e-3, rtol=1e-3)
    assert torch.equal(watched.latents[step][:, :, :1], before[:, :, :1])  # the first frame is never stepped


def test_the_first_frame_weighs_nothing_and_the_target_is_of_the_image(watched, denoiser, encoded, embeddings):
    said = predicted(denoiser, watched, encoded, embeddings, 1)
    tokens = SHAPE[1] * SHAPE[2]
    assert torch.equal(said.weight[0, :, 0], torch.tensor([0.0] * tokens + [1.0] * (2 * tokens)))
    noise = watched.calls[1]["hidden_states"] / watched.pipeline.scheduler.sigmas[1]
    torch.testing.assert_close(said.target[:1, :tokens], latents.pack(noise[:1, :, :1] - encoded))


def test_pitfalls_swapped_back_are_seen(watched, denoiser, encoded, embeddings):
    """Each of these would train on something that inference does not do; the parity tests above must notice."""
    theirs, right = watched.calls[1], watched.said[1]

    def said(**changed):
        with torch.no_grad():
            return denoiser.transformer(**theirs | changed)[0]

    def apart(other):
        return (other - right)[:, :, 1:].abs().max()

    assert apart(said()) == 0
    scalar = theirs["timestep"][:, 0, 1, 0, 0]
    noised = theirs["hidden_states"].clone()
    noised[:, :, 0] = 0.5 * noised[:, :, 0] + 0.5
    wrong = {
        "one timestep for all tokens": said(timestep=scalar),
        "a first frame that is noised": said(hidden_states=noised),
        "noise levels from 0 to 1": said(timestep=theirs["timestep"] / 1000),
        "the negative prompt for both": said(encoder_hidden_states=theirs["encoder_hidden_states"][:1].repeat(2, 1, 1)),
    }
    for name, other in wrong.items():
        assert apart(other) > 1e-4, name
    zeros = predicted(denoiser, watched, encoded, embeddings, 1, torch.zeros_like(encoded))
    assert apart(unpacked(zeros.prediction.detach())) > 1e-4
    # what the documentation writes leaves an unshifted schedule, with other noise levels than the checkpoint's
    unshifted = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config, flow_shift=SHIFT)
    unshifted.set_timesteps(3)
    assert unshifted.config.shift == 1.0
    assert apart(said(timestep=unshifted.timesteps[1] * (theirs["timestep"] > 0))) > 1e-4


def test_clips_of_one_frame_are_refused(denoiser, encoded, embeddings):
    batch = replace(batch_of(encoded, [embeddings[0]]), image={"latent": encoded})
    with pytest.raises(Failure, match="one frame"):
        FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)


def test_without_images_some_rows_keep_their_own_first_frame(denoiser, encoded, embeddings):
    clip = torch.cat([encoded, torch.zeros(1, 16, 2, *SHAPE[1:])], dim=2).repeat(8, 1, 1, 1, 1)
    batch = batch_of(clip[..., :2, :2], [embeddings[0]] * 8)
    mixed = FAMILY.predict(
        denoiser, batch, torch.full((8,), 0.5), SeededDraws(8), FlowOptions(first_frame_probability=0.5)
    )
    kept = mixed.weight[:, 0, 0] == 0
    assert 0 < kept.sum() < 8
    imaged = replace(batch, image={"latent": encoded[..., :2, :2].repeat(8, 1, 1, 1, 1)})
    always = FAMILY.predict(denoiser, imaged, torch.full((8,), 0.5), SeededDraws(8), PLAIN)
    assert not always.weight[:, 0].any()
    half = FAMILY.predict(
        denoiser, imaged, torch.full((8,), 0.5), SeededDraws(8), FlowOptions(first_frame_probability=0.5)
    )
    assert torch.equal(half.weight, mixed.weight)  # both tasks in one batch
    torch.testing.assert_close(half.prediction, mixed.prediction, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(always.prediction[kept], mixed.prediction[kept], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"shift": SHIFT}, {"flow_shift": SHIFT}])
def test_a_drawn_clip_is_the_pipelines(watched, checkpoint, vae, embeddings, still, options):
    denoiser = FAMILY.load("transformer", checkpoint, "float32")
    positive, negative = embeddings
    request = SamplingRequest(
        embeddings=positive,
        negative=negative,
        width=WIDTH,
        height=HEIGHT,
        frames=FRAMES,
        fps=FPS,
        steps=3,
        guidance=2.0,
        seed=0,
        options=options,
        image=still,
    )
    clip = FAMILY.draw(denoiser, vae, request)
    assert np.array_equal(clip, np.round(watched.frames * 255).astype(np.uint8))
    plain = FAMILY.draw(denoiser, vae, replace(request, image=None))
    assert not np.array_equal(plain, clip)


def test_the_schedule_of_the_checkpoint_is_kept_under_another_classes_name(denoiser, vae):
    pipeline = sampling.make_pipeline(denoiser, vae, first_frame=True)
    assert isinstance(pipeline.scheduler, FlowMatchEulerDiscreteScheduler)
    assert pipeline.scheduler.config.shift == denoiser.scheduler.config.flow_shift > 1


@pytest.fixture(scope="module")
def lesson(vae, text_stack):
    """Two clips with their first frames."""
    clips = [drawn_clip((0.9, -0.8, -0.8), 8, width=64), drawn_clip((-0.8, -0.8, 0.9), -4, width=64)]
    captions = ["a red square moving left to right", "a blue square moving top to bottom"]
    encoded = torch.cat([FAMILY.encode_video(vae, clip, FAMILY.posterior, None) for clip in clips])
    images = torch.stack([FAMILY.encode_image(vae, None, clip[:, :, 0])[0]["latent"] for clip in clips])
    return replace(batch_of(encoded, FAMILY.encode_text(text_stack, captions)), image={"latent": images})


def losses(said):
    error = (said.prediction - said.target).square() * said.weight
    return error.mean() / said.weight.mean()


def evaluate(model, batch):
    with torch.no_grad():
        found = [
            losses(FAMILY.predict(model, batch, torch.full((2,), sigma), SeededDraws(2, 1000 + seed), PLAIN))
            for seed, sigma in enumerate((0.2, 0.4, 0.6, 0.8))
        ]
    return torch.stack(found).mean().item()


@pytest.mark.parametrize(("full", "steps", "lr"), [(False, 90, 1e-2), (True, 60, 2e-3)], ids=["LoRA", "full"])
def test_overfitting_two_clips_lowers_the_evaluation_loss_by_three_tenths(checkpoint, lesson, full, steps, lr):
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    if full:
        model.requires_grad_(True)
    else:
        model.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=FAMILY.lora_targets["attention"].pattern))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    before = evaluate(model, lesson)
    for step in range(steps):
        draws = SeededDraws(2, step)
        sigmas = training.draw_sigmas(draws, PLAIN)
        losses(FAMILY.predict(model, lesson, sigmas, draws, PLAIN)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert evaluate(model, lesson) < 0.7 * before
