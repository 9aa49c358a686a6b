import json

import pytest
import torch
from diffusers import Kandinsky5T2VPipeline
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.kandinsky5 import FAMILY

from .conftest import SeededDraws, batch_of

TARGET = FAMILY.lora_targets[FAMILY.default_lora_target].pattern


def adapted(checkpoint, seed=0, rank=4, alpha=2):
    """Load the transformer and give it an adapter that does something."""
    live = FAMILY.load("transformer", checkpoint, "float32")
    torch.manual_seed(seed)
    live.transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGET))
    with torch.no_grad():
        for name, parameter in live.transformer.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return live


@pytest.fixture(scope="module")
def batch(text_stack):
    return batch_of(torch.randn(1, 16, 3, 4, 6), FAMILY.encode_text(text_stack, ["a red circle"]))


def said_by(live, batch):
    with torch.no_grad():
        return FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions()).prediction


@pytest.fixture(scope="module")
def trained(checkpoint):
    return adapted(checkpoint)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    return FAMILY.save_adapter(trained, tmp_path_factory.mktemp("adapter"))


def test_the_pipeline_loads_the_file_and_alpha_survives(checkpoint, trained, file, batch):
    pipeline = Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.load_lora_weights(file.parent)
    (config,) = pipeline.transformer.peft_config.values()
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 2, TARGET)
    assert torch.equal(said_by(pipeline.transformer, batch), said_by(trained, batch))


def test_the_file_has_the_form_that_diffusers_writes(trained, file, tmp_path):
    from diffusers.training_utils import _collate_lora_metadata
    from peft.utils import get_peft_model_state_dict

    model = trained.transformer
    Kandinsky5T2VPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(model),
        **_collate_lora_metadata({"transformer": model}),
    )
    ours, theirs = load_file(file), load_file(tmp_path / file.name)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    written = [safe_open(path, framework="pt").metadata() for path in (file, tmp_path / file.name)]
    assert json.loads(written[0]["lora_adapter_metadata"]) == json.loads(written[1]["lora_adapter_metadata"])


def test_a_loaded_adapter_does_what_the_trained_one_did(trained, file, denoiser, batch):
    plain = said_by(denoiser, batch)
    FAMILY.load_adapter(denoiser, file, 1.0)
    assert torch.equal(said_by(denoiser, batch), said_by(trained, batch))
    assert (said_by(denoiser, batch) - plain).abs().max() > 1e-3
    denoiser.transformer.unload_lora()
    assert torch.equal(said_by(denoiser, batch), plain)


def test_a_file_with_the_prefix_of_comfyui_is_understood(file, tmp_path, denoiser, trained, batch):
    renamed = {name.replace("transformer.", "diffusion_model.", 1): tensor for name, tensor in load_file(file).items()}
    save_file(renamed, tmp_path / "comfy.safetensors")
    FAMILY.load_adapter(denoiser, tmp_path / "comfy.safetensors", 0.5)  # without metadata alpha is taken as the rank
    torch.testing.assert_close(said_by(denoiser, batch), said_by(trained, batch))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, tensor: (name.replace("self_attention", "attn1"), tensor), "is not in it"),
        (lambda name, tensor: (name, torch.cat([tensor, tensor], 1) if "lora_A" in name else tensor), "128 inputs"),
        (lambda name, tensor: (name.replace("transformer.", "text_encoder.", 1), tensor), "is not in it"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_nothing_is_left_behind(file, tmp_path, denoiser, change, words):
    save_file(dict(change(*pair) for pair in load_file(file).items()), tmp_path / "other.safetensors")
    with pytest.raises(Failure, match=words):
        FAMILY.load_adapter(denoiser, tmp_path / "other.safetensors", 1.0)
    assert not getattr(denoiser.transformer, "peft_config", None)
