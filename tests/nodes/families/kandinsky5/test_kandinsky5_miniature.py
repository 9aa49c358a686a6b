import hashlib
import os

import pytest
import torch
from diffusers import DiffusionPipeline, Kandinsky5I2VPipeline, Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.kandinsky5 import FAMILY

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


def test_for_image_to_video_only_the_index_names_another_pipeline(checkpoint, image_checkpoint):
    ours, theirs = digests(image_checkpoint), digests(checkpoint)
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == {"model_index.json"}
    assert isinstance(DiffusionPipeline.from_pretrained(image_checkpoint, local_files_only=True), Kandinsky5I2VPipeline)


def test_another_process_builds_the_same_bytes(checkpoint, elsewhere, tmp_path):
    elsewhere(
        "import pathlib; from vflow.nodes.families.kandinsky5 import FAMILY;"
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
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) < 3.5e6
    pipeline = Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)
    assert type(pipeline.text_encoder).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert pipeline.transformer.visual_embeddings.in_layer.in_features == 4 * 33
    assert pipeline.vae_scale_factor_spatial == FAMILY.rules.spatial_ratio
    assert pipeline.vae_scale_factor_temporal == FAMILY.rules.temporal_ratio


def test_modulation_lets_the_blocks_through(denoiser):
    weights = {name: p for name, p in denoiser.transformer.named_parameters() if "modulation" in name}
    assert len(weights) == 2 * (1 + 4 + 1)
    assert all(0.15 < p.std() < 0.25 for p in weights.values())


def test_latents_have_about_unit_variance_and_little_posterior_noise(vae):
    clips = [drawn_clip(colour, step) for colour in ((0.9, -0.8, -0.8), (-0.8, 0.2, 0.9)) for step in (4, -2)]
    mode = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    drawn = torch.cat([FAMILY.encode_video(vae, c, "sample", [torch.Generator().manual_seed(1)]) for c in clips])
    assert mode.shape == (4, 16, 3, 8, 12)
    assert mode.mean().item() == pytest.approx(0.0, abs=0.3)
    assert mode.std().item() == pytest.approx(1.0, abs=0.3)
    assert (drawn - mode).std().item() == pytest.approx(0.05, abs=0.01)


def test_the_tokenizers_know_any_character(text_stack):
    strange = text_stack.tokenizer("Käfer 猫").input_ids
    assert text_stack.tokenizer.decode(strange) == "Käfer 猫"
    assert text_stack.tokenizer_2.unk_token_id not in text_stack.tokenizer_2("Käfer 猫").input_ids[1:-1]
    assert len(text_stack.tokenizer_2("a red circle").input_ids) == 5


def test_parts_come_frozen_in_evaluation_mode_and_in_the_wanted_dtype(checkpoint):
    for part in ("transformer", "vae", "text_encoder"):
        for module in FAMILY.load(part, checkpoint, "bfloat16").modules().values():
            assert not module.training
            assert not any(parameter.requires_grad for parameter in module.parameters())
            assert module.dtype == torch.bfloat16


def test_time_embeddings_and_modulation_stay_float32_in_half_precision(checkpoint):
    for dtype in ("bfloat16", "float16"):
        model = FAMILY.load("transformer", checkpoint, dtype).transformer
        kept = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.float32}
        wanted = {n for n, _ in model.named_parameters() if any(m in n for m in model._keep_in_fp32_modules)}
        assert kept == wanted
        assert any("time_embeddings" in name for name in kept)


@pytest.mark.parametrize("folder", ["transformer", "vae", "text_encoder_2"])
def test_pickled_or_missing_weights_are_not_opened(copy, folder):
    part = "text_encoder" if folder.startswith("text") else folder
    (file,) = (copy / folder).glob("*.safetensors")
    file.unlink()
    torch.save({}, file.with_suffix(".bin"))
    with pytest.raises(Failure, match="does not load"):
        FAMILY.load(part, copy, "float32")


@pytest.mark.parametrize(
    ("part", "file", "layer"),
    [
        ("transformer", "transformer/diffusion_pytorch_model.safetensors", "blocks.3.cross_attention.to_key.weight"),
        ("text_encoder", "text_encoder/model.safetensors", "layers.1.mlp.down_proj.weight"),
        ("text_encoder", "text_encoder_2/model.safetensors", "layers.1.mlp.fc1.weight"),
    ],
)
def test_a_checkpoint_without_some_weights_is_refused_instead_of_filled_with_random_ones(copy, part, file, layer):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / file)
    (copy / file).unlink()
    save_file({key: value for key, value in weights.items() if not key.endswith(layer)}, copy / file, {"format": "pt"})
    with pytest.raises(Failure, match="lacks 1 weights"):
        FAMILY.load(part, copy, "float32")


def test_what_no_caption_passes_through_may_be_missing(copy):
    from safetensors.torch import load_file, save_file

    file = copy / "text_encoder" / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if "visual" not in name}
    file.unlink()
    save_file(weights, file, {"format": "pt"})
    FAMILY.load("text_encoder", copy, "float32")
