"""The miniature learns: LoRA steps on two clips bring their loss, with fixed noise, down by 30 % and more."""

import pytest
import torch
from peft import LoraConfig

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.kandinsky5 import FAMILY
from vflow.nodes.models import unfreezing
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import optim, preparing
from vflow.nodes.training.settings import OptimizerSettings

from .conftest import SeededDraws, batch_of, drawn_clip

STEPS = 100


@pytest.fixture(scope="module")
def two_clips(vae, text_stack):
    clips = torch.cat([drawn_clip((0.9, -0.8, -0.8), 4), drawn_clip((-0.8, -0.8, 0.9), -2)])
    captions = ["a red square moving left to right on a dark background", "a blue square, top to bottom"]
    return batch_of(FAMILY.encode_video(vae, clips, "mode", None), FAMILY.encode_text(text_stack, captions))


def evaluate(model, batch):
    losses = []
    with torch.no_grad():
        for seed, sigma in enumerate((0.1, 0.3, 0.5, 0.7, 0.9)):
            said = FAMILY.predict(model, batch, torch.full((2,), sigma), SeededDraws(2, 1000 + seed), FlowOptions())
            losses.append((said.prediction - said.target).square().mean())
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("target", ["attention", pytest.param("attention_ff", marks=pytest.mark.long)])
def test_lora_on_two_clips_lowers_their_evaluation_loss(checkpoint, two_clips, target):
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=FAMILY.lora_targets[target].pattern))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    before = evaluate(model, two_clips)
    for step in range(STEPS):
        draws = SeededDraws(2, step)
        sigmas = FAMILY.draw_sigmas(two_clips, draws, FlowOptions())
        said = FAMILY.predict(model, two_clips, sigmas, draws, FlowOptions())
        (said.prediction - said.target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = evaluate(model, two_clips)

    assert after < 0.7 * before


def test_full_training_on_two_clips_lowers_the_evaluation_loss_by_a_third(checkpoint, two_clips, train_fully, saved_as):
    trained = train_fully(FAMILY, checkpoint, two_clips, steps=60)
    assert trained.after < 0.7 * trained.before
    weights = trained.model.state_dict()
    whole, half = saved_as(trained.model, "float32").state_dict(), saved_as(trained.model, "bfloat16").state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights.items())
    assert all(torch.equal(tensor.to(half[name].dtype), half[name]) for name, tensor in weights.items())


def test_layers_that_compute_in_float32_train_in_it_whatever_the_others_train_in(checkpoint, two_clips, saved_as):
    live = FAMILY.load("transformer", checkpoint, "bfloat16")
    unfreezing.unfreeze(Unfrozen(pattern=".*"), live)
    named = preparing.trained_parameters(live.transformer, torch.bfloat16)
    exact = {name for name, parameter in named if parameter.dtype == torch.float32}
    assert exact == {name for name, _ in named if "time_embeddings" in name or "modulation" in name}
    optimizer = optim.make(OptimizerSettings(name="adamw_bf16", lr=1e-3), [p for _, p in named], 0)
    with torch.autocast("cpu", torch.bfloat16):
        said = FAMILY.predict(live, two_clips, torch.full((2,), 0.5), SeededDraws(2), FlowOptions())
    (said.prediction - said.target).square().mean().backward()
    optimizer.step()
    assert all(parameter.grad is not None for _, parameter in named)
    kept = saved_as(live.transformer, "bfloat16").state_dict()
    assert all(torch.equal(parameter.detach(), kept[name]) for name, parameter in named)
