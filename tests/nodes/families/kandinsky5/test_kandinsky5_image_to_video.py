"""Image to video: parity with `Kandinsky5I2VPipeline`, from the encoded image to the drawn clip."""

import copy
import inspect
import warnings
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import Kandinsky5I2VPipeline
from peft import LoraConfig

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.kandinsky5 import FAMILY, latents, text, training

from .conftest import FPS, HEIGHT, WIDTH, SeededDraws, batch_of, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"latent": 0.9521, "prediction": 0.8925, "loss": 2.7524, "clip": 41.88}

FRAMES, SHAPE = 17, (5, 8, 12)
PLAIN = FlowOptions()
CAPTION, NEGATIVE = "a red square moving left to right on a dark background", "blurry, still"


def picture():
    """A still with structure everywhere: (H, W, 3) uint8."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([rows * 2, columns * 2, (rows + columns) % 256], -1).astype(np.uint8)


def pixels_of(image):
    """Turn (H, W, 3) uint8 into (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1


class Given(SeededDraws):
    """Draws whose tensors are given by purpose."""

    def __init__(self, **given):
        super().__init__(1)
        self.given = given

    def normal(self, purpose, shape):
        assert self.given[purpose].shape[1:] == tuple(shape)
        return self.given[purpose]


class Watched:
    """Runs diffusers' pipeline for three steps and keeps what its transformer was given, and its latents."""

    def __init__(self, checkpoint):
        self.pipeline = Kandinsky5I2VPipeline.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.calls, self.latents = [], []
        self.pipeline.transformer.register_forward_pre_hook(self._before, with_kwargs=True)
        self.pipeline(
            image=PIL.Image.fromarray(picture()),
            prompt=CAPTION,
            width=WIDTH,
            height=HEIGHT,
            num_frames=FRAMES,
            num_inference_steps=3,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            callback_on_step_end=self._after,
        )

    def _before(self, _module, args, kwargs):
        assert not args
        self.calls.append(copy.deepcopy(kwargs))

    def _after(self, _pipeline, _step, _timestep, tensors):
        self.latents.append(tensors["latents"][..., :16].clone())
        return {}

    @property
    def sigmas(self):
        return self.pipeline.scheduler.sigmas

    @property
    def image_noise(self):
        """What its generator gave after the noise of the latents: the posterior noise of the image."""
        generator = torch.Generator().manual_seed(0)
        torch.randn((1, *SHAPE, 16), generator=generator)
        return torch.randn((1, 16, 1, *SHAPE[1:]), generator=generator)


@pytest.fixture(scope="module")
def watched(image_checkpoint):
    return Watched(image_checkpoint)


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0]


@pytest.fixture(scope="module")
def image(vae):
    (encoded,) = FAMILY.encode_image(vae, None, pixels_of(picture()))
    return encoded


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 4, frames=FRAMES), "mode", None)


def conditioned(clips, embeddings, images):
    """Make a batch whose rows begin with images."""
    stacked = {name: torch.stack([row[name] for row in images]) for name in images[0]}
    return replace(batch_of(clips, embeddings), image=stacked)


def given(watched, clip_latents, step):
    """Return the noise level of a step of the pipeline, and draws that lead to its sample."""
    sigma = watched.sigmas[step]
    sample = latents.channels_first(watched.calls[step]["hidden_states"][..., :16])
    return sigma, Given(noise=(sample - (1 - sigma) * clip_latents) / sigma, image=watched.image_noise)


class Recorded:
    """The transformer in `predict`: keeps its arguments, call by call."""

    def __init__(self, denoiser):
        self.calls = []
        denoiser.transformer.register_forward_pre_hook(
            lambda _m, _a, kwargs: self.calls.append(kwargs), with_kwargs=True
        )


# --- encoding --------------------------------------------------------------------------------------------------------


def test_the_pipeline_begins_with_a_draw_from_the_images_posterior(watched, image):
    assert image["latent"].shape == image["deviation"].shape == (16, 1, *SHAPE[1:])
    assert image["latent"].dtype == image["deviation"].dtype == torch.float32
    drawn = image["latent"] + image["deviation"] * watched.image_noise[0]
    theirs = latents.channels_first(watched.calls[0]["hidden_states"][:, :1, ..., :16])[0]
    torch.testing.assert_close(drawn, theirs, atol=1e-5, rtol=1e-5)
    assert (image["latent"] - theirs).abs().max() > 0.05  # the posterior's mean alone is not what it begins with


def test_images_are_encoded_together_as_alone(vae, image):
    both = torch.cat([pixels_of(picture()), pixels_of(picture()[:, ::-1].copy())])
    together = FAMILY.encode_image(vae, None, both)
    for name in ("latent", "deviation"):
        torch.testing.assert_close(together[0][name], image[name], atol=1e-4, rtol=1e-4)
    assert (together[1]["latent"] - together[0]["latent"]).abs().max() > 0.1


def test_a_half_precision_vae_still_gives_float32(checkpoint, image):
    half = FAMILY.load("vae", checkpoint, "bfloat16")
    (encoded,) = FAMILY.encode_image(half, None, pixels_of(picture()))
    assert encoded["latent"].dtype == torch.float32
    torch.testing.assert_close(encoded["latent"], image["latent"], atol=0.2, rtol=0.1)


def test_text_is_encoded_as_for_text_to_video(watched, text_stack, embedding):
    qwen, clip, ends = watched.pipeline.encode_prompt(CAPTION)
    assert torch.equal(embedding["text"], qwen[0])
    assert torch.equal(embedding["pooled"], clip[0])
    assert len(embedding["text"]) == int(ends[-1])
    plain = text.pipeline_of(text_stack)
    for name in ("prompt_template", "prompt_template_encode_start_idx"):
        assert getattr(watched.pipeline, name) == getattr(plain, name)
    defaults = inspect.signature(Kandinsky5I2VPipeline.__call__).parameters
    assert defaults["max_sequence_length"].default == text.MAX_LENGTH


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(
    watched, denoiser, embedding, image, clip_latents, step
):
    theirs, recorded = watched.calls[step], Recorded(denoiser)
    sigma, draws = given(watched, clip_latents, step)
    FAMILY.predict(denoiser, conditioned(clip_latents, [embedding], [image]), sigma[None], draws, PLAIN)
    (ours,) = recorded.calls
    assert ours.keys() == theirs.keys()
    assert ours["hidden_states"].shape == (1, *SHAPE, 33)
    torch.testing.assert_close(ours["hidden_states"], theirs["hidden_states"], atol=1e-5, rtol=1e-5)
    assert not ours["hidden_states"][..., 16:32].any()
    assert ours["hidden_states"][:, 0, ..., 32].eq(1).all()
    assert not ours["hidden_states"][:, 1:, ..., 32].any()
    for name in ("encoder_hidden_states", "pooled_projections", "text_rope_pos"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
    torch.testing.assert_close(ours["timestep"], theirs["timestep"], rtol=1e-6, atol=0)
    assert ours["timestep"].shape == (1,)
    assert [axis.tolist() for axis in ours["visual_rope_pos"]] == [axis.tolist() for axis in theirs["visual_rope_pos"]]
    assert ours["scale_factor"] == theirs["scale_factor"]
    assert ours["sparse_params"] is theirs["sparse_params"] is None


@pytest.mark.parametrize("step", [0, 1, 2])
def test_one_step_of_the_scheduler_with_our_prediction_is_the_pipelines_step(
    watched, denoiser, embedding, image, clip_latents, step
):
    before = watched.calls[step]["hidden_states"][..., :16]
    sigma, draws = given(watched, clip_latents, step)
    batch = conditioned(clip_latents, [embedding], [image])
    said = FAMILY.predict(denoiser, batch, sigma[None], draws, PLAIN)
    prediction = said.prediction.view(1, *SHAPE, 16)[:, 1:]
    after = before[:, 1:] + (watched.sigmas[step + 1] - sigma) * prediction
    torch.testing.assert_close(after, watched.latents[step][:, 1:], atol=1e-4, rtol=1e-4)
    assert torch.equal(watched.latents[step][:, :1], before[:, :1])  # the image is never stepped


def test_the_first_frame_is_no_part_of_the_loss(denoiser, embedding, image, clip_latents):
    batch = conditioned(clip_latents, [embedding], [image])
    said = FAMILY.predict(denoiser, batch, torch.tensor([0.6]), SeededDraws(1), PLAIN)
    weight = said.weight.view(SHAPE)
    assert not weight[0].any()
    assert weight[1:].eq(1).all()
    other = replace(batch, latents=torch.cat([torch.randn(1, 16, 1, *SHAPE[1:]), clip_latents[:, :, 1:]], 2))
    again = FAMILY.predict(denoiser, other, torch.tensor([0.6]), SeededDraws(1), PLAIN)
    assert torch.equal(said.prediction, again.prediction)  # the clip's own first latent is not looked at
    kept = said.weight.expand_as(said.target) > 0
    assert torch.equal(said.target[kept], again.target[kept])


def test_each_draw_begins_with_another_sample_of_the_image(denoiser, embedding, image, clip_latents):
    batch, recorded = conditioned(clip_latents, [embedding], [image]), Recorded(denoiser)
    for seed in (1, 2, 1):
        FAMILY.predict(denoiser, batch, torch.tensor([0.6]), SeededDraws(1, seed), PLAIN)
    firsts = [call["hidden_states"][:, 0, ..., :16] for call in recorded.calls]
    assert torch.equal(firsts[0], firsts[2])
    spread = (firsts[0] - firsts[1]).std() / 2**0.5
    assert spread.item() == pytest.approx(image["deviation"].square().mean().sqrt().item(), rel=0.1)


def test_captions_of_unlike_length_keep_their_images(denoiser, text_stack, vae, image, clip_latents):
    (short,) = FAMILY.encode_text(text_stack, ["star, up"])
    (long,) = FAMILY.encode_text(text_stack, [CAPTION])
    (mirrored,) = FAMILY.encode_image(vae, None, pixels_of(picture()[:, ::-1].copy()))
    clips, sigmas = torch.cat([clip_latents, clip_latents.flip(4)]), torch.tensor([0.3, 0.8])
    draws = SeededDraws(2)
    mixed = FAMILY.predict(denoiser, conditioned(clips, [long, short], [image, mirrored]), sigmas, draws, PLAIN)
    noise, image_noise = draws.normal("noise", clips.shape[1:]), draws.normal("image", image["latent"].shape)
    for row, (caption, still) in enumerate([(long, image), (short, mirrored)]):
        one = slice(row, row + 1)
        batch = conditioned(clips[one], [caption], [still])
        alone = FAMILY.predict(denoiser, batch, sigmas[one], Given(noise=noise[one], image=image_noise[one]), PLAIN)
        torch.testing.assert_close(mixed.prediction[one], alone.prediction, atol=2e-3, rtol=2e-3)


def test_clips_of_one_frame_are_refused(denoiser, embedding, image, clip_latents):
    batch = conditioned(clip_latents[:, :, :1], [embedding], [image])
    with pytest.raises(Failure, match="one frame"):
        FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)


def test_every_clip_begins_with_its_image(denoiser, embedding, image, clip_latents):
    batch, sigma = conditioned(clip_latents, [embedding], [image]), torch.tensor([0.5])
    plain = FAMILY.predict(denoiser, batch, sigma, SeededDraws(1), PLAIN)
    always = FAMILY.predict(denoiser, batch, sigma, SeededDraws(1), FlowOptions(first_frame_probability=1.0))
    assert torch.equal(plain.prediction, always.prediction)
    with pytest.raises(Failure, match="every clip begins with an image"):
        FAMILY.predict(denoiser, batch, sigma, SeededDraws(1), FlowOptions(first_frame_probability=0.5))


def test_pitfalls_put_back_miss_the_pipelines_step(watched, denoiser, embedding, image, clip_latents):
    """What other trainers do: the image as a condition, a noised first frame, no mask, padded text, one scale."""
    sigma, draws = given(watched, clip_latents, 1)
    batch = conditioned(clip_latents, [embedding], [image])
    recorded = Recorded(denoiser)
    FAMILY.predict(denoiser, batch, sigma[None], draws, PLAIN)
    (arguments,) = recorded.calls
    hidden, tokens = arguments["hidden_states"], arguments["encoder_hidden_states"]
    noised = torch.cat([torch.randn(1, 1, *SHAPE[1:], 16), hidden[:, 1:, ..., :16]], 1)
    condition = torch.cat([hidden[:, :1, ..., :16], torch.zeros_like(hidden[:, 1:, ..., :16])], 1)

    def missed(**changes):
        with torch.no_grad():
            said = denoiser.transformer(**arguments | changes)
        after = hidden[:, 1:, ..., :16] + (watched.sigmas[2] - sigma) * said[:, 1:]
        return (after - watched.latents[1][:, 1:]).abs().max().item()

    right = missed()
    assert right < 1e-4
    wrong = {
        "the image in the condition channels": missed(
            hidden_states=torch.cat([hidden[..., :16], condition, hidden[..., 32:]], -1)
        ),
        "a noised first frame": missed(hidden_states=torch.cat([noised, condition, hidden[..., 32:]], -1)),
        "no mask": missed(hidden_states=torch.cat([hidden[..., :32], torch.zeros_like(hidden[..., 32:])], -1)),
        "padded text": missed(
            encoder_hidden_states=torch.cat([tokens, torch.zeros_like(tokens[:, :9])], 1),
            text_rope_pos=torch.arange(tokens.shape[1] + 9),
        ),
        "constant scale of positions": missed(scale_factor=(1, 2, 2)),
    }
    assert {name: error for name, error in wrong.items() if error < 100 * max(right, 1e-6)} == {}


def test_images_are_taken_by_transformers_without_condition_channels(denoiser):
    denoiser.transformer.visual_cond = False
    noised = torch.randn(1, 3, 4, 4, 16)
    assert training.with_condition(denoiser.transformer, noised, True) is noised


@pytest.mark.parametrize(("mode", "steps", "rate"), [("lora", 100, 1e-2), ("full", 60, 2e-3)])
def test_training_on_two_clips_lowers_their_evaluation_loss(image_checkpoint, vae, text_stack, mode, steps, rate):
    clips = [drawn_clip((0.9, -0.8, -0.8), 4), drawn_clip((-0.8, -0.8, 0.9), -2)]
    captions = ["a red square moving left to right on a dark background", "a blue square, top to bottom"]
    batch = conditioned(
        torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips]),
        FAMILY.encode_text(text_stack, captions),
        [FAMILY.encode_image(vae, None, clip[:, :, 0])[0] for clip in clips],
    )
    model = FAMILY.load("transformer", image_checkpoint, "float32").transformer
    torch.manual_seed(0)
    if mode == "lora":
        model.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=FAMILY.lora_targets["attention"].pattern))
    else:
        model.requires_grad_(True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)

    def loss(sigmas, draws):
        said = FAMILY.predict(model, batch, sigmas, draws, PLAIN)
        return ((said.prediction - said.target).square() * said.weight).mean() / said.weight.mean()

    def evaluated():
        with torch.no_grad():
            levels = enumerate((0.1, 0.3, 0.5, 0.7, 0.9))
            return sum(loss(torch.full((2,), sigma), SeededDraws(2, 1000 + seed)).item() for seed, sigma in levels)

    before = evaluated()
    for step in range(steps):
        draws = SeededDraws(2, step)
        loss(FAMILY.draw_sigmas(batch, draws, PLAIN), draws).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert evaluated() < 0.7 * before


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def request_of(text_stack):
    # each alone, as the pipeline encodes them: beside a longer one bits differ
    (positive,), (negative,) = (FAMILY.encode_text(text_stack, [words]) for words in (CAPTION, NEGATIVE))

    def make(guidance=1.0, frames=FRAMES, **options):
        return SamplingRequest(
            embeddings=positive,
            negative=negative,
            width=WIDTH,
            height=HEIGHT,
            frames=frames,
            fps=FPS,
            steps=3,
            guidance=guidance,
            seed=11,
            options=options,
            image=picture(),
        )

    return make


def by_diffusers(checkpoint, guidance=1.0, adapter=None):
    pipeline = Kandinsky5I2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipeline.load_lora_weights(adapter.parent)
    output = pipeline(
        image=PIL.Image.fromarray(picture()),
        prompt=CAPTION,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    )
    return (output.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_clip_from_an_image_equals_the_plain_pipelines_bit_for_bit(checkpoint, denoiser, vae, request_of, guidance):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance))
    assert ours.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(checkpoint, guidance))


def test_an_adapter_draws_in_the_plain_pipeline_what_it_draws_here(checkpoint, denoiser, vae, request_of, tmp_path):
    torch.manual_seed(0)
    denoiser.transformer.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention_ff"].pattern))
    for name, parameter in denoiser.transformer.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    ours = FAMILY.draw(denoiser, vae, request_of(3.0))
    file = FAMILY.save_adapter(denoiser, tmp_path)
    assert np.array_equal(ours, by_diffusers(checkpoint, 3.0, adapter=file))
    assert not np.array_equal(ours, by_diffusers(checkpoint, 3.0))


def test_the_image_decides_the_clip(denoiser, vae, request_of):
    request = request_of()
    mirrored = replace(request, image=picture()[:, ::-1].copy())
    assert not np.array_equal(FAMILY.draw(denoiser, vae, request), FAMILY.draw(denoiser, vae, mirrored))


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_too_few_frames_are_refused_since_the_pipeline_would_give_nothing(denoiser, vae, request_of, frames):
    assert FAMILY.sampling.least_image_frames == 17
    with pytest.raises(Failure, match="use 17 frames or more"):
        FAMILY.draw(denoiser, vae, request_of(frames=frames))


def test_the_pipeline_gives_nothing_but_nan_with_one_latent_frame_less(checkpoint):
    samples = torch.randn(1, 4, 2, 2, 16)
    pipeline = Kandinsky5I2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pipeline.normalize_first_frame(samples).isnan().any()
    assert not pipeline.normalize_first_frame(torch.randn(1, 5, 2, 2, 16)).isnan().any()


@pytest.mark.parametrize("dtypes", [("bfloat16", "float32"), ("bfloat16", "bfloat16"), ("float32", "bfloat16")])
def test_the_vae_may_be_of_another_dtype_than_the_transformer(checkpoint, request_of, dtypes):
    parts = [FAMILY.load(part, checkpoint, dtype) for part, dtype in zip(("transformer", "vae"), dtypes, strict=True)]
    assert FAMILY.draw(*parts, request_of(2.0)).std() > 0
    assert not parts[1].vae.encoder._forward_pre_hooks


def test_golden_statistics(denoiser, vae, embedding, image, clip_latents, request_of):
    batch = conditioned(clip_latents, [embedding], [image])
    said = FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    kept = said.weight[0, :, 0] > 0
    found = {
        "latent": image["latent"].std().item(),
        "prediction": said.prediction[0, kept].std().item(),
        "loss": (said.prediction - said.target)[0, kept].square().mean().item(),
        "clip": FAMILY.draw(denoiser, vae, request_of()).astype(np.float64).std(),
    }
    assert found == pytest.approx(GOLDEN, rel=0.01)
