"""The history of runs: listed, searched, sorted, kept current; a run opened, compared, its graph and outputs taken."""

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.app import App
from textual.binding import Binding
from textual.widgets import Input

from vflow.tui.app import VflowApp
from vflow.tui.dialogs.pick import Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.footer import KeyLine
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.run.screen import RunScreen
from vflow.tui.runs import screen as runs_screen
from vflow.tui.runs.compare_screen import CompareScreen
from vflow.tui.runs.screen import RunsScreen
from vflow.tui.screens.graph_screen import GraphScreen
from vflow.tui.table import Cell, Column, Table

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC


class Host(App):
    """What the screens ask of the app, written down."""

    def __init__(self, screen, glyphs=UNICODE):
        super().__init__()
        self.first, self.glyphs, self.did, self.said = screen, glyphs, [], []

    def on_mount(self):
        self.push_screen(self.first)

    def open_run(self, folder):
        self.did.append(("run", folder))

    def open_graph(self, path, text=None):
        self.did.append(("graph", path, text))

    def compare(self, one, other):
        self.did.append(("compare", one, other))

    def say(self, message, severity="information"):
        self.said.append(message)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def until(pilot, condition):
    for _ in range(400):
        await pilot.pause()
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come to that")


async def read(pilot, number):
    await until(pilot, lambda: len(names(pilot.app)) == number and pilot.app.screen._over)


def names(app):
    return [path.name for path in app.screen.query_one(Table).keys]


def made_at(run, began, seconds=None):
    """Say of a run's folder when it began, and how long it took."""
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    seconds = summary["seconds"] if seconds is None else seconds
    for line in lines:
        line["time"] = began
    lines[-1] |= {"time": began + seconds, "seconds": seconds}
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (run / "events.jsonl").write_text(text)
    (run / "summary.json").write_text(json.dumps(summary | {"seconds": seconds, "saved_seconds": 190.0}))
    return run


@pytest.fixture
def three(toy_run):
    return [
        made_at(toy_run("sana_lora", out="20261117-190000-sana_lora"), NOW - 58000, 4321),
        made_at(toy_run("ltx2_lora", words=("one", "fail"), out="20261118-080000-ltx2_lora"), NOW - 11200, 75),
        made_at(toy_run("sana_lora", start=2.0, profile="tiny", out="20261118-100000-sana_lora"), NOW - 4000, 61.5),
    ]


def lines(app):
    strips = app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips]


async def test_runs_are_listed_with_state_time_and_loss_the_newest_first(three):
    async with Host(RunsScreen()).run_test(size=(160, 30)) as pilot:
        await read(pilot, 3)
        assert names(pilot.app) == [three[2].name, three[1].name, three[0].name]
        cells = [cell.text for cell in pilot.app.screen._cells(pilot.app.screen.query_one(Table).keys[0])]
        assert cells[1:5] == ["20261118-100000-sana_lora", "sana_lora", "tiny", "✓ done"]
        assert cells[6:] == ["1 min 2 s", "2 of 3, 3 min 10 s", "1", "2"]
        assert "✗ failed" in "".join(lines(pilot.app))


async def test_a_search_narrows_the_list_while_one_types_and_escape_shows_all_again(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("slash", *"ltx2")
        assert names(pilot.app) == [three[1].name]
        await pilot.press(*" done")
        assert names(pilot.app) == []
        assert "no run fits 'ltx2 done'" in "\n".join(lines(pilot.app))
        await pilot.press("escape")
        assert len(names(pilot.app)) == 3
        await pilot.press("slash", *"2026-11-17", "enter", "enter")
        assert pilot.app.did == [("run", three[0].relative_to(three[0].parents[1]))]
        await pilot.press("escape")
        assert len(names(pilot.app)) == 3


async def test_a_click_on_a_head_sorts_and_another_turns_the_order(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        head = lines(pilot.app)[2]
        await pilot.click(Table, offset=(head.index("TOOK"), 0))
        assert names(pilot.app) == [three[0].name, three[1].name, three[2].name]
        await pilot.click(Table, offset=(head.index("TOOK"), 0))
        assert names(pilot.app) == [three[2].name, three[1].name, three[0].name]
        await pilot.press("s", "s")  # past `reused`, which is out of sight here, to the loss
        assert names(pilot.app)[0] == three[0].name
        await pilot.press("S")
        assert names(pilot.app)[0] == three[2].name


async def test_rows_stay_still_while_new_runs_come(three, tmp_path):
    for number in range(50):
        copy = tmp_path / "runs" / f"more-{number:02d}"
        shutil.copytree(three[0], copy)
        made_at(copy, NOW - 100000 - number)
    screen = RunsScreen()
    async with Host(screen).run_test(size=(80, 24)) as pilot:
        await read(pilot, 53)
        await pilot.press("pagedown", "pagedown", "up")
        table = screen.query_one(Table)
        key, where = table.key, table.region_of(table.key)
        assert table.scroll_y > 0
        shutil.copytree(three[0], tmp_path / "runs" / "newest")
        made_at(tmp_path / "runs" / "newest", NOW)
        screen._look()
        await until(pilot, lambda: len(table.keys) == 54)
        assert (table.key, table.region_of(key)) == (key, where)


async def test_enter_and_two_clicks_open_a_run(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("down", "enter")
        await pilot.click(Table, offset=(10, 3), times=2)
        assert [what[1].name for what in pilot.app.did] == [three[1].name, three[0].name]


async def test_two_marked_runs_are_compared_the_older_one_first(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("d")
        assert (pilot.app.did, "mark them with m" in pilot.app.said[-1]) == ([], True)
        await pilot.press("m", "end", "d")
        await pilot.press("m", "d")
        expected = ("compare", three[0].name, three[2].name)
        assert [(what, one.name, other.name) for what, one, other in pilot.app.did] == [expected] * 2
        await pilot.click(Table, offset=(0, 2))  # before the name: a mark that takes the place of the first
        assert [path.name for path in pilot.app.screen.marked] == [three[0].name, three[1].name]


async def test_the_graph_of_a_run_is_opened_as_a_new_file_and_the_record_stays(three, tmp_path):
    (tmp_path / "sana_lora.yaml").write_text("mine")
    before = (three[2] / "graph.yaml").read_bytes()
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompt))
        field = pilot.app.screen.query_one(Input)
        assert field.value == "sana_lora_2.yaml"
        field.value = "sana_lora.yaml"
        await pilot.press("enter")
        assert "is there already" in "\n".join(lines(pilot.app))
        field.value = "nowhere/x.yaml"
        await pilot.press("enter")
        assert "there is no folder nowhere" in "\n".join(lines(pilot.app))
        field.value = "new.yaml"
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.did)
    assert pilot.app.did == [("graph", Path("new.yaml"), before.decode())]
    assert ((three[2] / "graph.yaml").read_bytes(), (tmp_path / "sana_lora.yaml").read_text()) == (before, "mine")
    assert not (tmp_path / "new.yaml").exists()


async def test_the_path_of_an_output_is_copied_and_shown_and_chosen_where_there_are_several(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, Pick))
        await pilot.press(*"path", "enter")
        await until(pilot, lambda: pilot.app.clipboard)
        assert pilot.app.clipboard == str((three[2] / "outputs" / "path" / "text.txt").absolute())
        assert pilot.app.clipboard in pilot.app.said[-1]
        await pilot.press("down", "y")  # the one that failed
        await until(pilot, lambda: "has no outputs" in pilot.app.said[-1])


async def test_runs_of_another_folder_are_shown_and_a_folder_that_is_missing_is_refused(three, tmp_path):
    shutil.move(three[0], tmp_path / "elsewhere" / "old")
    async with Host(RunsScreen(Path("nothing"))).run_test() as pilot:
        await until(pilot, lambda: "there is no folder nothing yet" in "\n".join(lines(pilot.app)))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompt))
        pilot.app.screen.query_one(Input).value = "missing"
        await pilot.press("enter")
        assert "there is no folder missing" in "\n".join(lines(pilot.app))
        pilot.app.screen.query_one(Input).value = "elsewhere"
        await pilot.press("enter")
        await until(pilot, lambda: names(pilot.app) == ["old"])


async def test_runs_that_vanish_leave_the_list_and_so_does_their_mark(three, tmp_path):
    screen = RunsScreen()
    async with Host(screen).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("m")
        shutil.rmtree(three[2])
        screen._look()
        await until(pilot, lambda: len(names(pilot.app)) == 2)
        assert screen.marked == ()
        assert screen.selected.name == three[1].name
        shutil.rmtree(tmp_path / "runs")
        screen._look()
        await until(pilot, lambda: "there is no folder runs yet" in "\n".join(lines(pilot.app)))
        await pilot.press("enter", "m", "d", "g", "y")
        assert pilot.app.did == []


async def test_a_run_whose_process_is_gone_says_so(three):
    events = three[0] / "events.jsonl"
    events.write_text(events.read_text().replace(f"~{os.getpid()}~", "~1~"))
    (three[0] / "summary.json").unlink()
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("end")
        await until(pilot, lambda: "goes on" in "\n".join(lines(pilot.app)))
        assert "! died" in lines(pilot.app)[5]
        assert "1 died" in lines(pilot.app)[0]


async def test_a_terminal_without_unicode_gets_ascii(three):
    async with Host(RunsScreen(), ASCII).run_test() as pilot:
        await read(pilot, 3)
        await pilot.press("m")
        assert "\n".join(lines(pilot.app)[:-1]).isascii()


async def test_a_tiny_terminal_shows_what_it_can(three):
    async with Host(RunsScreen()).run_test() as pilot:
        await read(pilot, 3)
        await pilot.resize_terminal(20, 5)
        await pilot.press("down")
        assert "20261118" in "\n".join(lines(pilot.app))
        await pilot.resize_terminal(80, 24)
        assert pilot.app.screen.selected.name == three[1].name
        assert pilot.app.screen.query_one(Table).region_of(three[1].relative_to(three[1].parents[1]))


async def test_the_app_leads_to_a_run_a_comparison_and_back(three):
    app = VflowApp(run=three[0])
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_runs()
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.query_one(Table).keys) == 3)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("m", "end", "d")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.found is not None)
        await pilot.press("escape", "g")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace is not None and isinstance(app.screen, GraphScreen))
        assert (app.workspace.path.name, app.workspace.draft.dirty) == ("sana_lora_2.yaml", True)
        assert list(app.workspace.loaded.graph.nodes) == ["words", "carve", "walk"]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids="{0[0]}x{0[1]}".format)
async def test_the_history_reads_well(three, same_screen, monkeypatch, size):
    monkeypatch.setattr(runs_screen, "time", SimpleNamespace(time=lambda: NOW))
    async with Host(RunsScreen()).run_test(size=size) as pilot:
        await read(pilot, 3)
        await pilot.press("down", "m")
        same_screen(pilot.app, "runs-{}x{}".format(*size))


async def test_no_cell_is_cut_off_beside_a_scroll_bar():
    class Host(App):
        glyphs = UNICODE

        def compose(self):
            yield Table([Column("name", "NAME", 4, grow=True), Column("n", "N", 6, right=True)],
                        lambda key: [Cell("row"), Cell(f"{key:06d}")])  # fmt: skip

    async with Host().run_test(size=(40, 10)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(range(100))
        await pilot.pause()
        await pilot.pause()
        assert table.show_vertical_scrollbar
        shown = pilot.app.screen._compositor.render_strips()[1].text
        assert shown.startswith("row")
        assert "000000" in shown


async def test_the_line_of_keys_follows_the_focus_and_a_click_on_it_presses_a_key(tmp_path):
    class Host(App):
        BINDINGS = [Binding("x", "tell('x')", "Tell"), Binding("z", "tell('z')", "Hidden", show=False)]
        told = ""

        def compose(self):
            yield Table([Column("name", "NAME", 4)], lambda key: [Cell("row")])
            yield KeyLine()

        def action_tell(self, what):
            self.told = what

    async with Host().run_test(size=(40, 10)) as pilot:
        pilot.app.query_one(Table).focus()
        await pilot.pause()
        line = pilot.app.query_one(KeyLine)
        shown = line.render().plain
        assert ("Open" in shown, "Tell" in shown, "Hidden" in shown) == (True, True, False)
        assert await pilot.click(KeyLine, offset=(shown.index("Tell"), 0))
        await pilot.pause()
        assert pilot.app.told == "x"
        pilot.app.screen.set_focus(None)
        await pilot.pause()
        assert "Open" not in line.render().plain
        await pilot.resize_terminal(14, 10)  # what does not fit is left out, not cut
        await pilot.pause()
        assert "Tell" not in line.render().plain
