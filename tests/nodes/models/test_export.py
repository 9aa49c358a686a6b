"""`vflow export`, called as a user calls it; what the written files do is in families/test_adapter_forms.py."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vflow.engine.cli import main
from vflow.nodes.carrying import safetensors_file

LAYER = "transformer_blocks.0.attn1.to_q"


@pytest.fixture
def vflow(tmp_path, monkeypatch, capsys):
    """Call the command line in a folder of its own; returns exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def write_adapter(path, width=4096, rank=4, layer=LAYER):
    """Write an adapter as a training leaves it, with a recipe."""
    torch.manual_seed(0)
    key = f"transformer.{layer}"
    tensors = {f"{key}.lora_A.weight": torch.randn(rank, width), f"{key}.lora_B.weight": torch.randn(width, rank)}
    settings = {"transformer.r": rank, "transformer.lora_alpha": 2, "transformer.target_modules": [layer]}
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.with_name("plain")
    save_file(tensors, plain, {"format": "pt", "lora_adapter_metadata": json.dumps(settings)})
    safetensors_file.write(plain, path, "the recipe")
    plain.unlink()
    return path


@pytest.fixture
def run(tmp_path):
    """A run's folder with an adapter and a clip among its outputs, and a checkpoint."""
    folder = tmp_path / "runs" / "20260101-mine"
    usual = "pytorch_lora_weights.safetensors"
    write_adapter(folder / "outputs" / "lora" / usual)
    write_adapter(folder / "checkpoints" / "step-000008" / usual, rank=2)
    (folder / "outputs" / "videos").mkdir()
    (folder / "outputs" / "videos" / "01.mp4").write_bytes(b"")
    (folder / "events.jsonl").write_text(json.dumps({"kind": "run_started", "graph": "mine", "time": 0.0}) + "\n")
    return folder


def test_an_adapter_becomes_comfyuis_and_diffusers_again_with_alpha_and_recipe(vflow, tmp_path):
    file = write_adapter(tmp_path / "mine.safetensors")
    assert vflow("export", file, "--format", "comfyui")[:2] == (0, "mine-comfyui.safetensors\n")
    theirs = tmp_path / "mine-comfyui.safetensors"
    tensors, ours = load_file(theirs), load_file(file)
    key = f"diffusion_model.{LAYER}"
    assert tensors.keys() == {f"{key}.lora_A.weight", f"{key}.lora_B.weight", f"{key}.alpha"}
    assert tensors[f"{key}.alpha"] == 2
    assert torch.equal(tensors[f"{key}.lora_A.weight"], ours[f"transformer.{LAYER}.lora_A.weight"])
    assert safetensors_file.read(theirs) == "the recipe"
    code, out, err = vflow("export", theirs, "--format", "diffusers", "-o", "back.safetensors")
    assert (code, out) == (0, "back.safetensors\n")
    assert "1 layers of LTX Video 2" in err
    back = load_file("back.safetensors")
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)
    read = [
        json.loads(safe_open(path, "pt").metadata()["lora_adapter_metadata"]) for path in (file, "back.safetensors")
    ]
    assert read[0] == read[1]


@pytest.mark.parametrize(
    "name",
    ["last", "last/lora", "20260101-mine", "20260101-mine/lora", "runs/20260101-mine", "runs/20260101-mine/lora"],
)
def test_a_run_or_one_of_its_outputs_is_named_as_a_user_would(vflow, run, name):
    code, out, err = vflow("export", name, "--format", "comfyui")
    assert (code, out) == (0, "lora-comfyui.safetensors\n")
    assert "outputs/lora/pytorch_lora_weights.safetensors" in err


def test_a_line_of_what_show_prints_is_a_name_too(vflow, run):
    shown = vflow("show", "last")[1].splitlines()
    (line,) = [line.strip() for line in shown if line.endswith(".safetensors")]
    assert vflow("export", line, "--format", "comfyui")[0] == 0


def test_a_checkpoint_is_named_within_its_run(vflow, run):
    assert (
        vflow("export", "last/checkpoints/step-000008", "--format", "comfyui")[1] == "step-000008-comfyui.safetensors\n"
    )


def test_a_folder_that_is_no_run_is_looked_through(vflow, tmp_path):
    write_adapter(tmp_path / "kept" / "a.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "kept" / "model.safetensors")
    (tmp_path / "out").mkdir()
    code, out, _ = vflow("export", "kept", "--format", "diffusers", "-o", "out")
    assert (code, out) == (0, "out/a-diffusers.safetensors\n")


def test_nothing_is_written_over_and_nothing_is_left_of_what_fails(vflow, tmp_path):
    file = write_adapter(tmp_path / "mine.safetensors")
    vflow("export", file, "--format", "comfyui", "-o", "there.safetensors")
    before = (tmp_path / "there.safetensors").read_bytes()
    code, _, err = vflow("export", file, "--format", "diffusers", "-o", "there.safetensors")
    assert (code, "is there already, and is not written over; name another with -o" in err) == (2, True)
    assert (tmp_path / "there.safetensors").read_bytes() == before
    other = write_adapter(tmp_path / "other.safetensors", layer="text_encoder.layer")
    code, _, err = vflow("export", other, "--format", "comfyui", "--family", "ltx2", "-o", "failed.safetensors")
    assert (code, "how ComfyUI names the layer text_encoder.layer" in err) == (1, True)
    assert not (tmp_path / "failed.safetensors").exists()


def test_what_cannot_be_exported_is_said_so(vflow, run, tmp_path):
    def problem(*words):
        code, out, err = vflow("export", *words, "--format", "comfyui")
        assert (code, out) == (2, "")
        return err

    assert "there is no adapter at 'nowhere'" in problem("nowhere")
    assert "last/videos holds no adapter" in problem("last/videos")
    assert "there is no adapter at 'last/loras'" in problem("last/loras")
    write_adapter(run / "outputs" / "second" / "pytorch_lora_weights.safetensors")
    assert "last holds several adapters" in problem("last")
    assert "does not end in .safetensors; write -o mine.safetensors" in problem("last/lora", "-o", "mine.bin")
    assert "cannot be written" in problem("last/lora", "-o", "no/such/folder/mine.safetensors")
    foreign = write_adapter(tmp_path / "foreign.safetensors", layer="double_stream.0.q")
    assert "has layers of no known family (double_stream.0.q)" in problem(foreign)
    (tmp_path / "text.safetensors").write_text("no tensors")
    assert "is no safetensors file" in problem(tmp_path / "text.safetensors")
    whole = tmp_path / "whole.safetensors"
    save_file({"x.weight": torch.ones(2)}, whole)
    assert "holds no LoRA to be loaded: 'x.weight' is no LoRA weight" in problem(whole)


def test_help_tells_what_the_command_does_and_a_wrong_name_is_told_without_torch(tmp_path):
    words = [sys.executable, "-X", "importtime", "-m", "vflow.engine"]
    environment = os.environ | {"VFLOW_HOME": str(tmp_path)}
    told = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert "write an adapter in the form of another program" in " ".join(told.stdout.split())
    assert "vflow.nodes.models" not in told.stderr
    call = [*words, "export", "nowhere", "--format", "comfyui"]
    refused = subprocess.run(call, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert (refused.returncode, "| torch" in refused.stderr) == (2, False)
