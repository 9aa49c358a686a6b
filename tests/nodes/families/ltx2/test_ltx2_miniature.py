import hashlib
import os

import pytest
import torch
from diffusers import LTX2Pipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.ltx2 import FAMILY

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
        "import pathlib; from vflow.nodes.families.ltx2 import FAMILY;"
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
    assert {name for name in ours if ours[name] != theirs[name]} == {n for n in ours if n.endswith(".safetensors")}


def test_it_is_small_and_diffusers_loads_it_as_a_pipeline(checkpoint):
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) < 2.5e6
    pipeline = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    assert type(pipeline.text_encoder).__name__ == "Gemma3ForConditionalGeneration"
    assert pipeline.scheduler.config.shift_terminal == 0.1
    assert pipeline.vae_spatial_compression_ratio == FAMILY.rules.spatial_ratio
    assert pipeline.vae_temporal_compression_ratio == FAMILY.rules.temporal_ratio


def test_latents_have_about_unit_variance_and_little_posterior_noise(vae):
    clips = [drawn_clip(colour, step) for colour in ((0.9, -0.8, -0.8), (-0.8, 0.2, 0.9)) for step in (4, -2)]
    mode = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    drawn = torch.cat([FAMILY.encode_video(vae, c, "sample", [torch.Generator().manual_seed(1)]) for c in clips])
    assert mode.shape == (4, 16, 3, 2, 3)
    assert mode.mean().item() == pytest.approx(0.0, abs=0.3)
    assert mode.std().item() == pytest.approx(1.0, abs=0.3)
    assert 0.0 < (drawn - mode).std().item() < 0.1


def test_the_tokenizer_begins_with_bos_and_knows_any_character(text_stack):
    ids = text_stack.tokenizer("a red circle moving left to right").input_ids
    assert ids[0] == text_stack.tokenizer.bos_token_id
    assert len(ids) == 8
    strange = text_stack.tokenizer("Käfer 猫").input_ids
    assert text_stack.tokenizer.unk_token_id not in strange
    assert text_stack.tokenizer.decode(strange, skip_special_tokens=True) == "Käfer 猫"


def test_parts_come_frozen_in_evaluation_mode_and_in_the_wanted_dtype(checkpoint):
    for part in ("transformer", "vae", "text_encoder"):
        for module in FAMILY.load(part, checkpoint, "bfloat16").modules().values():
            assert not module.training
            assert not any(parameter.requires_grad for parameter in module.parameters())
            assert module.dtype == torch.bfloat16


def test_encoding_video_needs_nothing_of_the_audio_parts(copy):
    for name in ("audio_vae", "vocoder"):
        for path in (copy / name).iterdir():
            path.unlink()
    vae = FAMILY.load("vae", copy, "float32")
    FAMILY.encode_video(vae, drawn_clip((1, 0, 0), 2), "mode", None)
    with pytest.raises(Failure, match="AutoencoderKLLTX2Audio does not load"):
        vae.sound()


def test_a_missing_file_is_told(copy):
    (copy / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Failure, match="LTX2VideoTransformer3DModel does not load"):
        FAMILY.load("transformer", copy, "float32")


def test_pickled_weights_are_not_opened(copy):
    (copy / "connectors" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, copy / "connectors" / "diffusion_pytorch_model.bin")
    with pytest.raises(Failure, match="LTX2TextConnectors does not load"):
        FAMILY.load("text_encoder", copy, "float32")


def test_what_no_caption_passes_through_may_be_missing(copy):
    from safetensors.torch import load_file, save_file

    file = copy / "text_encoder" / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if "vision" not in name}
    file.unlink()
    save_file(weights, file, {"format": "pt"})
    FAMILY.load("text_encoder", copy, "float32")


@pytest.mark.parametrize(
    ("part", "file", "layer"),
    [
        ("transformer", "transformer/diffusion_pytorch_model.safetensors", "transformer_blocks.3.attn2.to_k.weight"),
        ("text_encoder", "text_encoder/model.safetensors", "layers.1.mlp.down_proj.weight"),
    ],
)
def test_a_checkpoint_without_some_weights_is_refused_instead_of_filled_with_random_ones(copy, part, file, layer):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / file)
    (copy / file).unlink()
    save_file({key: value for key, value in weights.items() if not key.endswith(layer)}, copy / file, {"format": "pt"})
    with pytest.raises(Failure, match="lacks 1 weights"):
        FAMILY.load(part, copy, "float32")
