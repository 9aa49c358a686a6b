"""The sound of clip windows to latents."""

import pytest

from vflow.engine.problems import Failure
from vflow.nodes.encode import EncodeAudio
from vflow.nodes.families.exchange import Sound


@pytest.fixture
def heard(studio):
    """Write a clip with a tone and return a window on some of its frames."""

    def make(name, pitch=330.0, frames=25, first=0, length=17):
        import numpy as np

        from vflow.engine.keys import digest_file
        from vflow.nodes.data.decode import write_video
        from vflow.nodes.values import Window

        path = studio.folder / "heard" / name  # apart from the silent clips of other files
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            time = np.arange(24000 * frames // 25) / 24000
            wave = np.stack([0.5 * np.sin(2 * np.pi * pitch * time), 0.3 * np.sin(4 * np.pi * pitch * time)])
            pixels = np.zeros((frames, 64, 64, 3), np.uint8)
            write_video(path, pixels, 25.0, sound=Sound(wave.astype(np.float32), 24000))
        digest = digest_file(path)
        studio.context.locate(digest, path)
        studio.context.label(digest, name)
        size = {"scaled": (64, 64), "offset": (0, 0), "width": 64, "height": 64}
        return Window(clip=digest, indices=tuple(range(first, first + length)), fps=25.0, **size)

    return make


def encode(studio, *windows, **settings):
    return list(EncodeAudio(**settings).run(studio.context, studio.vae, studio.clips(*windows)))


def test_latents_are_those_of_the_family_for_the_windows_own_sound(studio, heard):
    from fractions import Fraction

    import torch

    from vflow.nodes.data.sound import cut

    window = heard("tone.mp4", first=5)
    (latent,) = encode(studio, window)
    assert (latent.silent, latent.seconds) == (False, 17 / 25)
    wave = cut(studio.folder / "heard" / "tone.mp4", Fraction(5, 25), Fraction(17, 25), 16000, 2)
    with studio.context.load(studio.vae) as live:
        (wanted,) = studio.vae.family.encode_audio(live, torch.from_numpy(wave)[None], 17 / 25)
    found = studio.tensors_of(latent)["latents"]
    assert found.shape == (17, 8)
    assert torch.equal(found, wanted)
    (start,) = encode(studio, heard("tone.mp4"))
    assert start.identity != latent.identity


@pytest.mark.parametrize("workers", [0, 3])
def test_neither_threads_nor_neighbours_change_a_bit(studio, heard, workers):
    windows = [heard(f"many {number}.mp4", pitch=200.0 + 50 * number) for number in range(4)]
    usual = [value.identity for value in encode(studio, *windows)]
    assert len(set(usual)) == 4
    assert [v.identity for v in encode(studio, *reversed(windows), decode_workers=workers)] == usual[::-1]


def test_a_silent_clip_is_kept_as_silent_and_those_in_between_are_encoded(studio, heard):
    silent = studio.clip("silent.mp4")
    found = encode(studio, heard("a.mp4"), silent, heard("b.mp4", pitch=500.0))
    assert [latent.silent for latent in found] == [False, True, False]
    assert studio.tensors_of(found[1]) == {}
    assert found[1].seconds == 9 / 25


def test_where_sound_is_demanded_a_silent_clip_is_named(studio, heard):
    results = EncodeAudio(silent="error").run(
        studio.context, studio.vae, studio.clips(heard("first.mp4"), studio.clip("mute.mp4"))
    )
    assert not next(results).silent
    with pytest.raises(Failure, match=r"^mute\.mp4 has no sound.*silent: isolate"):
        next(results)


def test_that_is_known_before_anything_heavy_starts(studio, heard):
    from vflow.nodes.data.clips import footage_of

    windows = [heard("known.mp4"), studio.clip("quiet.mp4"), studio.clip("still life.mp4")]
    for window in windows:
        footage_of(studio.context, window.clip, studio.context.path_of(window.clip))
    clips = studio.clips(*windows)

    def said(node, given=clips):
        return list(node.preflight(studio.context, vae=studio.vae, clips=given))

    assert said(EncodeAudio()) == []
    assert studio.context._step.facts["windows with sound"] == 1
    assert studio.context._step.facts["windows without"] == 2
    (problem,) = said(EncodeAudio(silent="error"))
    assert str(problem).startswith("silent: 2 clips have no sound track: quiet.mp4, still life.mp4; ")
    (problem,) = said(EncodeAudio(), studio.clips(*windows[1:]))
    assert (problem.severity, "none of the clips" in problem.message) == ("warning", True)
    assert said(EncodeAudio(silent="error"), studio.clips(windows[0])) == []
    assert said(EncodeAudio(silent="error"), None) == []


def test_families_without_sound_are_refused(studio):
    from vflow.nodes.models import source
    from vflow.nodes.values import VAE

    vae = VAE(source=source.resolve("tiny://sana", "vae", studio.context))
    (problem,) = EncodeAudio().preflight(studio.context, vae=vae, clips=None)
    assert "Sana Video has no sound" in problem.message
    with pytest.raises(Failure, match="has no sound"):
        vae.family.sound_format(None)
    with pytest.raises(Failure, match="has no sound"):
        vae.family.encode_audio(None, None, 1.0)


def test_a_window_too_short_for_any_token_of_sound_is_silent(studio, heard):
    (latent,) = encode(studio, heard("short.mp4", length=1).model_copy(update={"fps": 100.0}))
    assert latent.silent


def test_sound_that_is_not_finite_is_refused_with_the_clips_name(studio, heard, monkeypatch):
    import torch

    monkeypatch.setattr(
        type(studio.vae.family), "encode_audio", lambda *_: torch.full((1, 17, 8), float("nan")), raising=True
    )
    with pytest.raises(Failure, match=r"loud\.mp4 .*not finite"):
        encode(studio, heard("loud.mp4"))


def test_only_what_changes_latents_is_part_of_the_key():
    plain = EncodeAudio().key_settings()
    assert EncodeAudio(decode_workers=0).key_settings() == plain
    for settings in ({"silent": "error"}, {"dtype": "bfloat16"}):
        assert EncodeAudio(**settings).key_settings() != plain
