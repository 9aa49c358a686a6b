"""The store's screen: what it holds by graph, node and result; pinned, removed, collected, verified."""

import hashlib
import os
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from textual.app import App
from textual.widgets import Button, Checkbox, Input

from vflow.engine.store import Record, Store
from vflow.engine.store.collect import Limits
from vflow.tui.dialogs.ask import Ask
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.store import screen as store_screen
from vflow.tui.store.collecting import Collecting
from vflow.tui.store.details import Details
from vflow.tui.store.rows import name_of
from vflow.tui.store.screen import StoreScreen
from vflow.tui.table import Table

NOW = 1_795_000_000.0
DAY = 86400.0


class Host(App):
    """What the screen asks of the app, written down."""

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (120, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (10, "-high")]

    def __init__(self, screen, glyphs=UNICODE):
        super().__init__()
        self.first, self.glyphs, self.said = screen, glyphs, []

    def on_mount(self):
        self.push_screen(self.first)

    def say(self, message, severity="information"):
        self.said.append(message)


async def until(pilot, condition):
    for _ in range(600):
        await pilot.pause()
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come to that")


def lines(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def names(app):
    return [name_of(place) for place in app.first.query_one(Table).keys]


async def looked(pilot):
    screen = pilot.app.first
    await until(pilot, lambda: screen.seen is not None and not screen.busy and (screen.view or screen.seen.problem))
    await until(pilot, lambda: screen.view is None or screen.view.version == screen._version)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A store with two graphs' results, of known ages and sizes; returns its folder."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    store = Store(tmp_path / "home")

    def put(graph, node, kind, number, size, seconds, age, work=""):
        blob = store.put_bytes(
            hashlib.sha256(f"{node}{number}{graph}".encode()).digest() * (size // 32), ".safetensors"
        )
        key = hashlib.sha256(f"{graph}{node}{number}".encode()).hexdigest()
        record = Record(
            key=key, node_type=kind, version=2, output=[blob.to_json()], seconds=seconds, created=NOW - age,
            blobs=[blob], settings={"rank": 16, "lr": 1e-4}, inputs={"clips": "c" * 64}, environment={"torch": "2.13"},
            facts={"trained": 3}, graph=graph, node=node, work=work,
        )  # fmt: skip
        store.publish(record)
        os.utime(store._records.path_of(key), (NOW - age, NOW - age))
        return key

    for number in range(4):
        put("ltx2_lora", "latents", "EncodeVideo", number, 320_000, 2.5, 9 * DAY + number)
    put("ltx2_lora", "captions", "EncodeText", 0, 64_000, 0.4, 9 * DAY)
    work = "w" * 64
    (store.work_folder(work) / "state.json").write_text("x" * 5000)
    os.utime(store.work_folder(work) / "state.json", (NOW - DAY, NOW - DAY))
    os.utime(store.work_folder(work), (NOW - DAY, NOW - DAY))
    put("ltx2_lora", "train", "TrainLoop", 0, 1_600_000, 5400, DAY, work)
    put("sana_lora", "latents", "EncodeVideo", 9, 640_000, 12, 3 * 3600)
    store.close()
    return store.folder


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids="{0[0]}x{0[1]}".format)
async def test_the_store_reads_well(kept, same_screen, monkeypatch, size):
    monkeypatch.setattr(store_screen, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setenv("VFLOW_HOME", "home")
    monkeypatch.chdir(kept.parent)
    (train,) = keys_of("train")
    Store(kept).keeper().pin([train], "the good one")
    async with Host(StoreScreen()).run_test(size=size) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "train" in names(pilot.app))
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: train[:12] in names(pilot.app))
        await pilot.press("down")
        await pilot.pause()
        pilot.app.screen.seen.store.folder = "~/.cache/vflow"
        pilot.app.screen.show_title()
        await pilot.pause()
        same_screen(pilot.app, "store-{}x{}".format(*size))


def pinned():
    return Store().keeper().pinned()


def keys_of(node):
    return {record.key for record in Store().entries() if record.node == node}


async def on(pilot, *path):
    """Put the cursor on a line, given by names from the graph on."""
    table = pilot.app.first.query_one(Table)
    for depth, name in enumerate(path):
        await until(pilot, lambda: name in names(pilot.app))  # noqa: B023
        table.cursor = names(pilot.app).index(name)
        if depth < len(path) - 1:
            await pilot.press("right")
    await pilot.pause()


async def asked(pilot, kind):
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


async def done(pilot, said):
    await until(pilot, lambda: pilot.app.said and said in pilot.app.said[-1])
    await looked(pilot)


async def test_results_of_a_run_stand_by_graph_and_node_and_open_and_close(toy_run):
    toy_run("g")
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        assert names(pilot.app) == ["g", "carve", "walk"]  # of one graph, the nodes are seen at once
        await on(pilot, "carve")
        await pilot.press("enter")
        await until(pilot, lambda: len(names(pilot.app)) == 5)
        assert set(names(pilot.app)[2:4]) == {key[:12] for key in keys_of("carve")}
        await pilot.press("down", "left", "left")
        await until(pilot, lambda: names(pilot.app) == ["g", "carve", "walk"])
        await pilot.click(Table, offset=(2, 1))  # the arrow before the graph
        await until(pilot, lambda: names(pilot.app) == ["g"])


async def test_lines_are_sorted_by_size_age_and_name_by_keys_and_by_a_click(kept):
    async with Host(StoreScreen()).run_test(size=(100, 24)) as pilot:
        await looked(pilot)
        await on(pilot, "ltx2_lora")
        await pilot.press("right")
        await until(pilot, lambda: "train" in names(pilot.app))
        head = lines(pilot.app).split("\n")[2]
        for column, order in (("SIZE", ["train", "latents", "captions"]), ("NAME", ["captions", "latents", "train"])):
            await pilot.click(Table, offset=(head.index(column), 0))
            await until(pilot, lambda: names(pilot.app)[1:4] == order)  # noqa: B023
        await pilot.press("S")
        await until(pilot, lambda: names(pilot.app) == ["sana_lora", "ltx2_lora", "train", "latents", "captions"])
        await pilot.press("s", "s", "s", "s")
        await until(pilot, lambda: names(pilot.app)[0] == "sana_lora")
        assert pilot.app.screen.query_one(Table).by == "age"


async def test_a_search_finds_nodes_types_notes_and_keys(kept):
    (train,) = keys_of("train")
    Store().keeper().pin([train], "the good one")
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        first, second = ["ltx2_lora"], ["sana_lora"]
        expected = {"encodetext": first, "good one": first, "sana latents": second, train[:9]: first, "pinned sana": []}
        for text, found in (expected | {"": first + second}).items():
            pilot.app.screen.query_one(Input).value = text
            await until(pilot, lambda: names(pilot.app) == found)  # noqa: B023
        await pilot.press("slash", *"nothing")
        await until(pilot, lambda: "nothing fits 'nothing'" in lines(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: len(names(pilot.app)) == 2)


async def test_what_is_pinned_with_a_note_is_kept_until_it_is_unpinned(toy_run):
    toy_run("g")
    async with Host(StoreScreen()).run_test(size=(100, 24)) as pilot:
        await looked(pilot)
        await on(pilot, "carve")
        await pilot.press("p")
        await asked(pilot, Prompt)
        await pilot.press(*"why not", "enter")
        await done(pilot, "pinned 2 results")
        assert pinned() == dict.fromkeys(keys_of("carve"), "why not")
        assert "2 pinned" in lines(pilot.app)
        await on(pilot, "g")
        await pilot.press("P")
        await done(pilot, "unpinned 2 results")
        assert pinned() == {}
        await pilot.press("P")
        await done(pilot, "nothing of this is pinned")


async def test_removing_shows_what_would_go_and_asks_and_what_went_is_computed_again(toy_run):
    toy_run("g")
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await on(pilot, "carve")
        await pilot.press("d")
        await asked(pilot, Ask)
        assert "2 results, 2 files would go" in lines(pilot.app)
        await pilot.press("enter")  # keeping them is what enter means
        await until(pilot, lambda: pilot.app.screen is pilot.app.first)
        assert len(keys_of("carve")) == 2
        await pilot.press("d")
        await asked(pilot, Ask)
        await pilot.press("r")
        await done(pilot, "2 results, 2 files went")
        assert names(pilot.app) == ["g", "walk"]
    assert keys_of("carve") == set()
    summary = (toy_run("g") / "summary.json").read_text()
    assert '"carve": {"state": "computed"' in summary


async def test_what_is_pinned_or_shared_stays_and_it_is_said_why(toy_run):
    toy_run("g")
    toy_run("other", words=("one", "two"), times=1, start=2.0)  # its carving is the other's
    one, _ = sorted(keys_of("carve"))
    Store().keeper().pin([one])
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await on(pilot, "g")
        await pilot.press("m")
        await on(pilot, "other")
        await pilot.press("m", "d")
        await asked(pilot, Ask)
        assert "1 result stays: it is pinned" in lines(pilot.app)
        await pilot.press("r")
        await done(pilot, "1 result stays: it is pinned")
        assert {record.key for record in Store().entries()} == {one}
        await on(pilot, "g", "carve")
        await pilot.press("d")
        await asked(pilot, Ask)
        assert "nothing can go" in lines(pilot.app)


async def test_a_collection_shows_what_would_go_before_anything_does(kept):
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await pilot.press("c")
        await asked(pilot, Collecting)
        dialog = pilot.app.screen
        await until(pilot, lambda: dialog._limits is not None)
        assert "nothing to remove" in lines(pilot.app)
        assert dialog.query_one("#collect", Button).disabled
        await pilot.press("ctrl+s")
        assert pilot.app.screen is dialog
        await pilot.press(*"much")
        await until(pilot, lambda: "'much' is no size" in lines(pilot.app))
        for field, text in (("#max-size", "1kB"), ("#keep-runs", "x")):
            dialog.query_one(field, Input).value = text
        await until(pilot, lambda: "'x' is no number of runs" in lines(pilot.app))
        dialog.query_one("#keep-runs", Input).value = ""
        await until(pilot, lambda: dialog.taking and len(dialog.taking.entries) == 6)
        assert "6 results, 6 files would go" in lines(pilot.app)
        assert "more than 1.0 kB is left" in lines(pilot.app)
        dialog.query_one(Checkbox).value = True
        await until(pilot, lambda: dialog.taking and len(dialog.taking.entries) == 7)
        assert len(list(Store().entries())) == 7
        dialog.query_one(Checkbox).value = False
        await until(pilot, lambda: dialog.taking and len(dialog.taking.entries) == 6)
        await pilot.press("ctrl+s")
        await done(pilot, "6 results, 6 files went")
        assert [record.node for record in Store().entries()] == ["train"]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids="{0[0]}x{0[1]}".format)
async def test_a_collection_reads_well(kept, same_screen, monkeypatch, size):
    monkeypatch.setattr("vflow.engine.store.keeping.time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr("vflow.tui.store.collecting.time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(store_screen, "time", SimpleNamespace(time=lambda: NOW))
    async with Host(StoreScreen()).run_test(size=size) as pilot:
        await looked(pilot)
        await pilot.press("c")
        await asked(pilot, Collecting)
        await pilot.press(*"2.3MB")
        await until(pilot, lambda: pilot.app.screen.taking and len(pilot.app.screen.taking.entries) == 5)
        pilot.app.first.seen.store.folder = "~/.cache/vflow"
        pilot.app.first.show_title()
        await pilot.pause()
        same_screen(pilot.app, "store-collect-{}x{}".format(*size))


async def test_another_collection_is_waited_for_and_that_is_said(kept):
    go, holding = threading.Event(), threading.Event()

    def other():
        with Store()._uses.collecting(lambda _holder: None):
            holding.set()
            go.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    holding.wait(30)
    try:
        async with Host(StoreScreen()).run_test(size=(120, 24)) as pilot:
            await looked(pilot)
            await on(pilot, "sana_lora")
            await pilot.press("d")
            await asked(pilot, Ask)
            await pilot.press("r")
            await until(pilot, lambda: "waiting for another collection" in lines(pilot.app))
            await pilot.press("c")  # one thing at a time
            assert "wait: waiting for another collection" in pilot.app.said[-1]
            go.set()
            await done(pilot, "1 result, 1 file went")
    finally:
        go.set()
        thread.join()


async def test_leaving_while_another_collection_is_waited_for_removes_nothing(kept):
    with Store()._uses.collecting(lambda _holder: None):
        async with Host(StoreScreen()).run_test(size=(120, 24)) as pilot:
            await looked(pilot)
            await on(pilot, "sana_lora")
            await pilot.press("d")
            await asked(pilot, Ask)
            await pilot.press("r")
            await until(pilot, lambda: "waiting for another collection" in lines(pilot.app))
            await pilot.press("escape")
    assert len(list(Store().entries())) == 7


async def test_verifying_says_that_all_is_well_or_what_is_damaged(kept):
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await pilot.press("v")
        await done(pilot, "all is well")
        (record,) = [record for record in Store().entries() if record.node == "train"]
        path = kept / "blobs" / record.blobs[0].digest[:2] / record.blobs[0].digest
        path.chmod(0o644)
        path.write_bytes(b"torn")
        await pilot.press("v")
        await asked(pilot, Ask)
        assert f"blob {record.blobs[0].digest[:12]}" in lines(pilot.app)
        await pilot.press("c")
        await looked(pilot)
        assert "damaged files" in names(pilot.app)


async def test_verifying_tells_how_far_it_is_and_can_be_stopped(kept, monkeypatch):
    go = threading.Event()

    def slow(folder, progress):
        for number in range(10_000):
            progress(number, 10_000)
            go.wait(0.01)
        return []

    monkeypatch.setattr("vflow.tui.store.reading.verify", slow)
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await pilot.press("v")
        await until(pilot, lambda: "of 10,000" in lines(pilot.app))
        await pilot.press("v")
        await done(pilot, "stopped")


async def test_the_screen_answers_while_the_store_is_looked_at(kept, monkeypatch):
    from vflow.tui.store.reading import look

    go = threading.Event()
    monkeypatch.setattr(store_screen, "look", lambda folder: go.wait(30) and look(folder))
    async with Host(StoreScreen()).run_test() as pilot:
        await until(pilot, lambda: "looking" in lines(pilot.app))
        await pilot.press("d")
        assert "wait" in pilot.app.said[-1]
        await pilot.press("slash", *"sana")
        assert pilot.app.screen.query_one(Input).value == "sana"
        go.set()
        await until(pilot, lambda: names(pilot.app) == ["sana_lora"])


async def test_a_store_that_is_missing_newer_or_damaged_is_said_in_words(tmp_path, kept):
    async with Host(StoreScreen(tmp_path / "nowhere")).run_test(size=(160, 24)) as pilot:
        await looked(pilot)
        assert "there is no store at" in lines(pilot.app)
        await pilot.press("d", "c", "v", "p", "enter", "space", "left", "right", "m")
        assert "there is no store" in pilot.app.said[-1]
    assert not (tmp_path / "nowhere").exists()
    (kept / "pins").mkdir()
    (kept / "pins" / "x.json").write_text("{")
    async with Host(StoreScreen()).run_test(size=(300, 24)) as pilot:
        await looked(pilot)
        assert "x.json cannot be read; remove that file" in lines(pilot.app)
        shutil.rmtree(kept / "pins")
        await pilot.press("r")
        await until(pilot, lambda: names(pilot.app) == ["ltx2_lora", "sana_lora"])
        (kept / "store.json").write_text('{"format": 99}')
    async with Host(StoreScreen()).run_test(size=(300, 24)) as pilot:
        await looked(pilot)
        assert "has format 99" in lines(pilot.app)


async def test_a_store_that_cannot_be_written_is_read_and_says_so(kept, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    (kept / "pins").write_text("in the way")
    async with Host(StoreScreen()).run_test(size=(120, 24)) as pilot:
        await looked(pilot)
        assert names(pilot.app) == ["ltx2_lora", "sana_lora"]
        assert "it may only be read here" in lines(pilot.app)
        await pilot.press("p")
        await asked(pilot, Prompt)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.said and "the store is not a folder" in pilot.app.said[-1])


async def test_what_goes_while_one_looks_is_no_accident(kept):
    async with Host(StoreScreen()).run_test() as pilot:
        await looked(pilot)
        await on(pilot, "sana_lora", "latents")
        await pilot.press("m")
        Store().keeper().collect(Limits(max_size=0, trainings=True))
        await pilot.press("d")
        await asked(pilot, Ask)
        await pilot.press("r")
        await done(pilot, "nothing to remove")
        assert (names(pilot.app), pilot.app.screen.marked) == ([], set())
        assert "the store is empty" in lines(pilot.app)


async def test_a_result_is_shown_with_all_that_explains_it(kept):
    async with Host(StoreScreen()).run_test(size=(120, 40)) as pilot:
        await looked(pilot)
        (train,) = keys_of("train")
        await on(pilot, "ltx2_lora", "train", train[:12])
        await pilot.press("enter")
        await asked(pilot, Details)
        assert "TrainLoop v2, node train of graph ltx2_lora" in lines(pilot.app)
        assert "rank: 16" in lines(pilot.app)
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.first


async def test_a_quota_is_shown_as_a_share(kept, tmp_path):
    (tmp_path / "config" / "vflow").mkdir(parents=True)
    (tmp_path / "config" / "vflow" / "config.yaml").write_text("max_size: 7MB\n")
    async with Host(StoreScreen()).run_test(size=(120, 24)) as pilot:
        await looked(pilot)
        assert "3.6 MB of 7.0 MB [████" in lines(pilot.app)
        (tmp_path / "config" / "vflow" / "config.yaml").write_text("max_sise: 7MB\n")
        await pilot.press("r")
        await until(pilot, lambda: "did you mean 'max_size'?" in lines(pilot.app))
        assert names(pilot.app) == ["ltx2_lora", "sana_lora"]


async def test_a_terminal_without_unicode_gets_ascii_and_a_tiny_one_what_fits(kept):
    async with Host(StoreScreen(), ASCII).run_test() as pilot:
        await looked(pilot)
        await pilot.press("m")
        await until(pilot, lambda: "1 marked" in lines(pilot.app))
        assert "\n".join(lines(pilot.app).split("\n")[1:-1]).isascii()
        await pilot.resize_terminal(20, 5)
        assert "ltx2_lora" in lines(pilot.app)
        await pilot.press("c")
        await asked(pilot, Collecting)
        await pilot.resize_terminal(80, 24)
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.first
