"""Showing a form and moving through it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Region

from vflow.engine.forms import Field, Form
from vflow.tui.inspector import words
from vflow.tui.inspector.page import Key, keys_of
from vflow.tui.inspector.sheet import Sheet


class Browser(VerticalScroll):
    """Shows a form, with a cursor that stands on one of its settings or ports."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", False, id="inspector.down", tooltip="The next setting or port"),
        Binding("up,k", "move(-1)", "Up", False, id="inspector.up", tooltip="The setting or port before"),
        Binding("pagedown", "page(1)", "Page down", False, id="inspector.page_down", tooltip="A page down"),
        Binding("pageup", "page(-1)", "Page up", False, id="inspector.page_up", tooltip="A page up"),
        Binding("home", "edge(0)", "First", False, id="inspector.first", tooltip="The first port or setting"),
        Binding("end", "edge(-1)", "Last", False, id="inspector.last", tooltip="The last port or setting"),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.sheet = Sheet()
        self._places: dict[str, Key] = {}  # where the cursor last stood, by node

    def compose(self) -> ComposeResult:
        """Hold the sheet."""
        yield self.sheet

    # --- what is shown ---------------------------------------------------------------------------------------------

    @property
    def form(self) -> Form | None:
        """The form that is shown."""
        return self.sheet.form

    @property
    def cursor(self) -> Key | None:
        """What the cursor stands on: a field or a port."""
        return self.sheet.cursor

    @property
    def field(self) -> Field | None:
        """The field under the cursor."""
        key = self.sheet.cursor
        return self.form.get(key.path) if self.form is not None and key is not None and key.kind == "field" else None

    def show(self, form: Form | None) -> None:
        """Show a form, or none. Of the same node, cursor and place stay as they are."""
        before, self.sheet.form = self.form, form
        same = before is not None and form is not None and before.node == form.node
        if form is not None:
            self.sheet.cursor = self._kept(before, form) if same else self._found_again(form)
        self.sheet.redraw()
        if not same:
            self.scroll_home(animate=False)
            if self.has_focus or (form is not None and form.node in self._places):
                self._reveal()

    def _found_again(self, form: Form) -> Key | None:
        """Return where the cursor stood on this node, else its first setting."""
        keys, place = keys_of(form), self._places.get(form.node)
        return place if place in keys else self._first(keys)

    def _kept(self, before: Form | None, form: Form) -> Key | None:
        """Return where the cursor stands, or what stands there now if that is gone."""
        old, keys, cursor = keys_of(before) if before is not None else [], keys_of(form), self.sheet.cursor
        if cursor in keys or cursor not in old or not keys:
            return cursor if cursor in keys else self._first(keys)
        return keys[min(old.index(cursor), len(keys) - 1)]

    @staticmethod
    def _first(keys: list[Key]) -> Key | None:
        return next((key for key in keys if key.kind == "field"), keys[0] if keys else None)

    def focus_field(self, path: tuple[str, ...]) -> None:
        """Go to a setting by its path, or to an input by `("inputs", NAME)`, as problems name them; () is the top."""
        if self.form is None:
            return
        keys = keys_of(self.form)
        wanted = Key("in", path[1:2]) if path[:1] == ("inputs",) else Key("field", path)
        while wanted not in keys and wanted.path:
            wanted = Key(wanted.kind, wanted.path[:-1])
        self.focus()
        self._go(wanted if wanted.path else self._first(keys))
        if not wanted.path:
            self.call_after_refresh(self.scroll_home, animate=False)

    def help_text(self) -> str:
        """Return help for what the cursor stands on, as markdown."""
        form, key = self.form, self.sheet.cursor
        if form is None:
            return "# Inspector\n\nThe settings and ports of the selected node. None is selected."
        about = words.help_of_node(form)
        if key is None:
            return about
        if (field := self.field) is not None:
            return f"{words.help_of_field(form, field)}\n\n{about}"
        ports = form.inputs if key.kind == "in" else form.outputs
        port = next((one for one in ports if (one.name,) == key.path), None)
        return f"{words.help_of_port(form, port, key.kind)}\n\n{about}" if port is not None else about

    # --- moving ----------------------------------------------------------------------------------------------------

    def _go(self, key: Key | None) -> None:
        if key is None or self.form is None:
            return
        self.sheet.cursor = self._places[self.form.node] = key
        self.sheet.redraw()
        self._reveal()

    def _reveal(self) -> None:
        self.call_after_refresh(self._scroll_to_cursor)

    def _scroll_to_cursor(self) -> None:
        row = self.sheet.drawn().row(self.sheet.cursor)
        if row is not None:
            keys = keys_of(self.form) if self.form is not None else []
            top = 0 if keys and row.key == keys[0] else row.top  # the head comes along with the first
            region = Region(0, top, max(1, self.sheet.size.width), row.top + row.height - top)
            self.scroll_to_region(region, animate=False, force=True)

    def action_move(self, step: int) -> None:
        """Go to the next row, or to the one before."""
        if self.form is None:
            return
        keys = keys_of(self.form)
        if keys:
            at = keys.index(self.sheet.cursor) if self.sheet.cursor in keys else -step
            self._go(keys[max(0, min(at + step, len(keys) - 1))])

    def action_page(self, step: int) -> None:
        """Go as many lines as are in sight."""
        drawn = self.sheet.drawn()
        row = drawn.row(self.sheet.cursor)
        if row is not None:
            line = row.top + step * max(1, self.size.height - 2)
            rows = [one for one in drawn.rows if (one.top >= line if step > 0 else one.top <= line)]
            edge = drawn.rows[-1] if step > 0 else drawn.rows[0]
            self._go((rows[0 if step > 0 else -1] if rows else edge).key)

    def action_edge(self, index: int) -> None:
        """Go to the first row, or to the last."""
        if self.form is not None and (keys := keys_of(self.form)):
            self._go(keys[index])

    def on_focus(self) -> None:
        """Show the cursor as the one that has the keys."""
        self.sheet.focused = True
        self.sheet.refresh()
        self._reveal()

    def on_blur(self) -> None:
        """Show it as one that waits."""
        self.sheet.focused = False
        self.sheet.refresh()
