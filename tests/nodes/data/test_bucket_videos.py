"""A folder of clips becomes training samples, or one clear word about why not."""

import os
import shutil
from fractions import Fraction

import pytest
from pydantic import ValidationError

from vflow.engine.keys import digest
from vflow.engine.problems import GraphError
from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.data.decode import decode
from vflow.nodes.values import VAE, Source


@pytest.fixture
def scan(folder, vae, context):
    def run(in_context=context, **settings):
        given = {"source": str(folder), "resolution": 64, "frames": 17, **settings}
        return BucketVideos(**given).run(in_context, vae)

    return run


@pytest.fixture
def problems(scan):
    """Scan, and return the problems by where they are."""

    def run(**settings):
        with pytest.raises(GraphError) as error:
            scan(**settings)
        return [(problem.where, problem.message, problem.remedy) for problem in error.value.problems]

    return run


@pytest.fixture
def three_clips(make_clip):
    return [
        make_clip("a.mp4", seed=1, caption="one"),
        make_clip("sub/b.MOV", seed=2, caption="two", size=(64, 96)),
        make_clip("c.mkv", seed=3, caption="three", fps=50, frames=60),
    ]


def names(items, context):
    return sorted(context.label_of(window.clip) for window in items)


# --- what comes out --------------------------------------------------------------------------------------------------


def test_every_clip_becomes_a_window_with_its_caption(scan, three_clips, context):
    found = scan()
    assert found.clips.rows == found.captions.rows == tuple(sorted(found.clips.rows))
    assert names(found.clips, context) == ["a.mp4", "c.mkv", "sub/b.MOV"]
    for row, window in found.clips.items():
        caption = found.captions.by_row()[row]
        assert row == digest([window.identity, caption.text])[:32]
        assert context.path_of(window.clip).with_suffix(".txt").read_text() == caption.text
        assert decode(context.path_of(window.clip), window).shape == (17, window.height, window.width, 3)
    assert len(found.held_out_clips) == len(found.held_out_captions) == 0


def test_frames_are_resampled_to_the_wanted_rate(scan, three_clips, context):
    windows = {context.label_of(window.clip): window for window in scan().clips}
    assert windows["a.mp4"].indices == tuple(range(17))
    assert windows["c.mkv"].indices == tuple(range(0, 34, 2))
    assert windows["c.mkv"].fps == 25.0


def test_rows_windows_and_clips_have_names_for_people(scan, make_clip, context):
    make_clip("sub/a.mp4")
    found = scan(windows="middle")
    (row,) = found.clips.rows
    assert context.label_of(row) == context.label_of(found.clips[0].identity) == "sub/a.mp4 [4-20]"
    assert context.label_of(found.clips[0].clip) == "sub/a.mp4"


def test_the_report_tells_the_buckets(scan, three_clips, context):
    scan()
    assert context.said.facts["fps"] == 25
    assert [(b["size"], b["frames"], b["windows"], b["crop"]) for b in context.said.facts["buckets"]] == [
        ("64x96", 17, 1, 0.0),
        ("96x64", 17, 2, 0.0),
    ]


def test_a_clip_goes_to_the_size_that_crops_it_least(scan, make_clip, context):
    make_clip(size=(160, 120))
    (window,) = scan().clips
    assert (window.width, window.height, window.scaled, window.offset) == (96, 64, (96, 72), (0, 4))
    assert context.said.facts["buckets"][0]["crop"] == round(1 - 64 / 72, 4)


def test_a_turned_clip_is_measured_as_it_is_shown(scan, make_clip):
    make_clip(size=(96, 64), rotation=90)
    (window,) = scan().clips
    assert (window.rotation, window.width, window.height) == (90, 64, 96)


def test_all_windows_of_a_long_clip(scan, make_clip):
    make_clip(frames=60)
    assert sorted(window.indices[0] for window in scan(windows="all").clips) == [0, 17, 34]
    assert sorted(window.indices[0] for window in scan(windows="all", stride=20).clips) == [0, 20, 40]
    assert len(scan(windows="random", windows_per_clip=4).clips) == 4


def test_frame_buckets_let_shorter_clips_take_fewer_frames(scan, make_clip, context):
    for name, frames in (("a.mp4", 40), ("b.mp4", 20), ("c.mp4", 12), ("d.mp4", 5)):
        make_clip(name, frames=frames, seed=frames)
    found = scan(group="size_frames", frames=33)
    assert sorted(window.frames for window in found.clips) == [9, 17, 33]
    assert context.said.left_out == {"d.mp4": "has 5 frames at 25 fps, needs 9"}
    assert sorted(window.frames for window in scan(group="size_frames", frame_buckets=(1, 17)).clips) == [1, 1, 17, 17]


def test_a_written_size_is_used_for_every_clip(scan, three_clips):
    assert {(window.width, window.height) for window in scan(resolution="64x32").clips} == {(64, 32)}
    sizes = {(window.width, window.height) for window in scan(resolution=("64x64", "32x64")).clips}
    assert sizes == {(64, 64), (32, 64)}


# --- what changes, and what does not ---------------------------------------------------------------------------------


def outputs(found):
    return [found.clips.identity, found.captions.identity, found.held_out_clips.identity]


def test_renaming_and_touching_change_nothing(scan, three_clips, folder, new_context):
    before = outputs(scan())
    (folder / "other").mkdir()
    for suffix in (".mp4", ".txt"):
        shutil.move(folder / f"a{suffix}", folder / "other" / f"z{suffix}")
    os.utime(folder / "c.mkv")
    context = new_context()
    found = scan(context)
    assert outputs(found) == before
    assert all(context.path_of(window.clip).exists() for window in found.clips)


def test_another_caption_changes_its_row_and_no_window(scan, three_clips, folder):
    before = scan()
    (folder / "a.txt").write_text("another")
    after = scan()
    assert {w.identity for w in after.clips} == {w.identity for w in before.clips}
    assert len(set(after.clips.rows) & set(before.clips.rows)) == 2


def test_space_around_a_caption_and_a_byte_order_mark_change_nothing(scan, three_clips, folder):
    before = outputs(scan())
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbf \n one\r\n")
    assert outputs(scan()) == before


def test_a_replaced_clip_changes_its_window_only(scan, three_clips, make_clip):
    before = {window.identity for window in scan().clips}
    make_clip("a.mp4", seed=9, caption="one")
    assert len({window.identity for window in scan().clips} & before) == 2


def test_holding_out_does_not_depend_on_other_clips(scan, make_clip, context):
    for number in range(8):
        make_clip(f"{number}.mp4", seed=number)
    few = scan(hold_out=0.4)
    held = set(names(few.held_out_clips, context))
    assert 0 < len(held) < 8
    assert held.isdisjoint(names(few.clips, context))
    for number in range(8, 20):
        make_clip(f"{number}.mp4", seed=number)
    more = scan(hold_out=0.4)
    assert held == {name for name in names(more.held_out_clips, context) if int(name[:-4]) < 8}
    assert set(few.held_out_clips.rows) <= set(more.held_out_clips.rows)
    assert context.said.facts["held_out"] == len(more.held_out_clips)


def test_a_share_that_holds_out_nothing_is_warned_of(scan, make_clip, context):
    make_clip()
    scan(hold_out=1e-9)
    assert any("holds out none" in message for level, message in context.said.logs if level == "warning")


def test_a_second_scan_probes_nothing(scan, three_clips, context, monkeypatch):
    scan()
    assert context.probed == 3
    monkeypatch.setattr("vflow.nodes.data.probe.probe", lambda path: pytest.fail("probed again"))
    scan()


def test_the_same_clip_and_caption_twice_is_one_sample(scan, make_clip, context):
    path = make_clip("a.mp4")
    for suffix in (".mp4", ".txt"):
        shutil.copy(path.with_suffix(suffix), path.with_name(f"b{suffix}"))
    assert len(scan().clips) == 1
    assert context.said.left_out == {"b.mp4 [0-16]": "has the same frames and caption as a.mp4 [0-16]"}


def test_the_same_clip_with_two_captions_is_two_samples_of_one_window(scan, make_clip):
    path = make_clip("a.mp4", caption="one")
    shutil.copy(path, path.with_name("b.mp4"))
    path.with_name("b.txt").write_text("two")
    found = scan()
    assert len(set(found.clips.rows)) == 2
    assert len({window.identity for window in found.clips}) == 1


# --- what is left out ------------------------------------------------------------------------------------------------


def test_broken_and_short_clips_are_left_out_with_the_reason(scan, make_clip, folder, context):
    make_clip("good.mp4")
    make_clip("short.mp4", frames=16, seed=2)
    (folder / "notes.mp4").write_text("notes\n" * 99)
    (folder / "empty.mp4").touch()
    (folder / "gone.mp4").symlink_to(folder / "elsewhere.mp4")
    assert names(scan().clips, context) == ["good.mp4"]
    assert context.said.left_out["short.mp4"] == "has 16 frames at 25 fps, needs 17"
    assert "no video file" in context.said.left_out["notes.mp4"]
    assert context.said.left_out["empty.mp4"] == "is empty"
    assert "cannot read" in context.said.left_out["gone.mp4"]
    assert (folder / "notes.mp4").exists()


def test_broken_clips_stop_where_asked_all_of_them_named(problems, make_clip, folder):
    make_clip("good.mp4")
    for name in ("notes.mp4", "more.mkv"):
        (folder / name).write_text("notes\n" * 99)
    found = problems(on_error="stop")
    assert [message.split()[0] for _, message, _ in found] == ["more.mkv", "notes.mp4"]
    assert all("on_error: skip" in remedy for _, _, remedy in found)


def test_clips_without_caption_can_be_left_out_or_trained_empty(scan, make_clip, context):
    make_clip("a.mp4", caption="one")
    make_clip("b.mp4", caption=None, seed=2)
    make_clip("c.mp4", caption=" \n", seed=3)
    assert names(scan(on_missing_caption="skip").clips, context) == ["a.mp4"]
    assert context.said.left_out == {"b.mp4": "has no caption (b.txt)", "c.mp4": "has an empty caption (c.txt)"}
    assert sorted(caption.text for caption in scan(on_missing_caption="empty").captions) == ["", "", "one"]


def test_clips_that_would_lose_too_much_can_be_left_out(scan, make_clip, context):
    make_clip("a.mp4")
    make_clip("wide.mp4", size=(256, 64), seed=2)
    assert names(scan(max_crop=0.2).clips, context) == ["a.mp4"]
    assert context.said.left_out == {"wide.mp4": "would lose 38% of its picture, more than max_crop"}


def test_small_and_slow_clips_are_warned_of(scan, make_clip, context):
    make_clip("small.mp4", size=(48, 32), fps=10, frames=30)
    (window,) = scan().clips
    assert window.indices[:6] == (0, 0, 1, 1, 2, 2)
    warnings = [message for level, message in context.said.logs if level == "warning"]
    assert any("small.mp4 (10 fps)" in message for message in warnings)
    assert any("small.mp4 (48x32)" in message for message in warnings)
    assert context.said.facts["buckets"][0]["upscaled"] == 1
    with pytest.raises(GraphError, match=r"no clip is left, 1 were left out: small\.mp4 is 48x32"):
        scan(upscale="leave_out")


def test_hidden_files_are_passed_over_and_linked_folders_visited_once(scan, make_clip, folder, context):
    make_clip("sub/a.mp4")
    make_clip(".hidden/b.mp4", seed=2)
    make_clip("._c.mp4", seed=3)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "linked").symlink_to(folder / "sub")
    assert names(scan().clips, context) == ["linked/a.mp4"]


def test_variable_frame_rates_are_resampled_by_time(scan, make_clip):
    make_clip("a.mkv", frames=8, times=[0, 40, 80, 120, 480, 520, 560, 600])
    (window,) = scan(frames=9, windows="start").clips
    assert window.indices == (0, 1, 2, 3, 3, 3, 3, 3, 4)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_frames_and_sizes_that_break_the_rule_are_refused_with_the_nearest(problems, make_clip):
    make_clip()
    assert problems(frames=61)[0][0] == "frames"
    assert "8k+1" in problems(frames=61)[0][1]
    assert problems(frames=61)[0][2] == "use 57 or 65"
    assert problems(resolution=500)[0][::2] == ("resolution", "use 480 or 512")
    assert problems(resolution="768x500")[0][::2] == ("resolution", "use 768x480 or 768x512")
    assert problems(group="size_frames", frame_buckets=(9, 12))[0][::2] == ("frame_buckets", "use 9 or 17")


def test_sizes_and_frames_are_rounded_where_that_is_asked_for(scan, make_clip):
    make_clip(size=(192, 128), frames=40)
    (window,) = scan(resolution="100x70", frames=30, round="nearest").clips
    assert (window.width, window.height, window.frames) == (96, 64, 33)
    (window,) = scan(resolution=70, frames=30, round="down").clips
    assert (window.width, window.height, window.frames) == (96, 64, 25)


def test_an_area_lets_each_clip_keep_its_shape(scan, make_clip):
    make_clip("a.mp4", size=(192, 96))
    make_clip("b.mp4", size=(96, 160), seed=2)
    sizes = {(window.width, window.height) for window in scan(resolution="0.0125MP").clips}
    assert sizes == {(128, 96), (96, 128)}
    assert all(width * height <= 12_500 for width, height in sizes)


def test_what_is_left_out_is_the_family_s_own(scan, make_clip, vae):
    usual = vae.family.sampling
    make_clip(frames=usual.frames, size=(usual.width // 8, usual.height // 8))
    (window,) = scan(resolution=None, frames=None).clips
    assert (window.width, window.height, window.frames) == (usual.width, usual.height, usual.frames)


def test_a_rate_that_the_family_was_not_made_for_is_warned_of(vae):
    def warnings(fps):
        node = BucketVideos(source="clips", fps=fps)
        return [(problem.where, problem.severity) for problem in node.preflight(None, vae=vae)]

    assert warnings(None) == warnings(24) == warnings(25.0) == []
    assert warnings(12) == warnings(60) == [("fps", "warning")]


@pytest.mark.parametrize(
    ("fps", "jitters"), [(25, False), (50, False), (25.2, False), (30, True), (60, True), (40, True)]
)
def test_clips_whose_rate_does_not_go_into_the_family_s_are_warned_of(scan, make_clip, context, fps, jitters):
    make_clip(fps=fps, frames=60)
    scan()
    assert any("motion may jitter: a.mp4" in message for _, message in context.said.logs) == jitters


def test_captions_without_motion_are_warned_of(scan, make_clip, context):
    make_clip("a.mp4", caption="a bowl of fruit on a table")
    make_clip("b.mp4", caption="a castle on a hill", seed=2)
    make_clip("c.mp4", caption="a dog runs along the beach", seed=3)
    scan()
    (told,) = [message for level, message in context.said.logs if level == "warning"]
    assert told.startswith("2 of 3 captions have no word of motion (a.mp4, b.mp4)")


def test_short_captions_are_warned_of_where_the_family_wants_long_ones(make_clip, folder, context):
    make_clip("a.mp4", caption="a dog runs")
    sana = VAE(source=Source(family="sana", part="vae", content="0" * 64, model="tiny://sana", kind="tiny"))
    BucketVideos(source=str(folder), resolution=64, frames=9).run(context, sana)
    assert any("1 of 1 captions are short (a.mp4): Sana Video wants" in message for _, message in context.said.logs)


def test_everything_that_is_wrong_is_told_at_once(problems, make_clip, folder):
    make_clip("a.mp4", caption=None)
    make_clip("b.mp4")
    (folder / "b.txt").write_bytes(b"caf\xe9")
    (folder / "notes.mp4").write_text("notes")
    told = problems(frames=61, resolution=500, on_error="stop")
    assert [where for where, _, _ in told] == ["frames", "resolution", "source", "source", "source"]
    messages = " | ".join(message for _, message, _ in told)
    for part in ("notes.mp4 is damaged", "b.txt is not UTF-8", "1 clip has no caption: a.mp4"):
        assert part in messages


def test_no_folder_no_clips_no_captions(problems, make_clip, folder):
    assert "no clips in" in problems()[0][1]
    assert "there is no folder" in problems(source=str(folder / "missing"))[0][1]
    assert "is no folder" in problems(source="https://example.org/clips")[0][1]
    path = make_clip("a.mp4", caption=None)
    make_clip("b.mp4", caption=None)
    assert "no captions: none of the 2 clips" in problems()[0][1]
    assert "is a file" in problems(source=str(path))[0][1]


def test_every_clip_too_short_names_what_would_fit(problems, make_clip):
    make_clip("a.mp4", frames=20)
    make_clip("b.mp4", frames=12, seed=2)
    ((where, message, remedy),) = problems(frames=57)
    assert (where, remedy) == ("frames", "use frames: 17 or fewer, or longer clips")
    assert message == "every clip is too short: none has 57 frames at 25 fps, the longest has 20"


def test_no_clip_left_is_an_error_with_reasons(problems, folder):
    (folder / "notes.mp4").write_text("notes")
    assert "no clip is left, 1 were left out: notes.mp4 is damaged" in problems()[0][1]


def test_holding_everything_out_is_refused(problems, make_clip):
    make_clip()
    assert problems(hold_out=0.999999)[0][0] == "hold_out"


@pytest.mark.parametrize(
    "settings",
    [
        {"resolution": "64"},
        {"resolution": "0x64"},
        {"resolution": ()},
        {"resolution": True},
        {"frames": 0},
        {"frames": 17.0},
        {"fps": 0},
        {"hold_out": 1.0},
        {"windows_per_clip": 2},
        {"windows": "random", "stride": 2},
        {"frame_buckets": (9,)},
        {"caption_extension": "txt"},
        {"caption_extension": "./../x"},
        {"windows": "end"},
    ],
)
def test_settings_out_of_bounds_are_refused_when_read(settings):
    with pytest.raises(ValidationError):
        BucketVideos(**{"source": "clips", "resolution": 64, "frames": 17, **settings})


def test_pixels_that_are_not_square_are_made_so(scan, make_clip):
    make_clip(size=(72, 64), sar=Fraction(4, 3))
    (window,) = scan().clips
    assert (window.width, window.height, window.scaled) == (96, 64, (96, 64))
