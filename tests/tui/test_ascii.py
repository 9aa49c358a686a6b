"""Terminals without Unicode get ASCII of the same shape, whatever is drawn."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App
from textual.widgets import Checkbox, Input

from tests.tui.conftest import text_of
from vflow.tui.ascii import AsciiFilter, to_ascii


@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cf", "Cs", "Mn", "Me")))
)
def test_a_text_becomes_ascii_and_keeps_its_width(text):
    plain = to_ascii(text)
    assert plain.isascii()
    assert cell_len(plain) == cell_len(text)


def test_letters_lose_their_accents_and_lines_stay_lines():
    assert to_ascii("grün ─┼─ │ ╭╮ … 中") == "grun -+- | ++ . ??"


async def test_borders_and_marks_of_every_widget_leave_as_ascii():
    class Plain(App):
        CSS = "Input { border: round red; }"

        def get_line_filters(self):
            return [*super().get_line_filters(), AsciiFilter()]

        def compose(self):
            yield Input("größe")
            yield Checkbox("on", value=True)

    app = Plain()
    async with app.run_test(size=(40, 10)):
        shown = text_of(app)
    assert shown.isascii()
    assert "grosse" not in shown
    assert "gro?e" in shown
    assert "+----" in shown
