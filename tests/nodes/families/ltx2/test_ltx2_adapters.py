import json

import pytest
import torch
from diffusers import LTX2Pipeline
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.families.ltx2 import FAMILY

from .conftest import SeededDraws, batch_of

TARGET = FAMILY.lora_targets["video_attention"].pattern


def adapted(checkpoint, seed=0, rank=4, alpha=2, target=TARGET):
    """Load the transformer and give it an adapter that does something."""
    live = FAMILY.load("transformer", checkpoint, "float32")
    torch.manual_seed(seed)
    live.transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=target))
    with torch.no_grad():
        for name, parameter in live.transformer.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return live


@pytest.fixture(scope="module")
def batch(text_stack):
    return batch_of(torch.randn(1, 16, 3, 2, 3), FAMILY.encode_text(text_stack, ["a red circle"]))


def said_by(live, batch):
    with torch.no_grad():
        options = FlowOptions(first_frame_probability=0.0)
        return FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), options).prediction


@pytest.fixture(scope="module")
def trained(checkpoint):
    return adapted(checkpoint)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    return FAMILY.save_adapter(trained, tmp_path_factory.mktemp("adapter"))


def test_the_pipeline_loads_the_file_and_alpha_survives(checkpoint, trained, file, batch):
    assert file.name == "pytorch_lora_weights.safetensors"
    pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.load_lora_weights(file.parent)
    (config,) = pipeline.transformer.peft_config.values()
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 2, TARGET)
    assert torch.equal(said_by(pipeline.transformer, batch), said_by(trained, batch))


def test_the_file_has_the_form_that_diffusers_writes(trained, file, tmp_path):
    from diffusers.training_utils import _collate_lora_metadata
    from peft.utils import get_peft_model_state_dict

    model = trained.transformer
    LTX2Pipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(model),
        **_collate_lora_metadata({"transformer": model}),
    )
    ours, theirs = load_file(file), load_file(tmp_path / file.name)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    written = [safe_open(path, framework="pt").metadata() for path in (file, tmp_path / file.name)]
    assert written[0].keys() == written[1].keys()
    assert json.loads(written[0]["lora_adapter_metadata"]) == json.loads(written[1]["lora_adapter_metadata"])


def test_equal_adapters_are_equal_bytes_in_every_process(checkpoint, file, elsewhere, tmp_path):
    elsewhere(f"""
import pathlib, torch
from vflow.nodes.families.ltx2 import FAMILY
from peft import LoraConfig
live = FAMILY.load("transformer", pathlib.Path({str(checkpoint)!r}), "float32")
torch.manual_seed(0)
live.transformer.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules={TARGET!r}))
with torch.no_grad():
    for name, parameter in live.transformer.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.3)
FAMILY.save_adapter(live, pathlib.Path({str(tmp_path)!r}))
""")
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_target_modules_given_as_a_list_are_written_in_order(checkpoint, tmp_path):
    names = ["to_v", "to_q", "to_k", "to_out.0"]
    file = FAMILY.save_adapter(adapted(checkpoint, target=names), tmp_path)
    metadata = json.loads(safe_open(file, framework="pt").metadata()["lora_adapter_metadata"])
    assert metadata["transformer.target_modules"] == sorted(names)


def test_a_loaded_adapter_does_what_the_trained_one_did(checkpoint, trained, file, denoiser, batch):
    plain = said_by(denoiser, batch)
    FAMILY.load_adapter(denoiser, file, 1.0)
    assert torch.equal(said_by(denoiser, batch), said_by(trained, batch))
    assert not any(parameter.requires_grad for parameter in denoiser.transformer.parameters())
    denoiser.transformer.unload_lora()
    assert torch.equal(said_by(denoiser, batch), plain)


def test_a_weight_scales_the_adapter_and_zero_leaves_the_base(checkpoint, file, denoiser, batch):
    plain = said_by(denoiser, batch)
    FAMILY.load_adapter(denoiser, file, 0.0)
    torch.testing.assert_close(said_by(denoiser, batch), plain)
    halved = FAMILY.load("transformer", checkpoint, "float32")
    FAMILY.load_adapter(halved, file, 0.5)
    quarter = adapted(checkpoint, alpha=1)
    torch.testing.assert_close(said_by(halved, batch), said_by(quarter, batch))


def test_several_adapters_add_up_each_with_its_weight(checkpoint, file, tmp_path, denoiser, batch):
    other = FAMILY.save_adapter(adapted(checkpoint, seed=1, rank=2, alpha=6), tmp_path)
    FAMILY.load_adapter(denoiser, file, 0.5)
    FAMILY.load_adapter(denoiser, other, -1.0)
    layer = denoiser.transformer.transformer_blocks[0].attn1.to_q
    assert sorted(layer.scaling.values()) == [-3.0, 0.25]
    assert set(layer.active_adapters) == set(layer.scaling)


def test_what_is_trained_stays_trained_when_another_adapter_is_loaded(checkpoint, trained, file, tmp_path):
    live = adapted(checkpoint, seed=2)
    before = {name for name, parameter in live.transformer.named_parameters() if parameter.requires_grad}
    FAMILY.load_adapter(live, file, 1.0)
    assert {name for name, parameter in live.transformer.named_parameters() if parameter.requires_grad} == before
    alone = FAMILY.save_adapter(adapted(checkpoint, seed=2), tmp_path / "alone")
    assert FAMILY.save_adapter(live, tmp_path / "beside").read_bytes() == alone.read_bytes()


def test_a_file_of_the_original_code_is_understood(file, tmp_path, denoiser, trained, batch):
    renamed = {name.replace("transformer.", "diffusion_model.", 1): tensor for name, tensor in load_file(file).items()}
    save_file(renamed, tmp_path / "comfy.safetensors")
    FAMILY.load_adapter(denoiser, tmp_path / "comfy.safetensors", 0.5)  # without metadata alpha is taken as the rank
    torch.testing.assert_close(said_by(denoiser, batch), said_by(trained, batch))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, tensor: (name.replace("attn1", "self_attention"), tensor), "is not in it"),
        (lambda name, tensor: (name, torch.cat([tensor, tensor], 1) if "lora_A" in name else tensor), "64 inputs"),
        (lambda name, tensor: (name.replace("transformer.", "text_encoder.", 1), tensor), "is not in it"),
        (lambda name, tensor: (name.replace("lora_A.weight", "alpha"), tensor), "has no lora_A"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_nothing_is_left_behind(file, tmp_path, denoiser, change, words):
    save_file(dict(change(*pair) for pair in load_file(file).items()), tmp_path / "other.safetensors")
    with pytest.raises(Failure, match=words):
        FAMILY.load_adapter(denoiser, tmp_path / "other.safetensors", 1.0)
    assert not getattr(denoiser.transformer, "peft_config", None)


def test_what_is_no_safetensors_file_is_refused(tmp_path, denoiser):
    (tmp_path / "text.safetensors").write_text("not tensors")
    with pytest.raises(Failure, match="is no safetensors file"):
        FAMILY.load_adapter(denoiser, tmp_path / "text.safetensors", 1.0)
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(Failure, match="no LoRA weights"):
        FAMILY.load_adapter(denoiser, tmp_path / "empty.safetensors", 1.0)


def test_a_transformer_without_an_adapter_has_nothing_to_save(denoiser, tmp_path):
    with pytest.raises(Failure, match="no adapter"):
        FAMILY.save_adapter(denoiser, tmp_path)
