"""`vflow rehearse` on shipped graphs: everything passes on the miniatures, and runs cite it and use what it encoded."""

import json

import pytest

from .conftest import ROOT

OTHERS = sorted(path.stem for path in (ROOT / "graphs").glob("*.yaml") if "type: TrainLoop" in path.read_text())
OTHERS.remove("sana_lora")


@pytest.fixture
def rehearse(vflow_here, tmp_path):
    def call(command, graph, *words):
        result = vflow_here(command, graph, "--profile", "tiny", *words, store=tmp_path / "store", cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return call


def test_a_shipped_graph_is_rehearsed_and_its_plan_cites_that(rehearse):
    found = json.loads(rehearse("rehearse", "sana_lora", "--json").stdout)
    assert found["failed"] == found["skipped"] == 0
    names = {(check["node"], check["name"]) for check in found["checks"]}
    assert names >= {
        ("transformer", "weights"),
        ("captions", "text embeddings"),
        ("latents", "latents"),
        *(("train", name) for name in ("transformer input", "scheduler step", "first steps", "resume", "adapter")),
    }
    costs = {(cost["node"], cost["what"]): cost for cost in found["costs"]}
    assert costs["train", "first steps"]["seconds"] > 0
    assert costs["train", "first steps"]["disk"] > 0
    plan = json.loads(rehearse("plan", "sana_lora", "--json").stdout)
    assert "per step" in plan["rehearsed"]["train"]
    # what was encoded is kept: a batch, the empty caption, and what has the same words
    missing = {name: (node["missing"], node["total"]) for name, node in plan["nodes"].items()}
    assert missing["latents"][0] == missing["latents"][1] - 2
    assert 0 < missing["captions"][0] <= missing["captions"][1] - 3


@pytest.mark.long
@pytest.mark.parametrize("graph", OTHERS)
def test_every_shipped_training_is_rehearsed_without_a_fault(rehearse, tmp_path, graph):
    found = json.loads(rehearse("rehearse", graph, "--json").stdout)
    assert [check for check in found["checks"] if check["status"] != "passed"] == []
    assert not (tmp_path / "store/work").exists()
