"""Full fine-tuning through the training loop: what comes out, stopping and going on, and what is kept."""

import json

import pytest
import torch
from diffusers import LTX2VideoTransformer3DModel

from vflow.engine.problems import Failure, Interrupted
from vflow.engine.values import Items
from vflow.nodes.models import fetch, unfreezing, weights
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import checkpoints, loop
from vflow.nodes.validation import Validate
from vflow.nodes.values import Transformer, Weights

#: few weights, so that states are small: the attention of the first block
PART = r"transformer_blocks\.0\.attn1\..*"
FULL = {"steps": 2, "optimizer": {"name": "adamw", "lr": 1e-3}}

MORE = FULL | {"steps": 4}


def unfrozen(recipe, **fields):
    return recipe.having(Unfrozen(**{"pattern": ".*", "saved_as": "float32", **fields}))


def _is_of_sound(name):
    return any(word in name for word in ("audio", "a2v", "av_"))


@pytest.fixture
def full(bench):
    return unfrozen(bench.transformer)


def folder_of(bench, result, place):
    """Write what was trained as a run's output would be: plain files."""
    place.mkdir()
    for name, blob in result.plain_files():
        (place / name).write_bytes(bench.context().blob_path(blob).read_bytes())
    return place


def test_the_result_is_a_folder_that_the_class_loads_and_every_weight_with_a_gradient_has_moved(bench, full, tmp_path):
    result = bench.train("full: full", transformer=full, **FULL).adapter
    assert isinstance(result, Weights)
    assert (result.family, result.step, result.base_content) == ("ltx2", 2, bench.transformer.source.content)
    folder = folder_of(bench, result, tmp_path / "out")
    assert {file.name for file in folder.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert not {key for key in json.loads((folder / "config.json").read_text()) if key == "_name_or_path"}
    loaded, report = LTX2VideoTransformer3DModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    base = fetch.folder_of(bench.transformer.source, bench.context()) / "transformer"
    before = LTX2VideoTransformer3DModel.from_pretrained(base).state_dict()
    moved = {name for name, tensor in loaded.state_dict().items() if not torch.equal(tensor, before[name])}
    assert all(_is_of_sound(name) for name in before.keys() - moved)  # which no clip has
    assert len(moved) > 200


def test_the_base_is_loaded_again_after_it_was_trained(bench, full):
    with bench.context().load(bench.transformer) as live:
        before = {name: tensor.clone() for name, tensor in live.modules()["transformer"].state_dict().items()}
    bench.train("full: dropped", transformer=full, **FULL)
    with bench.context().load(bench.transformer) as live:
        after = live.modules()["transformer"].state_dict()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": {"name": "adamw_bf16", "lr": 1e-2}, "precision": "bf16"}],
    ids=["float32", "stochastic rounding"],
)
def test_stopped_and_resumed_it_ends_with_the_same_bytes(bench, settings, request):
    name = f"full: {request.node.callspec.id}"
    recipe = unfrozen(bench.transformer, pattern=PART)
    straight = bench.train(f"{name} straight", transformer=recipe, **MORE | settings).adapter
    with pytest.raises(Interrupted):
        bench.train(name, transformer=recipe, stop_at=2, **MORE | settings)
    (state,) = checkpoints.states(bench.context(name).work)
    assert (state.step, state.kind) == (2, "stopped")
    assert len({key.partition("/")[2] for key in state.tensors()}) < 30  # what is frozen is in no state
    resumed = bench.train(name, transformer=recipe, **MORE | settings).adapter
    assert bench.said("progress")[0].done == 3
    assert resumed == straight
    assert bench.train(name, transformer=recipe, **MORE | settings).adapter == straight  # nothing more to do


def test_only_what_the_pattern_names_is_trained(bench, tmp_path):
    result = bench.train("full: part", transformer=unfrozen(bench.transformer, pattern=PART), **FULL).adapter
    loaded = LTX2VideoTransformer3DModel.from_pretrained(folder_of(bench, result, tmp_path / "out")).state_dict()
    with bench.context().load(bench.transformer) as live:
        before = live.modules()["transformer"].state_dict()
        moved = {name for name, tensor in loaded.items() if not torch.equal(tensor, before[name])}
    assert moved
    assert all(name.startswith("transformer_blocks.0.attn1.") for name in moved)


@pytest.mark.parametrize(("optimizer", "dtype"), [("adamw", "bfloat16"), ("adamw_bf16", "float32")])
def test_it_trains_in_mixed_precision_from_weights_of_either_type(bench, optimizer, dtype):
    recipe = unfrozen(bench.recipe(Transformer, dtype), saved_as="bfloat16")
    settings = {"precision": "bf16", "gradient_checkpointing": True, "steps": 1}
    work = f"full: {optimizer} {dtype}"
    result = bench.train(work, transformer=recipe, optimizer={"name": optimizer}, **settings).adapter
    assert [name for name, _ in result.files] == ["config.json", "diffusion_pytorch_model.safetensors"]
    kept = checkpoints.states(bench.context(work).work)[-1].tensors()
    wanted = torch.float32 if optimizer == "adamw" else torch.bfloat16
    assert {tensor.dtype for name, tensor in kept.items() if name.startswith("weight/")} == {wanted}


def test_weights_of_another_type_than_their_neighbours_are_drawn_with_and_change_no_bit(bench):
    recipe = unfrozen(bench.recipe(Transformer, "bfloat16"), pattern=PART)
    settings = {"precision": "bf16", "optimizer": {"name": "adamw"}, "steps": 2}
    plain = bench.train("full: in float32", transformer=recipe, **settings).adapter
    watch = {"sampler": bench.sampler()}
    watched = bench.train("full: drawn in bfloat16", transformer=recipe, watch=watch, sample_every=1, **settings)
    assert watched.adapter == plain
    drawn = [event.path for event in bench.said("published") if event.path.startswith("samples")]
    assert drawn == ["samples/step-000001/square.mp4", "samples/step-000002/square.mp4"]
    assert not [event for event in bench.said("log") if event.level == "warning"]


def test_float32_masters_move_where_bfloat16_weights_would_not(bench):
    """A step far below what bfloat16 resolves adds up in float32: after four of them the weights are other ones."""
    recipe = unfrozen(bench.recipe(Transformer, "bfloat16"), pattern=PART)
    settings = {"precision": "bf16", "steps": 4, "optimizer": {"name": "adamw", "lr": 1e-6, "weight_decay": 0.0}}
    bench.train("full: masters", transformer=recipe, **settings)
    kept = checkpoints.states(bench.context("full: masters").work)[-1].tensors()
    masters = [tensor for name, tensor in kept.items() if name.startswith("weight/")]
    assert sum(bool(tensor.bfloat16().float().ne(tensor).any()) for tensor in masters) > 5


def test_validate_draws_with_the_trained_weights_as_the_pipeline_does(bench, full, tmp_path):
    """Bit for bit: the folder in the family's diffusers pipeline gives the clip that Validate drew."""
    from vflow.nodes.validation import drawing

    result = bench.train("full: drawn", transformer=full, **FULL).adapter
    sampling, context = bench.sampler(), bench.context()
    (videos,) = Validate().run(context, full, sampling, Items.of({"a": result}))
    folder = folder_of(bench, result, tmp_path / "out")

    def drawn(transformer):
        with context.load(sampling.vae) as vae, context.load(bench.transformer) as live:
            kept, live.transformer = live.transformer, transformer or live.transformer
            try:
                (clip,) = drawing.clips(context, live, vae, sampling, tmp_path)
                return clip.file.read_bytes()
            finally:
                live.transformer = kept

    ours = context.blob_path(videos.videos[0].blob).read_bytes()
    assert drawn(LTX2VideoTransformer3DModel.from_pretrained(folder).eval()) == ours
    assert drawn(None) != ours
    assert videos.step == 2


def test_published_weights_load_again_and_train_on(bench, full, tmp_path):
    from vflow.nodes.models.nodes import LoadTransformer
    from vflow.nodes.models.unfreeze import LoadWeights, Unfreeze

    result = bench.train("full: first", transformer=full, **FULL).adapter
    folder = folder_of(bench, result, tmp_path / "out")
    given = LoadTransformer(model="tiny://ltx2?random", dtype="float32", weights=str(folder)).run(bench.context())
    assert given.identity == result.onto(bench.transformer).identity
    assert LoadWeights(source=str(folder)).run(bench.context()).identity == result.identity
    more = bench.train("full: second", transformer=Unfreeze(pattern=PART).run(bench.context(), given), **FULL).adapter
    assert more.base_content == given.source.content
    adapter = bench.train("full: on top", transformer=given.having(bench.lora.transformations[0]), **FULL).adapter
    assert adapter.rank == 2
    with bench.context().load(given) as live:
        loaded = LTX2VideoTransformer3DModel.from_pretrained(folder).state_dict()
        now = live.modules()["transformer"].state_dict()
        assert all(torch.equal(tensor, now[name]) for name, tensor in loaded.items())


def test_checkpoints_beyond_the_limit_leave_nothing_behind(bench, monkeypatch):
    monkeypatch.setattr(loop, "_SPARE", 0)
    recipe = unfrozen(bench.transformer, pattern=PART)
    store, out = bench.world.store, bench.folder / "run/checkpoints"
    with store.held():
        settings = MORE | {"checkpoint_every": 1, "checkpoint_limit": 2}
        trained = bench.train("full: limit", transformer=recipe, **settings)
        assert list(trained.checkpoints.rows) == ["step-000003", "step-000004"]
        for result in trained.checkpoints:
            assert all(store.has_blob(blob) for blob in result.blobs())
    steps = {folder.name for folder in out.glob("step-00000[1-4]")}
    assert steps == {"step-000003", "step-000004"}
    kept = {blob.digest for result in trained.checkpoints for blob in result.blobs()}
    size = max(blob.size for blob in trained.adapter.blobs())
    there = {path.name for path in store.folder.glob("blobs/*/*") if path.stat().st_size == size}
    assert there <= kept | {blob.digest for blob in _others(bench)}


def _others(bench):
    """Blobs of the same size that trainings of other tests hold."""
    for work in (bench.world.store.folder / "work").iterdir():
        for state in checkpoints.states(work):
            yield from state.result.blobs() if state.result else ()


def test_large_weights_are_cut_as_save_pretrained_cuts_them(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(unfreezing, "_MOST", 400_000)
    with bench.context().load(bench.transformer) as live:
        model = live.modules()["transformer"]
        (tmp_path / "ours").mkdir()
        unfreezing.save(model, tmp_path / "ours", "float32")
        model.save_pretrained(tmp_path / "theirs", max_shard_size=400_000)
        ours, theirs = ({file.name for file in (tmp_path / who).iterdir()} for who in ("ours", "theirs"))
        assert ours == theirs
        assert len(ours) > 4
        loaded = LTX2VideoTransformer3DModel.from_pretrained(tmp_path / "ours").state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())
    given = weights.read_weights(str(tmp_path / "ours"), bench.context())
    with bench.context().load(given.onto(bench.transformer)) as live:
        again = live.modules()["transformer"].state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in again.items())


def test_a_pattern_that_matches_nothing_is_refused(bench):
    with pytest.raises(Failure, match="no weight of the transformer matches"):
        bench.train("full: nothing", transformer=unfrozen(bench.transformer, pattern="no_such"), **FULL)
