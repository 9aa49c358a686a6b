import hashlib
import os

import pytest
import torch
from diffusers import HunyuanVideo15Pipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.hunyuan15 import FAMILY

from .conftest import drawn_clip


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A miniature whose files may be damaged: links to the real ones."""
    for path in checkpoint.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(checkpoint)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, tmp_path / path.relative_to(checkpoint))
    return tmp_path


def test_another_process_builds_the_same_bytes(checkpoint, elsewhere, tmp_path):
    elsewhere(
        "import pathlib; from vflow.nodes.families.hunyuan15 import FAMILY;"
        f"FAMILY.build_miniature(pathlib.Path({str(tmp_path)!r}), 0)"
    )
    assert digests(tmp_path) == digests(checkpoint)


def test_another_seed_gives_other_weights_and_the_generator_is_left_alone(checkpoint, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    FAMILY.build_miniature(tmp_path, 1)
    assert torch.equal(torch.rand(3), expected)
    ours, theirs = digests(tmp_path), digests(checkpoint)
    assert ours.keys() == theirs.keys()
    changed = {name for name in ours if ours[name] != theirs[name]}
    # the factor that makes the latents' variance one is measured
    assert changed == {name for name in ours if name.endswith(".safetensors")} | {"vae/config.json"}


def test_it_is_small_and_diffusers_loads_it_as_a_pipeline(checkpoint):
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) < 12e6
    pipeline = HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)
    assert type(pipeline.text_encoder).__name__ == "Qwen2_5_VLTextModel"
    assert type(pipeline.text_encoder_2).__name__ == "T5EncoderModel"
    assert pipeline.guider.config.guidance_scale == FAMILY.sampling.guidance
    assert pipeline.scheduler.config.shift == 5.0
    assert pipeline.vae_scale_factor_spatial == FAMILY.rules.spatial_ratio
    assert pipeline.vae_scale_factor_temporal == FAMILY.rules.temporal_ratio


def test_latents_have_about_unit_variance_and_little_posterior_noise(vae):
    clips = [drawn_clip(colour, step) for colour in ((0.9, -0.8, -0.8), (-0.8, 0.2, 0.9)) for step in (4, -2)]
    mode = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    drawn = torch.cat([FAMILY.encode_video(vae, c, "sample", [torch.Generator().manual_seed(1)]) for c in clips])
    assert mode.shape == (4, 8, 5, 4, 6)
    assert mode.mean().item() == pytest.approx(0.0, abs=0.3)
    assert mode.std().item() == pytest.approx(1.0, abs=0.3)
    assert 0.0 < (drawn - mode).std().item() < 0.1


def test_the_system_message_is_as_many_tokens_as_the_pipeline_cuts_off(checkpoint, text_stack):
    pipeline = HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)
    said = [{"role": "system", "content": pipeline.system_message}, {"role": "user", "content": "circle"}]
    ids = text_stack.tokenizer.apply_chat_template(said, tokenize=True, return_dict=True)["input_ids"]
    assert text_stack.tokenizer.decode(ids[: pipeline.prompt_template_encode_start_idx]).endswith("user\n")
    assert text_stack.tokenizer.decode(ids[pipeline.prompt_template_encode_start_idx :]) == "circle<|im_end|>\n"


def test_a_vocabulary_that_cuts_the_system_message_otherwise_is_refused():
    from vflow.nodes.families.hunyuan15 import miniature

    with pytest.raises(ValueError, match="the pipeline cuts 108 off"):
        miniature.make_tokenizer(miniature._config("tokenizer") | {"vocabulary_size": 400})


def test_the_tokenizer_knows_any_character(text_stack):
    strange = text_stack.tokenizer("Käfer 猫").input_ids
    assert text_stack.tokenizer.decode(strange) == "Käfer 猫"


def test_parts_come_frozen_in_evaluation_mode_and_in_the_wanted_dtype(checkpoint):
    for part in ("transformer", "vae", "text_encoder"):
        for module in FAMILY.load(part, checkpoint, "bfloat16").modules().values():
            assert not module.training
            assert not any(parameter.requires_grad for parameter in module.parameters())
            assert module.dtype == torch.bfloat16


def test_a_missing_file_is_told(copy):
    (copy / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Failure, match="HunyuanVideo15Transformer3DModel does not load"):
        FAMILY.load("transformer", copy, "float32")


def test_pickled_weights_are_not_opened(copy):
    (copy / "text_encoder_2" / "model.safetensors").unlink()
    torch.save({}, copy / "text_encoder_2" / "pytorch_model.bin")
    with pytest.raises(Failure, match="T5EncoderModel does not load"):
        FAMILY.load("text_encoder", copy, "float32")


@pytest.mark.parametrize(
    ("part", "file", "layer"),
    [
        ("transformer", "transformer/diffusion_pytorch_model.safetensors", "transformer_blocks.3.attn.to_k.weight"),
        ("text_encoder", "text_encoder/model.safetensors", "layers.1.mlp.down_proj.weight"),
        ("text_encoder", "text_encoder_2/model.safetensors", "block.1.layer.0.SelfAttention.k.weight"),
    ],
)
def test_a_checkpoint_without_some_weights_is_refused_instead_of_filled_with_random_ones(copy, part, file, layer):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / file)
    (copy / file).unlink()
    save_file({key: value for key, value in weights.items() if not key.endswith(layer)}, copy / file, {"format": "pt"})
    with pytest.raises(Failure, match="lacks 1 weights"):
        FAMILY.load(part, copy, "float32")
