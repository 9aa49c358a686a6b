"""What the inspector says: a value is set, taken back, or set at a place of one's choice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.inspector import Inspector
from vflow.tui.screens.base import WorkScreen

if TYPE_CHECKING:
    from vflow.engine.forms import Field, Form
    from vflow.engine.origins import Place

#: What is done with a setting: it is given a value at a place, or takes a parameter ("" for a new one).
_How = tuple["Place | None", str]


class Setting(WorkScreen):
    """The actions on a node's settings."""

    def on_inspector_changed(self, event: Inspector.Changed) -> None:
        """Set what was typed."""
        done = self.edit(partial(self.workspace.set_value, event.node, event.path, event.value))
        if done and done[0]:
            self.app.say(f"set as {done[0]}")

    def on_inspector_reset(self, event: Inspector.Reset) -> None:
        """Take a setting back."""
        done = self.edit(partial(self.workspace.reset, event.node, event.path))
        if done and done[0]:
            self.app.say(f"taken out of {done[0]}")

    def on_inspector_where_pressed(self, event: Inspector.WherePressed) -> None:
        """Ask where a setting is given a value, and which."""
        self.ask(self._set_where(event.node, event.path))

    async def _set_where(self, node: str, path: tuple[str, ...]) -> None:
        form = self.workspace.form(node)
        field = form.get(path) if form is not None else None
        if form is None or field is None:
            return
        label = f"{node}.{'.'.join(path)}"
        chosen = await self.app.push_screen_wait(Pick(f"set {label} where?", self._wheres(node, field)))
        if chosen is None:
            return
        place, name = chosen
        if place is None:
            await self._take(node, path, name)
            return
        value = await self._value(f"{label} in {_words(place)}", form, field)
        if value and (done := self.edit(partial(self.workspace.set_at, place, node, path, value[0]))):
            self.app.say(f"set as {done[0]}" if done[0] else f"set in {node}")

    def _wheres(self, node: str, field: Field) -> list[Choice[_How]]:
        from vflow.engine.origins import places

        graph = self.workspace.loaded.graph
        found: list[Choice[_How]] = []
        for index, place in enumerate(places(self.workspace.loaded, node, field.path)):
            profile = place.name if place.kind == "profile" else place.profile
            idle = bool(profile) and profile not in self.workspace.profiles
            detail = "in force now" if not index else "not chosen now" if idle else ""
            found.append(Choice((place, ""), _words(place), detail, group="give it a value"))
        found += [
            Choice((None, name), f"${{{name}}}", parameter.help, group="take a parameter")
            for name, parameter in graph.parameters.items()
        ]
        return [*found, Choice((None, ""), "a new parameter", "with the value it has now", group="take a parameter")]

    async def _take(self, node: str, path: tuple[str, ...], name: str) -> None:
        if not name:
            check = partial(self.workspace.name_problem, "param", "")
            prompt = Prompt("name of the new parameter", path[-1], check=check)
            answer: str | None = await self.app.push_screen_wait(prompt)
            name = answer or ""
        if name and self.edit(partial(self.workspace.take_param, node, path, name)) is not None:
            self.app.say(f"{node}.{'.'.join(path)} takes ${{{name}}}")

    async def _value(self, heading: str, form: Form, field: Field) -> tuple[Any] | None:
        from vflow.engine.forms import read

        def check(raw: str) -> str:
            try:
                value = read(field, raw)
            except ValueError as error:
                return str(error)
            return form.problem_of(field.path, value)

        about = " ".join(filter(None, [field.about, f"({field.bounds})" if field.bounds else ""]))
        raw = await self.app.push_screen_wait(Prompt(heading, field.text, about=about, check=check))
        return None if raw is None else (read(field, raw),)


def _words(place: Place) -> str:
    if place.kind == "node":
        return f"the node {place.name}"
    if place.kind == "profile":
        return f"profile {place.name}"
    if place.kind == "set":
        return f"parameter {place.name}, for this session"
    return f"parameter {place.name} in profile {place.profile}" if place.profile else f"parameter {place.name}"
