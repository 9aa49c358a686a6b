"""The graph view: one node is selected and in sight, keys and mouse select another, what is asked for is told."""

from itertools import pairwise

import pytest
from textual.app import App
from textual.widgets import Footer, Input

from vflow.engine.load import load
from vflow.engine.outline import outline as outline_of
from vflow.tests.tui.drawing.graphs import outline
from vflow.tui.drawing import Zoom
from vflow.tui.glyphs import ASCII, UNICODE, Mark
from vflow.tui.graph_view import GraphView

FORK = outline(
    ["clips", "captions", "latents", "embeds", "train"],
    ["clips > latents", "captions > embeds", "latents > train.latents", "embeds > train.captions", "clips > embeds.c"],
)


class Shown(App):
    """A graph and nothing else."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]

    def __init__(self, graph=FORK, marks=None, selected=None, glyphs=UNICODE):
        super().__init__()
        self.first, self.glyphs, self.told = (graph, marks or {}, selected), glyphs, []

    def compose(self):
        yield GraphView(id="graph")
        yield Footer()

    def on_mount(self):
        self.graph.show(*self.first)
        self.graph.focus()

    @property
    def graph(self):
        return self.query_one(GraphView)

    def on_graph_view_node_selected(self, event):
        self.told.append(event.node)

    def on_graph_view_node_opened(self, event):
        self.told.append(("open", event.node))

    def on_graph_view_port_pressed(self, event):
        self.told.append((event.node, event.port, event.side))


def text_of(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def settled(pilot):
    """Wait until what was drawn is what there is room for."""
    view = pilot.app.query_one(GraphView)
    for _ in range(20):
        await pilot.pause()
        if view.canvas.room and view.canvas._drawn_for == view.canvas.room and not view.canvas._message_queue.qsize():
            break
    await pilot.pause()


def chain(count):
    names = [f"node_{index}" for index in range(count)]
    return outline(names, [f"{one} > {other}" for one, other in pairwise(names)])


def shipped(name="ltx2_lora"):
    graph = outline_of(load(name, ("tiny",)))
    states = dict.fromkeys(graph.nodes, "to run")
    states |= dict.fromkeys(("transformer", "vae", "text_encoder", "clips", "prompt_texts"), "light")
    states |= dict.fromkeys(("captions", "latents", "prompts", "held_out_latents", "held_out_captions"), "kept")
    marks = {node: Mark(state) for node, state in states.items()}
    marks |= {"train": Mark("running", "412/2000", 0.206), "captions": Mark("kept", "24 items")}
    return graph, marks


# --- moving about ----------------------------------------------------------------------------------------------------


UP_AND_DOWN = {
    (): "clips",
    ("down",): "captions",
    ("j", "j"): "latents",
    ("j", "k"): "clips",
    ("up",): "clips",
    ("end",): "train",
    ("end", "down"): "train",
    ("end", "home"): "clips",
    ("pagedown",): "train",
    ("pagedown", "pageup"): "clips",
}
ALONG_WIRES = {
    ("right",): "latents",
    ("l", "l"): "train",
    ("right", "left"): "clips",
    ("right", "left", "right"): "embeds",
    ("right", "left", "right", "left", "right"): "latents",
    ("left",): "clips",
    ("end", "left"): "latents",
    ("end", "h", "l", "h"): "embeds",
    ("end", "right"): "train",
    ("end", "left", "down", "right"): "train",
}


@pytest.mark.parametrize("cases", [UP_AND_DOWN, ALONG_WIRES], ids=["in the order of the work", "along the wires"])
async def test_keys_select_another_node(cases):
    app = Shown()
    async with app.run_test() as pilot:
        for keys, expected in cases.items():
            app.graph.show(FORK, {}, "clips")
            app.graph.forget_ways()
            await pilot.press(*keys)
            assert app.graph.selected == expected, keys


async def test_who_owns_the_view_is_told_of_each_selection():
    app = Shown()
    async with app.run_test() as pilot:
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert app.told == ["clips", "captions", "latents", ("open", "latents")]


async def test_a_graph_can_be_given_before_there_is_a_place_for_it():
    class Early(App):
        def compose(self):
            view = GraphView()
            view.show(FORK, {}, "latents")
            yield view

    app = Early()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.query_one(GraphView).selected == "latents"
        assert "▾ · latents" in text_of(app)


async def test_what_the_owner_selects_is_not_told_back():
    app = Shown(selected="latents")
    async with app.run_test() as pilot:
        app.graph.show(FORK, {}, "train")
        await pilot.pause()
        assert (app.graph.selected, app.told) == ("train", [])


@pytest.mark.parametrize("view", ["rails", "boxes"])
async def test_the_selected_node_is_in_sight(view):
    app = Shown(chain(60))
    async with app.run_test(size=(60, 12)) as pilot:
        app.graph.view = view
        for key in ("end", "pageup", "home", "pagedown", "pagedown", *["right"] * 5):
            await pilot.press(key)
            await pilot.pause()
            assert f"{app.graph.selected} " in text_of(app), key


async def test_the_selection_stays_in_sight_when_the_terminal_shrinks_and_grows_again():
    app = Shown(chain(60), selected="node_40")
    async with app.run_test(size=(160, 48)) as pilot:
        for size in [(80, 24), (20, 5), (160, 48)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await settled(pilot)
            assert "node_40" in text_of(app), size


async def test_the_selection_is_in_sight_when_the_view_is_shown_again():
    app = Shown(chain(60))
    async with app.run_test(size=(60, 12)) as pilot:
        app.graph.display = False
        await pilot.pause()
        app.graph.selected = "node_50"
        await pilot.pause()
        app.graph.display = True
        await settled(pilot)
        assert "node_50 " in text_of(app)


async def test_where_the_selected_node_is_gone_a_near_one_is_selected_and_told():
    app = Shown(selected="latents")
    async with app.run_test() as pilot:
        app.graph.show(outline(["clips", "captions", "embeds", "train"]), {})
        await pilot.pause()
        assert (app.graph.selected, app.told) == ("embeds", ["embeds"])
        app.graph.show(outline([]), {})
        await pilot.pause()
        assert app.graph.selected is None
        await pilot.press("down", "right", "enter", "pagedown", "space", "v", "plus", "slash", "x", "enter", "n")
        assert app.graph.selected is None


async def test_new_states_do_not_scroll_back_what_was_panned_away_from():
    app = Shown(chain(60))
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("shift+down", "shift+down")
        await pilot.pause()
        before = app.graph.canvas.scroll_offset
        app.graph.show(chain(60), {"node_3": Mark("running", "1/2")})
        await pilot.pause()
        assert before.y == 6
        assert app.graph.canvas.scroll_offset == before


# --- what is drawn ---------------------------------------------------------------------------------------------------


async def test_boxes_are_drawn_of_themselves_where_there_is_room():
    app = Shown(chain(30))
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.pause()
        assert app.graph.drawn == "boxes"
        app.graph.show(chain(31), {})
        assert app.graph.drawn == "rails"
        app.graph.show(chain(30), {})
        await pilot.resize_terminal(119, 48)
        assert app.graph.drawn == "rails"


async def test_v_switches_at_any_size():
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        for expected in ("boxes", "rails"):
            await pilot.press("v")
            assert app.graph.drawn == expected
        await pilot.resize_terminal(160, 48)
        assert app.graph.drawn == "rails"


async def test_zooming_goes_from_names_to_types_to_ports():
    app = Shown(chain(9))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("v")
        assert app.graph.drawn_zoom is Zoom.NAMES
        for key, expected in [("plus", 1), ("plus", 2), ("plus", 2), ("minus", 1), ("minus", 0), ("minus", 0)]:
            await pilot.press(key)
            assert app.graph.drawn_zoom == expected
        await pilot.press("plus", "plus", "0")
        assert app.graph.drawn_zoom is Zoom.NAMES
        app.graph.show(chain(2), {})
        assert app.graph.drawn_zoom is Zoom.TYPES


async def test_space_folds_the_ports_on_rails():
    app = Shown(selected="train")
    async with app.run_test(size=(80, 24)) as pilot:
        for key, expected in [("space", False), ("space", True), ("minus", False), ("plus", True)]:
            await pilot.press(key)
            await pilot.pause()
            assert ("◂ latents" in text_of(app)) is expected, key


async def test_shift_and_arrows_pan():
    app = Shown(chain(60))
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.press("shift+down", "shift+down", "shift+up")
        assert tuple(app.graph.canvas.scroll_offset) == (0, 3)
        await pilot.press("v", "shift+right", "shift+right", "shift+left")
        assert app.graph.canvas.scroll_offset.x == 8


async def test_a_terminal_without_unicode_gets_ascii():
    app = Shown(glyphs=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "v : clips" in text_of(app)
        assert text_of(app).split("v View")[0].isascii()


# --- finding ---------------------------------------------------------------------------------------------------------


async def test_a_filter_keeps_what_matches_and_n_goes_through_it():
    app = Shown()
    async with app.run_test() as pilot:
        await pilot.press("slash", *"s lat")
        assert (app.graph.finder.typing, app.graph.filter, app.graph.selected) == (True, "s lat", "latents")
        await pilot.press("escape", "slash", *"s", "enter")
        assert (app.graph.finder.typing, app.graph.selected) == (False, "clips")
        for key, expected in [("n", "captions"), ("n", "latents"), ("n", "embeds"), ("n", "clips"), ("N", "embeds")]:
            await pilot.press(key)
            assert app.graph.selected == expected


async def test_while_a_filter_is_typed_the_arrows_go_through_what_it_finds():
    app = Shown()
    async with app.run_test() as pilot:
        await pilot.press("slash", *"t")
        for key, expected in [("down", "latents"), ("down", "train"), ("down", "captions"), ("up", "train")]:
            await pilot.press(key)
            assert app.graph.selected == expected


async def test_a_filter_is_in_sight_while_it_is_in_force_and_escape_drops_it():
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"lat", "enter")
        await pilot.pause()
        assert "/lat" in text_of(app)
        assert "1 of 5" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert (app.graph.filter, app.graph.selected) == ("", "latents")
        assert " of 5" not in text_of(app)


async def test_escape_while_typing_goes_back_to_where_one_was():
    app = Shown(selected="captions")
    async with app.run_test() as pilot:
        for key in ("slash", "colon"):
            await pilot.press(key, *"train")
            assert app.graph.selected == "train"
            await pilot.press("escape")
            assert (app.graph.selected, app.graph.has_focus) == ("captions", True)


async def test_a_typed_name_is_gone_to():
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"emb", "enter")
        assert (app.graph.selected, app.graph.finder.typing) == ("embeds", False)
        await pilot.press("colon", *"zz")
        await pilot.pause()
        assert "no such node" in text_of(app)


async def test_keys_that_do_nothing_without_a_filter_are_left_to_others():
    class Outer(Shown):
        BINDINGS = [("escape", "say('escape')", ""), ("n", "say('n')", "")]

        def action_say(self, what):
            self.told.append(what)

    app = Outer(selected="clips")
    async with app.run_test() as pilot:
        await pilot.press("escape", "n")
        assert app.told == ["escape", "n"]


async def test_what_is_typed_is_not_taken_for_keys():
    app = Shown()
    async with app.run_test() as pilot:
        await pilot.press("slash", *"vjn")
        assert app.query_one(Input).value == "vjn"
        assert app.graph.drawn == "rails"


# --- the mouse -------------------------------------------------------------------------------------------------------


async def test_a_click_selects_and_a_double_click_opens():
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space")
        await pilot.click("GraphCanvas", offset=(20, 2))
        await pilot.pause()
        assert app.graph.selected == "latents"
        await pilot.click("GraphCanvas", offset=(20, 3), times=2)
        await pilot.pause()
        assert app.told == ["clips", "latents", "embeds", ("open", "embeds")]


async def test_a_click_finds_the_node_where_the_view_is_scrolled_and_has_a_border():
    app = Shown(chain(60), selected="node_0")
    async with app.run_test(size=(160, 12)) as pilot:
        await pilot.press("space", "end")
        row = app.graph.canvas.drawing.nodes["node_57"].y - app.graph.canvas.scroll_offset.y
        await pilot.click("GraphCanvas", offset=(20, row))
        await pilot.pause()
        assert app.graph.canvas.scroll_offset.y > 0
        assert app.graph.selected == "node_57"


async def test_a_click_on_a_port_tells_of_the_port():
    app = Shown(selected="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("GraphCanvas", offset=(20, 6))
        await pilot.pause()
        assert app.told == [("train", "captions", "in")]
        app.graph.view = "boxes"
        await pilot.pause()
        spot = next(one for one in app.graph.canvas.drawing.ports if (one.node, one.side) == ("clips", "out"))
        await pilot.click("GraphCanvas", offset=(spot.x, spot.y))
        await pilot.pause()
        assert app.told[-1] == ("clips", "items", "out")


async def test_the_wheel_scrolls_and_with_shift_sideways():
    from textual.events import MouseScrollDown

    app = Shown(chain(60))
    async with app.run_test(size=(60, 10)) as pilot:
        app.graph.view = "boxes"
        app.graph.zoom = Zoom.PORTS
        await pilot.pause()
        canvas = app.graph.canvas
        for shift in (True, False):
            canvas.post_message(MouseScrollDown(canvas, 5, 5, 0, 1, 0, shift, False, False))
            await pilot.pause()
        assert canvas.scroll_offset.x > 0
        app.graph.view = "rails"
        await pilot.pause()
        canvas.post_message(MouseScrollDown(canvas, 5, 5, 0, 1, 0, False, False, False))
        await pilot.pause()
        assert canvas.scroll_offset.y > 0


# --- what is said ----------------------------------------------------------------------------------------------------


async def test_the_border_says_how_many_nodes_there_are_and_what_they_do():
    app = Shown(FORK, {"train": Mark("running"), "clips": Mark("to run"), "latents": Mark("to run")})
    async with app.run_test(size=(160, 20)):
        assert str(app.graph.border_title) == "graph"
        assert str(app.graph.border_subtitle) == "5 nodes · 1 running · 2 to run"


async def test_help_names_every_state_with_its_mark():
    app = Shown()
    async with app.run_test():
        assert "| `▶` | running |" in app.graph.help_text()


def test_every_key_has_a_name_and_a_hint_and_few_stand_in_the_footer():
    assert all(binding.id and binding.tooltip for binding in GraphView.BINDINGS)
    assert len({binding.id for binding in GraphView.BINDINGS}) == len(GraphView.BINDINGS)
    assert sum(binding.show for binding in GraphView.BINDINGS) <= 6


# --- screens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids="{0[0]}x{0[1]}".format)
async def test_screens(size, same_screen):
    app = Shown(*shipped(), selected="train")
    async with app.run_test(size=size) as pilot:
        name = f"graph_{size[0]}x{size[1]}"
        await pilot.pause()
        same_screen(app, name)
        await pilot.press("v")
        await pilot.pause()
        same_screen(app, f"{name}_switched")
        await pilot.press("v", "slash", *"kept", "enter")
        await pilot.pause()
        same_screen(app, f"{name}_filtered")


async def test_the_screen_of_ports(same_screen):
    app = Shown(*shipped(), selected="train")
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("plus", "plus")
        await pilot.pause()
        same_screen(app, "graph_160x48_ports")


async def test_the_screen_of_ascii(same_screen):
    app = Shown(*shipped(), selected="clips", glyphs=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        same_screen(app, "graph_80x24_ascii")


async def test_the_screen_of_a_broken_graph(same_screen, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    app = Shown(outline_of(load(path)), selected="captions")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        same_screen(app, "graph_80x24_broken")
        await pilot.resize_terminal(160, 48)
        await pilot.pause()
        same_screen(app, "graph_160x48_broken")


BROKEN = """\
vflow: 1
name: broken
nodes:
  vae: {type: LoadVAE, model: x}
  clips: {type: BucketVideos, inputs: {vae: gone}, source: x, resolution: 64, frames: 17}
  a_node_with_a_name_that_goes_on_and_on_and_on: {type: Unbekannt日本, inputs: {x: b.out, y: clips.nope}}
  b: {type: Mystery, inputs: {loop: a_node_with_a_name_that_goes_on_and_on_and_on.y, self: b}}
  captions: {type: EncodeText, inputs: {text_encoder: vae, captions: [clips.captions, gone.caps]}}
outputs: {x: captions, y: nowhere.z}
"""
