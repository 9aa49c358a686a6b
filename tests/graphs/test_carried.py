"""An adapter and a clip of the quickstart, opened: their graph runs from there, and everything in it is reused."""

import json

import pytest


@pytest.mark.parametrize("file", ["lora/pytorch_lora_weights.safetensors", "lora/README.md", "videos"])
def test_the_recipe_of_an_output_runs_and_gives_the_same_bytes(quickstart, read, vflow_process, tmp_path, file):
    outputs = quickstart.run / "outputs"
    source = next((outputs / file).iterdir()) if (outputs / file).is_dir() else outputs / file

    def call(*words):
        result = vflow_process(*words, store=quickstart.store, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stdout

    told = json.loads(call("open", source, "--json"))
    assert told["kept"]["train"] == {"found": 1, "total": 1}
    assert told["kept"]["latents"]["found"] == told["kept"]["latents"]["total"] >= 12
    assert set(told["metrics"]["train"]) >= {"step", "train/loss", "eval/loss"}
    assert str(quickstart.place) not in json.dumps(told["graph"])
    call("open", source, "-o", "graph.yaml")
    given = ("--set", f"clips={quickstart.clips}", "--set", f"prompt_texts_prompts={json.dumps(prompts(quickstart))}")
    call("run", "graph.yaml", *given, "--out", "run")
    assert {node["state"] for node in read.summary(tmp_path / "run")["nodes"].values()} <= {
        "light",
        "reused",
        "not needed",
    }
    again = tmp_path / "run/outputs" / source.relative_to(outputs)
    assert again.read_bytes() == source.read_bytes()


def prompts(quickstart):
    import yaml

    return yaml.safe_load(quickstart.graph.read_text())["profiles"]["tiny"]["nodes"]["prompt_texts"]["prompts"]
