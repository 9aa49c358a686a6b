"""Edits of settings, parameters, profiles and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.editing import EditError, edits
from vflow.engine.graph import NAME
from vflow.engine.inline import in_line
from vflow.engine.load import load
from vflow.engine.resolve import FREE_NAME
from vflow.tui.working import Working

if TYPE_CHECKING:
    from vflow.engine.origins import Place


class PartEdits(Working):
    """What is done to all but nodes. Each method is one edit, and raises EditError where it is not possible."""

    # --- settings and parameters -----------------------------------------------------------------------------------

    def set_value(self, node: str, path: tuple[str, ...], value: Any) -> str:
        """Set what is in force: the node's own setting, a profile's, or a parameter.

        `value` is plain data as the file would have it. Returns where it was set, in words, "" for the node itself.
        """
        from vflow.engine.origins import place_of

        return self.set_at(place_of(self.loaded, node, path, value), node, path, value)

    def set_at(self, place: Place, node: str, path: tuple[str, ...], value: Any) -> str:
        """Set a value at a place of one's choice, see `origins.places`; returns where, as `set_value` does."""
        from vflow.engine.origins import whole_value

        whole = whole_value(self.loaded, place, value)
        if place.kind == "set":
            self.choose(sets={**self.sets, place.name: whole})
            return f"{place.name}, for this session"
        if place.kind == "parameter":
            return self._set_param(place.name, whole, place.profile)
        profile = place.name if place.kind == "profile" else ""
        where = f" in {profile}" if profile else ""
        label = f"{node}.{'.'.join(path)} = {in_line(value)}{where}"
        self.edit(label, lambda text: edits.set_setting(text, node, place.path, value, profile=profile or None))
        return f"profile {profile}" if profile else ""

    def take_param(self, node: str, path: tuple[str, ...], name: str) -> None:
        """Let a setting take its value from a parameter; a new one gets the value that the setting has."""
        form = self.form(node)
        field = form.get(path) if form is not None else None
        value = field.value if field is not None else None
        new = name not in self.loaded.graph.parameters

        def change(text: str) -> str:
            text = edits.set_param(text, name, value) if new else text
            return edits.set_setting(text, node, path, f"${{{name}}}")

        self.edit(f"{node}.{'.'.join(path)} = ${{{name}}}", change)

    def drop_param_in(self, name: str, profile: str) -> None:
        """Take away the value that a profile gives a parameter."""
        self.edit(f"reset {name} in {profile}", lambda text: edits.remove_param(text, name, profile=profile))

    def reset(self, node: str, path: tuple[str, ...]) -> str:
        """Take a setting back to what stands below it. Returns where that was, in words.

        What only an extended file says is set to the default here, over what that says.
        """
        from vflow.engine.origins import is_extended, written_at

        if is_extended(self.loaded, node, path):
            self._set_default(node, path)
            return ""

        place = written_at(self.loaded, node, path)
        profile = place.name if place.kind == "profile" else ""
        label = f"reset {node}.{'.'.join(path)}"
        self.edit(label, lambda text: edits.reset_setting(text, node, path, profile=profile or None))
        return f"profile {profile}" if profile else ""

    def _set_default(self, node: str, path: tuple[str, ...]) -> None:
        form, label = self.form(node), f"{node}.{'.'.join(path)}"
        field = form.get(path) if form is not None else None
        if field is None or field.required:
            raise EditError(f"{label} stands in the extended file, and has no default", "set another value here")
        default = field.default
        self.edit(f"reset {label}", lambda text: edits.set_setting(text, node, path, default))

    def param_profile(self, name: str) -> str:
        """Return the chosen profile whose value of a parameter is in force; "" where it is the graph's own."""
        return self._profile_with("params", name)

    def set_param(self, name: str, value: Any) -> str:
        """Change the value of a parameter that is in force: for this session, in a profile, or the graph's own.

        Returns where, in words.
        """
        if name in self.sets:
            self.choose(sets={**self.sets, name: value})
            return f"{name}, for this session"
        return self._set_param(name, value, self.param_profile(name))

    def _set_param(self, name: str, value: Any, profile: str) -> str:
        label = f"{name} = {in_line(value)}"
        self.edit(label, lambda text: edits.set_param(text, name, value, profile=profile or None))
        return f"parameter {name} in profile {profile}" if profile else f"parameter {name}"

    def set_param_in(self, name: str, value: Any, profile: str) -> None:
        """Give a parameter a value in a profile, or its default (""); it is declared where it is new."""
        self._set_param(name, value, profile)

    def declare_param(self, name: str, told: Mapping[str, Any]) -> None:
        """Say what a parameter is: `help`, `type`, `min`, `max`, `choices`; None takes one away."""
        self.edit(f"declare {name}", lambda text: edits.declare_param(text, name, **told))

    def override(self, node: str, path: tuple[str, ...], value: Any, profile: str) -> None:
        """Give a setting another value in a profile."""
        label = f"{node}.{'.'.join(path)} = {in_line(value)} in {profile}"
        self.edit(label, lambda text: edits.set_setting(text, node, path, value, profile=profile))

    # --- profiles and outputs --------------------------------------------------------------------------------------

    def add_profile(self, name: str) -> None:
        """Add a profile that changes nothing yet."""
        self.edit(f"add profile {name}", lambda text: edits.add_profile(text, name))

    def set_output(self, name: str, link: str) -> None:
        """Make something an output of the graph, or another thing in its place."""
        self.edit(f"output {name} = {link}", lambda text: edits.set_output(text, name, link))

    def rename_part(self, kind: str, old: str, new: str) -> None:
        """Rename a `profile`, a `param` or an `output`; a chosen profile stays chosen."""
        rename = {"profile": edits.rename_profile, "param": edits.rename_param, "output": edits.rename_output}[kind]
        profiles, sets = self.profiles, dict(self.sets)
        if kind == "profile":
            profiles = tuple(new if name == old else name for name in profiles)
        elif kind == "param":
            sets = {new if name == old else name: value for name, value in sets.items()}

        def change(text: str) -> str:
            changed = rename(text, old, new)
            extends = kind == "param" and self.loaded.graph.written.get("extends") is not None
            if extends and old in load(self.path, self.profiles, {}, text=changed).graph.parameters:
                raise EditError(f"{old!r} stands in the extended file too", "rename it there")
            return changed

        self.edit(f"rename {old} to {new}", change, (profiles, sets))

    def remove_part(self, kind: str, name: str) -> None:
        """Remove a `profile`, a `param` or an `output`."""
        remove = {"profile": edits.remove_profile, "param": edits.remove_param, "output": edits.remove_output}[kind]
        profiles, sets = self.profiles, dict(self.sets)
        if kind == "profile":
            profiles = tuple(one for one in profiles if one != name)
        elif kind == "param":
            sets.pop(name, None)
        self.edit(f"remove {name}", lambda text: remove(text, name), (profiles, sets))

    def name_problem(self, kind: str, old: str, name: str) -> str:
        """Return what is wrong with a new name for a `node`, `profile`, `param` or `output`; "" if it is fine."""
        graph = self.loaded.graph
        taken = {
            "node": graph.nodes,
            "profile": graph.profiles,
            "param": graph.parameters,
            "output": self.outline.outputs,
        }[kind]
        if name != old and name in taken:
            return "this name is taken"
        fits = FREE_NAME if kind == "profile" else NAME
        return (
            ""
            if fits.fullmatch(name)
            else f"use letters, digits, _ and -{'' if kind == 'profile' else ', not first a digit'}"
        )
