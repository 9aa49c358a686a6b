"""Image to video: parity with `LTX2ImageToVideoPipeline` in encoding, training and drawing, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import LTX2ImageToVideoPipeline
from peft import LoraConfig
from PIL import Image

from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.ltx2 import FAMILY, latents, training

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, SeededDraws, batch_of, drawn_clip

SHAPE, TOKENS, PER_FRAME, SOUND = (3, 2, 3), 18, 6, 17
CAPTION = "a red square moving left to right on a dark background"
NEGATIVE = "blurry, still"
CLIP = drawn_clip((0.9, -0.8, -0.8), 4)
STILL = ((CLIP[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
PIXELS = torch.from_numpy(STILL).permute(2, 0, 1)[None].float() / 127.5 - 1
PLAIN = {
    "guidance_scale": 1.0,
    "audio_guidance_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_guidance_rescale": 0.0,
    "stg_scale": 0.0,
    "audio_stg_scale": 0.0,
    "modality_scale": 1.0,
    "audio_modality_scale": 1.0,
}


def by_diffusers(checkpoint, output_type="np", watch=None, after=None, adapter=None, **arguments):
    """Run diffusers' own pipeline on the checkpoint as it lies there, text encoder and all."""
    pipeline = LTX2ImageToVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    if adapter:
        pipeline.load_lora_weights(adapter.parent, weight_name=adapter.name)
    pipeline.set_progress_bar_config(disable=True)
    if watch:
        pipeline.transformer.register_forward_pre_hook(lambda _, __, kwargs: watch(kwargs), with_kwargs=True)
        pipeline.transformer.register_forward_hook(lambda _, __, said: after(said))
    usual = {"generator": torch.Generator().manual_seed(11), "max_sequence_length": 64, "num_inference_steps": 3}
    size = {"width": WIDTH, "height": HEIGHT, "num_frames": FRAMES, "frame_rate": FPS}
    output = pipeline(
        image=Image.fromarray(STILL), prompt=CAPTION, output_type=output_type, **usual, **size, **{**PLAIN, **arguments}
    )
    return pipeline, output


class Watched:
    """What the pipeline's transformer was given and said, and what the latents were afterwards, step by step."""

    def __init__(self, checkpoint):
        self.calls, self.said, self.after = [], [], []

        def keep(_pipeline, _step, _timestep, tensors):
            self.after.append(tensors["latents"].clone())
            return {}

        watch = {"watch": lambda call: self.calls.append(dict(call)), "after": self.said.append}
        pipeline, _ = by_diffusers(checkpoint, "latent", callback_on_step_end=keep, **watch)
        self.sigmas = pipeline.scheduler.sigmas


@pytest.fixture(scope="module")
def theirs(checkpoint):
    return Watched(checkpoint)


@pytest.fixture(scope="module")
def embeddings(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0], FAMILY.encode_text(text_stack, [NEGATIVE])[0]


@pytest.fixture(scope="module")
def image(vae):
    (encoded,) = FAMILY.encode_image(vae, None, PIXELS)
    return encoded


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, CLIP, "sample", [torch.Generator().manual_seed(0)])


def test_an_image_is_encoded_as_the_pipeline_does(theirs, image):
    assert image.keys() == {"latent"}
    assert image["latent"].shape == (16, 1, 2, 3)
    assert image["latent"].dtype == torch.float32
    first = theirs.calls[0]["hidden_states"][:, :PER_FRAME]
    torch.testing.assert_close(latents.pack(image["latent"][None]), first, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pitfall", ["not compressed", "sampled", "the clip's own"])
def test_an_image_encoded_otherwise_is_not_what_the_pipeline_has(theirs, vae, clip_latents, pitfall, monkeypatch):
    if pitfall == "not compressed":
        monkeypatch.setattr(latents, "apply_image_conditioning_crf", lambda pixels, crf: pixels)
        wrong = FAMILY.encode_image(vae, None, PIXELS)[0]["latent"][None]
    elif pitfall == "sampled":
        wrong = FAMILY.encode_video(vae, PIXELS[:, :, None], "sample", [torch.Generator().manual_seed(0)])
    else:
        wrong = clip_latents[:, :, :1]
    first = theirs.calls[0]["hidden_states"][:, :PER_FRAME]
    assert (latents.pack(wrong) - first).abs().max() > 1e-3


def test_several_images_are_encoded_at_once_as_one_by_one(vae, image):
    other = drawn_clip((-0.8, 0.9, -0.8), -2)[:, :, 0]
    together = FAMILY.encode_image(vae, None, torch.cat([other, PIXELS]))
    assert len(together) == 2
    torch.testing.assert_close(together[1]["latent"], image["latent"], atol=1e-5, rtol=1e-5)


class Given(SeededDraws):
    """Draws that noise latents and sound to what the pipeline's transformer was given."""

    def __init__(self, call, sigma, clip, sound):
        super().__init__(1)
        video = (latents.unpack(call["hidden_states"], SHAPE) - (1 - sigma) * clip) / sigma
        self.noise = {"noise": video, "audio noise": (call["audio_hidden_states"] - (1 - sigma) * sound) / sigma}

    def normal(self, purpose, shape):
        return self.noise[purpose]


class Ours:
    """Our training forward at one of the pipeline's steps: what its transformer was given, and what was said."""

    def __init__(self, theirs, step, denoiser, embedding, image, clip, options=None):
        call, sigma = theirs.calls[step], theirs.sigmas[step]
        batch = batch_of(clip, [embedding])
        batch.image = {name: tensor[None] for name, tensor in image.items()}
        batch.audio = torch.full_like(call["audio_hidden_states"], 0.3)
        self.given = {}
        hook = denoiser.transformer.register_forward_pre_hook(
            lambda _, __, kwargs: self.given.update(kwargs), with_kwargs=True
        )
        draws = Given(call, sigma, clip, batch.audio)
        self.said = FAMILY.predict(denoiser, batch, sigma[None], draws, options or FlowOptions())
        hook.remove()


def assert_agrees(theirs, step, ours):
    """Compare every argument of the transformer, its answer, and the weights of the loss."""
    call = dict(theirs.calls[step])
    for name, other in (("spatio_temporal_guidance_blocks", None), ("perturbation_mask", None)):
        assert call.pop(name) is other
    assert not call.pop("attention_kwargs")
    coordinates = {name: call.pop(name) for name in ("video_coords", "audio_coords")}
    given = dict(ours.given)
    assert given.pop("audio_sigma").equal(call["sigma"])  # which the transformer takes where it is given none
    assert given.keys() == call.keys()
    for name, value in call.items():
        if isinstance(value, torch.Tensor):
            assert given[name].dtype == value.dtype, name
            torch.testing.assert_close(given[name], value, atol=1e-5, rtol=1e-5, msg=name)
        else:
            assert given[name] == value, name
    assert coordinates["video_coords"].shape[2] == TOKENS
    torch.testing.assert_close(ours.said.prediction, theirs.said[step][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.said.audio.prediction, theirs.said[step][1], atol=1e-5, rtol=1e-5)
    assert ours.said.weight[0, :, 0].tolist() == [0.0] * PER_FRAME + [1.0] * (TOKENS - PER_FRAME)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(
    theirs, denoiser, embeddings, image, clip_latents, step
):
    ours = Ours(theirs, step, denoiser, embeddings[0], image, clip_latents)
    assert_agrees(theirs, step, ours)
    assert ours.given["timestep"].shape == (1, TOKENS)
    assert not ours.given["timestep"][:, :PER_FRAME].any()
    assert torch.equal(ours.given["hidden_states"][:, :PER_FRAME], latents.pack(image["latent"][None]))


def scalar_timestep(arguments):
    return arguments | {"timestep": arguments["audio_timestep"]}


def no_cross_timestep(arguments):
    return arguments | {"use_cross_timestep": False}


def isolated(arguments):
    return arguments | {"isolate_modalities": True}


@pytest.mark.parametrize("pitfall", [scalar_timestep, no_cross_timestep, isolated])
def test_other_arguments_are_noticed(theirs, denoiser, embeddings, image, clip_latents, pitfall, monkeypatch):
    right = training.arguments
    monkeypatch.setattr(training, "arguments", lambda *given: pitfall(right(*given)))
    with pytest.raises(AssertionError):
        assert_agrees(theirs, 1, Ours(theirs, 1, denoiser, embeddings[0], image, clip_latents))


def test_a_noised_first_frame_and_one_in_the_loss_are_noticed(theirs, denoiser, embeddings, image, clip_latents):
    never = FlowOptions(first_frame_probability=0.0)
    with pytest.raises(AssertionError):
        assert_agrees(theirs, 1, Ours(theirs, 1, denoiser, embeddings[0], image, clip_latents, never))
    ours = Ours(theirs, 1, denoiser, embeddings[0], image, clip_latents)
    ours.said.weight = torch.ones_like(ours.said.weight)
    with pytest.raises(AssertionError):
        assert_agrees(theirs, 1, ours)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_one_euler_step_with_our_prediction_is_the_pipelines_step(
    theirs, denoiser, embeddings, image, clip_latents, step
):
    ours = Ours(theirs, step, denoiser, embeddings[0], image, clip_latents)
    before = theirs.calls[step]["hidden_states"]
    after = before + (theirs.sigmas[step + 1] - theirs.sigmas[step]) * ours.said.prediction * ours.said.weight
    torch.testing.assert_close(after, theirs.after[step], atol=1e-5, rtol=1e-5)


def test_the_loss_does_not_see_what_is_said_of_the_first_frame(denoiser, embeddings, image, clip_latents):
    from vflow.nodes.training.evaluation import sample_losses

    batch = batch_of(clip_latents, [embeddings[0]])
    batch.image = {"latent": image["latent"][None]}
    said = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions())
    loss = sample_losses(said)
    said.prediction[:, :PER_FRAME] += 100
    assert torch.equal(sample_losses(said), loss)
    rest = (said.prediction - said.target)[:, PER_FRAME:].square().mean()
    torch.testing.assert_close(loss, rest[None])


def test_with_images_every_row_is_conditioned_unless_another_share_is_asked_for(embeddings, clip_latents, image):
    rows = 4000
    batch = batch_of(clip_latents.expand(rows, -1, -1, -1, -1), [embeddings[0]])
    batch.image = {"latent": image["latent"][None].expand(rows, -1, -1, -1, -1)}
    assert training.clean_tokens(batch, SeededDraws(rows), FlowOptions()).any(1).all()
    half = training.clean_tokens(batch, SeededDraws(rows), FlowOptions(first_frame_probability=0.5))
    assert half.any(1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    began = training.beginning(batch, half)
    with_image = half.any(1)
    assert torch.equal(began[with_image][:, :, :1], batch.image["latent"][with_image])
    assert torch.equal(began[~with_image], batch.latents[~with_image])
    assert torch.equal(began[:, :, 1:], batch.latents[:, :, 1:])


@pytest.fixture
def request_of(embeddings):
    usual = {"width": WIDTH, "height": HEIGHT, "frames": FRAMES, "fps": FPS, "steps": 3, "seed": 11, "image": STILL}

    def make(guidance=1.0, **fields):
        return SamplingRequest(
            embeddings=embeddings[0], negative=embeddings[1], guidance=guidance, **{**usual, **fields}
        )

    return make


@pytest.mark.parametrize(
    ("guidance", "options", "plain"),
    [
        (1.0, {"guidance_rescale": 0.0}, {}),
        (3.0, {}, {"guidance_scale": 3.0, "audio_guidance_scale": 3.0, "guidance_rescale": 0.7}),
    ],
)
def test_a_clip_from_an_image_equals_the_plain_pipelines_bit_for_bit(
    checkpoint, denoiser, vae, request_of, guidance, options, plain
):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance, options=options))
    if guidance > 1:
        plain = {**plain, "audio_guidance_rescale": 0.7, "negative_prompt": NEGATIVE}
    _, theirs = by_diffusers(checkpoint, **plain)
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, (theirs.frames[0] * 255).round().astype(np.uint8))


def test_an_adapter_draws_the_same_clip_in_the_plain_pipeline(checkpoint, denoiser, vae, request_of, tmp_path):
    torch.manual_seed(0)
    pattern = FAMILY.lora_targets["video_attention"].pattern
    denoiser.transformer.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=pattern, init_lora_weights=False))
    file = FAMILY.save_adapter(denoiser, tmp_path)
    ours = FAMILY.draw(denoiser, vae, request_of(options={"guidance_rescale": 0.0}))
    _, theirs = by_diffusers(checkpoint, adapter=file)
    assert np.array_equal(ours, (theirs.frames[0] * 255).round().astype(np.uint8))
    _, plain = by_diffusers(checkpoint)
    assert not np.array_equal(theirs.frames, plain.frames)


def test_the_image_decides_the_clip(denoiser, vae, request_of):
    other = np.full_like(STILL, 230)
    plain, bright = (FAMILY.draw(denoiser, vae, request_of(image=image)) for image in (STILL, other))
    text = FAMILY.draw(denoiser, vae, request_of(image=None))
    assert not np.array_equal(plain, bright)
    assert not np.array_equal(plain, text)


@pytest.mark.parametrize("dtypes", [("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("float32", "bfloat16")])
def test_transformer_and_vae_of_any_types_draw_from_an_image(checkpoint, denoiser, vae, request_of, dtypes):
    parts = [FAMILY.load(p, checkpoint, t) for p, t in zip(("transformer", "vae"), dtypes, strict=True)]
    drawn, exact = FAMILY.draw(*parts, request_of(2.0)), FAMILY.draw(denoiser, vae, request_of(2.0))
    assert np.abs(drawn.astype(float) - exact).mean() < 8
    assert np.abs(drawn[0].astype(float) - exact[0]).mean() < 4


@pytest.fixture(scope="module")
def samples(vae, text_stack):
    """Two clips with their first frames."""
    clips = [drawn_clip((0.9, -0.8, -0.8), 4), drawn_clip((-0.8, -0.8, 0.9), -2)]
    captions = ["a red square moving left to right", "a blue square moving top to bottom"]
    batch = batch_of(
        torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips]),
        FAMILY.encode_text(text_stack, captions),
    )
    stills = FAMILY.encode_image(vae, None, torch.cat([clip[:, :, 0] for clip in clips]))
    return replace(batch, image={"latent": torch.stack([still["latent"] for still in stills])})


def test_sixty_steps_on_two_clips_lower_the_evaluation_loss_by_a_third(checkpoint, samples):
    from vflow.nodes.training.evaluation import sample_losses

    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=FAMILY.lora_targets["video_attention"].pattern))
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-2)

    def evaluate():
        with torch.no_grad():
            levels = enumerate((0.1, 0.3, 0.5, 0.7, 0.9))
            said = [
                FAMILY.predict(model, samples, torch.full((2,), sigma), SeededDraws(2, 1000 + seed), FlowOptions())
                for seed, sigma in levels
            ]
        return torch.stack([sample_losses(one).mean() for one in said]).mean().item()

    before = evaluate()
    for step in range(60):
        draws = SeededDraws(2, step)
        sigmas = FAMILY.draw_sigmas(samples, draws, FlowOptions())
        sample_losses(FAMILY.predict(model, samples, sigmas, draws, FlowOptions())).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert evaluate() < 0.67 * before
