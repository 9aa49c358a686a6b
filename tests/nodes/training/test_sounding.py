"""Training with sound: two losses, batches that never mix, and what is said of it before it starts."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.contexts import NodeContext
from vflow.engine.problems import Failure
from vflow.engine.steps import Step
from vflow.engine.values import Blob, Items
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.training import TrainLoop, sounding
from vflow.nodes.training.samples import Order, Sample, join
from vflow.nodes.values import AudioLatent, Embedding, Latent

from .conftest import SIZES

SILENT = ("b", "e")


def blob(name="0"):
    return Blob(digest=name, size=1)


def audio_of(bench, silent=SILENT):
    """The sound of the bench's clips, but for those that are silent."""
    import torch

    from vflow.engine.keys import digest
    from vflow.nodes.encoding.tensors import to_bytes

    def latent(row):
        generator = torch.Generator().manual_seed(int(digest(["sound", row])[:8], 16))
        tensors = {} if row in silent else {"latents": torch.randn(17, 8, generator=generator)}
        kept = bench.context().put(to_bytes(tensors), ".safetensors")
        return AudioLatent(blob=kept, silent=row in silent, seconds=17 / 25)

    return Items.of({row: latent(row) for row in SIZES})


@pytest.fixture(scope="module")
def heard(miniature):
    """The bench's transformer with an adapter in both streams."""
    family = miniature.transformer.family
    pattern = family.lora_targets[family.sound_target].pattern
    return miniature.transformer.having(LoRA(rank=2, alpha=2, dropout=0.2, pattern=pattern))


def metrics(bench, name):
    return [event.values[name] for event in bench.said("metrics") if name in event.values]


# --- samples -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from([64, 96]), st.booleans()), min_size=1, max_size=20), st.integers(1, 4))
def test_no_batch_mixes_sounding_and_silent_samples(kinds, size):
    sound = AudioLatent(blob=blob(), silent=False, seconds=0.68)
    samples = [
        Sample(
            f"{row:02d}",
            Latent(blob=blob(), frames=17, height=64, width=width, fps=25.0),
            Embedding(blob=blob()),
            audio=sound if sounds else None,
        )
        for row, (width, sounds) in enumerate(kinds)
    ]
    order = Order(samples, size, seed=0)
    batches = [order.at(step).indices for step in range(2 * order.batches_per_epoch)]
    assert all(len({kinds[index] for index in batch}) == 1 for batch in batches)
    assert {index for batch in batches for index in batch} == set(range(len(kinds)))


def test_sound_is_joined_by_row_and_silent_clips_have_none(bench):
    joined = join(bench.latents, bench.captions, bench.context(), audio=audio_of(bench))
    assert [sample.row for sample in joined if sample.audio is None] == list(SILENT)


def test_sound_of_other_clips_is_refused_by_name(bench):
    audio = audio_of(bench)
    fewer = Items.of({row: latent for row, latent in audio.by_row().items() if row != "c"})
    with pytest.raises(Failure, match=r"whose sound was not encoded.*: c"):
        join(bench.latents, bench.captions, bench.context(), audio=fewer)
    more = audio + Items.of({"zebra": audio.by_row()["a"]})
    with pytest.raises(Failure, match="zebra"):
        join(bench.latents, bench.captions, bench.context(), audio=more)


# --- losses --------------------------------------------------------------------------------------------------------


def test_both_losses_are_told_and_their_sum_is_trained_on(bench, heard):
    bench.train("told", transformer=heard, watch={"audio": audio_of(bench, ())}, audio_weight=2.0, steps=3)
    totals, video, sound = (metrics(bench, f"train/{name}") for name in ("loss", "loss_video", "loss_audio"))
    assert len(totals) == len(video) == len(sound) == 3
    assert totals == pytest.approx([v + 2 * a for v, a in zip(video, sound, strict=True)], rel=1e-5)


def test_a_weight_of_zero_is_zero(bench, heard):
    audio = audio_of(bench, ())
    none, some = (
        bench.bytes_of(bench.train(f"w{w}", transformer=heard, watch={"audio": audio}, audio_weight=w, steps=2).adapter)
        for w in (0.0, 1.0)
    )
    assert none != some
    bench.train("w again", transformer=heard, watch={"audio": audio}, audio_weight=0.0, steps=3)
    assert metrics(bench, "train/loss") == pytest.approx(metrics(bench, "train/loss_video"))
    assert min(metrics(bench, "train/loss_audio")) > 0.5


def test_sound_whose_weight_is_zero_is_heard_all_the_same(bench, heard):
    bench.train("heard", transformer=heard, watch={"audio": audio_of(bench, ())}, audio_weight=0.0, steps=1)
    with_sound = metrics(bench, "train/loss")
    bench.train("unheard", transformer=heard, steps=1)
    assert with_sound != metrics(bench, "train/loss")


def test_a_set_of_silent_clips_trains_as_without_any_word_of_sound(bench):
    plain = bench.bytes_of(bench.train("plain", steps=3).adapter)
    silent = bench.train("silent", watch={"audio": audio_of(bench, tuple(SIZES))}, steps=3)
    assert bench.bytes_of(silent.adapter) == plain
    assert not metrics(bench, "train/loss_audio")


def test_a_mixed_set_trains_both_kinds_and_resumes_with_the_same_bits_and_figures(bench, heard):
    names = ("train/loss", "train/loss_video", "train/loss_audio")
    given = {"transformer": heard, "watch": {"audio": audio_of(bench)}, "steps": 5, "log_every": 5, "batch_size": 1}
    whole = bench.bytes_of(bench.train("mixed", **given).adapter)
    (figures,) = ([event.values[name] for name in names] for event in bench.said("metrics"))
    # the five samples once each, of which the sound of three counts
    assert figures[0] == pytest.approx(figures[1] + figures[2] * (len(SIZES) - len(SILENT)) / len(SIZES))

    bench.train("cut", **{**given, "steps": 2})
    resumed = bench.train("cut", **given)
    assert bench.bytes_of(resumed.adapter) == whole
    assert [[event.values[name] for name in names] for event in bench.said("metrics")] == [figures]


def test_the_evaluation_includes_the_sound_of_held_out_clips(bench, heard):
    watch = {
        "audio": audio_of(bench),
        "held_out_latents": bench.latents,
        "held_out_captions": bench.captions,
        "held_out_audio": audio_of(bench),
    }
    evaluation = {"every": 100, "sigmas": [0.5], "max_samples": 5}
    bench.train("evaluated", transformer=heard, watch=watch, steps=1, evaluation=evaluation, audio_weight=3.0)
    total, video, sound = (metrics(bench, f"eval/{name}")[0] for name in ("loss", "loss_video", "loss_audio"))
    sounding_share = (len(SIZES) - len(SILENT)) / len(SIZES)
    assert total == pytest.approx(video + 3.0 * sounding_share * sound, rel=1e-5)
    silent = {**watch, "held_out_audio": None}
    bench.train("evaluated in silence", transformer=heard, watch=silent, steps=1, evaluation=evaluation)
    assert metrics(bench, "eval/loss")[0] != video
    assert not metrics(bench, "eval/loss_audio")


# --- what is said before it starts ---------------------------------------------------------------------------------


def preflight(bench, transformer, linked=(), **inputs):
    bound = SimpleNamespace(node=SimpleNamespace(light=False), links=dict.fromkeys(linked, "x"))
    context = NodeContext(bench.world, Step("train", bound=bound, index=0))
    problems = list(sounding.problems(transformer, context, inputs))
    return problems, sounding.described(transformer, context, inputs)


def test_the_plan_says_whether_clips_train_with_their_sound(bench, heard):
    assert preflight(bench, heard) == ([], {"sound": "off, nothing is linked to audio"})
    linked = preflight(bench, heard, linked=("audio",))
    assert linked == ([], {"sound": "clips train with theirs, where they have some"})
    known = preflight(bench, heard, audio=audio_of(bench))
    assert known == ([], {"sound": "3 of 5 clips train with theirs"})


def test_an_adapter_that_the_sound_does_not_pass_through_is_warned_of(bench, heard):
    (problem,) = preflight(bench, bench.lora, linked=("audio",))[0]
    assert problem.severity == "warning"
    assert problem.remedy == "write target: attention at ApplyLoRA"


def test_an_adapter_of_the_sound_alone_has_nothing_to_learn_from_silent_clips(bench):
    pattern = r"transformer_blocks\.\d+\.(audio_attn1|video_to_audio_attn)\.to_q"
    deaf = bench.transformer.having(LoRA(rank=2, alpha=2, pattern=pattern))
    (problem,) = preflight(bench, deaf)[0]
    assert (problem.severity, problem.where) == ("error", "inputs.transformer")
    assert preflight(bench, deaf, linked=("audio",))[0] == []
    with pytest.raises(Failure, match=r"nothing that trains takes part in what is said of [a-e]"):
        bench.train("deaf", transformer=deaf, steps=1, gradient_checkpointing=True)


def test_an_evaluation_of_another_task_is_warned_of(bench, heard):
    (problem,) = preflight(bench, heard, linked=("audio", "held_out_latents"))[0]
    assert "not to held_out_audio" in problem.message
    assert preflight(bench, heard, linked=("audio", "held_out_latents", "held_out_audio"))[0] == []


def test_sound_for_a_family_without_is_an_error(bench):
    from vflow.nodes.models import source
    from vflow.nodes.values import Transformer

    other = Transformer(source=source.resolve("tiny://sana", "transformer", bench.context()))
    (problem,) = preflight(bench, other, linked=("audio",))[0]
    assert (problem.severity, problem.where) == ("error", "inputs.audio")
    assert preflight(bench, other) == ([], {})


def test_the_weight_is_in_the_key_once_it_is_not_one():
    plain = TrainLoop().key_settings()
    assert TrainLoop(audio_weight=1.0).key_settings() == plain
    assert TrainLoop(audio_weight=0.0).key_settings() != plain
