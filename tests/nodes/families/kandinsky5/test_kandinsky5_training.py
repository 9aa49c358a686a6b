"""Parity of the training forward with what diffusers' pipeline hands to the transformer and does with its answer."""

import copy

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5T2VPipeline
from peft import LoraConfig

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.kandinsky5 import FAMILY, latents, training

from .conftest import FRAMES, HEIGHT, WIDTH, GivenNoise, SeededDraws, batch_of, drawn_clip

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"prediction": 0.8911, "loss": 2.7775}

SHAPE = (3, 8, 12)
TOKENS = 3 * 8 * 12
PLAIN = FlowOptions()
CAPTION = "a red square moving left to right on a dark background"
OTHER = "star, up"


class Watched:
    """Runs a pipeline of diffusers for three steps and keeps what its transformer was given, step by step."""

    def __init__(self, checkpoint):
        self.pipeline = Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.calls, self.latents = [], []
        self.pipeline.transformer.register_forward_pre_hook(self._before, with_kwargs=True)
        self.pipeline(
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


@pytest.fixture(scope="module")
def watched(checkpoint):
    return Watched(checkpoint)


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [CAPTION])[0]


@pytest.fixture(scope="module")
def other(text_stack):
    return FAMILY.encode_text(text_stack, [OTHER])[0]


@pytest.fixture(scope="module")
def clip_latents(vae):
    return FAMILY.encode_video(vae, drawn_clip((0.9, -0.8, -0.8), 4), "mode", None)


class Recorded:
    """The transformer in `predict`: keeps its arguments, call by call."""

    def __init__(self, denoiser):
        self.calls = []
        denoiser.transformer.register_forward_pre_hook(
            lambda _m, _a, kwargs: self.calls.append(kwargs), with_kwargs=True
        )


def noise_for(noised, x0, sigma):
    """Return the noise, channels first, with which x0 at sigma is noised to this, channels last."""
    return (latents.channels_first(noised) - (1 - sigma) * x0) / sigma


def given(watched, clip_latents, step):
    """Return the noise level of a step of the pipeline, and the noise that leads to its sample."""
    sigma = watched.sigmas[step]
    return sigma, noise_for(watched.calls[step]["hidden_states"][..., :16], clip_latents, sigma)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_transformer_is_called_as_in_the_pipelines_denoising_step(watched, denoiser, embedding, clip_latents, step):
    theirs, recorded = watched.calls[step], Recorded(denoiser)
    sigma, noise = given(watched, clip_latents, step)
    FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    (ours,) = recorded.calls
    assert ours.keys() == theirs.keys()
    assert ours["hidden_states"].shape == (1, *SHAPE, 33)
    torch.testing.assert_close(ours["hidden_states"], theirs["hidden_states"], atol=1e-5, rtol=1e-5)
    assert not ours["hidden_states"][..., 16:].any()
    for name in ("encoder_hidden_states", "pooled_projections", "text_rope_pos"):
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
    torch.testing.assert_close(ours["timestep"], theirs["timestep"], rtol=1e-6, atol=0)
    assert 0 < ours["timestep"].item() <= 1000
    assert [axis.tolist() for axis in ours["visual_rope_pos"]] == [axis.tolist() for axis in theirs["visual_rope_pos"]]
    assert ours["scale_factor"] == theirs["scale_factor"] == (1, 3.16, 3.16)
    assert ours["sparse_params"] is None
    assert theirs["sparse_params"] is None


@pytest.mark.parametrize("step", [0, 1, 2])
def test_one_step_of_the_scheduler_with_our_prediction_is_the_pipelines_step(
    watched, denoiser, embedding, clip_latents, step
):
    before = watched.calls[step]["hidden_states"][..., :16]
    sigma, noise = given(watched, clip_latents, step)
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), sigma[None], GivenNoise(noise), PLAIN)
    prediction = said.prediction.view(1, *SHAPE, 16)
    after = before + (watched.sigmas[step + 1] - sigma) * prediction
    torch.testing.assert_close(after, watched.latents[step], atol=1e-4, rtol=1e-4)

    scheduler = FlowMatchEulerDiscreteScheduler.from_config(denoiser.scheduler.config)
    scheduler.set_timesteps(3)
    assert torch.equal(scheduler.sigmas, watched.sigmas)
    stepped = scheduler.step(prediction, scheduler.timesteps[step], before, return_dict=False)[0]
    torch.testing.assert_close(after, stepped, atol=1e-6, rtol=1e-6)


def test_the_schedule_is_shifted_twice_so_that_no_formula_gives_it(watched):
    uniform = torch.linspace(1, 1 / 1000, 3)
    once = 5 * uniform / (1 + 4 * uniform)
    assert (watched.sigmas[:3] - once).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (512, 768, (1, 2, 2)),
        (480, 848, (1, 2, 2)),
        (464, 768, (1, 3.16, 3.16)),
        (512, 864, (1, 3.16, 3.16)),
        (768, 1280, (1, 3.16, 3.16)),
    ],
)
def test_the_scale_of_positions_follows_the_pipelines_rule(watched, denoiser, embedding, height, width, expected):
    batch = batch_of(torch.zeros(1, 16, 1, height // 8, width // 8), [embedding])
    noised, sigma = latents.channels_last(batch.latents), torch.tensor([0.5])
    ours = training.arguments(denoiser, batch, noised, sigma, torch.tensor([0]))["scale_factor"]
    assert ours == expected == watched.pipeline._get_scale_factor(height, width)


def test_captions_of_unlike_length_are_never_padded(denoiser, embedding, other, clip_latents):
    rows = [embedding, other, embedding]
    latents3 = torch.cat([clip_latents, clip_latents.flip(2), clip_latents.roll(1, 4)])
    sigmas, draws = torch.tensor([0.3, 0.5, 0.8]), SeededDraws(3)
    recorded = Recorded(denoiser)
    mixed = FAMILY.predict(denoiser, batch_of(latents3, rows), sigmas, draws, PLAIN)
    lengths = sorted({len(embedding["text"]), len(other["text"])})
    assert [call["encoder_hidden_states"].shape[1] for call in recorded.calls] == lengths
    assert [len(call["text_rope_pos"]) for call in recorded.calls] == lengths
    noise = draws.normal("noise", latents3.shape[1:])
    for row in range(3):
        one = slice(row, row + 1)
        batch = batch_of(latents3[one], [rows[row]])
        alone = FAMILY.predict(denoiser, batch, sigmas[one], GivenNoise(noise[one]), PLAIN)
        torch.testing.assert_close(mixed.prediction[one], alone.prediction, atol=2e-3, rtol=2e-3)
        assert torch.equal(mixed.target[one], alone.target)


def test_rows_of_one_length_go_together():
    grouped = training.of_equal_length(torch.tensor([5, 3, 5, 7, 3, 5]))
    assert [rows.tolist() for rows in grouped] == [[1, 4], [0, 2, 5], [3]]


# --- pitfalls put back -----------------------------------------------------------------------------------------------


def euler_error(denoiser, watched, embedding, clip_latents, **changes):
    """How far one step of the pipeline is missed when arguments of the transformer are changed."""
    sigma, noise = given(watched, clip_latents, 1)
    batch = batch_of(clip_latents, [embedding])
    noised = latents.channels_last((1 - sigma) * clip_latents + sigma * noise)
    arguments = training.arguments(denoiser, batch, noised, sigma[None], torch.tensor([0]))
    changed = {name: change(arguments[name]) for name, change in changes.items()}
    with torch.no_grad():
        said = denoiser.transformer(**arguments | changed)
    after = noised + (watched.sigmas[2] - sigma) * said
    return (after - watched.latents[1]).abs().max().item()


def padded(tokens):
    return torch.cat([tokens, torch.zeros_like(tokens[:, :9])], dim=1)


def test_pitfalls_put_back_miss_the_pipelines_step(denoiser, watched, embedding, clip_latents):
    def missed(**changes):
        return euler_error(denoiser, watched, embedding, clip_latents, **changes)

    right = missed()
    assert right < 1e-4
    longer = {"encoder_hidden_states": padded, "text_rope_pos": lambda positions: torch.arange(len(positions) + 9)}
    wrong = {
        "padded text": missed(**longer),
        "constant scale of positions": missed(scale_factor=lambda _: (1, 2, 2)),
        "a mask of ones": missed(hidden_states=lambda x: torch.cat([x[..., :32], torch.ones_like(x[..., :1])], -1)),
        "latents as condition": missed(hidden_states=lambda x: torch.cat([x[..., :16], x[..., :16], x[..., 32:]], -1)),
        "timesteps from 0 to 1": missed(timestep=lambda t: t / 1000),
    }
    assert {name: error for name, error in wrong.items() if error < 100 * max(right, 1e-6)} == {}


def test_without_the_condition_channels_the_transformer_cannot_run(denoiser, watched, embedding, clip_latents):
    with pytest.raises(RuntimeError, match="shapes"):
        euler_error(denoiser, watched, embedding, clip_latents, hidden_states=lambda x: x[..., :16])


def test_turned_wholly_to_half_precision_the_time_embedding_cannot_run(checkpoint, embedding, clip_latents):
    batch, sigma = batch_of(clip_latents, [embedding]), torch.tensor([0.5])
    live = FAMILY.load("transformer", checkpoint, "bfloat16")
    FAMILY.predict(live, batch, sigma, SeededDraws(1), PLAIN)
    live.transformer.time_embeddings.to(torch.bfloat16)
    with pytest.raises(RuntimeError, match="dtype"):
        FAMILY.predict(live, batch, sigma, SeededDraws(1), PLAIN)


def test_zero_modulation_would_learn_nothing(checkpoint, embedding, clip_latents):
    gradients = []
    for zeroed in (False, True):
        model = FAMILY.load("transformer", checkpoint, "float32").transformer
        if zeroed:
            for name, parameter in model.named_parameters():
                if "modulation" in name:
                    parameter.data.zero_()
        model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention"].pattern))
        said = FAMILY.predict(model, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
        (said.prediction - said.target).square().mean().backward()
        gradients.append(sum(p.grad.abs().sum().item() for p in model.parameters() if p.requires_grad))
    assert gradients[0] > 0
    assert gradients[1] == 0


# --- precision, wrappers, refusals -----------------------------------------------------------------------------------


def test_stepping_along_the_target_leads_from_noise_to_the_latents(denoiser, embedding, clip_latents):
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.7]), SeededDraws(1), PLAIN)
    noise = SeededDraws(1).normal("noise", clip_latents.shape[1:])
    noised = latents.channels_last(0.3 * clip_latents + 0.7 * noise).flatten(1, 3)
    torch.testing.assert_close(noised - 0.7 * said.target, latents.channels_last(clip_latents).flatten(1, 3))
    assert said.prediction.dtype == said.target.dtype == said.weight.dtype == torch.float32
    assert said.prediction.shape == said.target.shape == (1, TOKENS, 16)
    assert torch.equal(said.weight, torch.ones(1, TOKENS, 1))


def test_half_precision_mixes_in_float32_and_tells_the_timestep_in_float32(
    checkpoint, embedding, clip_latents, denoiser
):
    half = FAMILY.load("transformer", checkpoint, "bfloat16")
    recorded, sigma = Recorded(half), torch.tensor([0.9973])
    batch = batch_of(clip_latents, [embedding])
    said = FAMILY.predict(half, batch, sigma, SeededDraws(1), PLAIN)
    full = FAMILY.predict(denoiser, batch, sigma, SeededDraws(1), PLAIN)
    (ours,) = recorded.calls
    assert ours["hidden_states"].dtype == ours["encoder_hidden_states"].dtype == torch.bfloat16
    assert ours["timestep"].dtype == torch.float32
    assert ours["timestep"].item() == pytest.approx(997.3)
    assert torch.equal(said.target, full.target)
    torch.testing.assert_close(said.prediction, full.prediction, atol=0.1, rtol=0.1)


def test_mixed_precision_leaves_time_embeddings_and_modulation_in_float32(checkpoint, embedding):
    live = FAMILY.load("transformer", checkpoint, "bfloat16")
    model, said = live.transformer, []
    for module in (model.time_embeddings, model.visual_transformer_blocks[0].visual_modulation):
        module.register_forward_hook(lambda _module, _args, out: said.append(out))
    batch = batch_of(torch.randn(1, 16, *SHAPE), [embedding])
    sigma = torch.tensor([0.4321])
    FAMILY.predict(live, batch, sigma, SeededDraws(1), PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        FAMILY.predict(live, batch, sigma, SeededDraws(1), PLAIN)
    assert all(out.dtype == torch.float32 for out in said)
    assert torch.equal(said[0], said[2])
    torch.testing.assert_close(said[1], said[3], atol=0.02, rtol=0.02)  # CLIP's share of it is in half precision


def test_protected_layers_are_copied_with_their_model(denoiser, embedding, clip_latents):
    batch, sigma = batch_of(clip_latents, [embedding]), torch.tensor([0.5])
    before = FAMILY.predict(denoiser, batch, sigma, SeededDraws(1), PLAIN).prediction
    twin = copy.deepcopy(denoiser.transformer)
    with torch.no_grad():
        denoiser.transformer.time_embeddings.in_layer.weight.zero_()
    after = FAMILY.predict(twin, batch, sigma, SeededDraws(1), PLAIN).prediction
    torch.testing.assert_close(after, before, atol=2e-3, rtol=2e-3)


def test_a_clean_first_frame_is_refused_where_there_is_no_image(denoiser, embedding, clip_latents):
    options = FlowOptions(first_frame_probability=0.5)
    with pytest.raises(Failure, match="every clip begins without one"):
        FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), options)


def test_a_clip_beyond_the_table_of_positions_is_refused(denoiser, embedding):
    batch = batch_of(torch.zeros(1, 16, 1, 8, 264), [embedding])
    with pytest.raises(Failure, match="beyond the 128 x 128 x 128 positions"):
        FAMILY.predict(denoiser, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)


def test_a_transformer_without_condition_channels_gets_none(denoiser):
    model = denoiser.transformer
    model.visual_cond = False
    noised = torch.randn(1, 3, 4, 4, 16)
    assert training.with_condition(model, noised, False) is noised


def test_mixed_precision_computes_in_float32_what_inference_does(checkpoint, embedding, clip_latents, products):
    model = FAMILY.load("transformer", checkpoint, "bfloat16")
    batch = batch_of(clip_latents, [embedding])
    inference, training = products(lambda: FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN))
    assert training == inference
    assert inference["torch.float32",] > 0


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


def test_group_offload_between_cpu_and_cpu_gives_the_same_bits(checkpoint, denoiser, embedding, other, clip_latents):
    batch = batch_of(torch.cat([clip_latents] * 2), [embedding, other])
    sigmas = torch.tensor([0.5, 0.6])
    plain = FAMILY.predict(denoiser, batch, sigmas, SeededDraws(2), PLAIN)
    offloaded = FAMILY.load("transformer", checkpoint, "float32")
    offloaded.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    assert torch.equal(FAMILY.predict(offloaded, batch, sigmas, SeededDraws(2), PLAIN).prediction, plain.prediction)


def test_gradient_checkpointing_gives_the_same_gradients(checkpoint, embedding, other, clip_latents):
    batch, gradients = batch_of(torch.cat([clip_latents] * 2), [embedding, other]), []
    for checkpointing in (False, True):
        model = FAMILY.load("transformer", checkpoint, "float32").transformer
        torch.manual_seed(0)
        model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention"].pattern))
        model.train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        said = FAMILY.predict(model, batch, torch.tensor([0.5, 0.6]), SeededDraws(2), PLAIN)
        (said.prediction - said.target).square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert len(gradients[0]) == 2 * (4 + 4 * 8)
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_noise_levels_are_logit_normal_with_the_shift_of_the_schedule(denoiser):
    draws = SeededDraws(20_000)
    batch = batch_of(torch.empty(1, 16, 1, 2, 2), [{"text": torch.zeros(1, 2), "pooled": torch.zeros(2)}])
    own = FAMILY.draw_sigmas(batch, draws, PLAIN)
    assert denoiser.scheduler.config.shift == training.SHIFT == 5.0
    assert own.quantile(0.5).item() == pytest.approx(5 / 6, abs=0.01)
    assert 0 < own.min() <= own.max() <= 1
    assert torch.equal(own, FAMILY.draw_sigmas(batch, draws, FlowOptions("logit_normal", 5.0)))
    assert FAMILY.draw_sigmas(batch, draws, FlowOptions("uniform")).mean().item() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="cauchy"):
        FAMILY.draw_sigmas(batch, draws, FlowOptions("cauchy"))


def test_golden_statistics_of_prediction_and_target(denoiser, embedding, clip_latents):
    said = FAMILY.predict(denoiser, batch_of(clip_latents, [embedding]), torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert said.prediction.std().item() == pytest.approx(GOLDEN["prediction"], abs=0.005)
    assert (said.prediction - said.target).square().mean().item() == pytest.approx(GOLDEN["loss"], abs=0.01)
