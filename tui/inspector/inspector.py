"""The inspector: the widget that shows a node's form, moves through it and edits it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, TextArea

from vflow.engine.forms import Field, Form, read
from vflow.tui.inspector.browser import Browser
from vflow.tui.inspector.editors import ChoiceList, Finished, LineEditor, LinesEditor, choices_of
from vflow.tui.inspector.page import Key, Typing, is_switch
from vflow.tui.inspector.sheet import Sheet

_SOON = 0.04  # seconds until what is typed is checked
_MOST_LINES = 10


class Inspector(Browser):
    """A node's settings, ports, and what is wrong with them.

    It changes nothing by itself: it says what was set, and shows what it is given next.
    """

    DEFAULT_CSS = """
    Inspector { height: 1fr; background: $background; scrollbar-gutter: stable; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "edit", "Edit", id="inspector.edit", tooltip="Edit the setting, or connect the port"),
        Binding("delete", "reset", "Default", id="inspector.reset", tooltip="Take the setting back to its default"),
        Binding("space", "switch", "Switch", False, id="inspector.switch", tooltip="Switch on or off, or edit"),
        Binding(
            "w", "where", "Where", False, id="inspector.where", tooltip="Choose where to set it: node, profile, ..."
        ),
        Binding("left,h", "step(-1)", "Previous", False, id="inspector.less", tooltip="The choice before"),
        Binding("right,l", "step(1)", "Next", False, id="inspector.more", tooltip="The next choice"),
    ]

    class Changed(Message):
        """A setting was given a value: plain data as the file would have it, parameters still in it."""

        def __init__(self, node: str, path: tuple[str, ...], value: Any) -> None:
            self.node, self.path, self.value = node, path, value
            super().__init__()

    class Reset(Message):
        """A setting is to have its default."""

        def __init__(self, node: str, path: tuple[str, ...]) -> None:
            self.node, self.path = node, path
            super().__init__()

    class WherePressed(Message):
        """It is to be asked where a setting is given a value."""

        def __init__(self, node: str, path: tuple[str, ...]) -> None:
            self.node, self.path = node, path
            super().__init__()

    class PortPressed(Message):
        """A port is to be connected; `side` is `in` or `out`."""

        def __init__(self, node: str, port: str, side: Literal["in", "out"]) -> None:
            self.node, self.port, self.side = node, port, side
            super().__init__()

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._editor: LineEditor | LinesEditor | ChoiceList | None = None
        self._edited: tuple[str, Field] | None = None  # node and field that the editor is about
        self._check: Timer | None = None

    def show(self, form: Form | None) -> None:
        """Show a form, or none. Of the same node, cursor, place and what is being typed stay as they are."""
        field = None
        if self._edited is not None:
            node, edited = self._edited
            field = form.get(edited.path) if form is not None and form.node == node else None
            if form is not None and field is not None and field.kind == edited.kind:
                self._edited = node, field
            else:
                self.finish()
        super().show(form)
        self._say()
        self._lay()

    def action_move(self, step: int) -> None:
        """Go to the next row, or to the one before; what is being typed is kept."""
        if self._edited is not None:
            self.finish()
            self.focus()
        super().action_move(step)

    def on_resize(self) -> None:
        """Keep the editor over its value, and what has the keys in sight."""
        self.call_after_refresh(self._lay)
        if self.has_focus or self._editor is not None:
            self._reveal()

    @on(Sheet.Pressed)
    def _pressed(self, event: Sheet.Pressed) -> None:
        event.stop()
        self.finish()
        self.focus()
        self._go(event.key)
        if event.on_value:
            self.action_edit()

    # --- editing ---------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Edit the setting under the cursor, or say that its port is to be connected."""
        key, form, field = self.sheet.cursor, self.form, self.field
        if key is None or form is None:
            return
        if key.kind != "field":
            self.post_message(self.PortPressed(form.node, key.path[0], key.kind))
        elif field is not None and is_switch(field):
            self.action_switch()
        elif field is not None and field.kind not in ("group", "union"):
            self._open(form.node, field)

    def action_switch(self) -> None:
        """Turn what is true or false, take a group in or out; else edit."""
        field, form = self.field, self.form
        if field is None or form is None or not is_switch(field):
            self.action_edit()
        elif field.kind == "bool":
            self.post_message(self.Changed(form.node, field.path, not field.value))
        else:
            self.post_message(self.Changed(form.node, field.path, {} if field.value is None else None))

    def action_step(self, step: int) -> None:
        """Take the next choice, or the one before."""
        field, form = self.field, self.form
        if field is None or form is None or field.kind != "choice":
            return
        choices = choices_of(field)
        at = choices.index(field.value) if field.value in choices else -step
        self.post_message(self.Changed(form.node, field.path, choices[(at + step) % len(choices)]))

    def action_reset(self) -> None:
        """Take the setting under the cursor back to its default."""
        field, form = self.field, self.form
        if field is not None and form is not None and field.is_set:
            self.post_message(self.Reset(form.node, field.path))

    def action_where(self) -> None:
        """Ask where the setting under the cursor is given a value."""
        if self.field is not None and self.form is not None:
            self.post_message(self.WherePressed(self.form.node, self.field.path))

    def _open(self, node: str, field: Field) -> None:
        """Lay an editor over a value."""
        editor: LineEditor | LinesEditor | ChoiceList
        if field.kind == "choice":
            editor = ChoiceList(field, self.sheet.glyphs)
        else:
            editor = LinesEditor(field) if field.lines else LineEditor(field)
        self._editor, self._edited = editor, (node, field)
        self._say()
        self.sheet.redraw()
        self._lay()
        self.sheet.mount(editor)
        editor.focus()
        self._reveal()

    def _lay(self) -> None:
        """Put the editor where the value is; what is said above it may have moved it."""
        if self._editor is None or self._edited is None:
            return
        row = self.sheet.drawn().row(Key("field", self._edited[1].path))
        if row is None:
            return
        styles = self._editor.styles
        if isinstance(self._editor, ChoiceList):
            styles.offset = (row.x - 1, row.top + 1)
        else:
            styles.offset = (row.x, row.top)
            styles.width, styles.height = row.width, row.lines

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _typed(self, event: Input.Changed | TextArea.Changed) -> None:
        event.stop()
        if self._check is not None:
            self._check.stop()
        self._check = self.set_timer(_SOON, self._say)

    def _say(self) -> None:
        """Show what the engine says of what is typed."""
        if self._edited is None or self._editor is None or self.form is None:
            return
        field, editor = self._edited[1], self._editor
        if isinstance(editor, ChoiceList):
            return
        said = field.problem if editor.raw == field.text else self._wrong(field, editor.raw)
        lines = max(3, min(_MOST_LINES, editor.raw.count("\n") + 2)) if isinstance(editor, LinesEditor) else 1
        typing = Typing(Key("field", field.path), said, lines)
        if typing != self.sheet.typing:
            self.sheet.typing = typing
            self.sheet.redraw()
            self._lay()
            self._reveal()

    def _wrong(self, field: Field, raw: str) -> str:
        try:
            value = read(field, raw)
        except ValueError as error:
            return str(error)
        return self.form.problem_of(field.path, value) if self.form is not None else ""

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        if event.editor is not self._editor or self._edited is None:
            return
        path, held = self._edited[1].path, event.editor.has_focus
        if event.keep and event.may_stay and not self._can_be_read():
            self._say()
            return
        self.finish(keep=event.keep)
        if held:
            self.focus()
        if event.step:
            self._edit_beside(path, event.step)

    def _can_be_read(self) -> bool:
        if self._edited is None or self._editor is None or isinstance(self._editor, ChoiceList):
            return True
        try:
            read(self._edited[1], self._editor.raw)
        except ValueError:
            return False
        return True

    def _edit_beside(self, path: tuple[str, ...], step: int) -> None:
        """Go on to the next setting that can be typed or chosen; the cursor stops at the last."""
        fields = [one for one in self.form.fields if one.kind not in ("group", "union")] if self.form else []
        paths = [one.path for one in fields]
        at = paths.index(path) + step if path in paths else 0
        if 0 <= at < len(fields):
            self._go(Key("field", paths[at]))
            if not is_switch(fields[at]) and fields[at].kind != "choice":
                self.action_edit()

    def finish(self, keep: bool = True, post: bool = True) -> Changed | None:
        """Close the editor. Return what was changed, if it is to be kept; it is posted too, but for `post=False`.

        What cannot be read is kept as a text, so that nothing that was typed is lost: the engine says what is wrong.
        """
        editor, edited = self._editor, self._edited
        self._editor = self._edited = self.sheet.typing = None
        if self._check is not None:
            self._check.stop()
        if editor is None or edited is None:
            return None
        node, field = edited
        editor.remove()
        self.sheet.redraw()
        found = _value_in(editor, field) if keep else _UNCHANGED
        if found is _UNCHANGED:
            return None
        changed = self.Changed(node, field.path, found)
        if post:
            self.post_message(changed)
        return changed


_UNCHANGED: Any = object()


def _value_in(editor: LineEditor | LinesEditor | ChoiceList, field: Field) -> Any:
    """Return what an editor holds, `_UNCHANGED` where that is what the setting has."""
    if isinstance(editor, ChoiceList):
        same = type(editor.chosen) is type(field.value) and editor.chosen == field.value
        return _UNCHANGED if same else editor.chosen
    if editor.raw == field.text:
        return _UNCHANGED
    try:
        return read(field, editor.raw)
    except ValueError:
        return editor.raw
