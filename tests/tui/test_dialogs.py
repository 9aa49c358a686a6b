"""What the dialogs promise: keys, typing and mouse, an answer or none, and words about what is wrong."""

from textual.app import App
from textual.widgets import Button, Input, OptionList, TextArea

from vflow.engine.editing import EditError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.difference import Difference
from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.dialogs.text import EditText

MISSING = object()


class Host(App):
    """Shows one dialog and keeps what it was dismissed with."""

    def __init__(self, dialog):
        super().__init__()
        self.dialog, self.answer = dialog, MISSING

    def on_mount(self):
        self.push_screen(self.dialog, self.take)

    def take(self, answer):
        self.answer = answer


async def until(pilot, wanted):
    for _ in range(200):
        await pilot.pause()
        if wanted():
            return
    raise AssertionError("it did not come to that")


TYPES = [
    Choice(1, "GroupOffload", "moves weights", "about offload", "fits"),
    Choice(2, "Quantize", "fewer bits", "about quantising", "fits"),
    Choice(3, "Clips", "weights of nothing", "", "others"),
]


# --- choosing --------------------------------------------------------------------------------------------------------


async def test_enter_takes_the_first_that_fits_what_was_typed():
    app = Host(Pick("add", TYPES))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"quan")
        assert [one.label for one in app.dialog.found] == ["Quantize"]
        await pilot.press("enter")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == 2


async def test_the_arrows_pass_over_the_headings_while_one_types():
    app = Host(Pick("add", TYPES))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "down")
        assert app.dialog.query_one(Input).has_focus
        await pilot.press("enter")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == 3


async def test_words_are_looked_for_in_the_description_too_and_names_come_first():
    app = Host(Pick("add", [Choice("a", "Other", "is like a clip"), Choice("b", "Clip", "")]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"clip")
        await pilot.pause()
        assert [one.value for one in app.dialog.found] == ["b", "a"]


async def test_nothing_that_fits_is_said_and_enter_does_nothing():
    app = Host(Pick("add", TYPES))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"zzz", "enter")
        await pilot.pause()
        assert "nothing fits 'zzz'" in str(app.dialog.query_one("#about").content)
        assert app.answer is MISSING


async def test_a_click_takes_what_is_under_it():
    app = Host(Pick("add", TYPES))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(OptionList, offset=(4, 2))  # below the heading and the first
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == 2


async def test_escape_and_a_click_beside_the_box_leave_without_an_answer():
    for leave in ("escape", "click"):
        app = Host(Pick("add", TYPES))
        async with app.run_test(size=(120, 40)) as pilot:
            await (pilot.press("escape") if leave == "escape" else pilot.click(offset=(1, 1)))
            await until(pilot, lambda app=app: app.answer is not MISSING)
        assert app.answer is None


async def test_a_list_to_choose_from_in_a_terminal_of_20_by_5():
    app = Host(Pick("add", TYPES))
    async with app.run_test(size=(20, 5)) as pilot:
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == 2


# --- asking ----------------------------------------------------------------------------------------------------------

REPLIES = [Reply("save", "save", "s", "primary"), Reply("drop", "drop", "x", "error"), Reply("stay", "stay", "t")]


async def test_a_reply_has_a_key_a_button_and_the_first_is_entered():
    for press, expected in (("x", "drop"), ("enter", "save"), ("escape", None), ("right enter", "drop")):
        app = Host(Ask("not saved", "What now?", REPLIES))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*press.split())
            await until(pilot, lambda app=app: app.answer is not MISSING)
        assert app.answer == expected


async def test_a_reply_can_be_clicked_and_what_is_asked_about_is_listed(same_screen):
    app = Host(
        Ask("delete train?", "Without train, this would lead nowhere:", REPLIES, ["outputs.lora", "show.adapter"])
    )
    async with app.run_test(size=(80, 24)) as pilot:
        same_screen(app, "dialog-ask")
        await pilot.click("#reply-stay")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == "stay"


async def test_brackets_in_what_is_asked_are_shown_as_they_are():
    app = Host(Ask("[bold]x[/bold]", "[red]really[/red]?", REPLIES))
    async with app.run_test(size=(80, 24)):
        assert len(app.dialog.query(Button)) == 3
        assert "[red]really[/red]?" in str(app.dialog.query("Static").first().content)


async def test_what_is_wrong_with_an_answer_is_said_while_one_types_and_it_is_not_taken():
    app = Host(Prompt("name", "train", check=lambda text: "" if text.isalpha() else "letters only"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("end", "2")
        await pilot.pause()
        assert str(app.dialog.query_one("#wrong").content) == "letters only"
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer is MISSING
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == "train"


# --- texts -----------------------------------------------------------------------------------------------------------


def told(text):
    if "broken" in text:
        raise EditError("this is no mapping", "write key: value")
    return ["steps: must be at least 1"] if "steps: 0" in text else []


async def test_a_text_is_checked_as_one_types_and_kept_with_what_is_only_wrong():
    app = Host(EditText("train", "steps: 1\n", told))
    async with app.run_test(size=(80, 24)) as pilot:
        said = app.dialog.query_one("#told")
        await until(pilot, lambda: "no problems" in str(said.content))
        app.dialog.query_one(TextArea).text = "steps: 0\n"
        await until(pilot, lambda: "at least 1" in str(said.content))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer == "steps: 0\n"


async def test_a_text_that_is_no_yaml_is_not_taken_and_leaving_asks_first():
    app = Host(EditText("train", "steps: 1\n", told))
    async with app.run_test(size=(80, 24)) as pilot:
        app.dialog.query_one(TextArea).text = "broken"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert app.answer is MISSING
        assert "this is no mapping" in str(app.dialog.query_one("#told").content)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("d")
        await until(pilot, lambda: app.answer is not MISSING)
    assert app.answer is None


async def test_a_difference_shows_what_was_taken_out_and_put_in():
    app = Host(Difference("theirs and yours", "a\nb\nc\n", "a\nB\nc\n"))
    async with app.run_test(size=(80, 24)):
        shown = str(app.dialog.query_one("Static").content).splitlines()
    assert "-b" in shown
    assert "+B" in shown
    assert " a" in shown
