"""The inspector: a node's form drawn, moved through and edited."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from rich.cells import cell_len
from textual import events
from textual.app import App
from textual.containers import Horizontal
from textual.widgets import Input, OptionList, TextArea

from vflow.engine.forms import form
from vflow.engine.load import load, shipped_graphs
from vflow.engine.node import Node, placement
from vflow.engine.values import Recipe
from vflow.tui.glyphs import ASCII, UNICODE
from vflow.tui.inspector import Inspector
from vflow.tui.inspector.page import Key, Typing, keys_of, page, wrap


class InspectorModel(Recipe):
    x: int = 0


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    lr: float = Field(1e-4, gt=0, le=1, description="How fast.")


class First(Group):
    name: Literal["first"] = "first"


class Second(Group):
    name: Literal["second"] = "second"
    decay: int = Field(3, description="How it ends.")


class InspectorNode(Node):
    """Do something for the tests."""

    needed: str = Field(min_length=1, description="What it needs.")
    rank: int = Field(4, ge=1, le=64, description="How many.")
    flag: bool = placement(False, description="Whether it is on.")
    mode: Literal["fast", "slow", "steady"] | None = "fast"
    prompts: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    optional: Group | None = None
    optimizer: First | Second = Field(First(), discriminator="name")

    def run(self, context, model: InspectorModel | None = None) -> InspectorModel: ...


KNOWN = {"Form": InspectorNode}
TEXT = """\
vflow: 1
params: {rank: 8}
profiles:
  tiny: {params: {rank: 2}}
nodes:
  a: {type: Form, needed: x, rank: "${rank}", prompts: [a bird, a cat], inputs: {model: b}}
  b: {type: Form, needed: y, rank: 0}
  odd: {type: Unknown, words: [x, y], inputs: {x: a}}
outputs: {o: a}
"""


TRAIN = """\
vflow: 1
params: {steps: 2000, seed: 0}
profiles:
  tiny:
    params: {steps: 300}
    nodes:
      train:
        batch_size: 8
        optimizer: {name: adamw, lr: 4.0e-3}
        schedule: {name: linear, warmup_steps: 10}
        precision: fp32
        checkpoint_every: 100
nodes:
  model: {type: LoadTransformer, model: "tiny://ltx2"}
  vae: {type: LoadVAE, model: "tiny://ltx2"}
  texts: {type: LoadTextEncoder, model: "tiny://ltx2"}
  clips: {type: BucketVideos, inputs: {vae: vae}, source: "sample://shapes"}
  captions: {type: EncodeText, inputs: {text_encoder: texts, captions: clips.captions}}
  latents: {type: EncodeVideo, inputs: {vae: vae, clips: clips.clips}}
  train:
    type: TrainLoop
    inputs: {transformer: model, latents: latents, captions: captions}
    steps: ${steps}
    seed: ${seed}
outputs: {lora: train.adapter}
"""


class Shown(App[None]):
    """The inspector alone, as wide as asked, beside something else that takes the focus."""

    CSS = "Inspector { width: 1fr; } #other { width: 12; }"

    def __init__(self, loaded: Any, node: str, glyphs: Any = UNICODE, beside: bool = False) -> None:
        super().__init__()
        self.loaded, self.node, self.glyphs, self.beside = loaded, node, glyphs, beside
        self.said: list[Any] = []

    def compose(self):
        with Horizontal():
            yield Inspector()
            if self.beside:
                yield Input(id="other")

    def on_mount(self):
        self.inspector.show(form(self.loaded, self.node))
        self.inspector.focus()

    @property
    def inspector(self):
        return self.query_one(Inspector)

    def reload(self, text: str, node: str = "a") -> None:
        self.loaded = small(text)
        self.inspector.show(form(self.loaded, node))

    def on_inspector_changed(self, event):
        self.said.append((event.node, event.path, event.value))

    def on_inspector_reset(self, event):
        self.said.append((event.node, event.path, "reset"))

    def on_inspector_port_pressed(self, event):
        self.said.append((event.node, event.port, event.side))


def small(text=TEXT, profiles=()):
    return load(Path("graph.yaml"), profiles, known=KNOWN, text=text)


def shown(text=TEXT, node="a", **more):
    return Shown(small(text), node, **more)


def at(*path):
    return Key("field", path)


async def until(pilot, holds, bound=100):
    """Wait for something to hold; the bound is in rounds of the loop."""
    for _ in range(bound):
        if holds():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to hold")


def words(app):
    return app.inspector.sheet.drawn().text()


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [20, 33, 40, 64, 80, 130])
def test_no_line_of_any_form_is_wider_than_the_page(width, glyphs):
    for name in list(shipped_graphs())[:3]:
        loaded = load(name, ["tiny"])
        for node in loaded.graph.nodes:
            found = form(loaded, node)
            for key in [None, *keys_of(found)[::5]]:
                drawn = page(found, width, glyphs, key)
                assert all(sum(cell_len(run.text) for run in line) <= width for line in drawn.lines)
                assert not glyphs.ascii or drawn.text().isascii()


def test_every_field_and_port_has_a_row_in_the_order_of_the_keys():
    found = form(small(), "a")
    drawn = page(found, 60, UNICODE)
    assert [row.key for row in drawn.rows] == keys_of(found)
    tops = [row.top for row in drawn.rows]
    assert tops == sorted(tops)
    assert all(drawn.at(row.top) is row and drawn.at(row.top + row.height - 1) is row for row in drawn.rows)


def test_a_page_shows_what_set_each_value():
    text = page(form(small(profiles=["tiny"]), "a"), 80, UNICODE).text()
    line = next(line for line in text.splitlines() if " rank " in line)
    assert "2" in line
    assert "${rank} in tiny" in line
    narrow = page(form(small(profiles=["tiny"]), "a"), 40, UNICODE).text()
    assert "${rank} in tiny" in narrow


def test_a_page_marks_what_is_not_in_the_key():
    text = page(form(small(), "a"), 60, UNICODE).text().splitlines()
    index = next(index for index, line in enumerate(text) if " flag " in line)
    assert "not in the key" in text[index + 1]
    assert sum("not in the key" in line for line in text) == 1


def test_the_field_under_the_cursor_says_all_there_is_to_say():
    text = page(form(small(profiles=["tiny"]), "a"), 60, UNICODE, at("rank")).text()
    assert "How many." in text
    assert "whole number, at least 1, at most 64; default 4" in text
    assert "${rank}: 2 by profile tiny over file: 8 over default: 4" in text


def test_problems_stand_under_their_fields_and_typing_replaces_them():
    found = form(small(), "b")
    lines = page(found, 60, UNICODE).text().splitlines()
    index = next(index for index, line in enumerate(lines) if " rank " in line)
    assert lines[index + 1].strip() == "E must be at least 1, not 0"
    typed = page(found, 60, UNICODE, None, Typing(at("rank"), "another word")).text()
    assert "E another word" in typed
    assert "must be at least 1" not in typed


def test_a_node_of_unknown_type_shows_its_settings_and_says_what_is_wrong():
    text = page(form(small(), "odd"), 60, UNICODE).text()
    assert "E unknown node type 'Unknown'" in text
    assert "[x, y]" in text
    assert "◂ a" in text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("a bc def", 4, ["a bc", "def"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("a\nb", 9, ["a", "b"]),
        ("日本語 x", 4, ["日本", "語 x"]),
        ("", 5, [""]),
    ],
)
def test_text_is_broken_between_words_by_the_cells_it_takes(text, width, lines):
    assert list(wrap(text, width)) == lines


# --- screens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 24), (80, 24), (160, 48)])
async def test_the_form_of_a_training_loop(size, same_screen):
    app = Shown(load("train.yaml", ["tiny"], text=TRAIN), "train")
    async with app.run_test(size=size) as pilot:
        await pilot.press(*["down"] * 5)
        await pilot.pause()
        same_screen(app, f"inspector_{size[0]}x{size[1]}")


async def test_the_form_while_a_wrong_value_is_typed(same_screen):
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("down", "enter", "9", "9", "9")
        await until(pilot, lambda: "must be at most 64, not 999" in words(app))
        await pilot.pause()
        same_screen(app, "inspector_typing")


async def test_the_list_of_choices(same_screen):
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("down", "down", "down", "enter")
        await pilot.pause()
        same_screen(app, "inspector_choices")


async def test_prompts_being_edited_one_on_each_line(same_screen):
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        app.inspector.focus_field(("prompts",))
        await pilot.press("enter", "enter", *"a dog")
        await pilot.pause()
        same_screen(app, "inspector_prompts")


async def test_a_broken_node_without_unicode(same_screen):
    app = shown(node="odd", glyphs=ASCII)
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause()
        same_screen(app, "inspector_ascii")


async def test_without_a_node_the_inspector_says_so():
    app = shown()
    async with app.run_test(size=(60, 20)) as pilot:
        app.inspector.show(None)
        await pilot.press("down", "enter", "space", "delete", "left", "end")
        assert "Select a node" in words(app)
        assert "None is selected" in app.inspector.help_text()
        assert app.said == []


# --- editing ---------------------------------------------------------------------------------------------------------


async def test_enter_edits_and_enter_keeps_what_was_typed():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        assert app.inspector.cursor == at("needed")
        await pilot.press("down", "enter")
        assert app.focused.value == "8"
        await pilot.press("1", "6", "enter")
        await pilot.pause()
        assert app.said == [("a", ("rank",), 16)]
        assert app.focused is app.inspector
        assert not app.query(Input)


async def test_escape_puts_the_old_value_back():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("enter", *"other", "escape")
        await pilot.pause()
        assert app.said == []
        assert app.focused is app.inspector
        assert "other" not in words(app)


async def test_leaving_the_field_keeps_what_was_typed():
    app = shown(beside=True)
    async with app.run_test(size=(80, 30)) as pilot:
        await pilot.press("enter", *"other")
        await pilot.click("#other")
        await until(pilot, lambda: app.said)
        assert app.said == [("a", ("needed",), "other")]
        assert app.focused is app.query_one("#other")
        assert len(app.query(Input)) == 1


@pytest.mark.parametrize("key", ["down", "up"])
async def test_the_arrows_keep_what_was_typed_and_move_on(key):
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("down", "enter", "5", key)
        await pilot.pause()
        assert app.said == [("a", ("rank",), 5)]
        assert app.inspector.cursor == at("flag" if key == "down" else "needed")
        assert app.focused is app.inspector


async def test_nothing_is_said_where_nothing_was_changed():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("enter", "enter", "down", "enter", "8", "enter")
        await pilot.pause()
        assert app.said == []


async def test_while_typing_the_engines_words_stand_under_the_field():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("down", "enter", "0")
        await until(pilot, lambda: "E must be at least 1, not 0" in words(app))
        await pilot.press("backspace", "x")
        await until(pilot, lambda: "E must be a whole number, not 'x'" in words(app))
        await pilot.press("backspace", *"${rak}")
        await until(pilot, lambda: "there is no parameter 'rak'; did you mean 'rank'?" in words(app))
        await pilot.press(*["backspace"] * 6, "7")
        await until(pilot, lambda: "E " not in words(app))
        assert app.said == []


async def test_what_cannot_be_read_stays_open_at_enter_and_is_kept_as_text_when_left():
    app = shown(beside=True)
    async with app.run_test(size=(80, 30)) as pilot:
        app.inspector.focus_field(("sizes",))
        await pilot.press("enter", *"[1, 2", "enter")
        await until(pilot, lambda: "E " in words(app))
        assert app.said == []
        assert isinstance(app.focused, Input)
        await pilot.click("#other")
        await until(pilot, lambda: app.said)
        assert app.said == [("a", ("sizes",), "[1, 2")]


async def test_tab_keeps_and_edits_the_next_setting_and_shift_tab_the_one_before():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("enter", *"one", "tab")
        await pilot.pause()
        assert app.inspector.cursor == at("rank")
        assert isinstance(app.focused, Input)
        await pilot.press("5", "shift+tab")
        await pilot.pause()
        assert app.inspector.cursor == at("needed")
        assert isinstance(app.focused, Input)
        assert app.said == [("a", ("needed",), "one"), ("a", ("rank",), 5)]


async def test_space_switches_what_is_true_or_false():
    app = shown()
    async with app.run_test(size=(60, 30)) as pilot:
        await pilot.press("down", "down", "space")
        await pilot.pause()
        assert app.said == [("a", ("flag",), True)]
        app.reload(TEXT.replace("needed: x,", "needed: x, flag: true,"))
        await pilot.press("enter")
        await pilot.pause()
        assert app.said[1:] == [("a", ("flag",), False)]


async def test_an_optional_group_is_taken_in_and_out():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        app.inspector.focus_field(("optional",))
        await pilot.press("space")
        await pilot.pause()
        assert app.said == [("a", ("optional",), {})]
        app.reload(TEXT.replace("needed: x,", "needed: x, optional: {},"))
        assert app.inspector.form.get(("optional", "lr")) is not None
        await pilot.press("space")
        await pilot.pause()
        assert app.said[1:] == [("a", ("optional",), None)]


async def test_a_choice_is_taken_from_a_list():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        app.inspector.focus_field(("mode",))
        await pilot.press("enter")
        listed = app.query_one(OptionList)
        assert [str(option.prompt).strip(" ✓") for option in listed.options] == ["fast", "slow", "steady", "empty"]
        assert listed.highlighted == 0
        await pilot.press("s", "s")
        assert listed.highlighted == 2
        await pilot.press("enter")
        await pilot.pause()
        assert app.said == [("a", ("mode",), "steady")]
        await pilot.press("enter", "end", "enter")
        await pilot.pause()
        assert app.said[1:] == [("a", ("mode",), None)]
        await pilot.press("enter", "down", "escape")
        await pilot.pause()
        assert len(app.said) == 2
        assert app.focused is app.inspector


async def test_left_and_right_step_through_the_choices():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        app.inspector.focus_field(("mode",))
        await pilot.press("right", "left")
        await pilot.pause()
        assert app.said == [("a", ("mode",), "slow"), ("a", ("mode",), None)]


async def test_texts_are_edited_one_on_each_line():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        app.inspector.focus_field(("prompts",))
        await pilot.press("enter")
        assert app.query_one(TextArea).text == "a bird\na cat"
        await pilot.press("enter", *"a dog: sitting", "tab")
        await pilot.pause()
        assert app.said == [("a", ("prompts",), ["a bird", "a cat", "a dog: sitting"])]
        assert app.inspector.cursor == at("sizes")


async def test_a_key_takes_a_setting_back_to_its_default():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("down", "delete", "down", "delete")
        await pilot.pause()
        assert app.said == [("a", ("rank",), "reset")]


async def test_ports_are_pressed_with_keys_and_mouse():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("home", "enter", "end", "enter")
        await pilot.pause()
        assert app.said == [("a", "model", "in"), ("a", "output", "out")]
        row = app.inspector.sheet.drawn().row(Key("in", ("model",)))
        await pilot.click("Sheet", offset=(row.x + 2, row.top))
        await pilot.pause()
        assert app.said[2:] == [("a", "model", "in")]


async def test_a_click_on_a_value_edits_it_and_one_beside_it_selects():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        row = app.inspector.sheet.drawn().row(at("rank"))
        await pilot.click("Sheet", offset=(2, row.top))
        await pilot.pause()
        assert app.inspector.cursor == at("rank")
        assert not app.query(Input)
        row = app.inspector.sheet.drawn().row(at("rank"))
        await pilot.click("Sheet", offset=(row.x + 1, row.top))
        await pilot.pause()
        await pilot.press("3", "enter")
        flag = app.inspector.sheet.drawn().row(at("flag"))
        await pilot.click("Sheet", offset=(flag.x + 1, flag.top))
        await pilot.pause()
        assert app.said == [("a", ("rank",), 3), ("a", ("flag",), True)]


async def test_a_click_elsewhere_in_the_form_keeps_what_was_typed():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("enter", *"new")
        row = app.inspector.sheet.drawn().row(at("rank"))
        await pilot.click("Sheet", offset=(row.x + 1, row.top))
        await pilot.pause()
        assert app.said == [("a", ("needed",), "new")]
        assert app.focused.value == "8"


# --- what stays ------------------------------------------------------------------------------------------------------


async def test_the_same_node_shown_again_keeps_cursor_scroll_and_what_is_typed():
    app = shown()
    async with app.run_test(size=(60, 12)) as pilot:
        app.inspector.focus_field(("sizes",))
        await pilot.press("enter", *"1, 2")
        await pilot.pause()
        before = app.inspector.scroll_y
        assert before > 0
        app.reload(TEXT.replace("needed: x,", "needed: another,"))
        await pilot.pause()
        assert app.inspector.scroll_y == before
        assert app.inspector.cursor == at("sizes")
        assert app.focused.value == "1, 2"
        await pilot.press("enter")
        await pilot.pause()
        assert app.said == [("a", ("sizes",), [1, 2])]


async def test_the_editor_stays_over_its_value_when_lines_above_it_come():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("down", "enter", "5")
        app.reload(TEXT.replace("needed: x,", "needed: '',"))
        await pilot.pause()
        row = app.inspector.sheet.drawn().row(at("rank"))
        assert app.focused.region.offset == (row.x, row.top)


async def test_another_node_gets_none_of_what_is_typed():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("down", "enter", "5")
        app.inspector.show(form(app.loaded, "b"))
        await pilot.pause()
        assert app.said == [("a", ("rank",), 5)]
        assert not app.query(Input)
        assert app.inspector.form.node == "b"


async def test_the_cursor_of_a_node_is_found_again():
    app = shown()
    async with app.run_test(size=(60, 40)) as pilot:
        await pilot.press("down", "down")
        app.inspector.show(form(app.loaded, "b"))
        assert app.inspector.cursor == at("needed")
        app.inspector.show(form(app.loaded, "a"))
        assert app.inspector.cursor == at("flag")
        await pilot.pause()


async def test_where_the_setting_under_the_cursor_is_gone_it_stands_nearby():
    text = TEXT.replace("needed: x,", "needed: x, optimizer: {name: second, decay: 3},")
    app = shown(text)
    async with app.run_test(size=(60, 40)) as pilot:
        app.inspector.focus_field(("optimizer", "decay"))
        app.reload(TEXT)
        await pilot.pause()
        assert app.inspector.cursor == Key("out", ("output",))


async def test_a_problem_leads_to_its_field_or_port():
    app = shown()
    async with app.run_test(size=(60, 14)) as pilot:
        for path, key in [
            (("optimizer", "name"), at("optimizer", "name")),
            (("sizes", "0"), at("sizes")),
            (("inputs", "model"), Key("in", ("model",))),
            (("nonsense",), at("needed")),
            ((), at("needed")),
        ]:
            app.inspector.focus_field(path)
            await pilot.pause()
            assert app.inspector.cursor == key
        assert app.inspector.scroll_y == 0


async def test_the_cursor_is_always_in_sight():
    app = Shown(load("train.yaml", text=TRAIN), "train")
    async with app.run_test(size=(60, 16)) as pilot:
        for key in ["end", "up", "pageup", "pageup", "home", "pagedown", *["down"] * 3]:
            await pilot.press(key)
            await pilot.pause()
            row = app.inspector.sheet.drawn().row(app.inspector.cursor)
            assert app.inspector.scroll_y <= row.top < app.inspector.scroll_y + 16


async def test_a_resized_terminal_keeps_the_editor_over_its_value():
    app = shown()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "enter", "5")
        for size in [(20, 5), (40, 12), (120, 40)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            row = app.inspector.sheet.drawn().row(at("rank"))
            x, y = app.inspector.sheet.region.offset
            assert app.focused.region.offset == (x + row.x, y + row.top)
            assert app.focused.region.width == row.width
        await pilot.press("enter")
        await pilot.pause()
        assert app.said == [("a", ("rank",), 5)]


async def test_another_window_in_front_ends_no_typing():
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("down", "enter", "5")
        app.post_message(events.AppBlur())
        await pilot.pause()
        app.post_message(events.AppFocus())
        await pilot.pause()
        await pilot.press("6", "enter")
        await pilot.pause()
        assert app.said == [("a", ("rank",), 56)]


async def test_what_is_being_typed_can_be_taken_before_saving():
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("down", "enter", "5")
        changed = app.inspector.finish(post=False)
        assert (changed.node, changed.path, changed.value) == ("a", ("rank",), 5)
        await pilot.pause()
        assert app.said == []
        assert app.inspector.finish() is None


async def test_help_tells_of_what_the_cursor_stands_on():
    app = shown()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("down")
        said = app.inspector.help_text()
        assert "# a.rank" in said
        assert "How many." in said
        assert "whole number, at least 1, at most 64" in said
        assert "part of the key" in said
        assert "Do something for the tests." in said
        await pilot.press("home")
        assert "# a.model" in app.inspector.help_text()
        assert "Fed by `b`" in app.inspector.help_text()
        await pilot.press("end")
        assert "outputs.o" in app.inspector.help_text()
