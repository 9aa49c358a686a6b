"""`vflow nodes`: node types, and what is known of families of models."""

import json

import pytest

from vflow.engine.cli import DONE, WRONG, main
from vflow.nodes.families import families

FAMILIES = families(third_party=False)


@pytest.fixture
def tables(capsys):
    def call(name):
        assert main(["nodes", "--family", name, "--json"]) == DONE
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def defaults(tables):
    def of(name):
        _, rows = next(iter(tables(name).items()))
        return {f"{row['node']}.{row['setting']}": row["default"] for row in rows}

    return of


def test_every_family_tells_what_a_graph_may_leave_open(defaults):
    for name, known in FAMILIES.items():
        found = defaults(name)
        assert found["BucketVideos.fps"] == known.rules.fps
        assert found["BucketVideos.size_multiple"] == known.rules.size_multiple
        assert found["Sampler.steps"] == known.sampling.steps
        assert found["Sampler.guidance"] == known.sampling.guidance
        assert found["EncodeText.max_tokens"] == known.prompt_tokens.usual
        assert found["ApplyLoRA.target"] == known.default_lora_target
        assert {f"Sampler.options.{option}" for option in known.sampling_options} <= found.keys()


def test_every_setting_that_is_named_is_one_of_its_node():
    from vflow.engine.registry import load_node_types
    from vflow.nodes.families.reference import tables

    types = load_node_types()
    for name in FAMILIES:
        for row in next(iter(tables(name).values())):
            fields = types[row["node"]].model_fields
            first, _, rest = row["setting"].partition(".")
            assert first in fields
            if first == "flow":
                assert rest in fields["flow"].annotation.model_fields


def test_a_flavour_tells_its_own(defaults, tables):
    assert defaults("kandinsky5/t2v-pro-sft-5s-hd")["BucketVideos.size_multiple"] == 128
    assert defaults("kandinsky5")["BucketVideos.size_multiple"] == 16
    assert defaults("kandinsky5/t2v-lite-sft-10s")["Sampler.frames"] == 241
    assert [row["model"] for row in tables("ltx2/2.0")["flavours"]] == ["ltx2/2.0"]
    assert tables("kandinsky5/t2v-pro-sft-5s-hd")["transformer"][0]["parameters"] == "19.30B"


def test_without_a_name_the_families_are_listed(capsys):
    assert main(["nodes", "--family", "--json"]) == DONE
    rows = json.loads(capsys.readouterr().out)["families"]
    assert [row["family"] for row in rows] == list(FAMILIES)


def test_the_tables_are_readable_as_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["nodes", "--family", "ltx2"]) == DONE
    text = capsys.readouterr().out
    assert "LTX Video 2: what a graph may leave open" in text
    assert "8k+1" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ltx", "there is no model family 'ltx'; did you mean 'ltx2'?"),
        ("sana/2b-480", "Sana Video has no flavour '2b-480'; did you mean '2b-480p'?"),
    ],
)
def test_an_unknown_one_is_told(capsys, name, told):
    assert main(["nodes", "--family", name]) == WRONG
    assert told in capsys.readouterr().err


def test_types_are_listed_and_described_as_before(capsys):
    assert main(["nodes"]) == DONE
    assert "Sampler" in capsys.readouterr().out
    assert main(["nodes", "Sampler"]) == DONE
    assert "`WxH`" in capsys.readouterr().out
