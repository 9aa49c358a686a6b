"""Every shipped training with `--profile tiny`: from a cold store to an adapter or weights and a clip, and again.

`ltx2_sample` needs an adapter and is run in `test_quickstart`.
"""

import pytest

from .conftest import ROOT

TRAININGS = sorted(path.stem for path in (ROOT / "graphs").glob("*.yaml") if "type: TrainLoop" in path.read_text())
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft", "av", "numpy"}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        # the quickest; `ltx2_lora`, `ltx2_audio_lora` and `sana_full` have test files of their own
        ("sana_i2v_lora", "vflow_here"),
        *(pytest.param(name, "vflow_process", marks=pytest.mark.long) for name in TRAININGS),
    ],
)
def test_it_runs_from_cold_and_again_without_torch(vflow_process, read, monkeypatch, tmp_path, request, name, first):
    def run(out, call):
        words = ("run", name, "--profile", "tiny", "--out", tmp_path / out)
        result = call(*words, store=tmp_path / "store", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result, read.summary(tmp_path / out)["nodes"]

    _, cold = run("cold", request.getfixturevalue(first))
    assert "computed" in {node["state"] for node in cold.values()}
    made = sorted(path.relative_to(tmp_path / "cold") for path in (tmp_path / "cold/outputs").rglob("*"))
    assert {path.suffix for path in made} >= {".safetensors", ".mp4"}
    losses = [e["values"]["eval/loss"] for e in read.events(tmp_path / "cold", "metrics") if "eval/loss" in e["values"]]
    assert losses[-1] < losses[0]

    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result, again = run("again", vflow_process)
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "vflow" in imported
    assert not imported & HEAVY
    assert {node["state"] for node in again.values()} <= {"light", "reused", "not needed"}
    for path in made:
        if (tmp_path / "cold" / path).is_file():
            assert (tmp_path / "again" / path).read_bytes() == (tmp_path / "cold" / path).read_bytes(), path
