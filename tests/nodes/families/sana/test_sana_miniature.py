import hashlib
import json

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaVideoPipeline, SanaVideoTransformer3DModel
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure
from vflow.nodes.families.sana import FAMILY

from .conftest import drawn_clip

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rewrite(path, change):
    """Replace a safetensors file by one of changed weights."""
    weights = change(load_file(path))
    path.unlink()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path, {"format": "pt"})


def configure(folder, removed=(), **changed):
    path = folder / SCHEDULER
    config = {name: value for name, value in json.loads(path.read_text()).items() if name not in removed} | changed
    path.unlink()
    path.write_text(json.dumps(config))


def test_another_process_builds_the_same_bytes(checkpoint, elsewhere, tmp_path):
    elsewhere(
        "import pathlib; from vflow.nodes.families.sana import FAMILY;"
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
    assert changed == {name for name in ours if name.endswith(".safetensors")} | {"vae/config.json"}


def test_it_is_small_and_diffusers_loads_it_as_a_pipeline(checkpoint):
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) < 3e6
    pipeline = SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
    assert type(pipeline.text_encoder).__name__ == "Gemma2Model"
    assert type(pipeline.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipeline.scheduler.config.flow_shift == 8.0
    assert pipeline.vae_scale_factor_spatial == FAMILY.rules.spatial_ratio
    assert pipeline.vae_scale_factor_temporal == FAMILY.rules.temporal_ratio
    assert pipeline.transformer.config.in_channels == FAMILY.rules.latent_channels


def test_the_schedulers_file_holds_the_constant_that_strict_readers_refuse(checkpoint):
    assert "-Infinity" in (checkpoint / SCHEDULER).read_text()
    assert FAMILY.load("transformer", checkpoint, "float32").scheduler.config.lambda_min_clipped == float("-inf")


def test_latents_have_about_unit_variance_and_little_posterior_noise(vae):
    clips = [drawn_clip(colour, step) for colour in ((0.9, -0.8, -0.8), (-0.8, 0.2, 0.9)) for step in (8, -4)]
    mode = torch.cat([FAMILY.encode_video(vae, clip, "mode", None) for clip in clips])
    drawn = torch.cat([FAMILY.encode_video(vae, c, "sample", [torch.Generator().manual_seed(1)]) for c in clips])
    assert mode.shape == (4, 16, 3, 8, 12)
    assert mode.mean().item() == pytest.approx(0.0, abs=0.3)
    assert mode.std().item() == pytest.approx(1.0, abs=0.3)
    assert 0.0 < (drawn - mode).std().item() < 0.1


def test_the_tokenizer_begins_with_bos_and_knows_any_character(text_stack):
    ids = text_stack.tokenizer("a red circle moving left to right").input_ids
    assert ids[0] == text_stack.tokenizer.bos_token_id
    assert len(ids) == 8
    strange = text_stack.tokenizer("Käfer 猫").input_ids
    assert text_stack.tokenizer.unk_token_id not in strange


def test_parts_come_frozen_in_evaluation_mode_and_in_the_wanted_dtype(checkpoint):
    for part in ("transformer", "vae", "text_encoder"):
        for module in FAMILY.load(part, checkpoint, "bfloat16").modules().values():
            assert not module.training
            assert not any(parameter.requires_grad for parameter in module.parameters())
            assert module.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_last_modulation_with_an_axis_too_many_is_loaded_as_it_is(checkpoint, copy, dtype):
    rewrite(copy / WEIGHTS, lambda weights: weights | {"scale_shift_table": weights["scale_shift_table"][None]})
    with pytest.raises(ValueError, match="scale_shift_table"):
        SanaVideoTransformer3DModel.from_pretrained(copy, subfolder="transformer")
    torch.manual_seed(9)
    odd = FAMILY.load("transformer", copy, dtype).transformer
    plain = FAMILY.load("transformer", checkpoint, dtype).transformer
    assert odd.scale_shift_table.shape == (2, 96)
    assert not odd.scale_shift_table.requires_grad
    assert odd.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in odd.state_dict().items())
    assert odd.dtype == plain.dtype
    freqs = dict(odd.named_buffers())
    assert all(torch.equal(buffer, freqs[name]) for name, buffer in plain.named_buffers())


def test_a_last_modulation_of_another_width_is_refused(copy):
    rewrite(copy / WEIGHTS, lambda weights: weights | {"scale_shift_table": torch.zeros(1, 2, 64)})
    with pytest.raises(Failure, match=r"scale_shift_table in .* has the shape \(1, 2, 64\)"):
        FAMILY.load("transformer", copy, "float32")


def test_beside_the_odd_modulation_no_other_weight_may_have_another_shape(copy):
    def change(weights):
        odd = {"scale_shift_table": weights["scale_shift_table"][None], "proj_out.bias": torch.zeros(5)}
        return weights | odd

    rewrite(copy / WEIGHTS, change)
    with pytest.raises(Failure, match="1 weights of other shapes"):
        FAMILY.load("transformer", copy, "float32")


def test_the_mlps_width_is_the_checkpoints_and_not_the_classs(copy):
    path = copy / "transformer" / "config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if name != "mlp_ratio"}
    path.unlink()
    path.write_text(json.dumps(config))
    with pytest.raises(Failure, match="does not load"):
        FAMILY.load("transformer", copy, "float32")


def test_a_schedule_keeps_its_shift_whatever_the_file_calls_it(copy):
    euler = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    configure(copy, **euler)
    assert FlowMatchEulerDiscreteScheduler.from_pretrained(copy, subfolder="scheduler").config.shift == 1.0
    scheduler = FAMILY.load("transformer", copy, "float32").scheduler
    assert isinstance(scheduler, FlowMatchEulerDiscreteScheduler)
    assert scheduler.config.shift == 8.0
    configure(copy, shift=5.0, **euler)
    assert FAMILY.load("transformer", copy, "float32").scheduler.config.shift == 5.0
    configure(copy, removed=["flow_shift"], _class_name="DPMSolverMultistepScheduler", shift=6.0)
    assert FAMILY.load("transformer", copy, "float32").scheduler.config.flow_shift == 6.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction_type": "epsilon"}, "prediction_type is 'epsilon'"),
        ({"use_flow_sigmas": False}, "use_flow_sigmas is False"),
        ({"_class_name": "DDIMScheduler"}, "is of DDIMScheduler"),
    ],
)
def test_a_schedule_of_no_flow_is_refused(copy, change, words):
    configure(copy, **change)
    with pytest.raises(Failure, match=words):
        FAMILY.load("transformer", copy, "float32")


def test_a_missing_file_is_told_and_pickles_are_not_opened(copy):
    (copy / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, copy / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(Failure, match="AutoencoderKLWan does not load"):
        FAMILY.load("vae", copy, "float32")


@pytest.mark.parametrize(
    ("part", "file", "layer"),
    [
        ("transformer", WEIGHTS, "transformer_blocks.1.attn2.to_k.weight"),
        ("transformer", WEIGHTS, "scale_shift_table"),
        ("text_encoder", "text_encoder/model.safetensors", "layers.1.mlp.down_proj.weight"),
    ],
)
def test_a_checkpoint_without_some_weights_is_refused_instead_of_filled_with_random_ones(copy, part, file, layer):
    rewrite(copy / file, lambda weights: {name: tensor for name, tensor in weights.items() if name != layer})
    with pytest.raises(Failure, match="lacks 1 weights"):
        FAMILY.load(part, copy, "float32")
