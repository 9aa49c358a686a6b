"""The plan is shown with what it takes, stays while a newer one is made, leads to nodes and problems, and offers what
to plan with."""

import dataclasses

import pytest
from textual.app import App
from textual.widgets import Input, OptionList, Select, Static

from tests.tui.graphs import SMALL
from vflow.engine.effects import Effect
from vflow.engine.load import load
from vflow.engine.plan_report import NodePlan, Phase, PlanReport
from vflow.engine.problems import Problem
from vflow.engine.rehearsal import Cost
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.pickers import ParameterPicker, ProfilePicker
from vflow.tui.plan_list import PlanList
from vflow.tui.plan_rows import rows, summary_of
from vflow.tui.plan_view import PlanView

GIB = 2**30


def planned(*nodes, **more):
    """A plan with something of everything."""
    found = nodes or (
        NodePlan("transformer", "LoadTransformer", "light", facts={"bytes in files": 37_800_000_000, "layers": 480}),
        NodePlan("vae", "LoadVAE", "light"),
        NodePlan("text_encoder", "LoadTextEncoder", "light"),
        NodePlan(
            "clips", "BucketVideos", "light", facts={"clips": 240, "buckets": [{"size": "768x512", "windows": 236}]},
            left_out=(("walk.mp4", "has 17 frames at 25 fps, needs 57"),), said=(("warning", "1 clip is very dark"),),
        ),
        NodePlan("captions", "EncodeText", "reused", "240 items kept", (), (), True, 0, 240, 4_100_000, 600.0),
        NodePlan(
            "latents", "EncodeVideo", "will run", "fps 24 → 25 since run 12 (2 h ago) (3 of 236)", per_item=True,
            missing=3, total=236,
        ),
        NodePlan("lora", "ApplyLoRA", "light"),
        NodePlan("offloaded", "GroupOffload", "disabled"),
        NodePlan(
            "train", "TrainLoop", "will run", "changed since run 12 (2 h ago)",
            ("rank 8 → 16", "input captions: 4 added"), (), False, 1, 1,
        ),
        NodePlan("validate", "Validate", "decided later", "decided after train"),
    )  # fmt: skip
    given = {
        "graph": "small",
        "effects": (
            Effect("reads", "240 files below /data/clips", "clips"),
            Effect("downloads", "transformer of Lightricks/LTX-2", "", 37_800_000_000),
            Effect("builds", "vae of tiny://ltx2"),
            Effect("writes", "runs/<time>-small/ (the run's folder)"),
            Effect("sends", "https://hooks.example", "train", 0, False),
        ),
        "sections": (("memory", ("train: about 20 GiB of GPU memory for 1 x 768x512, 57 frames",)),),
        "problems": (
            Problem("a step takes about 20 GiB, the card has 16", "use a smaller batch", "nodes.train", "warning"),
        ),
        "free": 100_000_000_000,
        "live": True,
    }
    return PlanReport(nodes={node.name: node for node in found}, **{**given, **more})


class Host(App):
    """Shows a plan and keeps what it says."""

    def __init__(self, glyphs=UNICODE, profiles=(), sets=()):
        super().__init__()
        self.glyphs, self.loaded, self.sets = glyphs, load("small.yaml", profiles, sets, text=SMALL), dict(sets)
        self.said = []

    def compose(self):
        yield PlanView()

    def on_mount(self):
        self.view = self.query_one(PlanView)
        self.list = self.query_one(PlanList)
        self.view.choose_from(self.loaded, self.sets)
        self.list.focus()

    def on_plan_view_node_chosen(self, event):
        self.said.append(event.node)

    def on_plan_view_problem_chosen(self, event):
        self.said.append(event.problem)

    def on_plan_view_chosen(self, event):
        self.said.append((event.profiles, event.sets))

    def on_plan_view_online(self, event):
        self.said.append("online")

    def text(self, name):
        return str(self.query_one(f"#plan-{name}", Static).content)


async def until(pilot, wanted):
    for _ in range(500):
        await pilot.pause()
        if wanted():
            return
    raise AssertionError("it did not come to that")


def text_of(report, width=53, glyphs=UNICODE):
    return "\n".join(row.text for row in rows(report, width, glyphs))


def section(text, title):
    """The lines of one section, its heading first."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if title in line and not line.startswith("  "))
    inside = ("  ", "W ", "E ")
    end = next((at for at in range(start + 1, len(lines)) if not lines[at].startswith(inside)), len(lines))
    return "\n".join(lines[start:end])


# --- what it says ----------------------------------------------------------------------------------------------------


def test_it_says_what_is_kept_and_what_runs_and_why():
    text = text_of(planned())
    assert "captions" in section(text, "≡ kept")
    assert "240 items, 4.1 MB" in section(text, "≡ kept")
    running = section(text, "▷ to run")
    assert "3 of 236" in running
    assert "fps 24 → 25 since run 12 (2 h ago)\n" in running
    assert "      rank 8 → 16\n      input captions: 4 added" in running
    assert "after train" in section(text, "decided later")
    assert "offloaded" in section(text, "disabled")
    assert "transformer, vae, text_encoder, clips, lora" in section(text, "light")


def test_it_says_what_it_takes_and_touches():
    text = text_of(planned())
    assert section(text, "to fetch").splitlines()[0].endswith("37.8 GB")
    assert "vae of tiny://ltx2" in section(text, "to fetch")
    assert "built here" in section(text, "to fetch")
    assert "about 20 GiB of GPU memory" in section(text, "memory")
    assert section(text, "disk").splitlines()[0].endswith("100.0 GB free")
    assert "vflow rehearse" in section(text, "time")
    assert "10 min 0 s" in section(text, "time")
    touched = section(text, "touches")
    assert "reads clips: 240 files below /data/clips" in touched
    assert "sends train: https://hooks.example (not allowed:\n  --allow-send)" in touched
    assert "bytes in files: 37.8 GB" in section(text, "in numbers")
    assert "walk.mp4: has 17 frames" in section(text, "in numbers")


def test_warnings_of_the_plan_and_of_its_nodes_stand_together():
    foreign = NodePlan("latents", "EncodeVideo", "reused", "kept", total=9, foreign={"torch 1": 3})
    text = section(text_of(planned(*planned().nodes.values(), foreign)), "warnings")
    assert text.splitlines()[0].endswith("3")
    assert "W train: a step takes about 20 GiB, the card has 16;" in text
    assert "W clips: 1 clip is very dark" in text
    assert "latents: 3 of 9 kept results computed with torch 1;" in " ".join(text.split())


def test_what_a_rehearsal_measured_is_told():
    cost = Cost(seconds=7200.0, disk=2_000_000_000, peaks={"GPU": 18 * GIB, "host": 30 * GIB})
    report = planned(phases=(Phase("train", "a step", cost),), rehearsed={"train": "rehearsed 2 h ago: 4.1 s per step"})
    text = text_of(report)
    assert section(text, "time").splitlines()[0].endswith("about 2 h 0 min")
    assert "rehearsed 2 h ago: 4.1 s per step" in section(text, "time")
    assert "18.0 GiB" in section(text, "memory, as rehearsed")
    assert "2.0 GB" in section(text, "disk")
    assert "more than is free" not in text
    assert "more than is free" in text_of(dataclasses.replace(report, free=39_000_000_000))


def test_what_was_not_asked_is_said_once_with_the_key_that_asks():
    nodes = [NodePlan(name, "Load", "not asked", "not asked yet: a/b is not on this machine") for name in ("x", "y")]
    text = section(text_of(planned(*nodes)), "not asked yet")
    assert "P asks it" in text
    assert text.count("a/b is not on this machine") == 1


def test_errors_come_first_and_are_counted_in_the_summary():
    wrong = Problem("every clip is too short", "use fewer frames", "nodes.clips.frames")
    report = planned(problems=(wrong,))
    assert text_of(report).startswith("in the way")
    assert "E clips.frames: every clip is too short" in text_of(report)
    assert summary_of(report).endswith("; 1 error: nothing runs")
    assert summary_of(PlanReport(problems=(wrong, wrong))) == "2 errors: nothing runs"


@pytest.mark.parametrize("width", [12, 20, 34, 53, 80, 158])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_line_is_wider_than_its_place(width, glyphs):
    text = text_of(planned(), width, glyphs)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii() == glyphs.ascii


# --- what is shown ---------------------------------------------------------------------------------------------------


async def test_the_old_plan_stays_dimmed_while_a_newer_one_is_made_or_the_graph_has_errors():
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        assert app.text("summary") == "no plan yet"
        app.view.show(planned())
        await until(pilot, lambda: len(app.list.rows) > 5)
        count = len(app.list.rows)
        assert app.text("summary") == "10 nodes: 1 kept, 2 to run, 1 decided later, 5 light, 1 disabled"
        app.view.planning("clips: 200 of 5,000")
        await pilot.pause()
        assert app.text("status") == "planning… clips: 200 of 5,000"
        assert app.view.has_class("-old")
        assert len(app.list.rows) == count
        app.view.show(PlanReport(problems=(Problem("wrong", where="nodes.train"),)))
        await pilot.pause()
        assert app.text("summary") == "1 error: nothing runs"
        assert app.text("status") == "below: the plan before"
        assert not app.view.has_class("-old")
        assert "wrong" in app.list.rows[1].text
        older = [row for row in app.list.rows if all("dim" in style for line in row.lines for _, style in line)]
        assert any("latents" in row.text for row in older)
        assert len(older) == len(app.list.rows) - 2
        app.view.show(planned())
        await pilot.pause()
        assert len(app.list.rows) == count
        app.view.show(None)
        await pilot.pause()
        assert len(app.list.rows) == 0


async def test_what_is_highlighted_stays_so_in_the_next_plan():
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        app.view.show(planned())
        await until(pilot, lambda: len(app.list.rows) > 5)
        await pilot.press("j", "j", "j")
        at = app.list.cursor
        assert app.list.row.node == "latents"
        report = planned()
        later = {"first": NodePlan("first", "T", "will run", "never run before"), **report.nodes}
        app.view.show(dataclasses.replace(report, nodes=later))
        await pilot.pause()
        assert app.list.row.node == "latents"
        assert app.list.cursor == at + 1


async def test_enter_and_the_mouse_lead_to_nodes_and_problems():
    app = Host()
    async with app.run_test(size=(60, 40)) as pilot:
        app.view.show(planned())
        await until(pilot, lambda: len(app.list.rows) > 5)
        await pilot.press("home", "enter")
        assert app.said[0].message.startswith("a step takes")
        row = next(y for y, line in enumerate(text_lines(app)) if "captions" in line and "items" in line)
        await pilot.click(PlanView, offset=(4, row))
        assert app.said[1] == "captions"


async def test_a_plan_with_the_network_is_asked_for_by_a_key():
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("P")
        await until(pilot, lambda: app.said == ["online"])
        app.view.show(planned())
        await pilot.pause()
        assert "offline" in app.text("status")
        app.view.show(planned(live=False))
        assert app.text("status") == "planned with the network"


def text_lines(app):
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (36, 20)])
async def test_screens(size, same_screen):
    app = Host(profiles=("tiny",), sets={"rank": 16})
    async with app.run_test(size=size) as pilot:
        app.view.show(planned())
        await until(pilot, lambda: len(app.list.rows) > 5)
        same_screen(app, f"plan-{size[0]}x{size[1]}")


# --- profiles and parameters -----------------------------------------------------------------------------------------

CHOOSABLE = """\
vflow: 1
name: many
params:
  clips: {default: here, help: Folder of clips.}
  rank: {default: 8, min: 1, max: 64, help: Rank of the adapter.}
  speed: {default: fast, choices: [fast, slow]}
  exact: {default: true, type: bool}
  wanted: {type: int, help: Has to be given.}
profiles:
  small: {about: Few clips., params: {rank: 4}}
  large: {params: {rank: 32}, nodes: {words: {prompts: [b]}}}
  other: {}
nodes:
  words: {type: Prompts, prompts: ["${clips} ${rank} ${speed} ${exact} ${wanted}"]}
"""


class Asking(App):
    """Shows a picker and keeps its answer."""

    def __init__(self, picker):
        super().__init__()
        self.picker, self.answers = picker, []

    def on_mount(self):
        self.push_screen(self.picker, self.answers.append)


def profile_picker(*chosen):
    return ProfilePicker(load("many.yaml", chosen, text=CHOOSABLE))


def parameter_picker(profiles=(), **sets):
    return ParameterPicker(load("many.yaml", profiles, sets, text=CHOOSABLE), sets)


async def test_profiles_are_chosen_in_order_and_put_in_another():
    app = Asking(profile_picker("large"))
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.picker.query_one(OptionList).highlighted == 1
        await pilot.press("up", "space")
        assert app.picker.chosen == ("large", "small")
        await pilot.press("K")
        assert app.picker.chosen == ("small", "large")
        await pilot.press("K", "j", "j", "space", "k", "space", "enter")
        await until(pilot, lambda: app.answers)
    assert app.answers == [("small", "other")]


async def test_the_profile_picker_says_what_a_profile_changes():
    app = Asking(profile_picker())
    async with app.run_test(size=(80, 24)) as pilot:
        about = app.picker.query_one("#about", Static)
        await until(pilot, lambda: "Few clips.\nchanges rank = 4" in str(about.content))
        await pilot.press("down")
        await until(pilot, lambda: "changes rank = 32, node words" in str(about.content))
        await pilot.press("escape")
        await until(pilot, lambda: app.answers == [None])


async def test_a_click_uses_a_profile_and_c_uses_none():
    app = Asking(profile_picker("small"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click(OptionList, offset=(5, 2))
        await until(pilot, lambda: app.picker.chosen == ("small", "other"))
        assert app.answers == []
        await pilot.press("c", "enter")
        await until(pilot, lambda: app.answers == [()])


async def test_parameters_say_what_counts_and_where_it_stands():
    app = Asking(parameter_picker(("small",), speed="slow"))
    async with app.run_test(size=(80, 30)) as pilot:
        await pilot.pause()
        inputs = [one.placeholder for one in app.picker.query(Input)]
        assert inputs == ["here  from the graph", "4  from profile small", "to be given"]
        speed, exact = app.picker.query(Select)
        assert (speed.value, exact.is_blank()) == ("slow", True)
        shown = "\n".join(text_lines(app))
        assert "whole number, 1 to 64" in shown
        assert "set for this session; fast from the graph" in shown
        assert "Rank of the adapter." in shown
        await pilot.press("enter")
        await until(pilot, lambda: app.answers == [{"speed": "slow"}])


async def test_values_are_typed_and_what_will_not_do_is_said_and_not_taken():
    app = Asking(parameter_picker(wanted=1))
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("down", *"99", "enter")
        await pilot.pause()
        assert not app.answers
        assert "must be at most 64, not 99" in "\n".join(text_lines(app))
        await pilot.press("backspace", "backspace", *"16", "tab", "tab", "tab", *"7", "enter")
        await until(pilot, lambda: app.answers)
    assert app.answers == [{"rank": 16, "wanted": 7}]


async def test_an_emptied_field_takes_the_value_back():
    app = Asking(parameter_picker(rank=16, wanted=1))
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("down", "backspace", "backspace", "ctrl+s")
        await until(pilot, lambda: app.answers)
    assert app.answers == [{"wanted": 1}]


async def test_the_view_opens_both_and_says_what_was_chosen():
    app = Host(profiles=(), sets={})
    async with app.run_test(size=(80, 30)) as pilot:
        app.view.show(planned())
        await until(pilot, lambda: len(app.list.rows) > 5)
        assert app.text("choice") == "profiles: none"
        await pilot.press("f", "space", "enter")
        await until(pilot, lambda: app.said == [(("tiny",), {})])
        await pilot.click("#plan-choice")
        await pilot.press("enter")
        await pilot.press("s", *"24", "enter")
        await until(pilot, lambda: len(app.said) == 2)
    assert app.said[1] == ((), {"rank": 24})


@pytest.mark.parametrize(("name", "picker"), [("profiles", profile_picker("large", "small")), ("sets", None)])
async def test_picker_screens(name, picker, same_screen):
    app = Asking(picker or parameter_picker(("small",), speed="slow"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        same_screen(app, f"plan-{name}-80x24")
