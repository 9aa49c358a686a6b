"""Profiles, parameters and outputs of a graph in one list; what is changed here is changed in the file at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vflow.engine.inline import in_line, text_of, value_of
from vflow.engine.problems import VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.dialog import Dialog
from vflow.tui.dialogs.parameter_rows import (
    ANYTHING,
    Row,
    about_row,
    declaration_problem,
    lines,
    value_problem,
    values_in,
)
from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt

if TYPE_CHECKING:
    from vflow.engine.parameters import Parameter
    from vflow.tui.app import VflowApp
    from vflow.tui.workspace import Workspace

_TITLES = {"profile": "Profiles", "param": "Parameters", "output": "Outputs"}


def _key(key: str, action: str, name: str, id: str, about: str, show: bool = True) -> Binding:  # noqa: A002
    return Binding(key, action, name, show=show, id=id, tooltip=about)


class Parameters(Dialog[None]):
    """Choose profiles; add, change, rename and remove profiles, parameters and outputs."""

    DEFAULT_CSS = """
    Parameters {
        & > #box { height: 90%; width: 100; }
        OptionList { height: 1fr; }
        #about { height: 2; color: $text-muted; }
        #keys { height: auto; color: $text-muted; border-top: solid $panel; }
        &.-low #keys, &.-low #about { display: none; }
    }
    """
    HELP: ClassVar[str] = (
        "Profiles, parameters and outputs of the file. Enter changes what is highlighted: a profile is used or not, a "
        "parameter gets another value, an output another link. What is changed here stands in the file's text at once; "
        "`u` takes it back. In a profile a parameter can have another value; use the profile to plan and run with it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("space", "choose", "Choose", "parameters.choose", "Use this profile, or not", False),
        _key("a", "add", "Add", "parameters.add", "Add a profile, parameter or output, as where the cursor is"),
        _key("r", "rename", "Rename", "parameters.rename", "Rename; what refers to it follows"),
        _key("d,delete", "remove", "Remove", "parameters.remove", "Remove it; u brings it back"),
        _key("m", "declare", "Declare", "parameters.declare", "Say what a parameter is: help, bounds, choices"),
        _key("w", "in_profile", "In profile", "parameters.profile", "Give a parameter another value in a profile"),
        _key("u,ctrl+z", "undo", "Undo", "parameters.undo", "Take the last edit back"),
        _key("ctrl+r", "redo", "Redo", "parameters.redo", "Do again what was undone", False),
    ]
    app: VflowApp

    def __init__(self, workspace: Workspace, changed: Callable[[], None]) -> None:
        """`changed` is called after each change."""
        super().__init__("profiles, parameters, outputs", "esc: back")
        self.workspace, self.changed = workspace, changed
        self.rows: list[Row | None] = []

    def body(self) -> ComposeResult:
        """Show the list, what the highlighted row is, and the keys."""
        yield OptionList()
        yield Static("", id="about", markup=False)
        yield Static(
            "enter change  space use profile  a add  r rename  d remove  m declare  w in profile  u undo", id="keys"
        )

    def on_mount(self) -> None:
        """Show what there is."""
        self.show()
        self.query_one(OptionList).focus()

    def show(self, at: Row | None = None) -> None:
        """Show what there is now, with a row highlighted."""
        options = self.query_one(OptionList)
        at = at or self.row
        options.clear_options()
        self.rows = []
        for kind, title in _TITLES.items():
            self.rows.append(None)
            options.add_option(Option(Content.styled(title, "bold $text-primary"), disabled=True))
            for row, shown in lines(self.workspace, kind):
                self.rows.append(row)
                options.add_option(Option(shown))
        options.highlighted = self.rows.index(at) if at is not None and at in self.rows else 1

    @property
    def row(self) -> Row | None:
        """The highlighted row."""
        at = self.query_one(OptionList).highlighted
        return self.rows[at] if at is not None and at < len(self.rows) else None

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the row is."""
        event.stop()
        row = self.rows[event.option_index] if event.option_index < len(self.rows) else None
        self.query_one("#about", Static).update(about_row(self.workspace, row) if row is not None else "")

    # --- what is done ----------------------------------------------------------------------------------------------

    def _ask(self, dialogue: Coroutine[Any, Any, object]) -> None:
        self.run_worker(dialogue, group="dialogue", exclusive=True)

    def _edit(self, change: Callable[[], object], at: Row | None = None) -> None:
        try:
            change()
        except VflowError as error:
            self.app.say(str(error), "error")
            return
        self.changed()
        self.show(at)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Change the row."""
        event.stop()
        row = self.row
        if row is None:
            return
        if not row.name:
            self.action_add()
        elif row.kind == "profile":
            self.action_choose()
        elif row.kind == "param":
            self._ask(self._change_param(row.name))
        else:
            self._ask(self._change_output(row.name))

    def action_choose(self) -> None:
        """Use a profile, or no longer."""
        if (row := self.row) is not None and row.kind == "profile" and row.name:
            chosen = self.workspace.profiles
            now = tuple(one for one in chosen if one != row.name) if row.name in chosen else (*chosen, row.name)
            self._edit(partial(self.workspace.choose, profiles=now))

    async def _ask_value(self, heading: str, parameter: Parameter) -> tuple[Any] | None:
        takes = (("empty",) if parameter.default is None else ()) + ((parameter.type,) if parameter.type else ANYTHING)

        def check(raw: str) -> str:
            try:
                told = parameter.wrong(value_of(raw, takes))
            except ValueError as error:
                return str(error)
            return "; ".join(filter(None, told)) if told else ""

        before = text_of(parameter.value, takes) if parameter.is_given else ""
        about = "\n".join(filter(None, [parameter.help, parameter.words]))
        raw = await self.app.push_screen_wait(Prompt(heading, before, about=about, check=check))
        return None if raw is None else (value_of(raw, takes),)

    async def _change_param(self, name: str) -> None:
        profile = "for this session" if name in self.workspace.sets else self.workspace.param_profile(name)
        parameter = self.workspace.loaded.graph.parameters[name]
        if value := await self._ask_value(f"{name} in {profile}" if profile else name, parameter):
            self._edit(partial(self.workspace.set_param, name, value[0]))

    async def _change_output(self, name: str) -> None:
        if link := await self._pick_link(f"output {name} is"):
            self._edit(partial(self.workspace.set_output, name, link))

    async def _pick_link(self, heading: str) -> str | None:
        nodes = self.workspace.outline.nodes.values()
        choices = [
            Choice(
                view.name if len(view.outputs) == 1 else f"{view.name}.{port.name}",
                f"{view.name}.{port.name}",
                port.words,
            )
            for view in reversed(nodes)
            for port in view.outputs
        ]
        return await self.app.push_screen_wait(Pick(heading, choices, nothing="there are no nodes yet"))

    def action_in_profile(self) -> None:
        """Give a parameter a value in a profile."""
        if (row := self.row) is not None and row.kind == "param" and row.name:
            self._ask(self._in_profile(row.name))

    async def _in_profile(self, name: str) -> None:
        graph = self.workspace.loaded.graph
        if not graph.profiles:
            self.app.say("the graph has no profiles yet", "warning")
            return
        there = values_in(self.workspace, name)
        choices = [Choice((one, False), one, there.get(one, ""), group="give it a value in") for one in graph.profiles]
        choices += [Choice((one, True), one, value, group="take its value out of") for one, value in there.items()]
        chosen = await self.app.push_screen_wait(Pick(f"{name} in which profile?", choices))
        if chosen is None:
            return
        profile, out = chosen
        if out:
            self._edit(partial(self.workspace.drop_param_in, name, profile))
        elif value := await self._ask_value(f"{name} in {profile}", graph.parameters[name]):
            self._edit(partial(self.workspace.set_param_in, name, value[0], profile))

    def action_add(self) -> None:
        """Add one to the section of the cursor."""
        self._ask(self._add(self.row.kind if self.row else "param"))

    async def _add(self, kind: str) -> None:
        heading = {"profile": "new profile", "param": "new parameter", "output": "new output"}[kind]
        name = await self.app.push_screen_wait(Prompt(heading, check=partial(self._name_problem, kind, "")))
        if not name:
            return
        if kind == "profile":
            self._edit(partial(self.workspace.add_profile, name), Row(kind, name))
        elif kind == "output":
            if link := await self._pick_link(f"output {name} is"):
                self._edit(partial(self.workspace.set_output, name, link), Row(kind, name))
        else:
            raw = await self.app.push_screen_wait(Prompt(f"value of {name}", check=value_problem))
            if raw is not None:
                self._edit(partial(self.workspace.set_param_in, name, value_of(raw, ANYTHING), ""), Row(kind, name))

    def _name_problem(self, kind: str, old: str, name: str) -> str:
        return self.workspace.name_problem(kind, old, name)

    def action_rename(self) -> None:
        """Rename the row."""
        if (row := self.row) is not None and row.name:
            self._ask(self._rename(row))

    async def _rename(self, row: Row) -> None:
        check = partial(self._name_problem, row.kind, row.name)
        new = await self.app.push_screen_wait(Prompt(f"rename {row.name}", row.name, check=check))
        if new and new != row.name:
            self._edit(partial(self.workspace.rename_part, row.kind, row.name, new), Row(row.kind, new))

    def action_remove(self) -> None:
        """Remove the row."""
        if (row := self.row) is not None and row.name:
            self._ask(self._remove(row))

    async def _remove(self, row: Row) -> None:
        parameter = self.workspace.loaded.graph.parameters.get(row.name) if row.kind == "param" else None
        if parameter is not None and parameter.used_by:
            replies = [Reply("no", "keep it", "k", "primary"), Reply("yes", "remove it", "r", "error")]
            used = [one.removeprefix("nodes.") for one in parameter.used_by]
            if (
                await self.app.push_screen_wait(Ask(f"remove {row.name}?", "These settings take it:", replies, used))
                != "yes"
            ):
                return
        self._edit(partial(self.workspace.remove_part, row.kind, row.name))

    def action_declare(self) -> None:
        """Say what a parameter is."""
        if (row := self.row) is not None and row.kind == "param" and row.name:
            self._ask(self._declare(row.name))

    async def _declare(self, name: str) -> None:
        parameter = self.workspace.loaded.graph.parameters[name]
        told = {
            "help": parameter.help or None,
            "type": parameter.type if parameter.is_type_written else None,
            "min": parameter.minimum,
            "max": parameter.maximum,
            "choices": list(parameter.choices) or None,
        }
        before = in_line({key: value for key, value in told.items() if value is not None})[1:-1]
        about = "help: what it is, min: 1, max: 100, choices: [a, b]"
        raw = await self.app.push_screen_wait(Prompt(f"what {name} is", before, about=about, check=declaration_problem))
        if raw is not None:
            self._edit(
                partial(self.workspace.declare_param, name, {**dict.fromkeys(told), **value_of(raw, ("mapping",))})
            )

    def action_undo(self) -> None:
        """Take the last edit back."""
        label = self.workspace.undo()
        self._edit(lambda: None)
        self.app.say(f"undone: {label}" if label else "nothing to undo")

    def action_redo(self) -> None:
        """Do again what was undone."""
        label = self.workspace.redo()
        self._edit(lambda: None)
        self.app.say(f"done again: {label}" if label else "nothing to do again")
