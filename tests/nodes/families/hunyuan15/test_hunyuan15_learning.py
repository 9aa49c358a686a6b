"""The miniature learns: LoRA steps on two clips lower the loss with fixed noise and noise levels."""

import pytest
import torch
from peft import LoraConfig

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.hunyuan15 import FAMILY

from .conftest import SeededDraws, batch_of, drawn_clip

CLIPS = [
    ("a red square moving left to right on a dark background", (0.9, -0.8, -0.8), 4),
    ("a blue square moving top to bottom on a dark background", (-0.8, -0.8, 0.9), -2),
]


@pytest.fixture(scope="module")
def batch(vae, text_stack):
    latents = [FAMILY.encode_video(vae, drawn_clip(colour, step), "mode", None) for _, colour, step in CLIPS]
    return batch_of(torch.cat(latents), FAMILY.encode_text(text_stack, [caption for caption, _, _ in CLIPS]))


def evaluate(model, batch):
    losses = []
    with torch.no_grad():
        for seed, sigma in enumerate((0.1, 0.3, 0.5, 0.7, 0.9)):
            said = FAMILY.predict(model, batch, torch.full((2,), sigma), SeededDraws(2, 1000 + seed), FlowOptions())
            losses.append((said.prediction - said.target).square().mean())
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("target", ["attention", pytest.param("attention_ff", marks=pytest.mark.long)])
def test_training_on_two_clips_lowers_the_evaluation_loss_by_a_third(checkpoint, batch, target):
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=FAMILY.lora_targets[target].pattern))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    before = evaluate(model, batch)
    for step in range(70):
        draws = SeededDraws(2, step)
        said = FAMILY.predict(model, batch, FAMILY.draw_sigmas(batch, draws, FlowOptions()), draws, FlowOptions())
        (said.prediction - said.target).square().mean().backward()
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
