"""The training loop on the real classes at miniature size."""

import json

import pytest

from vflow.engine.problems import Failure, Interrupted
from vflow.engine.values import Items
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.training import checkpoints, optim
from vflow.nodes.values import EMPTY_ROW, Transformer


def test_a_training_that_was_stopped_and_resumed_ends_with_the_same_bytes(bench):
    settings = {"accumulation": 2, "data_workers": 3, "seed": 3}
    straight = bench.train("straight", **settings).adapter
    with pytest.raises(Interrupted):
        bench.train("stopped", stop_at=2, **settings)
    stopped_at = checkpoints.states(bench.context("stopped").work)
    resumed = bench.train("stopped", **settings).adapter
    assert [(state.step, state.kind) for state in stopped_at] == [(2, "stopped")]
    assert bench.said("progress")[0].done == 3  # nothing was trained twice
    assert bench.bytes_of(resumed) == bench.bytes_of(straight)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"name": "adamw_bf16"}, "precision": "bf16"},
        {"schedule": {"name": "cosine", "warmup_steps": 2}},
        {"caption_dropout": 0.5, "clip_norm": 0.0},
    ],
    ids=["stochastic rounding and mixed precision", "cosine", "caption dropout"],
)
def test_resuming_gives_the_same_bytes_with(bench, settings, request):
    name = request.node.callspec.id
    straight = bench.train(f"{name} straight", **settings).adapter
    with pytest.raises(Interrupted):
        bench.train(name, stop_at=3, **settings)
    assert bench.bytes_of(bench.train(name, **settings).adapter) == bench.bytes_of(straight)


def test_a_longer_training_goes_on_from_a_shorter_one_and_equals_one_that_ran_straight(bench):
    bench.train("longer", steps=3)
    longer = bench.train("longer", steps=6).adapter
    assert bench.said("progress")[0].done == 4
    assert longer == bench.train("at once", steps=6).adapter


def test_the_same_number_of_steps_again_trains_nothing(bench):
    first = bench.train("again", steps=3)
    second = bench.train("again", steps=3)
    assert second.adapter == first.adapter
    assert not bench.said("progress")


@pytest.mark.parametrize("placing", [{"gradient_checkpointing": True}, {"data_workers": 0}, {"data_workers": 4}])
def test_settings_that_only_place_change_no_bit(bench, placing):
    plain = bench.train("plain").adapter
    assert bench.train(f"placed {placing}", **placing).adapter == plain


def test_offload_by_groups_changes_no_bit(bench):
    plain = bench.train("plain").adapter
    offloaded = bench.lora.having(GroupOffloading(level="block", blocks_per_group=1, device="cpu", force=True))
    for checkpointing in (False, True):
        work = f"offloaded {checkpointing}"
        assert bench.train(work, transformer=offloaded, gradient_checkpointing=checkpointing).adapter == plain


def test_what_watches_changes_no_bit(bench):
    plain = bench.train("plain").adapter
    watch = {"sampler": bench.sampler(), "held_out_latents": bench.latents, "held_out_captions": bench.captions}
    watched = bench.train(
        "watched",
        watch=watch,
        sample_every=2,
        evaluation={"every": 2},
        checkpoint_every=2,
        log_every=1,
        tensorboard=True,
    )
    assert watched.adapter == plain
    published = {event.path for event in bench.said("published")}
    assert {f"samples/step-00000{step}/square.mp4" for step in (2, 4, 6)} <= published
    assert {f"checkpoints/step-00000{step}/pytorch_lora_weights.safetensors" for step in (2, 4, 6)} <= published
    assert list(watched.checkpoints.rows) == ["step-000002", "step-000004", "step-000006"]
    assert list((bench.folder / "run/tensorboard").glob("events.out.tfevents.*"))


def test_the_seed_decides(bench):
    assert bench.train("seed 1", seed=1).adapter != bench.train("seed 2", seed=2).adapter


def test_the_base_comes_back_with_every_bit_and_without_a_wrapper(bench):
    def weights():
        with bench.context().load(bench.transformer) as live:
            module = live.modules()["transformer"]
            assert not {"_original_forward", "_is_accelerate_prepared"} & module.__dict__.keys()
            return {name: tensor.clone() for name, tensor in module.state_dict().items()}, module

    before, module = weights()
    bench.train("handed back", precision="bf16", gradient_checkpointing=True)
    after, same = weights()
    assert same is module  # the base was not dropped and loaded again
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_trainings_of_both_precisions_follow_one_another_in_one_process(bench):
    full = bench.train("fp32 first", steps=2)
    mixed = bench.train("bf16 second", steps=2, precision="bf16")
    again = bench.train("fp32 third", steps=2)
    assert full.adapter == again.adapter != mixed.adapter


def test_the_loss_on_held_out_clips_falls_and_is_the_same_when_measured_again(bench):
    watch = {"held_out_latents": bench.latents, "held_out_captions": bench.captions}
    settings = {"steps": 20, "evaluation": {"every": 10, "sigmas": [0.3, 0.7]}, "optimizer": {"lr": 1e-2}}
    bench.train("learns", watch=watch, **settings)
    losses = [event.values["eval/loss"] for event in bench.said("metrics") if "eval/loss" in event.values]
    assert len(losses) == 3  # before, on the way, at the end
    assert losses[0] > losses[1] > losses[2]
    bench.train("learns again", watch=watch, **{**settings, "steps": 1})
    again = [event.values["eval/loss"] for event in bench.said("metrics") if "eval/loss" in event.values]
    assert again[0] == losses[0]


def test_metrics_say_loss_rate_norm_speed_and_memory(bench):
    bench.train("metrics", log_every=2, schedule={"warmup_steps": 6}, optimizer={"lr": 0.006})
    found = {event.step: event.values for event in bench.said("metrics")}
    assert list(found) == [2, 4, 6]
    assert [round(values["train/lr"], 6) for values in found.values()] == [0.002, 0.004, 0.006]
    some = ("train/loss", "train/grad_norm", "train/samples_per_second", "train/seconds_per_step", "train/memory")
    assert all(values[name] > 0 for values in found.values() for name in some)


def test_checkpoints_beyond_the_limit_go_and_the_newest_stay(bench):
    trained = bench.train("limit", checkpoint_every=1, checkpoint_limit=2)
    assert list(trained.checkpoints.rows) == ["step-000005", "step-000006"]
    assert trained.checkpoints[-1] == trained.adapter


def test_a_torn_or_damaged_checkpoint_is_passed_over_for_the_one_before(bench):
    straight = bench.train("undamaged", checkpoint_every=2).adapter
    bench.train("damaged", checkpoint_every=2, steps=4, checkpoint_limit=0)
    work = bench.context("damaged").work
    tensors = work / "step-00000004" / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    (work / "step-00000005").mkdir()
    (work / "step-00000005" / "state.json").write_text("{")
    trained = bench.train("damaged", checkpoint_every=2)
    assert bench.said("progress")[0].done == 3
    assert "damaged" in bench.said("log")[0].message
    assert trained.adapter == straight


def test_a_loss_that_is_no_number_names_its_clips_and_keeps_nothing(bench):
    rows = {**bench.latents.by_row(), "b": bench.latent("b", scale=float("nan"))}
    bench.world.labels["b"] = "broken.mp4"
    with pytest.raises(Failure, match=r"not a finite number, for broken\.mp4"):
        bench.train("nan", latents=Items.of(rows), checkpoint_every=1, batch_size=1)
    kept = checkpoints.states(bench.context("nan").work)
    assert all(state.step < 6 for state in kept)


def test_gradients_that_are_no_numbers_keep_nothing_though_every_loss_was_one(bench, monkeypatch):
    monkeypatch.setattr(optim, "clip_", lambda parameters, norm, clip=optim.clip_: clip(parameters, norm) / 0)
    with pytest.raises(Failure, match="the gradients of step 1 are not finite"):
        bench.train("inf", steps=1)
    assert checkpoints.states(bench.context("inf").work) == []


def test_samples_that_do_not_join_are_named(bench):
    bench.world.labels["e"] = "cat.mp4"
    with pytest.raises(Failure, match=r"without an encoded caption: cat\.mp4"):
        bench.train(captions=Items.of({r: v for r, v in bench.captions.items() if r != "e"}))


def test_caption_dropout_without_the_empty_caption_is_refused(bench):
    with pytest.raises(Failure, match="empty caption"):
        bench.train(captions=Items.of({r: v for r, v in bench.captions.items() if r != EMPTY_ROW}))


def test_held_out_clips_without_their_captions_are_refused(bench):
    with pytest.raises(Failure, match="held_out_captions"):
        bench.train("held out", watch={"held_out_latents": bench.latents})


def test_a_preview_that_fails_is_said_and_ends_nothing(bench):
    sampler = bench.sampler(options={"no_such_option": 1})
    trained = bench.train("preview fails", steps=2, sample_every=1, watch={"sampler": sampler})
    assert trained.adapter.step == 2
    assert any("no clips of step 1" in event.message for event in bench.said("log"))


def test_the_adapter_of_adamw_bf16_is_kept_in_bfloat16_with_its_alpha(bench):
    from safetensors import safe_open

    adapter = bench.train("dtype", steps=1, precision="bf16", optimizer={"name": "adamw_bf16"}).adapter
    assert (adapter.rank, adapter.family, adapter.step) == (2, "ltx2", 1)
    with safe_open(bench.context().blob_path(adapter.blob), "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.bfloat16"}  # noqa: SIM118
        assert "lora_alpha" in json.dumps(file.metadata())


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_bf16"])
def test_a_bfloat16_transformer_trains_and_draws_with_every_option_that_places(bench, optimizer):
    pattern = bench.lora.transformations[0].pattern
    base = bench.recipe(Transformer, "bfloat16").having(LoRA(rank=2, alpha=2, dropout=0.1, pattern=pattern))
    offloaded = base.having(GroupOffloading(device="cpu", force=True))
    settings = {"precision": "bf16", "gradient_checkpointing": True, "optimizer": {"name": optimizer}, "steps": 3}
    plain = bench.train(f"{optimizer} plain", transformer=base, **settings).adapter
    watch = {"sampler": bench.sampler()}
    placed = bench.train(f"{optimizer} placed", transformer=offloaded, watch=watch, sample_every=2, **settings).adapter
    assert placed == plain
    assert bench.said("published")[0].path == "samples/step-000002/square.mp4"
    assert not [event for event in bench.said("log") if event.level == "warning"]
