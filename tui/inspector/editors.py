"""The editors that the inspector lays over a value: one line, lines of text, a list to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, TextArea
from textual.widgets.option_list import Option

from vflow.engine.forms import Field
from vflow.engine.inline import in_line
from vflow.tui.glyphs import Glyphs

_KEYS: list[BindingType] = [
    Binding("escape", "finish('cancel', 0)", "Cancel", id="editor.cancel", tooltip="Put the old value back"),
    Binding("tab", "finish('keep', 1)", "Next", id="editor.next", tooltip="Keep it, and edit the next setting"),
    Binding(
        "shift+tab",
        "finish('keep', -1)",
        "Previous",
        show=False,
        id="editor.previous",
        tooltip="Keep it, and edit the setting before",
    ),
]


class Finished(Message):
    """An editor is done: its value is to be kept, or not; then the editor `step` settings further is to open.

    `may_stay`: it stays open while what was typed cannot be read.
    """

    def __init__(self, editor: Widget, keep: bool, step: int = 0, may_stay: bool = False) -> None:
        self.editor, self.keep, self.step, self.may_stay = editor, keep, step, may_stay
        super().__init__()


class _Editor(Widget):
    """What all editors do: they say when they are done, also when the focus leaves them."""

    def action_finish(self, how: str, step: int) -> None:
        """Be done."""
        self.post_message(Finished(self, how == "keep", step, may_stay=True))

    def on_blur(self) -> None:
        """Leaving keeps what was typed; another window in front of the terminal is no leaving."""
        if self.app.app_focus:
            self.post_message(Finished(self, True))


class LineEditor(Input, _Editor):
    """One line."""

    DEFAULT_CSS = """
    LineEditor { position: absolute; height: 1; padding: 0; border: none; background: $primary 30%; }
    LineEditor:focus { border: none; background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = _KEYS

    def __init__(self, field: Field) -> None:
        super().__init__(field.text, compact=True, select_on_focus=True)

    @property
    def raw(self) -> str:
        """What was typed."""
        return self.value

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter keeps it."""
        event.stop()
        self.post_message(Finished(self, True, may_stay=True))


class LinesEditor(TextArea, _Editor):
    """One text on each line."""

    DEFAULT_CSS = """
    LinesEditor { position: absolute; padding: 0; border: none; background: $primary 30%; }
    LinesEditor:focus { border: none; background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = _KEYS

    def __init__(self, field: Field) -> None:
        super().__init__(field.text, compact=True, soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False)
        self.move_cursor(self.document.end)

    @property
    def raw(self) -> str:
        """What was typed."""
        return self.text


class ChoiceList(OptionList, _Editor):
    """The choices of a setting, below it or above it, wherever there is room."""

    DEFAULT_CSS = """
    ChoiceList {
        position: absolute; overlay: screen; constrain: none inside;
        width: auto; min-width: 12; max-width: 60; height: auto; max-height: 12;
        border: round $primary; padding: 0; background: $surface;
    }
    ChoiceList:focus { border: round $primary; background-tint: initial; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *_KEYS,
        Binding("j", "cursor_down", show=False, id="editor.down", tooltip="The next choice"),
        Binding("k", "cursor_up", show=False, id="editor.up", tooltip="The choice before"),
    ]

    def __init__(self, field: Field, glyphs: Glyphs) -> None:
        self.field, self.values = field, choices_of(field)
        options = [
            Option(Content(f"{glyphs.check if one == field.value else ' '} {shown(one)} ")) for one in self.values
        ]
        super().__init__(*options)
        known = [index for index, one in enumerate(self.values) if _same(one, field.value)]
        self.highlighted = known[0] if known else 0
        self.chosen: Any = field.value

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        event.stop()
        self.chosen = self.values[event.option_index]
        self.post_message(Finished(self, True))

    def on_key(self, event: events.Key) -> None:
        """A letter goes to the next choice that begins with it."""
        if event.character is None or not event.character.isalnum() or event.character in "jk":
            return
        start = (self.highlighted or 0) + 1
        order = [*range(start, len(self.values)), *range(start)]
        for index in order:
            if index < len(self.values) and shown(self.values[index]).startswith(event.character.lower()):
                self.highlighted = index
                event.stop()
                return


def choices_of(field: Field) -> Sequence[Any]:
    """Return what can be chosen; None where it may be empty."""
    return [*field.choices, *((None,) if field.optional else ())]


def shown(choice: Any) -> str:
    """Return a choice as it is shown."""
    return "empty" if choice is None else choice if isinstance(choice, str) else in_line(choice)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
