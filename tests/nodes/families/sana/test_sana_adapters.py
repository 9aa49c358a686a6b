import numpy as np
import pytest
import torch
from diffusers import SanaVideoPipeline
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.sana import FAMILY

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, SeededDraws, batch_of

TARGET = FAMILY.lora_targets["attention"].pattern
PROMPT = "a red circle"


def adapted(checkpoint, target=TARGET):
    """Load the transformer and give it an adapter that does something."""
    live = FAMILY.load("transformer", checkpoint, "float32")
    torch.manual_seed(0)
    live.transformer.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=target))
    with torch.no_grad():
        for name, parameter in live.transformer.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return live


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, [PROMPT])[0]


@pytest.fixture(scope="module")
def batch(embedding):
    return batch_of(torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0)), [embedding])


def said_by(live, batch):
    with torch.no_grad():
        from vflow.nodes.families.exchange import FlowOptions

        return FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions()).prediction


@pytest.fixture(scope="module")
def trained(checkpoint):
    return adapted(checkpoint)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    return FAMILY.save_adapter(trained, tmp_path_factory.mktemp("adapter"))


def test_the_pipeline_loads_the_file_and_draws_the_same_clip_bit_for_bit(checkpoint, trained, file, vae, embedding):
    assert file.name == "pytorch_lora_weights.safetensors"
    ours = FAMILY.draw(trained, vae, SamplingRequest(embedding, None, WIDTH, HEIGHT, FRAMES, FPS, 3, 1.0, 5))
    pipeline = SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def drawn():
        clip = pipeline(
            PROMPT,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            num_inference_steps=3,
            guidance_scale=1.0,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(5),
            output_type="np",
        ).frames[0]
        return (clip * 255).round().astype(np.uint8)

    assert not np.array_equal(drawn(), ours)
    pipeline.load_lora_weights(file.parent)
    (config,) = pipeline.transformer.peft_config.values()
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 2, TARGET)
    assert np.array_equal(drawn(), ours)


def test_the_file_has_the_form_that_diffusers_writes(trained, file, tmp_path):
    from diffusers.training_utils import _collate_lora_metadata
    from peft.utils import get_peft_model_state_dict

    model = trained.transformer
    SanaVideoPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(model),
        **_collate_lora_metadata({"transformer": model}),
    )
    ours, theirs = load_file(file), load_file(tmp_path / file.name)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 48
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_equal_adapters_are_equal_bytes(checkpoint, file, tmp_path):
    assert FAMILY.save_adapter(adapted(checkpoint), tmp_path).read_bytes() == file.read_bytes()


def test_a_loaded_adapter_does_what_the_trained_one_did(checkpoint, trained, file, denoiser, batch):
    plain = said_by(denoiser, batch)
    FAMILY.load_adapter(denoiser, file, 1.0)
    assert torch.equal(said_by(denoiser, batch), said_by(trained, batch))
    assert not any(parameter.requires_grad for parameter in denoiser.transformer.parameters())
    denoiser.transformer.unload_lora()
    assert torch.equal(said_by(denoiser, batch), plain)


def test_every_target_is_saved_and_loaded(checkpoint, tmp_path, batch):
    for name, target in FAMILY.lora_targets.items():
        live = adapted(checkpoint, target.pattern)
        other = FAMILY.load("transformer", checkpoint, "float32")
        FAMILY.load_adapter(other, FAMILY.save_adapter(live, tmp_path / name), 1.0)
        assert torch.equal(said_by(other, batch), said_by(live, batch)), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, tensor: (name.replace("attn1", "audio_attn1"), tensor), "is not in it"),
        (lambda name, tensor: (name, torch.cat([tensor, tensor], 1) if "lora_A" in name else tensor), "192 inputs"),
        (lambda name, tensor: (name.replace("transformer.", "text_encoder.", 1), tensor), "is not in it"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_nothing_is_left_behind(file, tmp_path, denoiser, change, words):
    save_file(dict(change(*pair) for pair in load_file(file).items()), tmp_path / "other.safetensors")
    with pytest.raises(Failure, match=words):
        FAMILY.load_adapter(denoiser, tmp_path / "other.safetensors", 1.0)
    assert not getattr(denoiser.transformer, "peft_config", None)


def test_a_transformer_without_an_adapter_has_nothing_to_save(denoiser, tmp_path):
    with pytest.raises(Failure, match="no adapter"):
        FAMILY.save_adapter(denoiser, tmp_path)


def test_an_adapter_is_told_from_one_of_a_family_whose_layers_have_the_same_names(file, tmp_path):
    from vflow.engine.problems import GraphError
    from vflow.nodes.models.adapter_source import facts_of

    def family_of(width):
        layer = "transformer.transformer_blocks.0.attn1.to_q"
        tensors = {f"{layer}.lora_A.weight": torch.zeros(2, width), f"{layer}.lora_B.weight": torch.zeros(width, 2)}
        save_file(tensors, tmp_path / "other.safetensors")
        return facts_of(tmp_path / "other.safetensors").family.name

    assert facts_of(file).family is FAMILY
    assert family_of(2240) == "sana"
    assert family_of(4096) == "ltx2"
    with pytest.raises(GraphError, match="as LTX Video 2 or Sana Video does, but is of another model"):
        family_of(77)
