"""The miniature learns: LoRA steps on two clips bring the loss at fixed noise and noise levels down."""

import pytest
import torch
from peft import LoraConfig

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.sana import FAMILY

from .conftest import SeededDraws, batch_of, drawn_clip


@pytest.fixture(scope="module")
def batch(vae, text_stack):
    clips = [drawn_clip((0.9, -0.8, -0.8), 8, width=64), drawn_clip((-0.8, -0.8, 0.9), -4, width=64)]
    captions = ["a red square moving left to right", "a blue square moving top to bottom"]
    latents = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    return batch_of(latents, FAMILY.encode_text(text_stack, captions))


def evaluate(model, batch):
    model.eval()
    losses = []
    with torch.no_grad():
        for seed, sigma in enumerate((0.2, 0.4, 0.6, 0.8)):
            draws = SeededDraws(2, 1000 + seed)
            said = FAMILY.predict(model, batch, torch.full((2,), sigma), draws, FlowOptions())
            losses.append((said.prediction - said.target).square().mean())
    model.train()
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize(
    ("target", "steps"), [("attention", 120), pytest.param("all_linear", 60, marks=pytest.mark.long)]
)
def test_overfitting_two_clips_lowers_the_evaluation_loss_by_three_tenths(checkpoint, batch, target, steps):
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=FAMILY.lora_targets[target].pattern))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    before = evaluate(model, batch)
    for step in range(steps):
        draws = SeededDraws(2, step)
        said = FAMILY.predict(model, batch, FAMILY.draw_sigmas(batch, draws, FlowOptions()), draws, FlowOptions())
        ((said.prediction - said.target).square() * said.weight).mean().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert evaluate(model, batch) < 0.7 * before


def test_full_training_on_two_clips_lowers_the_evaluation_loss_by_a_third(checkpoint, batch, train_fully, saved_as):
    trained = train_fully(FAMILY, checkpoint, batch, steps=60)
    assert trained.after < 0.7 * trained.before
    weights = trained.model.state_dict()
    whole, half = saved_as(trained.model, "float32").state_dict(), saved_as(trained.model, "bfloat16").state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights.items())
    assert all(torch.equal(tensor.to(half[name].dtype), half[name]) for name, tensor in weights.items())
