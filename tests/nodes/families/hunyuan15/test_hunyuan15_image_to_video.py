"""Image to video: parity with `HunyuanVideo15ImageToVideoPipeline`, from the encoded image to the drawn clip."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideo15ImageToVideoPipeline
from peft import LoraConfig
from safetensors.torch import load_file

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.hunyuan15 import FAMILY, attention, latents

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

CLIPS = [
    ("a red square moving left to right on a dark background", (0.9, -0.8, -0.8), 4),
    ('a blue square moving down, it says "DOWN"', (-0.8, -0.8, 0.9), -2),
]
CAPTION, STEPS = CLIPS[1][0], 3


def clip_of(colour, step):
    """A clip whose values are those of bytes, as decoded clips' are."""
    return ((drawn_clip(colour, step) + 1) * 127.5).round() / 127.5 - 1


def pixels_of(frame):
    """(3, H, W) in [-1, 1] as (H, W, 3) uint8."""
    return ((frame.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


FIRST = clip_of(*CLIPS[1][1:])[:, :, 0]
PICTURE = pixels_of(FIRST[0])


@pytest.fixture
def denoiser(image_checkpoint):
    return FAMILY.load("transformer", image_checkpoint, "float32")


@pytest.fixture(scope="module")
def vae(image_checkpoint):
    return FAMILY.load("vae", image_checkpoint, "float32")


@pytest.fixture(scope="module")
def vision(image_checkpoint):
    return FAMILY.load("image_encoder", image_checkpoint, "float32")


@pytest.fixture(scope="module")
def rows(image_checkpoint):
    stack = FAMILY.load("text_encoder", image_checkpoint, "float32")
    return FAMILY.encode_text(stack, [*(caption for caption, _, _ in CLIPS), ""])


@pytest.fixture(scope="module")
def image(vae, vision):
    return FAMILY.encode_image(vae, vision, FIRST)[0]


def pipeline_of(checkpoint, guidance=1.0):
    pipeline = HunyuanVideo15ImageToVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.guider = pipeline.guider.new(guidance_scale=guidance)
    return pipeline


def by_diffusers(pipeline, picture=PICTURE, output_type="np", frames=9):
    output = pipeline(
        image=PIL.Image.fromarray(picture),
        prompt=CAPTION,
        num_frames=frames,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(11),
        output_type=output_type,
    ).frames
    return output if output_type == "latent" else (output[0] * 255).round().astype(np.uint8)


class Watched:
    """Runs diffusers' pipeline and keeps what its transformer was given and said, and what each step gave."""

    def __init__(self, pipeline):
        self.pipeline, self.calls, self.answers, self.latents = pipeline, [], [], []

        def watch(_module, args, kwargs, answer):
            assert not args
            self.calls.append(dict(kwargs))
            self.answers.append(answer[0])

        pipeline.transformer.register_forward_hook(watch, with_kwargs=True)
        step = pipeline.scheduler.step

        def watch_step(*args, **kwargs):
            stepped = step(*args, **kwargs)
            self.latents.append(stepped[0])
            return stepped

        pipeline.scheduler.step = watch_step
        by_diffusers(pipeline, output_type="latent", frames=FRAMES)


@pytest.fixture(scope="module")
def watched(image_checkpoint):
    return Watched(pipeline_of(image_checkpoint))


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, clip_of(*CLIPS[1][1:]), "mode", None)


class Recorded:
    """The transformer in `predict`: keeps its arguments."""

    def __init__(self, denoiser):
        self.arguments = {}
        denoiser.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.arguments = kwargs


def predict(denoiser, x0, embeddings, images, sigma=0.5, draws=None):
    sigmas = torch.full((len(x0),), float(sigma))
    batch = batch_of(x0, embeddings, images)
    return FAMILY.predict(denoiser, batch, sigmas, draws or SeededDraws(len(x0)), FlowOptions())


def noise_for(noisy, x0, sigma):
    return (noisy - (1 - sigma) * x0) / sigma


# --- the image, encoded ----------------------------------------------------------------------------------------------


def test_an_image_is_encoded_as_the_pipeline_does(image_checkpoint, image, watched):
    pipeline = pipeline_of(image_checkpoint)
    with torch.no_grad():
        latent = pipeline._get_image_latents(
            pipeline.vae, pipeline.video_processor, PIL.Image.fromarray(PICTURE), HEIGHT, WIDTH, torch.device("cpu")
        )
        features = pipeline.encode_image(PIL.Image.fromarray(PICTURE), 1, torch.device("cpu"), torch.float32)
    assert torch.equal(image["latent"], latent[0])
    assert torch.equal(image["features"], features[0])
    assert image["latent"].shape == (8, 1, 4, 6)
    assert image["features"].shape == (9, 16)
    assert torch.equal(watched.calls[0]["hidden_states"][:, 8:16, :1], latent)
    assert torch.equal(watched.calls[0]["image_embeds"], features)


def test_the_latent_is_the_mode_of_the_frame_alone_scaled(vae, image):
    mode = FAMILY.encode_video(vae, FIRST[:, :, None], "mode", None)
    torch.testing.assert_close(image["latent"], mode[0], atol=1e-5, rtol=1e-5)
    drawn = FAMILY.encode_video(vae, FIRST[:, :, None], "sample", [torch.Generator().manual_seed(0)])
    assert (image["latent"] - drawn[0]).abs().max() > 1e-3


def test_the_features_are_those_of_the_whole_picture_made_small(vision, image):
    small = np.asarray(PIL.Image.fromarray(PICTURE).resize((42, 42), PIL.Image.Resampling.BICUBIC), np.float32)
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = vision.image_encoder(pixels).last_hidden_state[0]
    torch.testing.assert_close(image["features"], expected, atol=1e-4, rtol=1e-4)


def test_several_images_are_encoded_one_by_one_in_order(vae, vision, image):
    other = clip_of(*CLIPS[0][1:])[:, :, 0]
    first, second = FAMILY.encode_image(vae, vision, torch.cat([other, FIRST]))
    assert all(torch.equal(second[name], image[name]) for name in image)
    assert not torch.equal(first["features"], second["features"])


def test_half_precision_encodes_in_its_own_type_and_gives_float32_latents(image_checkpoint, image):
    parts = [FAMILY.load(part, image_checkpoint, "bfloat16") for part in ("vae", "image_encoder")]
    half = FAMILY.encode_image(*parts, FIRST)[0]
    assert half["latent"].dtype == torch.float32
    assert half["features"].dtype == torch.bfloat16
    torch.testing.assert_close(half["features"].float(), image["features"], atol=0.1, rtol=0.1)


def test_without_its_vision_encoder_an_image_is_not_encoded(vae):
    with pytest.raises(Failure, match="vision encoder"):
        FAMILY.encode_image(vae, None, FIRST)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(STEPS))
def test_every_argument_of_the_transformer_is_the_pipelines(watched, denoiser, rows, image, clip_latents, step):
    theirs, recorded = dict(watched.calls[step]), Recorded(denoiser)
    sigma = watched.pipeline.scheduler.sigmas[step]
    noise = noise_for(theirs["hidden_states"][:, :8], clip_latents, sigma)
    said = predict(denoiser, clip_latents, [rows[1]], [image], sigma, GivenNoise(noise))
    ours = recorded.arguments
    assert theirs.pop("timestep_r") is None
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours["hidden_states"][:, :8], theirs["hidden_states"][:, :8], atol=1e-5, rtol=1e-5)
    assert torch.equal(ours["hidden_states"][:, 8:], theirs["hidden_states"][:, 8:])
    mask = ours["hidden_states"][:, 16]
    assert mask[:, 0].all()
    assert not mask[:, 1:].any()
    assert torch.equal(ours["image_embeds"], theirs["image_embeds"])
    assert ours["image_embeds"].any()
    assert torch.equal(ours["timestep"], theirs["timestep"])
    for suffix in ("", "_2"):
        tokens, valid = f"encoder_hidden_states{suffix}", f"encoder_attention_mask{suffix}"
        length = ours[tokens].shape[1]
        assert torch.equal(ours[tokens], theirs[tokens][:, :length])
        assert torch.equal(ours[valid].float(), theirs[valid][:, :length])
        assert ours[valid].all()
        assert not theirs[valid][:, length:].any()
    assert (ours["attention_kwargs"], ours["return_dict"]) == (theirs["attention_kwargs"], theirs["return_dict"])
    torch.testing.assert_close(said.prediction, latents.pack(watched.answers[step]), atol=1e-5, rtol=1e-5)


def test_one_step_of_the_scheduler_with_our_prediction_is_the_pipelines(watched, denoiser, rows, image, clip_latents):
    before, sigmas = watched.calls[1]["hidden_states"][:, :8], watched.pipeline.scheduler.sigmas
    draws = GivenNoise(noise_for(before, clip_latents, sigmas[1]))
    said = predict(denoiser, clip_latents, [rows[1]], [image], sigmas[1], draws)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config)
    scheduler.set_timesteps(sigmas=[1.0, 2 / 3, 1 / 3])
    torch.testing.assert_close(scheduler.sigmas, sigmas)
    stepped = scheduler.step(said.prediction, scheduler.timesteps[1], latents.pack(before), return_dict=False)[0]
    torch.testing.assert_close(stepped, latents.pack(watched.latents[1]), atol=1e-5, rtol=1e-5)


def test_every_frame_is_noised_and_counts_the_first_one_too(denoiser, rows, image, clip_latents):
    recorded = Recorded(denoiser)
    said = predict(denoiser, clip_latents, [rows[1]], [image])
    noise = SeededDraws(1).normal("noise", clip_latents.shape[1:])
    torch.testing.assert_close(recorded.arguments["hidden_states"][:, :8], 0.5 * clip_latents + 0.5 * noise)
    assert torch.equal(said.target, latents.pack(noise - clip_latents))
    assert torch.equal(said.weight, torch.ones(1, 120, 1))


@pytest.mark.parametrize("pitfall", ["features of zeros", "by task_type", "no latent", "a mask over all frames"])
def test_a_pitfall_swapped_back_says_something_else_than_the_pipeline(
    watched, denoiser, rows, image, clip_latents, pitfall
):
    recorded, sigma = Recorded(denoiser), watched.pipeline.scheduler.sigmas[1]
    noise = noise_for(watched.calls[1]["hidden_states"][:, :8], clip_latents, sigma)
    predict(denoiser, clip_latents, [rows[1]], [image], sigma, GivenNoise(noise))
    given = dict(recorded.arguments) | {"hidden_states": recorded.arguments["hidden_states"].clone()}
    if pitfall == "features of zeros":
        given["image_embeds"] = torch.zeros_like(given["image_embeds"])
    elif pitfall == "by task_type":
        assert denoiser.transformer.config.task_type == "t2v"  # what published configurations say is as little use
        given["hidden_states"][:, 8:] = 0
        given["image_embeds"] = given["image_embeds"][:, :0]
    elif pitfall == "no latent":
        given["hidden_states"][:, 8:16] = 0
    else:
        given["hidden_states"][:, 16] = 1
    with torch.no_grad():
        wrong = denoiser.transformer(**given)[0]
    assert (wrong - watched.answers[1]).abs().max() > 1e-3


def test_conditioned_and_unconditioned_rows_never_share_a_forward(denoiser, rows, image, clip_latents):
    x0 = clip_latents.expand(2, -1, -1, -1, -1)
    recorded = Recorded(denoiser)
    predict(denoiser, x0, rows[:2], [image, image])
    mixed = dict(recorded.arguments) | {"image_embeds": recorded.arguments["image_embeds"].clone()}
    mixed["image_embeds"][0] = 0
    with torch.no_grad():
        beside = denoiser.transformer(**mixed)[0][:1]
        alone = denoiser.transformer(
            **{name: value[:1] if isinstance(value, torch.Tensor) else value for name, value in mixed.items()}
        )[0]
    assert (beside - alone).abs().max() > 1e-3  # why: a row of zeros has image tokens once another row has some
    plain = {name: image[name] for name in ("latent", "features")}
    with pytest.raises((RuntimeError, KeyError)):
        batch_of(x0, rows[:2], [plain, {}])


def test_captions_of_unlike_length_beside_images_say_what_each_says_alone_and_build_no_dense_mask(
    denoiser, rows, image, clip_latents, monkeypatch
):
    masks = []
    dispatch = attention.dispatch_attention_fn

    def watch(*args, attn_mask, **kwargs):
        masks.append(None if attn_mask is None else tuple(attn_mask.shape))
        return dispatch(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(attention, "dispatch_attention_fn", watch)
    x0 = clip_latents.expand(3, -1, -1, -1, -1)
    together = predict(denoiser, x0, rows, [image] * 3)
    longest = max(len(row["text"]) for row in rows) + max(len(row["glyph"]) for row in rows)
    assert masks == [(3, 1, 1, 120 + 9 + longest)] * 6
    masks.clear()
    noise = SeededDraws(3).normal("noise", x0.shape[1:])
    for place, row in enumerate(rows):
        alone = predict(denoiser, clip_latents, [row], [image], draws=GivenNoise(noise[place : place + 1]))
        torch.testing.assert_close(together.prediction[place : place + 1], alone.prediction, atol=1e-5, rtol=1e-5)
    assert masks == [None] * 18


def test_all_clips_are_told_their_first_frame_and_never_some(denoiser, rows, image, clip_latents):
    batch = batch_of(clip_latents, [rows[0]], [image])
    FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions(first_frame_probability=1.0))
    with pytest.raises(Failure, match="every clip is told its first frame"):
        FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions(first_frame_probability=0.5))


def test_kept_half_precision_features_reach_a_float32_transformer(denoiser, rows, image, clip_latents):
    kept = {"latent": image["latent"], "features": image["features"].bfloat16()}
    half = predict(denoiser, clip_latents, [rows[0]], [kept])
    torch.testing.assert_close(
        half.prediction, predict(denoiser, clip_latents, [rows[0]], [image]).prediction, atol=0.05, rtol=0.05
    )


# --- learning --------------------------------------------------------------------------------------------------------


def test_training_on_two_clips_and_their_first_frames_lowers_the_evaluation_loss_by_a_third(
    image_checkpoint, vae, vision, rows
):
    clips = [clip_of(colour, step) for _, colour, step in CLIPS]
    images = FAMILY.encode_image(vae, vision, torch.cat([clip[:, :, 0] for clip in clips]))
    x0 = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    batch = batch_of(x0, rows[:2], images)
    model = FAMILY.load("transformer", image_checkpoint, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=FAMILY.lora_targets["attention"].pattern))
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)

    def evaluate():
        with torch.no_grad():
            said = [
                FAMILY.predict(model, batch, torch.full((2,), sigma), SeededDraws(2, 1000 + seed), FlowOptions())
                for seed, sigma in enumerate((0.1, 0.5, 0.9))
            ]
        return torch.stack([(one.prediction - one.target).square().mean() for one in said]).mean().item()

    before = evaluate()
    for step in range(80):
        draws = SeededDraws(2, step)
        said = FAMILY.predict(model, batch, FAMILY.draw_sigmas(batch, draws, FlowOptions()), draws, FlowOptions())
        (said.prediction - said.target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert evaluate() < 0.7 * before


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def request_of(rows, vision):
    def make(guidance=1.0, picture=PICTURE, **other):
        height, width = picture.shape[:2]
        request = SamplingRequest(
            embeddings=rows[1],
            negative=rows[2],
            width=width,
            height=height,
            frames=9,
            fps=FPS,
            steps=STEPS,
            guidance=guidance,
            seed=11,
            image=picture,
            image_encoder=vision,
        )
        return replace(request, **other)

    return make


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_clip_equals_the_plain_pipelines_bit_for_bit(image_checkpoint, denoiser, vae, request_of, guidance):
    ours = FAMILY.draw(denoiser, vae, request_of(guidance))
    assert ours.shape == (9, HEIGHT, WIDTH, 3)
    assert np.array_equal(ours, by_diffusers(pipeline_of(image_checkpoint, guidance)))


def test_guidance_takes_the_text_away_and_leaves_the_image(denoiser, vae, request_of):
    calls = []
    denoiser.transformer.register_forward_pre_hook(lambda _m, _a, given: calls.append(dict(given)), with_kwargs=True)
    FAMILY.draw(denoiser, vae, request_of(4.0))
    assert len(calls) == 2 * STEPS
    for conditional, unconditional in zip(calls[::2], calls[1::2], strict=True):
        assert conditional["image_embeds"].any()
        assert torch.equal(conditional["image_embeds"], unconditional["image_embeds"])
        assert torch.equal(conditional["hidden_states"], unconditional["hidden_states"])
        assert not torch.equal(conditional["encoder_hidden_states"], unconditional["encoder_hidden_states"])


def test_a_size_that_the_pipeline_would_change_is_drawn_as_it_is(image_checkpoint, denoiser, vae, request_of):
    picture = np.ascontiguousarray(PICTURE[:48, :64])
    native = by_diffusers(pipeline_of(image_checkpoint), picture)
    assert native.shape == (9, 64, 80, 3)
    pipeline = pipeline_of(image_checkpoint)
    pipeline.video_processor.calculate_default_height_width = lambda height, width, target_size: (height, width)
    ours = FAMILY.draw(denoiser, vae, request_of(picture=picture))
    assert ours.shape == (9, 48, 64, 3)
    assert np.array_equal(ours, by_diffusers(pipeline, picture))


def test_an_adapter_draws_in_the_pipeline_what_it_draws_here_bit_for_bit(
    image_checkpoint, denoiser, vae, request_of, tmp_path
):
    trained = FAMILY.load("transformer", image_checkpoint, "float32").transformer
    torch.manual_seed(0)
    trained.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=FAMILY.lora_targets["attention"].pattern))
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    file = FAMILY.save_adapter(trained, tmp_path)
    pipe = pipeline_of(image_checkpoint, 4.0)
    eval(f"pipe.{FAMILY.loads_adapter_by.format(folder=tmp_path, file=file.name)}")
    plain = FAMILY.draw(denoiser, vae, request_of(4.0))
    FAMILY.load_adapter(denoiser, file, 1.0)
    ours = FAMILY.draw(denoiser, vae, request_of(4.0))
    assert np.array_equal(ours, by_diffusers(pipe))
    assert not np.array_equal(ours, plain)


def test_the_image_decides_the_clip(denoiser, vae, request_of):
    other = pixels_of(clip_of(*CLIPS[0][1:])[0, :, 0])
    assert not np.array_equal(
        FAMILY.draw(denoiser, vae, request_of(steps=1)),
        FAMILY.draw(denoiser, vae, request_of(steps=1, picture=other)),
    )


def test_text_without_its_padding_draws_the_same_clip_but_for_rounding(denoiser, vae, request_of):
    whole = FAMILY.draw(denoiser, vae, request_of(4.0)).astype(int)
    trimmed = FAMILY.draw(denoiser, vae, request_of(4.0, options={"trim_text": True})).astype(int)
    assert np.abs(whole - trimmed).max() <= 1


def test_an_image_without_a_vision_encoder_is_not_drawn_from(denoiser, vae, request_of):
    with pytest.raises(Failure, match="LoadImageEncoder"):
        FAMILY.draw(denoiser, vae, request_of(image_encoder=None))


def test_half_precision_draws_too(image_checkpoint, request_of):
    parts = [FAMILY.load(part, image_checkpoint, "bfloat16") for part in ("transformer", "vae", "image_encoder")]
    assert FAMILY.draw(*parts[:2], request_of(2.0, steps=1, image_encoder=parts[2])).std() > 0


# --- the miniature ---------------------------------------------------------------------------------------------------


def test_its_miniature_is_the_other_one_with_a_vision_encoder_more(checkpoint, image_checkpoint):
    def files(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    more = files(image_checkpoint) - files(checkpoint)
    assert {path.parts[0] for path in more} == {"image_encoder", "feature_extractor"}
    differing = {
        str(name)
        for name in files(checkpoint)
        if (checkpoint / name).read_bytes() != (image_checkpoint / name).read_bytes()
    }
    assert differing == {"model_index.json", "transformer/config.json"}
    pipeline = pipeline_of(image_checkpoint)
    assert type(pipeline.image_encoder).__name__ == "SiglipVisionModel"
    assert pipeline.image_encoder.config.hidden_size == pipeline.transformer.config.image_embed_dim
    assert pipeline.target_size == 80


def test_a_vision_encoder_without_some_weights_is_refused(image_checkpoint, tmp_path):
    from safetensors.torch import save_file

    for name in ("image_encoder", "feature_extractor"):
        (tmp_path / name).mkdir()
        for path in (image_checkpoint / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "image_encoder" / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("k_proj.weight")))
    save_file(weights, tmp_path / "image_encoder" / "model.safetensors", {"format": "pt"})
    with pytest.raises(Failure, match="lacks 1 weights"):
        FAMILY.load("image_encoder", tmp_path, "float32")


def test_a_step_distilled_checkpoint_is_refused(image_checkpoint, tmp_path):
    from diffusers import HunyuanVideo15Transformer3DModel

    config = HunyuanVideo15Transformer3DModel.load_config(image_checkpoint / "transformer")
    HunyuanVideo15Transformer3DModel.from_config(config, use_meanflow=True).save_pretrained(tmp_path / "transformer")
    with pytest.raises(Failure, match="step-distilled"):
        FAMILY.load("transformer", tmp_path, "float32")
