"""What a training is estimated to take on a GPU, against what others have published and what arithmetic says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.families import family
from vflow.nodes.models import memory
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.memory import GIB, of_training, tokens_of
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.values import Source, Transformer

ADAPTER = LoRA(rank=16, alpha=16, pattern=".*")


def recipe(name, flavour, *done):
    source = Source(family=name, part="transformer", content="", model=f"{name}/{flavour}", kind="hub")
    return Transformer(source=source, transformations=done)


def need(name, flavour, size, *done, batch=1, **more):
    """Estimate a training on clips of (frames, height, width)."""
    transformer = recipe(name, flavour, *(done or (ADAPTER,)))
    anatomy = transformer.family.anatomy_of(transformer.source)
    tokens = batch * tokens_of(transformer.rules, anatomy, size)
    return of_training(transformer, anatomy, tokens, trained_bytes=16, **more)


@pytest.mark.parametrize(
    ("name", "flavour", "size", "least", "most"),
    [
        ("hunyuan15", "t2v-480p", (61, 480, 848), 24, 32),
        ("hunyuan15", "t2v-720p", (121, 720, 1280), 48, 80),
        ("kandinsky5", "t2v-lite-sft-5s", (121, 512, 768), 11, 16),
    ],
)
def test_estimates_lie_where_others_have_measured(name, flavour, size, least, most):
    """Published of LoRA: HunyuanVideo 1.5, rank 16, 480p 24 to 32 GB, 720p 48 to 80; Kandinsky Lite about 13 GB."""
    assert least <= need(name, flavour, size).total / GIB <= most


def test_pro_needs_offloading_on_anything_but_the_largest_card():
    size = (61, 512, 896)
    assert need("kandinsky5", "t2v-pro-sft-5s-hd", size).total / GIB > 48
    offloaded = need("kandinsky5", "t2v-pro-sft-5s-hd", size, ADAPTER, GroupOffloading())
    assert offloaded.total / GIB < 32
    assert offloaded.weights == pytest.approx(2 * 19.3e9 * 2 / 60)


def test_tokens_are_those_of_the_transformer():
    rules, anatomy = family("ltx2").rules, family("ltx2").anatomy
    assert tokens_of(rules, anatomy, (121, 512, 768)) == 16 * 16 * 24
    assert tokens_of(family("sana").rules, family("sana").anatomy, (81, 480, 832)) == 21 * 30 * 52


def test_the_parts_of_an_estimate_are_counted_as_the_module_says():
    found = need("sana", "2b-480p", (81, 480, 832))
    tokens, width, blocks = 32_760, 2240, 20
    assert found.weights == 2.06e9 * 2
    assert found.activations == blocks * width * tokens * 2 + 110 * width * tokens
    assert found.trained == pytest.approx(16 * 16 * width * blocks * 16)
    assert need("sana", "2b-480p", (81, 480, 832), checkpointing=False).activations == blocks * 110 * width * tokens


def test_weights_that_train_are_counted_once():
    full = need("sana", "2b-480p", (1, 480, 832), Unfrozen(pattern=".*", saved_as="bfloat16"))
    assert full.weights == 0
    assert full.trained == pytest.approx(2.06e9 * 16)


@given(st.integers(1, 8), st.integers(0, 30))
def test_a_larger_batch_and_longer_clips_never_take_less(batch, more):
    small = need("hunyuan15", "t2v-480p", (9, 480, 848), batch=batch).total
    assert need("hunyuan15", "t2v-480p", (9, 480, 848), batch=batch + 1).total > small
    assert need("hunyuan15", "t2v-480p", (9 + 4 * more, 480, 848), batch=batch).total >= small


def test_a_machine_without_a_gpu_has_no_card(monkeypatch):
    memory.card.cache_clear()
    monkeypatch.setattr(memory, "has_accelerator", lambda: False)
    assert memory.card() is None
    memory.card.cache_clear()


def test_the_card_is_the_smallest_that_the_driver_names(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 81559\necho 24564\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(memory, "has_accelerator", lambda: True)
    memory.card.cache_clear()
    assert memory.card() == 24564 * 2**20
    driver.write_text("#!/bin/sh\necho '[N/A]'\n")
    memory.card.cache_clear()
    assert memory.card() is None
    memory.card.cache_clear()
