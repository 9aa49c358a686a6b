"""Two runs side by side: settings in the engine's words, nodes by key, metrics, curves over each other."""

import json
import re

import pytest
from PIL import Image
from textual.app import App

from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.run.charts import Chart
from vflow.tui.run.clips import ClipPair
from vflow.tui.runs.compare_screen import CompareScreen
from vflow.tui.table import Table


class Host(App):
    """What the screen asks of the app, written down."""

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (120, "-wide")]

    def __init__(self, screen, glyphs=UNICODE):
        super().__init__()
        self.first, self.glyphs, self.did = screen, glyphs, []

    def on_mount(self):
        self.push_screen(self.first)

    def open_run(self, folder):
        self.did.append(folder.name)


async def until(pilot, condition):
    for _ in range(400):
        await pilot.pause()
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come to that")


def lines(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def settled(run, seconds=61.5):
    """Say of a run that it and each of its nodes took so long: no two runs take the same time."""
    summary = json.loads((run / "summary.json").read_text())
    for node in summary["nodes"].values():
        node["seconds"] = 3.0 if node["items"]["computed"] else 0.0
    (run / "summary.json").write_text(json.dumps(summary | {"seconds": seconds}))
    return run


@pytest.fixture
def two(toy_run, monkeypatch):
    """Two runs that differ in a setting of the walk and in the words."""
    one = settled(toy_run("sana_lora", steps=40, out="20261117-190000-sana_lora"))
    other = settled(
        toy_run("sana_lora", steps=60, start=2.0, words=("one", "three"), out="20261118-100000-sana_lora"), 75
    )
    return one.relative_to(one.parents[1]), other.relative_to(other.parents[1])


async def compared(pilot):
    screen = pilot.app.first
    await until(
        pilot, lambda: screen.found is not None and screen.both is not None and all(f.complete for f in screen.both)
    )


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids="{0[0]}x{0[1]}".format)
async def test_a_comparison_reads_well(two, same_screen, size):
    async with Host(CompareScreen(*two)).run_test(size=size) as pilot:
        await compared(pilot)
        same_screen(pilot.app, "compare-{}x{}".format(*size))
        if size == (80, 24):
            for pane in ("nodes", "metrics", "curves"):
                pilot.app.screen.action_pane(pane)
                await pilot.pause()
                same_screen(pilot.app, f"compare-{pane}-80x24")


async def test_settings_that_differ_are_told_in_the_engines_words_and_nodes_by_their_keys(two):
    async with Host(CompareScreen(*two)).run_test() as pilot:
        await compared(pilot)
        assert ("steps 40 → 60" in lines(pilot.app), "start 1.0 → 2.0" in lines(pilot.app)) == (True, True)
        await pilot.press("2")
        await pilot.pause()
        assert re.search(r"carve +3.0 s +3.0 s +▷ another", lines(pilot.app))


async def test_equal_runs_are_told_to_be_equal(toy_run):
    one, other = toy_run(out="one"), toy_run(out="other")
    async with Host(CompareScreen(one, other)).run_test() as pilot:
        await compared(pilot)
        assert "The graphs are equal" in lines(pilot.app)
        await pilot.press("2")
        await pilot.pause()
        assert re.search(r"carve +\S.*  reused", lines(pilot.app))
        assert "reused" in lines(pilot.app)
        assert lines(pilot.app).count("≡ same") == 2


async def test_the_curves_of_both_runs_lie_over_each_other_and_the_metric_can_be_chosen(two):
    async with Host(CompareScreen(*two)).run_test() as pilot:
        await compared(pilot)
        chart = pilot.app.screen.query_one(Chart)
        assert [curve.name for curve in chart.curves] == [f"A {two[0].name}", f"B {two[1].name}"]
        assert [(curve.series.last, curve.series.newest[1]) for curve in chart.curves] == [(40, 1 / 40), (60, 2 / 60)]
        await pilot.press("n")
        assert [curve.series.newest[1] for curve in chart.curves] == [0.1, 0.1]
        await pilot.press("3", "home", "enter")  # a row of the metrics goes to its curves
        assert (pilot.app.screen.metric, chart.has_focus) == ("train/loss", True)
        await pilot.press("N")
        assert pilot.app.screen.metric == "train/lr"


async def test_a_run_that_reused_its_training_is_compared_by_the_metrics_of_the_run_that_computed_it(two, toy_run):
    again = toy_run("sana_lora", steps=40, out="20261119-090000-sana_lora")
    assert '"metrics"' not in (again / "events.jsonl").read_text()
    async with Host(CompareScreen(two[1], again.relative_to(again.parents[1]))).run_test(size=(120, 36)) as pilot:
        await compared(pilot)
        chart = pilot.app.screen.query_one(Chart)
        await until(pilot, lambda: len(chart.curves) == 2)
        assert chart.curves[1].name == f"B {again.name}, reused from {two[0].name}"
        assert [curve.series.last for curve in chart.curves] == [60, 40]
        assert re.search(r"train/loss +0\.03333 +0\.025 ", lines(pilot.app))


async def test_names_are_whole_and_what_one_looks_at_first_is_first(two):
    events = two[0] / "events.jsonl"
    values = {"train/samples_per_second": 116.912345, "eval/loss_0.2": 0.353571234, "train/memory": 1.5}
    told = {"time": 1.0, "node": "walk", "kind": "metrics", "step": 300, "values": values}
    more = [{**told, "step": 300 + n, "values": {f"more/{n}": n}} for n in range(30)]  # a scroll bar
    with events.open("a") as file:
        file.writelines(json.dumps(one, separators=(",", ":")) + "\n" for one in (told, *more))
    async with Host(CompareScreen(*two)).run_test(size=(120, 36)) as pilot:
        await compared(pilot)
        await until(pilot, lambda: pilot.app.screen.query_one("#metrics", Table).keys)
        shown = lines(pilot.app)
        for name in ("train/loss ", "train/samples_per_second ", "train/memory "):
            assert name in shown
        keys = list(pilot.app.screen.query_one("#metrics", Table).keys)
        assert keys.index("train/loss") == 0
        assert keys.index("train/samples_per_second") < keys.index("train/memory") < keys.index("eval/loss_0.2")


async def test_the_same_prompt_of_both_runs_is_seen_side_by_side(two, same_screen):
    for folder, bright in zip(two, (80, 240), strict=True):
        for step in (20, 40):
            path = folder / "samples" / f"step-{step:06d}" / "01-a-red-ball.png"
            path.parent.mkdir(parents=True)
            picture = Image.linear_gradient("L").resize((64, 36))
            Image.merge("RGB", [picture, Image.new("L", (64, 36), bright), Image.new("L", (64, 36), step)]).save(path)
    async with Host(CompareScreen(*two)).run_test(size=(160, 48)) as pilot:
        await compared(pilot)
        pair = pilot.app.screen.query_one(ClipPair)
        await until(pilot, lambda: pair.display and len(pair.samples) == 2 and all(pair.samples))
        assert [(one.path.parts[1], one.stage.step) for one in pair.samples] == [(path.name, 40) for path in two]
        await pilot.press("5", "left")
        await until(pilot, lambda: [one.stage.step for one in pair.samples] == [20, 20])
        await until(pilot, lambda: lines(pilot.app).count("▀" * 20) > 10)
        same_screen(pilot.app, "compare-clips-160x48")


async def test_a_run_that_failed_says_of_what(toy_run):
    one, other = toy_run(out="one"), toy_run(words=("one", "fail"), out="other")
    async with Host(CompareScreen(one, other)).run_test(size=(120, 30)) as pilot:
        await compared(pilot)
        assert "the knife broke; take another" in lines(pilot.app)
        assert "failed" in str(lines(pilot.app))


async def test_what_is_no_run_is_said_in_words_and_read_again_once_it_is_one(two, tmp_path):
    async with Host(CompareScreen(two[0], tmp_path / "nothing")).run_test() as pilot:
        await until(pilot, lambda: "cannot be compared" in lines(pilot.app))
        assert "there is no graph and no run" in lines(pilot.app).replace("\n", " ")
        two[1].rename(tmp_path / "nothing")
        await pilot.press("r")
        await compared(pilot)
        assert "steps 40 → 60" in lines(pilot.app)


async def test_a_run_without_its_graph_or_summary_is_compared_as_far_as_it_goes(two):
    (two[1] / "graph.yaml").unlink()
    (two[1] / "summary.json").unlink()
    async with Host(CompareScreen(*two)).run_test() as pilot:
        await compared(pilot)
        assert "- walk (TillWalk)" in lines(pilot.app)
        await pilot.press("3")
        assert re.search(r"train/loss +0\.025 +0\.03333 +\+0\.00833 +40, 60", lines(pilot.app))


async def test_either_run_can_be_opened_and_panes_are_reached_by_keys_and_mouse(two):
    async with Host(CompareScreen(*two)).run_test() as pilot:
        await compared(pilot)
        await pilot.press("a", "b")
        assert pilot.app.did == [path.name for path in two]
        for key, focused in (("2", "nodes"), ("4", "curves"), ("1", "settings"), ("3", "metrics")):
            await pilot.press(key)
            assert pilot.app.screen.focused.id == focused
        await pilot.click("TabRow", offset=(12, 0))
        assert pilot.app.screen.query_one("#nodes", Table).has_focus
        await pilot.press("escape")
        assert pilot.app.screen is not pilot.app.first


async def test_a_terminal_without_unicode_gets_ascii(two):
    async with Host(CompareScreen(*two), ASCII).run_test() as pilot:
        await compared(pilot)
        for key in "12345":
            await pilot.press(key)
            assert "\n".join(lines(pilot.app).split("\n")[:-1]).isascii(), key


async def test_a_tiny_terminal_shows_what_it_can(two):
    async with Host(CompareScreen(*two)).run_test() as pilot:
        await compared(pilot)
        await pilot.resize_terminal(20, 5)
        for key in "12345":
            await pilot.press(key)
        await pilot.resize_terminal(160, 48)
        assert "steps 40 → 60" in lines(pilot.app)
        assert "B - A" in lines(pilot.app)
