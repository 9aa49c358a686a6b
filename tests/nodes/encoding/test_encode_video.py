"""Clip windows to latents."""

import shutil

import pytest

from vflow.engine.problems import Failure, Interrupted
from vflow.nodes.encode import EncodeVideo


def encode(studio, *windows, **settings):
    return list(EncodeVideo(**settings).run(studio.context, studio.vae, studio.clips(*windows)))


def test_latents_have_the_shape_and_facts_of_their_window(studio):
    (latent,) = encode(studio, studio.clip("wide.mp4", width=96, frames=17))
    assert (latent.frames, latent.height, latent.width, latent.fps) == (17, 64, 96, 25.0)
    assert studio.tensors_of(latent)["latents"].shape == (16, 3, 2, 3)


def test_latents_are_those_of_the_family_for_the_decoded_pixels(studio):
    import torch

    from vflow.nodes.data.decode import decode

    window = studio.clip("parity.mp4")
    (latent,) = encode(studio, window, posterior="mode")
    frames = torch.from_numpy(decode(studio.folder / "parity.mp4", window))
    pixels = frames.permute(3, 0, 1, 2).float() / 127.5 - 1
    with studio.context.load(studio.vae) as live:
        (wanted,) = studio.vae.family.encode_video(live, pixels[None], "mode", None)
    assert torch.equal(studio.tensors_of(latent)["latents"], wanted)


def test_what_of_the_posterior_is_kept_is_the_familys_own_where_nothing_is_said(studio, monkeypatch):
    window = studio.clip("own.mp4")
    assert encode(studio, window)[0].identity == encode(studio, window, posterior="sample")[0].identity
    monkeypatch.setattr(type(studio.vae.family), "posterior", "mode")
    assert encode(studio, window)[0].identity == encode(studio, window, posterior="mode")[0].identity


def test_posterior_noise_belongs_to_the_window_and_not_to_its_place(studio):
    first, second = studio.clip("first.mp4"), studio.clip("second one.mp4")
    forward, backward = encode(studio, first, second), encode(studio, second, first)
    assert [studio.bytes_of(v) for v in forward] == [studio.bytes_of(v) for v in reversed(backward)]
    assert encode(studio, first, posterior="mode")[0].identity != forward[0].identity


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_that_decode_change_no_bit(studio, workers):
    windows = [studio.clip(f"thread {number}.mp4", frames=9) for number in range(4)]
    usual = [value.identity for value in encode(studio, *windows)]
    assert [value.identity for value in encode(studio, *windows, decode_workers=workers)] == usual


def test_a_batch_of_windows_gives_the_same_up_to_rounding_and_never_mixes_sizes(studio):
    import torch

    sizes = [(64, 64), (64, 64), (96, 64), (64, 64)]
    windows = [studio.clip(f"batch {i}.mp4", width=w, height=h) for i, (w, h) in enumerate(sizes)]
    for one, batched in zip(encode(studio, *windows), encode(studio, *windows, batch_size=3), strict=True):
        found, wanted = studio.tensors_of(batched)["latents"], studio.tensors_of(one)["latents"]
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, atol=1e-3)


def test_latents_can_be_kept_in_half_the_space(studio):
    window = studio.clip("half.mp4")
    (latent,) = encode(studio, window, dtype="bfloat16")
    assert str(studio.tensors_of(latent)["latents"].dtype) == "torch.bfloat16"


def test_a_clip_that_cannot_be_decoded_is_named_and_those_before_it_are_kept(studio):
    good, bad = studio.clip("good.mp4"), studio.clip("bad.mp4")
    too_long = bad.model_copy(update={"indices": (0, 500)})
    results = EncodeVideo().run(studio.context, studio.vae, studio.clips(good, too_long))
    next(results)
    with pytest.raises(Failure, match=r"^bad\.mp4 .*500"):
        next(results)


def test_a_clip_that_was_replaced_since_it_was_read_is_not_encoded_under_its_old_name(studio):
    window = studio.clip("replaced.mp4")
    studio.clip("other.mp4", frames=17)
    shutil.copy(studio.folder / "other.mp4", studio.folder / "replaced.mp4")
    with pytest.raises(Failure, match=r"replaced\.mp4 has changed"):
        encode(studio, window)


def test_a_clip_that_is_gone_is_named(studio):
    window = studio.clip("gone.mp4")
    (studio.folder / "gone.mp4").unlink()
    with pytest.raises(Failure, match=r"gone\.mp4"):
        encode(studio, window)


def test_latents_that_are_not_finite_are_refused_with_the_clip_s_name(studio, monkeypatch):
    import torch

    def broken(_self, _vae, pixels, *_noise):
        return torch.full((len(pixels), 16, 2, 2, 2), float("nan"))

    monkeypatch.setattr(type(studio.vae.family), "encode_video", broken)
    with pytest.raises(Failure, match=r"dark\.mp4 .*not finite"):
        encode(studio, studio.clip("dark.mp4"))


def test_tiling_is_switched_off_again(studio):
    encode(studio, studio.clip("tiled.mp4"), tiling=True)
    with studio.context.load(studio.vae) as live:
        assert not live.modules()["vae"].use_tiling


def test_stopping_leaves_between_two_clips(studio):
    windows = studio.clips(*(studio.clip(f"stop {number}.mp4") for number in range(3)))
    results = EncodeVideo().run(studio.context, studio.vae, windows)
    next(results)
    studio.world.stopping = True
    with pytest.raises(Interrupted):
        next(results)


def test_only_what_changes_latents_is_part_of_the_key():
    plain = EncodeVideo().key_settings()
    assert EncodeVideo(batch_size=4, decode_workers=0).key_settings() == plain
    for settings in ({"posterior": "mode"}, {"tiling": True}, {"dtype": "bfloat16"}):
        assert EncodeVideo(**settings).key_settings() != plain
