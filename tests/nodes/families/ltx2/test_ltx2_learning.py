"""The miniature learns: few LoRA steps lower the loss on clips that were held out."""

import pytest
import torch
from peft import LoraConfig

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.ltx2 import FAMILY

from .conftest import SeededDraws, batch_of, drawn_clip

COLOURS = {"red": (0.9, -0.8, -0.8), "green": (-0.8, 0.9, -0.8), "blue": (-0.8, -0.8, 0.9), "yellow": (0.9, 0.9, -0.8)}


@pytest.fixture(scope="module")
def samples(vae, text_stack):
    found = []
    for name, colour in COLOURS.items():
        for step, way in ((4, "left to right"), (-2, "top to bottom")):
            latents = FAMILY.encode_video(vae, drawn_clip(colour, step), "mode", None)
            caption = f"a {name} square moving {way} on a dark background"
            found.append((latents, FAMILY.encode_text(text_stack, [caption])[0]))
    return found


def batch(samples, picked):
    return batch_of(torch.cat([samples[i][0] for i in picked]), [samples[i][1] for i in picked])


def evaluate(model, samples, held_out):
    model.eval()
    losses = []
    with torch.no_grad():
        for seed, sigma in enumerate((0.1, 0.3, 0.5, 0.7, 0.9)):
            said = FAMILY.predict(
                model,
                batch(samples, held_out),
                torch.full((len(held_out),), sigma),
                SeededDraws(len(held_out), 1000 + seed),
                FlowOptions(first_frame_probability=0.0),
            )
            losses.append((said.prediction - said.target).square().mean())
    model.train()
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
@pytest.mark.parametrize("target", ["video_attention", "attention_ff"])
def test_thirty_steps_lower_the_evaluation_loss(checkpoint, samples, seed, target):
    model = FAMILY.load("transformer", checkpoint, "float32").transformer
    torch.manual_seed(seed)
    model.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=FAMILY.lora_targets[target].pattern))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    held_out, seen = [1, 6], [0, 2, 3, 4, 5, 7]
    before = evaluate(model, samples, held_out)
    for step in range(30):
        draws = SeededDraws(2, seed * 100 + step)
        picked = batch(samples, [seen[(2 * step) % 6], seen[(2 * step + 1) % 6]])
        said = FAMILY.predict(model, picked, FAMILY.draw_sigmas(picked, draws, FlowOptions()), draws, FlowOptions())
        error = (said.prediction - said.target).square() * said.weight
        (error.mean((1, 2)) / said.weight.mean((1, 2))).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert evaluate(model, samples, held_out) < before - 0.1


def test_full_training_on_two_clips_lowers_the_evaluation_loss_by_a_third(checkpoint, samples, train_fully, saved_as):
    trained = train_fully(FAMILY, checkpoint, batch(samples, [0, 7]), steps=60)
    assert trained.after < 0.7 * trained.before
    weights = trained.model.state_dict()
    whole, half = saved_as(trained.model, "float32").state_dict(), saved_as(trained.model, "bfloat16").state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights.items())
    assert all(torch.equal(tensor.to(half[name].dtype), half[name]) for name, tensor in weights.items())
