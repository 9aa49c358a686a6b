"""The editor's finer points: ports chosen by keys, where an edit goes, runs that go on, help and palette everywhere."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.widgets import Input

from tests.tui.conftest import text_of
from tests.tui.graphs import SMALL
from tests.tui.test_app import back_on_graph, nodes, opened, said, select, shows, until
from vflow.engine import config
from vflow.engine.edited import differences
from vflow.engine.load import load
from vflow.engine.problems import VflowError
from vflow.engine.store import owners
from vflow.tui import help as help_pages
from vflow.tui.dialogs.ask import Ask
from vflow.tui.dialogs.parameters import Parameters
from vflow.tui.dialogs.pick import Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.drawing import Zoom
from vflow.tui.graph_view import GraphView
from vflow.tui.help import HelpScreen
from vflow.tui.inspector import Inspector
from vflow.tui.palette import commands_of
from vflow.tui.panes import Panes
from vflow.tui.run import launch
from vflow.tui.workspace import Workspace

CHILD = "vflow: 1\nname: child\nextends: small.yaml\nnodes:\n  clips: {frames: 33}\n"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("small.yaml")
    path.write_text(SMALL, encoding="utf-8")
    return path


async def pick(pilot, typed):
    """Take what is found first by what is typed."""
    await shows(pilot, Pick)
    await pilot.press(*typed, "enter")


# --- ports -----------------------------------------------------------------------------------------------------------


async def test_a_port_is_chosen_by_keys_and_said_in_words(path):
    async with opened(path, (160, 48)) as (app, pilot):
        await select(pilot, "captions")
        view = app.screen.query_one(GraphView)
        await pilot.press("full_stop")
        assert view.port == ("text_encoder", "in")
        assert "input text_encoder: TextEncoder, reads text_encoder" in text_of(app)
        await pilot.press("comma", "comma")
        assert view.port == ("items", "out")
        assert "feeds train.captions" in text_of(app)
        await pilot.press("escape")
        assert view.port is None
        await pilot.press("full_stop", "down")
        assert view.port is None


async def test_on_rails_a_chosen_port_is_seen(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "captions")
        view = app.screen.query_one(GraphView)
        await pilot.press("space")
        assert "◂ captions" not in text_of(app)
        await pilot.press("full_stop", "full_stop")
        await pilot.pause()
        assert view.port == ("captions", "in")
        assert "◂ captions" in text_of(app)


async def test_the_chosen_port_is_connected_and_its_link_taken(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "train")
        ports = [port.name for port in app.workspace.outline.nodes["train"].inputs]
        await pilot.press(*["full_stop"] * (ports.index("captions") + 1), "C")
        await until(pilot, lambda: "captions" not in nodes(app)["train"].inputs)
        assert nodes(app)["train"].inputs["latents"] == "latents"
        await pilot.press("c")
        dialog = await shows(pilot, Pick)
        assert dialog.heading.startswith("train.captions")
        await pilot.press("enter")
        await until(pilot, lambda: nodes(app)["train"].inputs.get("captions") == "captions")


async def test_an_output_that_is_chosen_is_connected_and_added_behind(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "transformer")
        await pilot.press("full_stop", "c")
        dialog = await shows(pilot, Pick)
        assert dialog.heading == "transformer.output feeds"
        await pilot.press("escape")
        await back_on_graph(pilot)
        await pilot.press("C")
        await until(pilot, lambda: "model" not in nodes(app)["lora"].inputs)


async def test_a_node_is_added_before_the_input_that_is_chosen(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("full_stop", "a")
        dialog = await shows(pilot, Pick)
        assert dialog.heading == "add a node before lora.model"
        await pick(pilot, "GroupOffload")
        await until(pilot, lambda: nodes(app)["lora"].inputs["model"] == "group_offload")
        assert nodes(app)["group_offload"].inputs == {"model": "transformer"}


async def test_the_port_under_the_cursor_of_the_inspector_counts_too(path):
    async with opened(path, (160, 48)) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("2", "home", "C")
        await until(pilot, lambda: "model" not in nodes(app)["lora"].inputs)


# --- where an edit goes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("node", "rank: 5\n  train"),
        ("profile tiny", "lora: {rank: 5}"),
        ("parameter", "params:\n  rank: 5 "),
        ("parameter in profile tiny", "params: {rank: 5}"),
    ],
)
async def test_a_value_is_set_where_one_says(path, typed, written):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("2")
        app.screen.query_one(Inspector).focus_field(("rank",))
        await pilot.press("w")
        await pick(pilot, typed)
        prompt = await shows(pilot, Prompt)
        answer = prompt.query_one(Input)
        answer.value = "0"
        await pilot.press("enter")
        assert isinstance(app.screen, Prompt), "the engine refuses 0"
        answer.value = "5"
        await pilot.press("enter")
        await back_on_graph(pilot)
        text = app.workspace.text
        lines = {line.strip() for line in text.splitlines()}
        if typed == "profile tiny":
            assert any("lora" in line and "rank: 5" in line for line in lines) or "lora:\n        rank: 5" in text
        elif typed == "node":
            assert "    rank: 5\n" in text
        else:
            assert written in text
        assert len(app.workspace.draft.history) == 1


async def test_a_setting_takes_a_new_parameter_with_the_value_it_has(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "train")
        await pilot.press("2")
        app.screen.query_one(Inspector).focus_field(("steps",))
        await pilot.press("w")
        await pick(pilot, "new parameter")
        await shows(pilot, Prompt)
        await pilot.press("enter")
        await until(pilot, lambda: "${steps}" in app.workspace.text)
        assert app.workspace.loaded.graph.params["steps"] == 20
        assert app.workspace.problems == []
        await back_on_graph(pilot)
        await pilot.press("1", "u")
        assert app.workspace.text == SMALL


def test_what_an_extended_file_says_is_set_to_its_default_here(path):
    Path("child.yaml").write_text(CHILD)
    work = Workspace("child.yaml")
    work.reset("clips", ("frames",))
    assert work.form("clips").get(("frames",)).value == 17, "what this file says over the other goes"
    work.reset("train", ("steps",))
    assert work.form("train").get(("steps",)).value == work.form("train").get(("steps",)).default
    with pytest.raises(VflowError, match="stands in the extended file, and has no default"):
        work.reset("clips", ("resolution",)) if work.form("clips").get(("resolution",)).required else work.reset(
            "vae", ("model",)
        )
    assert path.read_text() == SMALL


def test_what_an_extended_file_names_is_not_renamed_or_removed_by_halves(path):
    Path("child.yaml").write_text(CHILD + "params: {rank: 3}\n")
    work = Workspace("child.yaml")
    for change in (lambda: work.rename_part("param", "rank", "width"), lambda: work.remove_part("param", "clips")):
        with pytest.raises(VflowError, match="extended file"):
            change()
    assert work.text == CHILD + "params: {rank: 3}\n"


# --- parameters ------------------------------------------------------------------------------------------------------


async def test_a_profile_gives_a_parameter_a_value_and_no_longer(path):
    async with opened(path) as (app, pilot):
        await pilot.press("p")
        await shows(pilot, Parameters)
        await pilot.press("down")
        await pilot.pause()
        assert "4 in tiny" in text_of(app)
        await pilot.press("w")
        await shows(pilot, Pick)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "rank" not in (app.workspace.loaded.graph.profiles["tiny"].get("params") or {}))
        await shows(pilot, Parameters)
        await pilot.press("w")
        await shows(pilot, Pick)
        await pilot.press("enter")
        prompt = await shows(pilot, Prompt)
        prompt.query_one(Input).value = "2"
        await pilot.press("enter")
        await until(
            pilot,
            lambda: (app.workspace.loaded.graph.profiles["tiny"].get("params") or {}).get("rank") == {"default": 2},
        )


# --- running ---------------------------------------------------------------------------------------------------------


def going_on(name, graph="small", process=None):
    folder = Path("runs", name)
    folder.mkdir(parents=True)
    started = {
        "kind": "run_started", "node": "", "time": time.time(), "graph": graph, "profiles": [], "pid": os.getpid(),
        "process": process or owners.myself().name, "vflow": "0.1",
    }  # fmt: skip
    (folder / "events.jsonl").write_text(json.dumps(started, separators=(",", ":")) + "\n")
    return folder


@pytest.fixture
def started(monkeypatch):
    """What was started, and shown."""
    found = []
    monkeypatch.setattr(launch, "start", lambda path, profiles, sets, until: found.append((path, until)) or Path("new"))
    return found


async def test_run_to_here_runs_what_the_selected_node_needs(path, started, monkeypatch):
    async with opened(path) as (app, pilot):
        monkeypatch.setattr(app, "open_run", started.append)
        await select(pilot, "latents")
        await pilot.press("shift+f5")
        await until(pilot, lambda: len(started) == 2)
        assert started == [(path, ("latents",)), Path("new")]


@pytest.mark.parametrize(("key", "expected"), [("o", [Path("runs/a")]), ("s", ["new"]), ("n", []), ("escape", [])])
async def test_where_the_graph_runs_already_it_is_asked_what_to_do(path, started, monkeypatch, key, expected):
    going_on("a")
    going_on("b", graph="another")
    async with opened(path) as (app, pilot):
        monkeypatch.setattr(app, "open_run", started.append)
        await pilot.press("f5")
        dialog = await shows(pilot, Ask)
        assert "a  began" in text_of(app)
        assert "b  began" not in text_of(app)
        assert dialog.heading == "it runs already"
        await pilot.press(key)
        await back_on_graph(pilot)
        if expected == ["new"]:
            await until(pilot, lambda: len(started) == 2)
            assert started == [(path, ()), Path("new")]
        else:
            await pilot.pause(0.05)
            assert started == expected


async def test_problems_keep_a_graph_from_being_run(path, started):
    path.write_text(SMALL.replace("steps: 20", "steps: no"))
    async with opened(path) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: app.screen.query_one(Panes).active == "problems")
        assert started == []


# --- the file --------------------------------------------------------------------------------------------------------


async def test_what_others_changed_is_said_when_the_file_is_read_again(path):
    async with opened(path) as (app, pilot):
        path.write_text(SMALL.replace("steps: 20", "steps: 30"), encoding="utf-8")
        app.screen.look_at_disk()
        await until(pilot, lambda: any("train.steps: 20, now 30" in one for one in said(app)))


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (SMALL, SMALL + "# more\n", []),
        (SMALL, SMALL.replace("frames: 17", "frames: 33"), ["clips.frames: 17, now 33"]),
        (SMALL, SMALL.replace("  lora: t", "  it: t"), ["outputs.lora removed", "outputs.it added"]),
        ("a: [", "nodes: {a: {type: X}}", ["nodes added"]),
        ("nodes: {}", "nodes: {a: {type: X}}", ["a added"]),
        ("a: 1", "- 1", ["the graph: {a: 1}, now [1]"]),
    ],
)  # fmt: skip
def test_two_texts_differ_in_words(before, after, found):
    assert differences(before, after) == found


# --- layout ----------------------------------------------------------------------------------------------------------


async def test_boxes_get_the_rows_they_need_and_an_empty_pane_little_room(tmp_path):
    shipped = Path(__file__).parents[2] / "graphs" / "ltx2_lora.yaml"
    path = tmp_path / "g.yaml"
    path.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    async with opened(path, (160, 48)) as (app, pilot):
        view = app.screen.query_one(GraphView)
        await until(pilot, lambda: view.canvas.drawing.height <= view.canvas.room.height)
        assert view.drawn == "boxes"
        assert view.drawn_zoom is Zoom.NAMES
        assert view.canvas.drawing.width <= view.canvas.room.width
        assert app.screen.query_one(Inspector).size.height >= 12
        assert app.screen.query_one("#problems").outer_size.width < 20
        app.screen.edit(lambda: app.workspace.set_value("train", ("steps",), -1))
        await until(pilot, lambda: app.screen.query_one("#problems").outer_size.width > 40)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: view.outer_size.height == app.screen.query_one("#work").size.height)


# --- manners ---------------------------------------------------------------------------------------------------------


async def test_keys_that_clash_are_told(path):
    config.config_file().parent.mkdir(parents=True)
    config.config_file().write_text("keys: {graph.duplicate: r}\n", encoding="utf-8")
    async with opened(path) as (app, pilot):
        await until(
            pilot, lambda: any("r is graph.duplicate now, so that graph.rename has lost it" in one for one in said(app))
        )
        await select(pilot, "lora")
        await pilot.press("r")
        assert len(nodes(app)) == 9


async def test_every_focusable_thing_and_every_dialog_has_help(path):
    async with opened(path, (160, 48)) as (app, pilot):
        for key in ("", "p", "ctrl+o", "T", "t", "H", "S", "a", "r"):
            if key:
                await pilot.press(key)
                await until(pilot, lambda: app.screen is not app.graph_screen)
            for widget in app.screen.focus_chain:
                assert any(map(help_pages._text_of, widget.ancestors_with_self)), (key, widget)
            if key:
                await pilot.press("f1")
                page = (await shows(pilot, HelpScreen)).page
                assert "`esc`" in page, key
                await pilot.press("f1")
                await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
                await pilot.press("escape")
                await back_on_graph(pilot)


async def test_the_palette_of_a_dialog_holds_what_it_does_and_nothing_else(path):
    async with opened(path) as (app, pilot):
        await pilot.press("p")
        screen = await shows(pilot, Parameters)
        found = {command.name for command in commands_of(screen)}
        assert {"Add", "Rename", "Remove", "Declare", "In profile", "Undo", "Redo", "Choose"} <= found
        assert not {"Quit", "Runs", "Delete"} & found
        await pilot.press("ctrl+p")
        await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")


# --- any document ----------------------------------------------------------------------------------------------------

VALUES = [
    0,
    -1,
    1.5,
    True,
    None,
    "a: b # c",
    "${rank}",
    "${nobody}",
    "$${x}",
    [1, "x"],
    {"a": [1]},
    "",
    "\u2028",
    "é\n",
]
KINDS = [
    "set",
    "at",
    "take",
    "add",
    "wire",
    "rename",
    "param",
    "drop",
    "declare",
    "profile",
    "output",
    "text",
    "remove",
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_document_that_can_be_made_loads_or_shows_its_problems(data, path):
    """The views can show each: outline, forms and problems; what is wrong is said by loading what is saved, too."""
    path.write_text(SMALL, encoding="utf-8")
    work = Workspace(path)
    for kind in data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8)):
        with suppress(VflowError):
            do(work, kind, data.draw)
        work.draft.save(overwrite=True)
        again = load(path, work.profiles, work.sets)
        assert again.problems == work.problems
        assert again.problems or again.graph.nodes.keys() == work.outline.nodes.keys()
        for one in work.problems:
            assert one.message
        for node in work.outline.nodes:
            assert work.form(node).node == node
    work.draft.close()


def do(work, kind, draw):
    names = list(work.outline.nodes) or ["nobody"]
    node, value = draw(st.sampled_from(names)), draw(st.sampled_from(VALUES))
    name = draw(st.sampled_from(["rank", "clips", "new", "tiny", "lora"]))
    form = work.form(node)
    fields = [one.path for one in form.fields] if form else []
    field = draw(st.sampled_from(fields)) if fields else ("x",)
    profile = draw(st.sampled_from(["", *work.loaded.graph.profiles]))
    if kind == "set":
        work.set_value(node, field, value)
    elif kind == "at":
        from vflow.engine.origins import places

        work.set_at(draw(st.sampled_from(places(work.loaded, node, field))), node, field, value)
    elif kind == "take":
        work.take_param(node, field, name)
    elif kind == "add":
        work.add(draw(st.sampled_from(["GroupOffload", "Validate", "NoSuchType"])), {}, node)
    elif kind == "wire":
        ports = [port.name for port in work.outline.nodes[node].inputs] or ["in"]
        work.connect(node, draw(st.sampled_from(ports)), draw(st.sampled_from([*names, "nobody.x"])))
    elif kind == "rename":
        work.rename(node, draw(st.sampled_from(["n-1", "rank", *names])))
    elif kind == "param":
        work.set_param_in(name, value, profile)
    elif kind == "drop":
        work.drop_param_in(name, profile)
    elif kind == "declare":
        work.declare_param(name, {"min": 2, "max": 1} if value else {"choices": [value, 8], "help": "x"})
    elif kind == "profile":
        work.add_profile(name)
        work.choose(profiles=[name])
    elif kind == "output":
        work.set_output(name, draw(st.sampled_from([*names, "nobody"])))
    elif kind == "text":
        work.set_node_text(node, draw(st.sampled_from(["type: X\n", "{}\n", "type: TrainLoop\nsteps: [\n", "- 1\n"])))
    else:
        work.remove_part(draw(st.sampled_from(["param", "profile", "output"])), name)
