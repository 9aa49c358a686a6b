"""The application: every action by its keys, what the file holds afterwards, and that nothing takes the UI down."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList, TextArea

from tests.tui.conftest import text_of
from tests.tui.graphs import SMALL
from vflow.engine import config, registry
from vflow.tui.app import VflowApp
from vflow.tui.dialogs.ask import Ask
from vflow.tui.dialogs.difference import Difference
from vflow.tui.dialogs.parameters import Parameters
from vflow.tui.dialogs.pick import Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.dialogs.text import EditText
from vflow.tui.help import HelpScreen
from vflow.tui.panes import Panes, TabRow
from vflow.tui.planning import Planner
from vflow.tui.problems_view import ProblemsView
from vflow.tui.screens.graph_screen import GraphScreen


@pytest.fixture(autouse=True)
def no_planning(monkeypatch):
    """No process that plans: what the plan shows has tests of its own."""
    monkeypatch.setattr(Planner, "live", False)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("small.yaml")
    path.write_text(SMALL, encoding="utf-8")
    return path


@asynccontextmanager
async def opened(path, size=(80, 24), **more):
    """Run the app on a graph; yields app and pilot."""
    app = VflowApp(path, **more)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


async def until(pilot, wanted):
    for _ in range(400):
        await pilot.pause(0.005)
        if wanted():
            return
    raise AssertionError("it did not come to that; the screen:\n" + text_of(pilot.app))


async def shows(pilot, kind):
    """Wait for a screen of a kind, and return it."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.is_mounted)
    await pilot.pause()
    return pilot.app.screen


async def back_on_graph(pilot):
    return await shows(pilot, GraphScreen)


async def select(pilot, node):
    pilot.app.graph_screen.changed(node)
    await pilot.pause()


def said(app):
    """Return what was said last."""
    return [notice.message for notice in app._notifications]


def nodes(app):
    return app.workspace.loaded.graph.nodes


# --- editing ---------------------------------------------------------------------------------------------------------


async def test_a_node_is_added_by_typing_a_part_of_its_type_and_put_in_between(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("a")
        pick = await shows(pilot, Pick)
        assert pick.found[0].group == "take what lora gives"
        await pilot.press(*"group", "enter")
        await shows(pilot, Ask)
        await pilot.press("b")
        await back_on_graph(pilot)
        await until(pilot, lambda: "group_offload" in nodes(app))
        assert nodes(app)["train"].inputs["transformer"] == "group_offload"
        assert app.graph_screen.selected == "group_offload"
        assert any("added group_offload" in one for one in said(app))
        await pilot.press("u")
        assert app.workspace.text == SMALL


async def test_a_node_that_fits_nothing_is_added_too_and_its_open_ports_are_said(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "train")
        await pilot.press("a")
        pick = await shows(pilot, Pick)
        await pilot.press(*"encodevideo")
        await until(pilot, lambda: [one.label for one in pick.found] == ["EncodeVideo"])
        await pilot.press("enter")
        await until(pilot, lambda: "encode_video" in nodes(app))
        assert any("it still needs vae, clips (c connects)" in one for one in said(app))


async def test_leaving_a_dialog_changes_nothing(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        for key in ("a", "c", "r", "p", "t", "T", "S", "ctrl+o", "H", "ctrl+p", "question_mark"):
            await pilot.press(key)
            await until(pilot, lambda: not isinstance(app.screen, GraphScreen))
            await pilot.pause()
            await pilot.press("escape")
            await back_on_graph(pilot)
        assert app.workspace.text == SMALL
        assert not app.workspace.draft.can_undo


async def test_connecting_offers_only_what_fits(path):
    async with opened(path) as (app, pilot):
        app.workspace.disconnect("train", "captions")
        await select(pilot, "train")
        await pilot.press("c")
        ports = await shows(pilot, Pick)
        await pilot.press(*"captions", "enter")
        await until(pilot, lambda: isinstance(app.screen, Pick) and app.screen is not ports)
        here = [one.label for one in app.screen.choices if one.group == "in this graph"]
        assert here == ["captions"]
        await pilot.press("enter")
        await until(pilot, lambda: nodes(app)["train"].inputs.get("captions") == "captions")


async def test_a_port_that_is_pressed_is_connected_on_either_side(path):
    from vflow.tui.inspector import Inspector

    async with opened(path) as (app, pilot):
        inspector = app.screen.query_one(Inspector)
        inspector.post_message(Inspector.PortPressed("train", "transformer", "in"))
        pick = await shows(pilot, Pick)
        assert [one.label for one in pick.choices if one.group == "in this graph"] == ["transformer"]
        await pilot.press("enter")
        await until(pilot, lambda: nodes(app)["train"].inputs["transformer"] == "transformer")
        await back_on_graph(pilot)
        inspector.post_message(Inspector.PortPressed("lora", "output", "out"))
        pick = await shows(pilot, Pick)
        assert pick.choices[0].value == ("train", "transformer")
        await pilot.press("enter")
        await until(pilot, lambda: nodes(app)["train"].inputs["transformer"] == "lora")


async def test_a_link_is_taken_away(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("C")
        await shows(pilot, Pick)
        await pilot.press("enter")
        await until(pilot, lambda: not nodes(app)["lora"].inputs)
        assert any("no longer reads transformer" in one for one in said(app))


async def test_renaming_says_what_is_taken_and_references_follow(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "train")
        await pilot.press("r")
        prompt = await shows(pilot, Prompt)
        prompt.query_one(Input).value = "lora"
        await until(pilot, lambda: "taken" in str(prompt.query_one("#wrong").content))
        prompt.query_one(Input).value = "teach"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "teach" in nodes(app))
        assert "lora: teach.adapter" in app.workspace.text
        assert app.graph_screen.selected == "teach"


async def test_duplicate_switch_and_delete(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("D")
        copy = app.graph_screen.selected
        assert nodes(app)[copy].inputs == {"model": "transformer"}
        await pilot.press("o")
        assert nodes(app)[copy].disabled
        await pilot.press("o")
        assert not nodes(app)[copy].disabled
        await pilot.press("d")  # nothing reads the copy: nothing is asked
        await until(pilot, lambda: copy not in nodes(app))
        assert app.workspace.text == SMALL


@pytest.mark.parametrize(
    ("key", "reads"), [("b", "transformer"), ("l", None), ("h", "lora")], ids=["bridge", "drop", "hang"]
)
async def test_deleting_says_what_would_hang_and_asks(path, key, reads):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("d")
        ask = await shows(pilot, Ask)
        assert list(ask.lines) == ["train.inputs.transformer"]
        await pilot.press(key)
        await until(pilot, lambda: "lora" not in nodes(app))
        assert nodes(app)["train"].inputs.get("transformer") == reads


async def test_the_text_of_a_node_and_of_the_file_is_edited(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("t")
        screen = await shows(pilot, EditText)
        area = screen.query_one(TextArea)
        assert "# not offloaded yet" in area.text
        area.text = area.text.replace("${rank}", "0")
        await until(pilot, lambda: "rank" in str(screen.query_one("#told").content))
        area.text = area.text.replace("rank: 0", "rank: 3")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: nodes(app)["lora"].settings["rank"] == 3)
        await back_on_graph(pilot)
        await pilot.press("T")
        screen = await shows(pilot, EditText)
        screen.query_one(TextArea).text = "vflow: 1\n"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.workspace.text == "vflow: 1\n")
        await back_on_graph(pilot)
        await pilot.press("u", "u")
        assert app.workspace.text == SMALL


async def test_undo_and_redo_say_what_they_did(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "u")
        assert "undone: disable lora" in said(app)
        await pilot.press("ctrl+r")
        assert "done again: disable lora" in said(app)
        await pilot.press("ctrl+r")
        assert "nothing to do again" in said(app)


async def test_the_history_goes_back_several_edits_at_once(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "D", "o")
        await pilot.press("H")
        pick = await shows(pilot, Pick)
        assert pick.choices[-1].label == "as it was opened"
        await pilot.press("up", "enter")
        await until(pilot, lambda: app.workspace.text == SMALL)


# --- settings, parameters, profiles ----------------------------------------------------------------------------------


async def test_what_is_set_in_the_inspector_is_set_where_it_is_in_force(path):
    from vflow.tui.inspector import Inspector

    async with opened(path) as (app, pilot):
        inspector = app.screen.query_one(Inspector)
        inspector.post_message(Inspector.Changed("lora", ("rank",), 32))
        await until(pilot, lambda: "rank: 32          # of the adapter" in app.workspace.text)
        assert "set as parameter rank" in said(app)
        inspector.post_message(Inspector.Reset("train", ("steps",)))
        await until(pilot, lambda: "steps: 20" not in app.workspace.text)


async def test_profiles_and_parameters_are_edited_in_one_list(path, same_screen):
    async with opened(path) as (app, pilot):
        await pilot.press("p")
        screen = await shows(pilot, Parameters)
        same_screen(app, "parameters-80x24")
        await pilot.press("space")
        await until(pilot, lambda: app.workspace.profiles == ("tiny",))
        await pilot.press("down", "enter")
        await shows(pilot, Prompt)
        await pilot.press("6", "enter")  # what is there is selected, so that one types over it
        await until(pilot, lambda: "params: {rank: 6}" in app.workspace.text)
        await shows(pilot, Parameters)
        await pilot.press("a")
        await shows(pilot, Prompt)
        await pilot.press(*"seed", "enter")
        await until(pilot, lambda: isinstance(app.screen, Prompt) and app.screen.heading == "value of seed")
        await pilot.pause()
        await pilot.press("7", "enter")
        await until(pilot, lambda: app.workspace.loaded.graph.params.get("seed") == 7)
        await shows(pilot, Parameters)
        assert screen.row.name == "seed"
        await pilot.press("m")
        await shows(pilot, Prompt)
        await pilot.press(*"min: 0", "enter")
        await until(pilot, lambda: app.workspace.loaded.graph.parameters["seed"].minimum == 0)
        await shows(pilot, Parameters)
        await pilot.press("d")
        await until(pilot, lambda: "seed" not in app.workspace.loaded.graph.parameters)
        await pilot.press("escape")
        await back_on_graph(pilot)
        assert "tiny" in text_of(app).splitlines()[0]


async def test_a_value_that_a_parameter_cannot_have_is_told_and_not_taken(path):
    async with opened(path) as (app, pilot):
        app.workspace.declare_param("rank", {"min": 1})
        await pilot.press("p")
        screen = await shows(pilot, Parameters)
        screen.query_one(OptionList).highlighted = 3
        await pilot.press("enter")
        prompt = await shows(pilot, Prompt)
        prompt.query_one(Input).value = "0"
        await until(pilot, lambda: "at least 1" in str(prompt.query_one("#wrong").content))
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is prompt


async def test_outputs_are_added_renamed_and_removed(path):
    async with opened(path) as (app, pilot):
        await pilot.press("p")
        screen = await shows(pilot, Parameters)
        await pilot.press("end", "a")
        await shows(pilot, Prompt)
        await pilot.press(*"clips", "enter")
        await shows(pilot, Pick)
        await pilot.press(*"latents", "enter")
        await until(pilot, lambda: app.workspace.outline.outputs == {"lora": "train.adapter", "clips": "latents"})
        await shows(pilot, Parameters)
        await pilot.press("r")
        await shows(pilot, Prompt)
        await pilot.press("end", "2", "enter")
        await until(pilot, lambda: "clips2" in app.workspace.outline.outputs)
        await until(pilot, lambda: screen.row is not None and screen.row.name == "clips2")
        await pilot.press("d")
        await until(pilot, lambda: list(app.workspace.outline.outputs) == ["lora"])


# --- the file --------------------------------------------------------------------------------------------------------


async def test_saving_writes_the_edits_and_nothing_else(path):
    async with opened(path) as (app, pilot):
        app.workspace.set_value("train", ("steps",), 30)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.workspace.draft.dirty)
    assert path.read_text(encoding="utf-8") == SMALL.replace("steps: 20", "steps: 30")


async def test_save_as_asks_before_another_file_is_overwritten(path):
    Path("other.yaml").write_text("mine", encoding="utf-8")
    async with opened(path) as (app, pilot):
        for key in ("n", "o"):
            await pilot.press("S")
            prompt = await shows(pilot, Prompt)
            prompt.query_one(Input).value = "other.yaml"
            await pilot.press("enter")
            await shows(pilot, Ask)
            await pilot.press(key)
            await back_on_graph(pilot)
            await pilot.pause()
            if key == "n":
                assert Path("other.yaml").read_text(encoding="utf-8") == "mine"
        await until(pilot, lambda: app.workspace.path == Path("other.yaml"))
    assert Path("other.yaml").read_text(encoding="utf-8") == SMALL


async def test_quitting_asks_when_something_is_not_saved(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "q")
        await shows(pilot, Ask)
        await pilot.press("t")
        await back_on_graph(pilot)
        await pilot.press("q")
        await shows(pilot, Ask)
        await pilot.press("s")
        await until(pilot, lambda: app._exit)
    assert "disabled: true" in path.read_text(encoding="utf-8")


async def test_quitting_is_at_once_when_all_is_saved_and_drops_what_is_to_be_dropped(path):
    async with opened(path) as (app, pilot):
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "ctrl+q")
        await shows(pilot, Ask)
        await pilot.press("x")
        await until(pilot, lambda: app._exit)
    assert path.read_text(encoding="utf-8") == SMALL
    async with opened(path) as (app, _):
        assert isinstance(app.screen, GraphScreen)  # nothing is offered: it was dropped


async def test_a_file_that_others_change_is_read_again_where_nothing_is_lost(path):
    async with opened(path) as (app, pilot):
        path.write_text(SMALL.replace("20", "40"), encoding="utf-8")
        app.screen.look_at_disk()
        await until(pilot, lambda: "steps: 40" in app.workspace.text)
        assert not app.workspace.draft.dirty
        await pilot.press("u")
        assert app.workspace.text == SMALL


@pytest.mark.parametrize("answer", ["m", "t"])
async def test_a_file_that_others_change_is_asked_about_and_never_overwritten(path, answer):
    theirs = SMALL.replace("20", "40")
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o")
        mine = app.workspace.text
        path.write_text(theirs, encoding="utf-8")
        app.screen.look_at_disk()
        await shows(pilot, Ask)
        await pilot.press("d")
        await shows(pilot, Difference)
        await pilot.press("escape")
        await shows(pilot, Ask)
        await pilot.press(answer)
        await back_on_graph(pilot)
        assert app.workspace.text == (mine if answer == "m" else theirs)
        assert path.read_text(encoding="utf-8") == theirs
        if answer == "m":
            app.screen.look_at_disk()  # what was answered is not asked again
            for _ in range(20):
                await pilot.pause(0.005)
            assert isinstance(app.screen, GraphScreen)
            await pilot.press("ctrl+s")  # but saving over it is
            await shows(pilot, Ask)
            await pilot.press("m")
            await back_on_graph(pilot)
            await until(pilot, lambda: path.read_text(encoding="utf-8") == mine)


async def test_a_vanished_file_is_told_and_saving_writes_it_again(path):
    async with opened(path) as (app, pilot):
        path.unlink()
        app.screen.look_at_disk()
        await until(pilot, lambda: any("is gone" in one for one in said(app)))
        assert app.workspace.text == SMALL
        await pilot.press("R")
        assert any("the file is gone" in one for one in said(app))
        await pilot.press("ctrl+s")
        await until(pilot, path.exists)
    assert path.read_text(encoding="utf-8") == SMALL


async def test_a_folder_that_cannot_be_written_is_told(path, monkeypatch):
    from vflow.engine.editing import onfile

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o")
        monkeypatch.setattr(os, "replace", refuse)
        monkeypatch.setattr(onfile, "replace", refuse)
        monkeypatch.setattr(Path, "replace", refuse)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: any("not saved" in one for one in said(app)))
        assert app.workspace.draft.dirty
    assert path.read_text(encoding="utf-8") == SMALL


async def test_a_file_that_becomes_no_text_is_told_and_the_text_stays(path):
    async with opened(path) as (app, pilot):
        path.write_bytes(b"\xff\xfe\x00")
        await pilot.press("R")
        assert any("not read" in one for one in said(app))
        assert app.workspace.text == SMALL


async def test_unsaved_work_of_a_crash_is_offered(path):
    code = (
        "from vflow.engine.editing import Draft\n"
        "draft = Draft.open('small.yaml')\n"
        "draft.apply('steps', lambda text: text.replace('steps: 20', 'steps: 77'))\n"
        "import os; os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ.copy(), check=False)
    async with opened(path) as (app, pilot):
        await shows(pilot, Ask)
        await pilot.press("d")
        await shows(pilot, Difference)
        await pilot.press("escape")
        await shows(pilot, Ask)
        await pilot.press("t")
        await back_on_graph(pilot)
        assert "steps: 77" in app.workspace.text
        assert app.workspace.draft.dirty
        await pilot.press("u")
        assert app.workspace.text == SMALL


async def test_the_users_editor_gets_the_file_and_what_it_wrote_is_read(path, monkeypatch):
    script = Path("editor.py").absolute()
    script.write_text(
        "import sys, pathlib\n"
        "path = pathlib.Path(sys.argv[-1])\n"
        "path.write_text(path.read_text().replace('steps: 20', 'steps: 55'))\n"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    async with opened(path) as (app, pilot):
        monkeypatch.setattr(app, "suspend", nullcontext)  # a test has no terminal to give away
        await pilot.press("E")
        await until(pilot, lambda: "steps: 55" in app.workspace.text)
        monkeypatch.setenv("EDITOR", "no-such-editor")
        await pilot.press("E")
        await until(pilot, lambda: any("no-such-editor" in one for one in said(app)))


async def test_the_editor_asks_to_save_first(path, monkeypatch):
    monkeypatch.setenv("EDITOR", "true")
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "E")
        await shows(pilot, Ask)
        await pilot.press("s")
        await until(pilot, lambda: "disabled: true" in path.read_text(encoding="utf-8"))


# --- beginning -------------------------------------------------------------------------------------------------------


async def test_a_new_file_begins_empty_or_as_a_shipped_graph(path):
    for typed, begins in (("empty", "vflow: 1\nname: empty\n\nnodes: {}\n"), ("ltx2_lora", "# yaml-language")):
        async with opened(Path(f"{typed}.yaml")) as (app, pilot):
            await shows(pilot, Pick)
            await pilot.press(*typed, "enter")
            await until(pilot, lambda app=app: app.workspace.text != "")
            assert app.workspace.problems == []
            assert app.workspace.text.startswith(begins)
        assert not Path(f"{typed}.yaml").exists()


async def test_nodes_are_added_to_an_empty_graph(path):
    async with opened(Path("fresh.yaml")) as (app, pilot):
        await shows(pilot, Pick)
        await pilot.press("enter")
        await back_on_graph(pilot)
        await pilot.press("a")
        await shows(pilot, Pick)
        await pilot.press(*"loadvae", "enter")
        await until(pilot, lambda: list(nodes(app)) == ["load_vae"])
        await pilot.press("ctrl+s")
        await until(pilot, Path("fresh.yaml").exists)


async def test_a_shipped_graph_is_opened_as_a_copy_to_be_saved_here(path):
    async with opened(Path("ltx2_lora.yaml"), shipped="ltx2_lora", profiles=["tiny"]) as (app, pilot):
        assert app.workspace.loaded.graph.name == "ltx2_lora"
        assert "not saved" in text_of(app)
        assert not Path("ltx2_lora.yaml").exists()
        await pilot.press("ctrl+s")
        await until(pilot, Path("ltx2_lora.yaml").exists)


async def test_another_graph_is_opened_after_asking_about_this_one(path):
    Path("second.yaml").write_text(SMALL.replace("small", "second"), encoding="utf-8")
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("o", "ctrl+o")
        await shows(pilot, Pick)
        await pilot.press(*"second", "enter")
        await shows(pilot, Ask)
        await pilot.press("s")
        await until(pilot, lambda: app.workspace.loaded.graph.name == "second")
        await back_on_graph(pilot)
    assert "disabled: true" in path.read_text(encoding="utf-8")


async def test_without_a_graph_one_is_asked_for(path):
    async with opened(None) as (app, pilot):
        pick = await shows(pilot, Pick)
        assert pick.choices[0].label == "small.yaml"
        await pilot.press("enter")
        await back_on_graph(pilot)
        assert app.workspace.path == Path("small.yaml")


# --- problems --------------------------------------------------------------------------------------------------------


async def test_problems_are_listed_with_their_lines_and_lead_to_the_node(path):
    path.write_text(SMALL.replace("steps: 20", "steps: 0").replace("frames: 17", "frams: 17"), encoding="utf-8")
    async with opened(path) as (app, pilot):
        assert "error" in text_of(app).splitlines()[0]
        await pilot.press("3")
        view = app.screen.query_one(ProblemsView)
        await until(pilot, lambda: view.has_focus)
        assert "frams" in text_of(app)
        await pilot.press("end", "enter")
        await until(pilot, lambda: app.screen.selected == "train")
        assert app.screen.query_one(Panes).active == "inspector"


async def test_a_broken_file_is_mended_where_it_is_broken(path):
    path.write_text(SMALL.replace("nodes:\n", "nodes: [\n", 1), encoding="utf-8")
    async with opened(path) as (app, pilot):
        assert app.workspace.problems
        await pilot.press("3")
        await until(pilot, lambda: app.screen.query_one(ProblemsView).has_focus)
        await pilot.press("enter")
        screen = await shows(pilot, EditText)
        area = screen.query_one(TextArea)
        assert area.cursor_location[0] + 1 == app.workspace.problems[0].line
        area.text = SMALL
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.workspace.problems == [])


# --- panes, keys, palette, help --------------------------------------------------------------------------------------


async def test_panes_are_behind_tabs_where_it_is_narrow_and_side_by_side_where_it_is_wide(path):
    async with opened(path) as (app, pilot):
        shown = lambda: [pane.id for pane in app.screen.query(".pane") if pane.display]  # noqa: E731
        assert shown() == ["inspector"]
        await pilot.click(TabRow, offset=(14, 0))
        await until(pilot, lambda: shown() == ["problems"])
        await pilot.resize_terminal(160, 48)
        await until(pilot, lambda: shown() == ["inspector", "problems", "plan"])
        work = app.screen.query_one("#work")
        assert app.screen.query_one("#graph").region.width == work.region.width
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: shown() == ["problems"])


async def test_the_focused_pane_gets_the_whole_screen_and_gives_it_back(path):
    for size in ((80, 24), (160, 48)):
        async with opened(path, size) as (app, pilot):
            graph, side = app.screen.query_one("#graph"), app.screen.query_one("#side")
            await pilot.press("z")
            await until(pilot, lambda graph=graph, size=size: graph.region.width == size[0])
            assert not side.display or side.region.area == 0
            await pilot.press("z", "2", "z")
            await until(pilot, lambda side=side, size=size: side.region.width == size[0])
            assert graph.region.area == 0
            await pilot.press("escape")
            await until(pilot, lambda graph=graph: graph.region.area > 0)


async def test_a_terminal_of_20_by_5_and_back(path):
    async with opened(path) as (app, pilot):

        def shown():  # without the scroll bar
            return [line[:79].rstrip() for line in text_of(app).splitlines()]

        before = shown()
        for size in ((20, 5), (5, 2), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.press("2", "a")
            await shows(pilot, Pick)
            await pilot.press("escape")
            await back_on_graph(pilot)
            await pilot.press("1")
            await pilot.pause()
        await until(pilot, lambda: shown() == before)


async def test_everything_that_can_be_done_is_in_the_palette(path):
    from vflow.tui.palette import commands_of

    async with opened(path) as (app, pilot):
        found = {command.name for command in commands_of(app.screen)}
        assert {"Add", "Connect", "Disconnect", "Rename", "Duplicate", "Delete", "On/off", "Params"} <= found
        assert {
            "Node's text",
            "File's text",
            "$EDITOR",
            "Undo",
            "Redo",
            "Save",
            "Save as",
            "Run",
            "Run to here",
        } <= found
        assert {"Problems", "Runs", "Store", "Compare runs", "Screenshot", "Theme", "Quit", "Help"} <= found
        await select(pilot, "lora")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")
        await pilot.press(*"duplicate")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count > 0)
        await pilot.press("enter")
        await until(pilot, lambda: len(nodes(app)) == 9)


async def test_every_binding_has_a_name_and_says_what_it_does():
    from vflow.tui import keys

    for owner in keys._owners():
        for binding in keys._bindings(owner):
            if binding.show:
                assert binding.id, (owner, binding)
                assert binding.tooltip, (owner, binding)


async def test_help_is_about_what_has_the_focus(path):
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("question_mark")
        page = (await shows(pilot, HelpScreen)).page
        assert "# ApplyLoRA" in page
        assert "graph.add" in page
        await pilot.press("f1")
        await back_on_graph(pilot)
        await pilot.press("3", "f1")
        assert (await shows(pilot, HelpScreen)).page.startswith("# Problems")


async def test_keys_are_remapped_and_mistakes_are_told(path):
    config.config_file().parent.mkdir(parents=True)
    config.config_file().write_text("keys: {graph.duplicate: n, graph.ad: f6, graph.run: ctlr+x}\n", encoding="utf-8")
    async with opened(path) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("n")
        assert len(nodes(app)) == 9
        await until(pilot, lambda: any("no action is called 'graph.ad'" in one for one in said(app)))
        assert any("'ctlr' in 'ctlr+x' is no modifier" in one for one in said(app))
        await pilot.press("question_mark")
        assert "| `n` | Copy the selected node" in (await shows(pilot, HelpScreen)).page


async def test_a_theme_is_kept_in_the_configuration_and_a_wrong_one_is_told(path):
    async with opened(path) as (app, pilot):
        app.theme = "nord"
        await until(pilot, lambda: config.load().theme == "nord")
    async with opened(path) as (app, pilot):
        assert app.theme == "nord"
    config.assign("theme", ["nordd"])
    async with opened(path) as (app, pilot):
        assert app.theme == "textual-dark"
        assert any("did you mean 'nord'?" in one for one in said(app))


async def test_a_screenshot_lies_in_the_folder(path):
    async with opened(path) as (app, pilot):
        await pilot.press("f8")
        await until(pilot, lambda: list(Path().glob("*.svg")))


async def test_without_unicode_everything_is_drawn_in_ascii(path, monkeypatch):
    monkeypatch.setenv("VFLOW_ASCII", "1")
    async with opened(path, (160, 48)) as (app, pilot):
        await pilot.press("p")
        await shows(pilot, Parameters)
        assert text_of(app).isascii()
        await pilot.press("escape")
        await back_on_graph(pilot)
        assert text_of(app).isascii()


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_the_graph_screen_looks_as_it_should(path, size, same_screen):
    async with opened(path, size) as (app, pilot):
        await select(pilot, "lora")
        await until(pilot, lambda: "ApplyLoRA" in text_of(app))
        same_screen(app, f"graph-screen-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_dialogs_and_problems_look_as_they_should(path, size, same_screen, monkeypatch):
    name = f"{size[0]}x{size[1]}"
    ours = {name: kind for name, kind in registry.load_node_types().items() if registry.is_ours(kind)}
    monkeypatch.setattr(registry, "load_node_types", lambda: ours)  # other tests declare nodes of their own
    text = SMALL.replace("steps: 20", "steps: 0").replace("frames: 17", "frams: 17").replace("vae: vae,", "vae: vea,")
    path.write_text(text, encoding="utf-8")
    async with opened(path, size) as (app, pilot):
        await select(pilot, "lora")
        await pilot.press("3")
        await until(pilot, lambda: app.screen.query_one(ProblemsView).has_focus)
        await pilot.pause()
        same_screen(app, f"problems-{name}")
        await pilot.press("a")
        await shows(pilot, Pick)
        same_screen(app, f"add-{name}")
        await pilot.press("escape")
        await back_on_graph(pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, EditText) and "no problems" in text_of(app))
        same_screen(app, f"node-text-{name}")
        await pilot.press("escape")
        await back_on_graph(pilot)
        await pilot.press("question_mark")
        await shows(pilot, HelpScreen)
        await until(pilot, lambda: "Go there" in text_of(app) or "Go to where" in text_of(app))
        same_screen(app, f"help-{name}")


# --- the command -----------------------------------------------------------------------------------------------------


def test_without_a_terminal_the_command_answers_in_words(capsys):
    from vflow.engine.cli import main

    assert main(["edit", "ltx2_lora"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_a_name_is_a_file_a_new_file_or_a_shipped_graph(path):
    from vflow.engine.problems import GraphError
    from vflow.tui.command import file_for

    assert file_for("small.yaml") == (Path("small.yaml"), "")
    assert file_for("new.yaml") == (Path("new.yaml"), "")
    assert file_for("ltx2_lora") == (Path("ltx2_lora.yaml"), "ltx2_lora")
    with pytest.raises(GraphError, match="did you mean 'ltx2_lora'"):
        file_for("ltx2_lor")
    with pytest.raises(GraphError, match="there is no folder"):
        file_for("nowhere/new.yaml")


SESSION = """
import asyncio, importlib, json, pkgutil, sys, time
from pathlib import Path
import vflow.tui
from vflow.tui.app import VflowApp

for one in pkgutil.walk_packages(vflow.tui.__path__, "vflow.tui."):
    importlib.import_module(one.name)
for name in ("a", "b"):
    Path("runs", name).mkdir(parents=True)
    started = {"kind": "run_started", "time": time.time(), "graph": "small", "pid": 1, "process": "", "profiles": []}
    Path("runs", name, "events.jsonl").write_text(json.dumps(started) + "\\n")

async def session():
    app = VflowApp(Path("small.yaml"))
    async with app.run_test(size=(160, 48)) as pilot:
        async def see(kind):
            for _ in range(400):
                await pilot.pause(0.005)
                if type(app.screen).__name__ == kind and app.screen.is_mounted:
                    break
            assert type(app.screen).__name__ == kind, app.screen
            await pilot.pause(0.1)
        await see("GraphScreen")
        app.screen.planner.request(online=True)
        app.open_runs(); await see("RunsScreen")
        app.open_run(Path("runs/a")); await see("RunScreen")
        app.compare(Path("runs/a"), Path("runs/b")); await see("CompareScreen")
        app.open_store(); await see("StoreScreen")
        app.action_help(); await see("HelpScreen")

asyncio.run(session())
heavy = {"torch", "diffusers", "transformers", "peft"} & set(sys.modules)
print("imported:", sorted(heavy))
sys.exit(bool(heavy))
"""


def test_a_session_over_every_screen_imports_no_torch(path):
    done = subprocess.run([sys.executable, "-c", SESSION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- mistakes of its own ---------------------------------------------------------------------------------------------


def test_an_unexpected_error_is_kept_without_values_and_told_in_two_lines(path, monkeypatch):
    from vflow.tui import crash

    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")

    def fail():
        secret = os.environ["HF_TOKEN"]
        raise KeyError(secret)

    try:
        fail()
    except KeyError as error:
        told = crash.told(error)
    first, second = told.split("\n")
    assert first == "the terminal UI ended over a mistake of its own: KeyError: '***'"
    assert "unsaved work is offered" in second
    (kept,) = Path(os.environ["VFLOW_HOME"], "drafts").glob("crash-*.txt")
    assert str(kept) in second
    text = kept.read_text(encoding="utf-8")
    assert "in fail" in text
    assert "abcdefgh" not in text
    assert kept.stat().st_mode & 0o077 == 0


async def test_the_app_ends_with_those_lines_and_the_work_is_offered_again(path):
    app = VflowApp(path)

    def fail():
        raise RuntimeError("boom")

    async def pilot(_):
        app.workspace.set_value("train", ("steps",), 77)
        app.call_later(fail)

    await asyncio.wait_for(app.run_async(headless=True, size=(80, 24), auto_pilot=pilot), 30)
    assert app.return_code == 1
    assert len(list(Path(os.environ["VFLOW_HOME"], "drafts").glob("crash-*.txt"))) == 1
    assert list(Path(os.environ["VFLOW_HOME"], "drafts").glob("*~*.json"))


# --- following a run -------------------------------------------------------------------------------------------------


def test_a_run_is_handed_to_the_ui_on_a_terminal_only(path, monkeypatch):
    from vflow.engine.cli import main, watch
    from vflow.tui import command

    Path("runs/a").mkdir(parents=True)
    lines = [
        {"kind": "run_started", "time": 1.0, "graph": "g", "pid": 1, "process": ""},
        {"kind": "run_finished", "time": 2.0, "status": "done", "seconds": 1.0, "saved_seconds": 0.0},
    ]
    Path("runs/a/events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    summary = {"status": "done", "seconds": 1.0, "saved_seconds": 0.0, "nodes": {}}
    Path("runs/a/summary.json").write_text(json.dumps(summary), encoding="utf-8")
    shown = []
    monkeypatch.setattr(command, "_show", lambda app: shown.append(app._run_folder) or 0)
    monkeypatch.setattr(command, "_is_terminal", lambda: False)
    assert main(["watch", "a"]) == 0
    assert shown == []
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    monkeypatch.setattr(watch, "_is_terminal", lambda: True)
    assert main(["watch", "a"]) == 0
    assert main(["watch", "a", "--plain"]) == 0
    assert shown == [Path("runs/a")]
