"""Clips of a run on a screen: chosen by prompt and by step, played, put beside each other."""

import subprocess
import sys

import pytest
from textual.app import App
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Footer

from tests.tui import clips as drawn
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.run.clips import ClipPair, Clips
from vflow.tui.run.strips import StageLine, TimeLine

RED, BLUE, GREEN = drawn.ROWS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return drawn.write_run(tmp_path_factory.mktemp("runs") / "run-1", frames=6)


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    return drawn.write_run(tmp_path_factory.mktemp("runs") / "run-2", steps=(150, 300, 450), frames=6)


class ClipApp(App):
    CSS = "Clips { border: round $border-blurred; } Clips:focus { border: round $border; }"

    def __init__(self, clips=None, glyphs=UNICODE):
        super().__init__()
        self.clips, self.glyphs = clips or Clips(), glyphs

    def compose(self):
        self.clips.border_title = "clips"
        yield self.clips
        yield Footer()

    def on_mount(self):
        self.clips.focus()

    @property
    def paths(self):
        return [sample and sample.path.relative_to(sample.path.parents[2]).as_posix() for sample in self.clips.samples]

    @property
    def frames(self):
        return [player.frame for player in self.clips.players]


async def until(pilot, condition):
    for _ in range(400):
        await pilot.pause(0.01)
        if condition():
            return
    raise AssertionError("it never came to that")


async def settled(pilot):
    """Wait until everything that is asked for is decoded, or told to be impossible."""
    clips = pilot.app.clips

    def done():
        players = clips.players
        return len(players) == clips.choice.sides and all(
            player.problem or (player.film and player.film.whole and player.film.path == sample.path)
            for player, sample in zip(players, clips.samples, strict=True)
        )

    await until(pilot, done)
    await pilot.pause()
    await pilot.pause()


async def opened(pilot, *folders):
    pilot.app.clips.look(*((folder, ()) for folder in folders))
    await until(pilot, lambda: pilot.app.clips.choice.prompts)
    await settled(pilot)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_clips_on_a_screen(size, same_screen, run):
    app = ClipApp()
    async with app.run_test(size=size) as pilot:
        await opened(pilot, run)
        await pilot.press("left", *["full_stop"] * 3)
        await settled(pilot)
        same_screen(app, f"clips_{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_two_steps_on_a_screen(size, same_screen, run):
    app = ClipApp()
    async with app.run_test(size=size) as pilot:
        await opened(pilot, run)
        await pilot.press("down", "b")
        await settled(pilot)
        await pilot.press(*["full_stop"] * 4)
        await settled(pilot)
        same_screen(app, f"clips_beside_{size[0]}x{size[1]}")


async def test_two_runs_on_a_screen(same_screen, run, other_run):
    app = ClipApp(ClipPair())
    async with app.run_test(size=(80, 24)) as pilot:
        app.clips.compare(run, other_run)
        await until(pilot, lambda: app.clips.choice.prompts)
        await settled(pilot)
        await pilot.press("left", "left")
        await settled(pilot)
        assert app.paths == [f"samples/step-000300/{RED}.mp4", f"samples/step-000300/{RED}.mp4"]
        assert app.clips.players[1].film.path == other_run / f"samples/step-000300/{RED}.mp4"
        same_screen(app, "clips_pair_80x24")


async def test_clips_in_ascii_on_a_screen(same_screen, run):
    app = ClipApp(glyphs=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.press(*["full_stop"] * 3)
        await settled(pilot)
        same_screen(app, "clips_ascii_80x24")


async def test_steps_go_left_and_right_and_prompts_up_and_down(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        assert app.paths == [f"outputs/videos/{RED}.mp4"]
        await pilot.press("left")
        assert app.paths == [f"samples/step-000300/{RED}.mp4"]
        await pilot.press("home", "right", "down")
        assert app.paths == [f"samples/step-000200/{BLUE}.mp4"]
        await pilot.press("end", "up")
        assert app.paths == [f"outputs/videos/{RED}.mp4"]
        await settled(pilot)
        assert app.clips.players[0].film.path == run / app.paths[0]


async def test_a_clip_plays_and_stands_still(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        assert app.frames == [0]
        await pilot.press("space")
        await until(pilot, lambda: app.frames[0] > 1)
        await pilot.press("space")
        frame = app.frames
        assert not app.clips.clock.playing
        await pilot.pause(0.3)  # more than two frames of eight a second
        assert app.frames == frame


async def test_while_nobody_looks_no_time_passes(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        app.clips.display = False
        app.clips.action_play()
        await pilot.pause(0.3)
        assert app.clips.clock.at == 0
        app.clips.display = True
        await until(pilot, lambda: app.frames[0] > 1)


async def test_frames_go_one_by_one(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.press("full_stop", "full_stop", "comma")
        assert app.frames == [1]
        await pilot.press(*["full_stop"] * 6)
        assert app.frames == [5]
        await pilot.press(*["comma"] * 6)
        assert app.frames == [0]


async def test_two_steps_play_at_one_time(run):
    app = ClipApp()
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot, run)
        await pilot.press("b")
        await settled(pilot)
        assert app.paths == [f"samples/step-000100/{RED}.mp4", f"outputs/videos/{RED}.mp4"]
        await pilot.press("full_stop", "full_stop")
        assert app.frames == [2, 2]
        await pilot.press("left", "w", "right")
        assert app.paths == [f"samples/step-000200/{RED}.mp4", f"samples/step-000300/{RED}.mp4"]
        await pilot.press("b")
        await until(pilot, lambda: len(app.clips.players) == 1)
        assert app.paths == [f"samples/step-000200/{RED}.mp4"]


async def test_the_mouse_plays_seeks_steps_and_chooses(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot._post_mouse_events([MouseScrollDown], "Picture", offset=(40, 8))
        assert app.frames == [1]
        await pilot._post_mouse_events([MouseScrollUp], "Picture", offset=(40, 8))
        assert app.frames == [0]
        await pilot.click(TimeLine, offset=(40, 0))
        assert 2 <= app.frames[0] <= 3
        await pilot.click(StageLine, offset=(3, 0))
        assert app.paths == [f"samples/step-000100/{RED}.mp4"]
        await settled(pilot)
        await pilot.click("Picture", offset=(40, 8))
        assert app.clips.clock.playing
        await pilot.click("Picture", offset=(40, 8))
        assert not app.clips.clock.playing


async def test_new_clips_take_the_place_of_the_newest(tmp_path):
    run = drawn.write_run(tmp_path / "run", steps=(100,), prompts=1, frames=3)
    (run / f"outputs/videos/{RED}.mp4").unlink()
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        assert app.paths == [f"samples/step-000100/{RED}.mp4"]
        drawn.write_clip(run / f"samples/step-000200/{RED}.mp4", frames=3)
        app.clips.look((run, ()))
        await until(pilot, lambda: app.paths == [f"samples/step-000200/{RED}.mp4"])
        await settled(pilot)
        assert len(app.clips.players[0].film.frames) == 3


async def test_what_is_wrong_stands_in_the_clips_place(tmp_path):
    run = drawn.write_run(tmp_path / "run", steps=(100, 200), prompts=1, frames=3)
    (run / f"samples/step-000200/{RED}.mp4").write_bytes(b"half of it")
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.press("left")
        await settled(pilot)
        assert app.clips.players[0].problem == f"{RED}.mp4 is no clip, or is damaged or not whole yet"
        (run / f"samples/step-000100/{RED}.mp4").unlink()
        await pilot.press("left")
        await settled(pilot)
        assert app.clips.players[0].problem == f"{RED}.mp4 is gone"
        await pilot.press("space", "full_stop", "comma")
        await pilot.press("end")
        await settled(pilot)
        assert app.clips.players[0].problem == ""
        assert app.frames == [0]


async def test_a_run_without_clips_says_so(tmp_path):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.clips.look((tmp_path, ()))
        await until(pilot, lambda: app.clips.players[0].problem)
        assert app.clips.players[0].problem == "no clips yet"
        await pilot.press("space", "left", "up", "full_stop", "b", "w", "y", "home", "end")
        assert app.paths == [None]


async def test_a_tiny_terminal_leaves_the_picture(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.resize_terminal(20, 5)
        await settled(pilot)
        assert not app.clips.query_one(TimeLine).display
        assert app.clips.players[0].cost > 0
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert app.clips.query_one(TimeLine).display
        assert app.frames == [0]


async def test_the_path_of_a_clip_can_be_copied(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.press("y")
        assert app.clipboard == str(run / f"outputs/videos/{RED}.mp4")


async def test_a_picture_of_all_prompts_has_no_time(run):
    app = ClipApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run)
        await pilot.press("up")
        await settled(pilot)
        assert app.paths == ["outputs/strip/picture.png"]
        assert app.clips.query_one(TimeLine).styles.visibility == "hidden"
        await pilot.press("space")
        assert not app.clips.clock.playing
        assert "frame by frame" in app.clips.help_text()


def test_widgets_load_nothing_large_before_there_is_something_to_show():
    heavy = "('torch', 'numpy', 'PIL', 'av', 'plotext', 'textual_image')"
    code = f"import vflow.tui.run.clips, vflow.tui.run.charts, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
