"""`vflow run graphs/ltx2_lora.yaml --profile tiny`, from clips to an adapter and a clip, and what is reused then."""

import pytest


def test_the_run_encodes_trains_and_draws(quickstart, read):
    nodes = read.summary(quickstart.run)["nodes"]
    assert nodes["latents"]["items"]["computed"] >= 12
    assert nodes["train"]["state"] == "computed"
    steps = [event["step"] for event in read.events(quickstart.run, "metrics") if "train/loss" in event["values"]]
    assert max(steps) >= 20
    published = {event["path"] for event in read.events(quickstart.run, "published")}
    assert any(path.startswith("checkpoints/") for path in published)
    assert any(path.startswith("samples/") for path in published)


def test_the_evaluation_loss_falls(quickstart, read):
    losses = [e["values"]["eval/loss"] for e in read.events(quickstart.run, "metrics") if "eval/loss" in e["values"]]
    assert len(losses) >= 3
    assert losses[-1] < losses[0]


def test_the_adapter_loads_in_diffusers_own_pipeline(quickstart):
    from diffusers import LTX2Pipeline

    checkpoint = next((quickstart.store / "models").iterdir())
    pipe = LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)
    pipe.load_lora_weights(quickstart.run / "outputs/lora", weight_name="pytorch_lora_weights.safetensors")
    assert pipe.get_list_adapters()


def test_the_clip_is_a_video(quickstart):
    import av

    (clip,) = (quickstart.run / "outputs/videos").glob("*.mp4")
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == (96, 64)
        assert sum(1 for _ in container.decode(stream)) == 17


HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft", "av", "numpy"}


def test_the_same_again_imports_nothing_heavy_and_gives_the_same_bytes(quickstart, read, vflow_process, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    again = quickstart.place / "again"
    result = vflow_process(*quickstart.words[:-1], again, store=quickstart.store, cwd=quickstart.place)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 100
    assert not {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in lines} & HEAVY
    assert {node["state"] for node in read.summary(again)["nodes"].values()} <= {"light", "reused", "not needed"}
    for path in ("lora/pytorch_lora_weights.safetensors", "videos"):
        first, second = quickstart.run / "outputs" / path, again / "outputs" / path
        files = [second] if second.is_file() else list(second.iterdir())
        for file in files:
            assert file.read_bytes() == (first if first.is_file() else first / file.name).read_bytes()


@pytest.mark.parametrize("command", ["check", "plan"])
def test_check_and_plan_import_no_torch(quickstart, vflow_process, monkeypatch, command):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = vflow_process(
        command, "ltx2_lora", "--profile", "tiny", store=quickstart.place / "new", cwd=quickstart.place
    )
    assert result.returncode == 0, result.stderr
    names = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert not names & (HEAVY - {"av", "numpy"})


def test_nothing_changed_means_nothing_to_do(copy):
    assert copy.plan() == {}


def test_a_renamed_and_a_touched_clip_change_nothing(copy):
    clips = sorted(copy.clips.glob("*.mp4"))
    clips[0].rename(copy.clips / "zebra.mp4")
    clips[0].with_suffix(".txt").rename(copy.clips / "zebra.txt")
    clips[1].touch()
    assert copy.plan() == {}


def test_a_replaced_clip_is_encoded_again_alone(copy, tmp_path):
    from vflow.nodes.data.shapes import draw_shapes

    (tmp_path / "other").mkdir()
    draw_shapes(tmp_path / "other", clips=1, seed=7)
    kept = sorted(copy.clips.glob("*.mp4"))[2]
    kept.write_bytes(next((tmp_path / "other").glob("*.mp4")).read_bytes())
    plan = copy.plan()
    assert plan.pop("latents", 0) + plan.pop("held_out_latents", 0) == 1
    assert set(plan) <= {"train", "validate"}


def test_an_edited_caption_is_encoded_again_alone(copy):
    text = sorted(copy.clips.glob("*.txt"))[3]
    text.write_text("a green star standing still")
    plan = copy.plan()
    assert plan.pop("captions", 0) + plan.pop("held_out_captions", 0) == 1
    assert set(plan) <= {"train", "validate"}


def test_another_rank_encodes_nothing(copy):
    assert set(copy.plan("--set", "rank=2")) == {"train", "validate"}


OFFLOAD = {"type": "GroupOffload", "force": True}


@pytest.mark.parametrize("where", ["before", "after", "both", "settings"])
def test_group_offload_anywhere_computes_nothing(copy, where):
    def change(graph):
        nodes = graph["nodes"]
        nodes.pop("offloaded")
        if where in ("before", "both"):
            nodes["early"] = {**OFFLOAD, "inputs": {"model": "transformer"}}
            nodes["lora"]["inputs"]["model"] = "early"
        nodes["late"] = {**OFFLOAD, "inputs": {"model": "lora"}, "level": "leaf" if where == "settings" else "block"}
        end = "late" if where != "before" else "lora"
        for node in ("train", "validate"):
            nodes[node]["inputs"]["transformer"] = end
        for profile in graph["profiles"].values():
            profile.get("nodes", {}).pop("offloaded", None)

    copy.edit(change)
    assert copy.plan() == {}


def test_trackers_checkpoint_limits_and_prompts_train_nothing(copy, read):
    def change(graph):
        graph["nodes"]["train"] |= {"tensorboard": True, "checkpoint_limit": 1}
        graph["profiles"]["tiny"]["nodes"]["prompt_texts"]["prompts"] = ["a blue square"]

    copy.edit(change)
    assert "train" not in copy.plan()
    copy.call("run", "--out", copy.place / "run")
    nodes = read.summary(copy.place / "run")["nodes"]
    assert nodes["train"]["state"] == "reused"
    assert nodes["validate"]["state"] == "computed"
    assert nodes["prompts"]["items"]["computed"] == 1


def test_an_adapter_is_drawn_from_without_training(quickstart, vflow_here):
    words = ("run", "ltx2_sample", "--profile", "tiny", "--set", f"adapter={quickstart.run / 'outputs/lora'}")
    words += ("--set", "model=tiny://ltx2?random")
    result = vflow_here(*words, "--out", "sampled", store=quickstart.store, cwd=quickstart.place)
    assert result.returncode == 0, result.stderr
    drawn = next((quickstart.place / "sampled/outputs/videos").glob("*.mp4"))
    assert drawn.stat().st_size > 500


def test_a_longer_training_goes_on_and_the_offload_of_this_graph_is_the_one_in_force(copy, read):
    """Offloading is in no key, and yet a training that goes on uses it: the same bytes, and hooks on the live model."""

    def change(graph):
        nodes = graph["nodes"]
        nodes["offloaded"] |= {"force": True, "disabled": False}

    copy.call("run", "--set", "steps=26", "--out", copy.place / "plain")
    steps = [event["step"] for event in read.events(copy.place / "plain", "metrics") if "train/loss" in event["values"]]
    assert min(steps) > 24
    copy.edit(change)
    assert copy.plan("--set", "steps=26") == {}
    copy.call("run", "--set", "steps=26", "--force", "train", "--force", "validate", "--out", copy.place / "offloaded")
    said = [event["message"] for event in read.events(copy.place / "offloaded", "log")]
    assert any("offload" in message for message in said)
    last = "checkpoints/step-000026/pytorch_lora_weights.safetensors"
    assert (copy.place / "plain" / last).read_bytes() == (copy.place / "offloaded" / last).read_bytes()
