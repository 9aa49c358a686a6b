"""The nodes that name models: what they yield, and what they say is wrong. No torch here."""

import json
import sys
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vflow.engine.problems import Failure, GraphError
from vflow.nodes.models import device, facts, offload
from vflow.nodes.models.headers import read_header
from vflow.nodes.models.nodes import (
    ApplyLoRA,
    GroupOffload,
    LoadAdapter,
    LoadTextEncoder,
    LoadTransformer,
    LoadVAE,
    same_family,
)
from vflow.nodes.values import VAE, Adapter, Source, TextEncoder, Transformer


@pytest.fixture
def transformer(toy, context, checkpoint):
    return LoadTransformer(model=str(checkpoint)).run(context)


@pytest.fixture
def adapter_file(tmp_path, weights):
    file = tmp_path / "adapters" / "pytorch_lora_weights.safetensors"
    names = ("blocks.0.to_q", "blocks.1.to_q")
    shapes = {f"transformer.{name}.lora_A.weight": (2, 4) for name in names}
    weights(file, **shapes, **{f"transformer.{name}.lora_B.weight": (8, 2) for name in names})
    return file


def words(problems):
    return [str(problem) for problem in problems]


def test_loaders_yield_the_recipe_of_their_part(toy, context, checkpoint):
    for loader, kind in ((LoadTransformer, Transformer), (LoadVAE, VAE), (LoadTextEncoder, TextEncoder)):
        recipe = loader(model=str(checkpoint), dtype="float32").run(context)
        assert type(recipe) is kind
        assert recipe.source.part == kind.part
        assert context.reported["family"] == "toy"
        assert context.reported["bytes in files"] == facts.file_bytes(recipe.source)
        assert recipe.is_fetched(context)


def test_dtype_is_part_of_a_model_and_device_is_not(toy, context):
    one = LoadVAE(model="tiny://toy").run(context)
    assert one.dtype == "bfloat16"
    assert LoadVAE(model="tiny://toy", device="cpu").run(context).identity == one.identity
    assert LoadVAE(model="tiny://toy", device="cpu").run(context).base != one.base
    assert LoadVAE(model="tiny://toy", dtype="float32").run(context).identity != one.identity
    assert LoadVAE(model="tiny://toy", device="cpu").placed() == {"device": "cpu"}


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "", "CPU", "auto\n"])
def test_a_device_is_written_as_torch_writes_it(name):
    with pytest.raises(ValidationError):
        LoadVAE(model="tiny://toy", device=name)


def test_a_gpu_by_name_has_to_be_there(context, monkeypatch):
    monkeypatch.setattr("vflow.nodes.models.nodes.has_accelerator", lambda: False)
    node = LoadVAE(model="tiny://toy", device="cuda:1")
    assert "this machine has no GPU" in words(node.preflight(context))[0]
    assert not list(LoadVAE(model="tiny://toy").preflight(context))


def test_hidden_accelerators_do_not_count(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "_devices", lambda: [tmp_path / "nvidia0"])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device.has_accelerator()
    assert device.on_accelerator("auto")
    assert not device.on_accelerator("cpu")
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not device.has_accelerator()
        assert device.on_accelerator("cuda:1")


def test_parts_of_two_families_are_a_problem(transformer, toy, context):
    vae = LoadVAE(model="tiny://toy").run(context)
    assert not list(same_family(transformer, vae, None))
    foreign = VAE(source=Source(family="ltx2", part="vae", content="0", model="tiny://ltx2", kind="tiny"))
    (problem,) = same_family(transformer, None, vae, foreign)
    assert "the vae is of ltx2 (tiny://ltx2), the transformer of toy" in str(problem)
    assert problem.severity == "error"


def test_a_lora_counts_what_it_will_train(transformer, context):
    recipe = ApplyLoRA(rank=2).run(context, transformer)
    assert context.reported["layers"] == 2
    assert context.reported["parameters trained"] == 2 * 2 * (4 + 8)
    assert facts.trained_parameters(recipe, context) == 48
    assert facts.trained_parameters(ApplyLoRA(rank=3, target="out").run(context, transformer), context) == 3 * (2 + 8)
    assert facts.weight_bytes(transformer, context) == 2 * (32 + 32 + 4 + 16)


def test_nothing_is_counted_before_the_files_are_here(toy, context):
    recipe = ApplyLoRA(rank=2).run(context, LoadTransformer(model="tiny://toy").run(context))
    assert "parameters trained" not in context.reported
    assert facts.trained_parameters(recipe, context) is None


def test_what_changes_a_lora_changes_the_model(transformer, context):
    plain = ApplyLoRA(rank=2).run(context, transformer)
    assert plain.transformations[0].alpha == 2
    assert ApplyLoRA(rank=2, alpha=2.0).run(context, transformer).identity == plain.identity
    assert ApplyLoRA(rank=2, target="attention").run(context, transformer).identity == plain.identity
    changes = [{"alpha": 1.0}, {"dropout": 0.1}, {"target": "out"}, {"seed": 1}, {"adapter_dtype": "bfloat16"}]
    others = [ApplyLoRA(**({"rank": 2} | change)).run(context, transformer).identity for change in changes]
    assert len({transformer.identity, plain.identity, *others}) == 7


def test_an_unknown_target_is_suggested_and_a_pattern_has_to_match(transformer, context):
    with pytest.raises(GraphError, match="did you mean 'attention'"):
        ApplyLoRA(target="atention").run(context, transformer)
    with pytest.raises(GraphError, match=r"matches 'to_q'; .*target: attention, out"):
        ApplyLoRA(pattern="to_q").run(context, transformer)
    with pytest.raises(GraphError, match="has an adapter already"):
        ApplyLoRA().run(context, ApplyLoRA().run(context, transformer))


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"pattern": "("}, {"pattern": "a", "target": "out"}, {"seed": -1}],
)
def test_settings_of_a_lora_are_checked_where_they_are_written(wrong):
    with pytest.raises(ValidationError):
        ApplyLoRA(**wrong)


def test_offload_is_no_part_of_what_a_model_is(transformer, context, monkeypatch):
    monkeypatch.setattr("vflow.nodes.models.nodes.on_accelerator", lambda name: True)
    plain = ApplyLoRA(rank=2).run(context, transformer)
    before = GroupOffload(level="leaf").run(context, transformer)
    for recipe in (
        GroupOffload(stream=True, record_stream=True).run(context, plain),
        ApplyLoRA(rank=2).run(context, before),
        GroupOffload(blocks_per_group=3).run(context, GroupOffload().run(context, plain)),
    ):
        assert (recipe.identity, recipe.base) == (plain.identity, plain.base)
    assert "offload" not in context.reported
    assert offload.offload_of(ApplyLoRA(rank=2).run(context, before)).level == "leaf"
    assert GroupOffload(stream=True).key_settings() == {}


def test_offload_without_an_accelerator_says_that_it_has_nothing_to_do(transformer, context, monkeypatch):
    monkeypatch.setattr(device, "has_accelerator", lambda: False)
    recipe = GroupOffload().run(context, transformer)
    assert context.reported["offload"] == "nothing to do: there is no accelerator"
    assert not offload.offload_of(recipe).active("cpu")
    context.reported.clear()
    assert offload.offload_of(GroupOffload(force=True).run(context, transformer)).active("cpu")
    assert "offload" not in context.reported


def test_training_is_told_what_its_offload_will_not_do(transformer, context, monkeypatch):
    monkeypatch.setattr(device, "has_accelerator", lambda: True)
    streamed = GroupOffload(stream=True, record_stream=True, blocks_per_group=2).run(context, transformer)
    (hint,) = offload.training_problems(streamed, checkpointing=True)
    assert hint.severity == "hint"
    (error,) = offload.training_problems(streamed, checkpointing=False)
    assert error.severity == "error"
    assert not list(offload.training_problems(GroupOffload().run(context, transformer), checkpointing=True))
    assert not list(offload.training_problems(transformer, checkpointing=False))
    training = offload.offload_of(offload.for_training(streamed, checkpointing=True))
    assert (training.stream, training.record_stream, training.blocks_per_group) == (False, False, 1)
    assert offload.for_training(streamed, checkpointing=False) is streamed
    monkeypatch.setattr(device, "has_accelerator", lambda: False)
    assert not list(offload.training_problems(streamed, checkpointing=False))


def test_record_stream_needs_a_stream():
    with pytest.raises(ValidationError, match="record_stream needs stream: true"):
        GroupOffload(record_stream=True)


def test_an_adapter_comes_from_a_file_or_a_folder_into_the_store(toy, context, adapter_file):
    adapter = LoadAdapter(source=str(adapter_file)).run(context)
    assert (adapter.family, adapter.rank) == ("toy", 2)
    assert adapter_file.is_file()
    assert context.blob_path(adapter.blob).read_bytes() == adapter_file.read_bytes()
    assert LoadAdapter(source=str(adapter_file.parent)).run(context).identity == adapter.identity
    other = adapter_file.with_name("other.safetensors")
    adapter_file.rename(other)
    assert LoadAdapter(source=str(other.parent)).run(context).identity == adapter.identity
    (other.parent / "second.safetensors").write_bytes(b"")
    with pytest.raises(GraphError, match=r"several adapters: other\.safetensors, second\.safetensors; say which"):
        LoadAdapter(source=str(other.parent)).run(context)
    chosen = LoadAdapter(source=str(other.parent), file="other.safetensors")
    assert chosen.run(context).identity == adapter.identity


def test_an_adapter_comes_from_the_hub_once(hub, context, adapter_file):
    (hub.folder / adapter_file.name).write_bytes(adapter_file.read_bytes())
    adapter = LoadAdapter(source="Maker/Adapters").run(context)
    asked = len(hub.log)
    assert LoadAdapter(source="Maker/Adapters@main").run(context).identity == adapter.identity
    assert len(hub.log) == asked
    assert adapter.identity == LoadAdapter(source=str(adapter_file)).run(context).identity


def test_what_is_no_adapter_is_said_so(toy, context, checkpoint, tmp_path, adapter_file):
    def problem(source, **settings):
        with pytest.raises(GraphError) as caught:
            LoadAdapter(source=str(source), **settings).run(context)
        return str(caught.value)

    pickle = tmp_path / "adapter.bin"
    pickle.write_bytes(b"x")
    assert "only safetensors are opened" in problem(pickle)
    assert "there is no adapter at" in problem(tmp_path / "nowhere.safetensors")
    assert "holds no LoRA" in problem(checkpoint / "vae" / "diffusion_pytorch_model.safetensors")
    assert "no .safetensors file" in problem(checkpoint / "tokenizer")
    assert "no model family 'toyy'; did you mean 'toy'" in problem(adapter_file, family="toyy")


def test_an_adapters_family_is_asked_for_where_it_is_not_clear(toy, context, tmp_path, weights):
    file = tmp_path / "foreign.safetensors"
    weights(file, **{"transformer.elsewhere.lora_A.weight": (2, 4), "transformer.elsewhere.lora_B.weight": (8, 2)})
    with pytest.raises(GraphError, match=r"has layers of no known family \(elsewhere\); say which with `family`"):
        LoadAdapter(source=str(file)).run(context)
    assert LoadAdapter(source=str(file), family="toy").run(context).family == "toy"


def test_an_adapter_of_another_family_or_rank_is_no_start(transformer, context, toy, adapter_file):
    adapter = LoadAdapter(source=str(adapter_file)).run(context)
    with pytest.raises(GraphError, match="write rank: 2"):
        ApplyLoRA(rank=4).run(context, transformer, adapter)
    with pytest.raises(GraphError, match="is of ltx2, the transformer of toy"):
        ApplyLoRA(rank=2).run(context, transformer, adapter.model_copy(update={"family": "ltx2"}))
    started = ApplyLoRA(rank=2).run(context, transformer, adapter)
    assert started.identity != ApplyLoRA(rank=2).run(context, transformer).identity
    assert list(started.blobs()) == [adapter.blob]
    assert isinstance(started.transformations[0].adapter, Adapter)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda text: len(text).to_bytes(8, "little") + text))
def test_a_header_of_any_bytes_is_read_or_refused(tmp_path, data):
    file = tmp_path / "any.safetensors"
    file.write_bytes(data)
    with suppress(Failure):
        read_header(file)


@pytest.mark.parametrize("header", ["[]", '{"a": 1}', '{"a": {"shape": "x"}}', '{"__metadata__": 1}', "[" * 9000])
def test_a_malformed_header_is_refused(tmp_path, header):
    file = tmp_path / "any.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(Failure):
        read_header(file)


def test_a_header_of_impossible_length_is_not_read(tmp_path):
    file = tmp_path / "huge.safetensors"
    file.write_bytes((2**62).to_bytes(8, "little") + json.dumps({}).encode())
    with pytest.raises(Failure, match="no possible length"):
        read_header(file)
