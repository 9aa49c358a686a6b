"""Drawing clips with adapters."""

import pytest

from vflow.engine.problems import Failure, GraphError, Interrupted
from vflow.engine.values import Blob, Items
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.validation import Validate
from vflow.nodes.values import Adapter


def frames_of(stage, video):
    import av

    with av.open(str(stage.context.blob_path(video.blob))) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def test_every_prompt_is_drawn_as_h264_of_the_wanted_size(stage):
    (videos,) = stage.draw(stage.adapter(0.1, step=7))
    assert [video.row for video in videos.videos] == ["square", "disc"]
    assert [video.prompt for video in videos.videos] == ["a red square", "a blue disc"]
    assert {video.step for video in videos.videos} == {videos.step} == {7}
    for video in videos.videos:
        frames = frames_of(stage, video)
        assert len(frames) == 9
        assert frames[0].shape == (64, 64, 3)
    assert dict(videos.plain_files()).keys() == {"square.mp4", "disc.mp4"}


def test_the_same_adapter_and_seed_give_the_same_clips_and_other_ones_do_not(stage):
    weak, strong = stage.adapter(0.0), stage.adapter(0.5)
    first, second, third = stage.draw(weak, strong, weak)
    assert first.identity == third.identity != second.identity
    assert stage.draw(weak, seed=1)[0].identity != first.identity


def test_the_adapter_stands_in_place_of_the_lora_that_trains(stage):
    adapter = stage.adapter(0.5)
    assert stage.draw(adapter)[0].identity == stage.draw(adapter, transformer=stage.transformer)[0].identity


def test_offload_stays_in_force_and_changes_nothing(stage):
    adapter = stage.adapter(0.5)
    offloaded = stage.lora.having(GroupOffloading(device="cpu", force=True))
    assert stage.draw(adapter, transformer=offloaded)[0].identity == stage.draw(adapter)[0].identity


def test_the_base_has_every_bit_again_between_and_after(stage):
    def weights():
        with stage.context.load(stage.transformer) as live:
            module = live.modules()["transformer"]
            return {name: tensor.clone() for name, tensor in module.state_dict().items()}, module

    before, module = weights()
    stage.draw(stage.adapter(0.5), stage.adapter(0.1))
    after, same = weights()
    assert same is module
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_guidance_uses_the_empty_caption_where_no_negative_prompt_is_given(stage):
    adapter = stage.adapter(0.0)
    assert stage.draw(adapter, guidance=4.0)[0].identity != stage.draw(adapter)[0].identity


def test_progress_counts_clips_over_all_adapters(stage):
    stage.draw(stage.adapter(0.0), stage.adapter(0.1))
    told = [(event.done, event.total, event.unit) for event in stage.events if event.kind == "progress"]
    assert told == [(number, 4, "clip") for number in range(1, 5)]


def test_stopping_leaves_in_the_middle_of_a_clip(stage):
    adapter = stage.adapter(0.0)
    stage.world.stopping = True
    with pytest.raises(Interrupted):
        stage.draw(adapter)


def test_an_adapter_that_does_not_fit_is_a_failure(stage):
    import torch

    from vflow.nodes.encoding.tensors import to_bytes

    blob = stage.context.put(to_bytes({"transformer.nowhere.lora_A.weight": torch.zeros(2, 2)}), ".safetensors")
    with pytest.raises(Failure):
        stage.draw(Adapter(blob=blob, family="ltx2", rank=2))


def test_an_adapter_or_a_sampler_of_another_family_is_told_before_anything_is_drawn(stage):
    other = Adapter(blob=Blob(digest="0", size=1), family="other", rank=2)
    inputs = {"transformer": stage.lora, "sampler": stage.sampling(), "adapter": Items.of({"a": other})}
    (problem,) = Validate().preflight(stage.context, **inputs)
    assert "adapter of other" in problem.message
    with pytest.raises(GraphError):
        stage.draw(other)


def test_clips_have_the_sound_that_is_drawn_with_them_unless_it_is_not_wanted(stage):
    import av

    from vflow.nodes.validation import drawing

    adapter = stage.adapter(0.1)
    ((sounding,), (silent,)) = stage.draw(adapter), stage.draw(adapter, sound=False)
    assert sounding.identity != silent.identity
    for one, other in zip(sounding.videos, silent.videos, strict=True):
        with av.open(str(stage.context.blob_path(one.blob))) as file:
            assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac"]
            (stream,) = file.streams.audio
            # 9 latents of sound: 33 columns of 240 samples, at 24 kHz
            assert (stream.rate, stream.channels) == (24000, 2)
            assert float(stream.duration * stream.time_base) == pytest.approx(33 * 240 / 24000, abs=0.05)
            assert max(abs(frame.to_ndarray()).max() for frame in file.decode(stream)) > 1e-3
        with av.open(str(stage.context.blob_path(other.blob))) as file:
            assert not file.streams.audio
        assert all((a == b).all() for a, b in zip(frames_of(stage, one), frames_of(stage, other), strict=True))
    sampler = stage.sampling()
    assert drawing.request_of(sampler, "square", stage.context).sound
