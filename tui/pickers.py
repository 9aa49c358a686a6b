"""Choosing what to plan and run with, for this session: profiles in their order, and values of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Select, Static
from textual.widgets.option_list import Option

from vflow.engine.choices import ParameterChoice, moved, parameters_of, profiles_of, read
from vflow.engine.inline import in_line
from vflow.tui.dialogs.dialog import Dialog

if TYPE_CHECKING:
    from vflow.engine.load import Loaded


class ProfilePicker(Dialog[tuple[str, ...]]):
    """Choose profiles, several in order: what the last one says counts most. Dismissed with their names."""

    DEFAULT_CSS = """
    ProfilePicker {
        & > #box { width: 90; }
        OptionList { height: auto; max-height: 60%; border: none; background: $surface; padding: 0; }
        #about { height: auto; max-height: 6; min-height: 3; color: $text-muted; margin: 1 0 0 0; }
        #order { height: auto; max-height: 2; }
        &.-low #about { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "use", "Use", id="profiles.use", tooltip="Use this profile, after the others, or not"),
        Binding("shift+up,K", "shift(-1)", "Earlier", id="profiles.earlier", tooltip="Apply this profile earlier"),
        Binding("shift+down,J", "shift(1)", "Later", id="profiles.later", tooltip="Apply it later: it counts more"),
        Binding("c", "clear", "None", id="profiles.clear", tooltip="Use no profile"),
        Binding("j", "move('cursor_down')", "Next", show=False, id="profiles.next", tooltip="The next profile"),
        Binding("k", "move('cursor_up')", "Previous", show=False, id="profiles.previous", tooltip="The one before"),
    ]

    def __init__(self, loaded: Loaded) -> None:
        """Offer the profiles of a graph; those it was loaded with are chosen."""
        super().__init__("profiles", "space: use   K J: order   enter: plan with them   esc: cancel")
        self.profiles = profiles_of(loaded)
        self.chosen = tuple(name for name in loaded.profiles if name in loaded.graph.profiles)

    def body(self) -> ComposeResult:
        """Show the list, what the highlighted profile does, and the order."""
        yield OptionList()
        yield Static("", id="about", markup=False)
        yield Static("", id="order", markup=False)

    def on_mount(self) -> None:
        """Begin at the first chosen one."""
        self._list(0)
        names = [one.name for one in self.profiles]
        if self.chosen:
            self.query_one(OptionList).highlighted = names.index(self.chosen[0])
        self.query_one(OptionList).focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the profile does."""
        event.stop()
        if event.option_index < len(self.profiles):
            one = self.profiles[event.option_index]
            changes = f"changes {', '.join(one.changes)}" if one.changes else "changes nothing"
            self.query_one("#about", Static).update("\n".join(filter(None, [one.about, changes])))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter takes what is chosen; a click uses the profile, or not."""
        event.stop()
        if self._clicked:
            self._clicked = False
            self.action_use()
        else:
            self.dismiss(self.chosen)

    _clicked = False

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Remember that what comes is a click."""
        self._clicked = isinstance(event.widget, OptionList)

    def on_key(self, event: events.Key) -> None:
        """A key is no click."""
        self._clicked = False

    @property
    def _here(self) -> str | None:
        at = self.query_one(OptionList).highlighted
        return self.profiles[at].name if at is not None and at < len(self.profiles) else None

    def action_use(self) -> None:
        """Use the highlighted profile, or no longer."""
        if (name := self._here) is not None:
            rest = tuple(one for one in self.chosen if one != name)
            self._choose(rest if name in self.chosen else (*self.chosen, name))

    def action_shift(self, by: int) -> None:
        """Apply the highlighted profile earlier or later."""
        if (name := self._here) is not None:
            self._choose(moved(self.chosen, name, by))

    def action_clear(self) -> None:
        """Use none."""
        self._choose(())

    def action_move(self, how: str) -> None:
        """Move through the list."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def _choose(self, chosen: tuple[str, ...]) -> None:
        self.chosen = chosen
        self._list(self.query_one(OptionList).highlighted or 0)

    def _list(self, at: int) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        width = max((len(one.name) for one in self.profiles), default=0)
        room = min(self.app.size.width, _WIDEST) - 6  # the box, and the padding of an option
        for one in self.profiles:
            mark = str(self.chosen.index(one.name) + 1) if one.name in self.chosen else " "
            style = "bold $text-accent" if one.name in self.chosen else ""
            line = Content.assemble((f"[{mark}] {one.name.ljust(width)}", style), (f"  {one.about}", "$text-muted"))
            options.add_option(Option(line.first_line.truncate(room, ellipsis=True)))
        options.highlighted = at if self.profiles else None
        order = ", then ".join(self.chosen) if self.chosen else "none: the graph as it is"
        self.query_one("#order", Static).update(order if self.profiles else "this graph has no profiles")


class ParameterPicker(Dialog[dict[str, Any]]):
    """Set parameters for this session. Dismissed with the values that are set; what is left empty stays as it is."""

    DEFAULT_CSS = """
    ParameterPicker {
        & > #box { width: 90; }
        #fields { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    }
    """
    AUTO_FOCUS = ""  # it would scroll the name of the first one away
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "take", "Plan with these", id="sets.take", tooltip="Plan with these values"),
    ]

    def __init__(self, loaded: Loaded, sets: Mapping[str, Any]) -> None:
        """Offer the parameters of a graph that was loaded with these values set."""
        super().__init__("set parameters for this session", "enter: plan with these   empty: as it is   esc: cancel")
        self.parameters: Sequence[ParameterChoice] = parameters_of(loaded, sets)

    def body(self) -> ComposeResult:
        """Show a field for each parameter."""
        if not self.parameters:
            yield Static("This graph has no parameters.", classes="note")
        with VerticalScroll(id="fields", can_focus=False):
            for one in self.parameters:
                yield ParameterField(one)

    def on_mount(self) -> None:
        """Begin to type in the first field."""
        for field in self.query(ParameterField).results():
            field.editor.focus(scroll_visible=False)
            break

    def on_parameter_field_submitted(self, event: ParameterField.Submitted) -> None:
        """Take all values."""
        event.stop()
        self.action_take()

    def action_take(self) -> None:
        """Take all values, or go to the first that will not do."""
        found: dict[str, Any] = {}
        for field in self.query(ParameterField).results():
            try:
                found |= field.read()
            except ValueError:
                field.editor.focus()
                return
        self.dismiss(found)


class ParameterField(Vertical):
    """One parameter: what it is and may be, its editor, where the value in force stands, and what is wrong."""

    DEFAULT_CSS = """
    ParameterField {
        height: auto;
        margin: 0 0 1 0;
        .about { color: $text-muted; height: auto; }
        .wrong { color: $text-error; height: auto; display: none; }
        &.-wrong .wrong { display: block; }
        Input { width: 1fr; }
        Select { width: 1fr; }
    }
    """

    # the fields lie in what scrolls, which would take these keys for itself
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next", show=False, id="sets.next", tooltip="The next parameter"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="sets.previous", tooltip="The one before"),
    ]

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, choice: ParameterChoice) -> None:
        super().__init__()
        self.choice = choice
        self.editor: Input | Select[str] = self._editor()

    def compose(self) -> ComposeResult:
        """Show name and words, editor, help and problem."""
        one = self.choice
        below = f"{one.below} from {one.origin}" if one.origin else "no value without it"
        yield Static(
            Content.assemble(
                (one.name, "bold"),
                (f"  {one.words}" if one.words else "", "$text-muted"),
                (f"  set for this session; {below}" if one.given else "", "$text-accent"),
            )
        )
        yield self.editor
        yield Static("", classes="wrong", markup=False)
        if one.parameter.help:
            yield Static(one.parameter.help, classes="about", markup=False)

    def read(self) -> dict[str, Any]:
        """Return name and value; nothing where the field is empty.

        Raises:
            ValueError: what was typed will not do.
        """
        raw = self._raw
        return {self.choice.name: read(self.choice.parameter, raw)} if raw.strip() else {}

    @property
    def _raw(self) -> str:
        value = self.editor.value
        return value if isinstance(value, str) else ""

    def _editor(self) -> Input | Select[str]:
        one = self.choice
        below = f"{one.below}  from {one.origin}" if one.origin else "to be given"
        listed = one.parameter.choices or ((True, False) if one.parameter.type == "bool" else ())
        if not listed:
            return Input(one.text if one.given else "", placeholder=below, compact=True)
        words = [in_line(value) for value in listed]
        value = one.text if one.given and one.text in words else Select.NULL
        return Select([(word, word) for word in words], prompt=below, value=value, compact=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is wrong while one types."""
        event.stop()
        self._check()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Nothing can be wrong with what is listed."""
        event.stop()
        self._check()

    def _check(self) -> None:
        told = ""
        try:
            self.read()
        except ValueError as error:
            told = str(error)
        self.query_one(".wrong", Static).update(told)
        self.set_class(bool(told), "-wrong")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Submitted())


_WIDEST = 90  # cells of the box
