"""What the list of profiles, parameters and outputs shows, and what may be typed there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from textual.content import Content

from vflow.engine.inline import in_line, value_of
from vflow.engine.inline import shown as shown_value

if TYPE_CHECKING:
    from vflow.tui.workspace import Workspace

ANYTHING = ("empty", "bool", "int", "float", "list", "mapping", "text")
_NOTHING = {"profile": "no profiles yet", "param": "no parameters yet", "output": "no outputs yet"}


class Row(NamedTuple):
    """A row of the list. `kind` is profile, param or output; the name of an empty section is empty."""

    kind: str
    name: str


def lines(workspace: Workspace, kind: str) -> Iterator[tuple[Row, Content]]:
    """Yield the rows of a section, as they are shown."""
    texts = {"profile": _profile_text, "param": _param_text, "output": _output_text}
    graph = workspace.loaded.graph
    names = {"profile": graph.profiles, "param": graph.parameters, "output": workspace.outline.outputs}[kind]
    width = min(max(map(len, names), default=0), 24)
    for name in names:
        text = texts[kind](workspace, name)
        mark = ("[x] " if name in workspace.profiles else "[ ] ") if kind == "profile" else ""
        yield Row(kind, name), Content.assemble(f"  {mark}{name.ljust(width)}  ", text)
    if not names:
        yield Row(kind, ""), Content.styled(f"  {_NOTHING[kind]} (a adds one)", "$text-muted")


def _profile_text(workspace: Workspace, name: str) -> Content:
    found = workspace.loaded.graph.profiles[name] or {}
    counts = ((len(found.get(part) or {}), part) for part in ("params", "nodes", "outputs"))
    changes = ", ".join(f"{count} {part[:-1] if count == 1 else part}" for count, part in counts if count)
    return Content.styled(found.get("about") or (f"changes {changes}" if changes else "changes nothing"), "$text-muted")


def _param_text(workspace: Workspace, name: str) -> Content:
    parameter = workspace.loaded.graph.parameters[name]
    value = in_line(parameter.value) if parameter.is_given else "no value"
    source = "this session" if name in workspace.sets else workspace.param_profile(name)
    more = f"  from {source}" if source else ""
    return Content.assemble(
        value, (more, "$text-accent"), (f"  {parameter.words if parameter.type else ''}", "$text-muted")
    )


def _output_text(workspace: Workspace, name: str) -> Content:
    return Content(workspace.outline.outputs[name])


def values_in(workspace: Workspace, name: str) -> dict[str, str]:
    """Return the profiles that give a parameter a value, each with it in one line."""
    found = {}
    for profile, said in workspace.loaded.graph.profiles.items():
        params = (said or {}).get("params") or {}
        if name in params:
            value = params[name]
            value = value.get("default") if isinstance(value, dict) and "default" in value else value
            found[profile] = shown_value(value)
    return found


def about_row(workspace: Workspace, row: Row) -> str:
    """Return what is said of a row below the list."""
    if row.kind != "param" or not row.name:
        return ""
    parameter = workspace.loaded.graph.parameters[row.name]
    used = ", ".join(one.removeprefix("nodes.") for one in parameter.used_by)
    others = ", ".join(f"{value} in {profile}" for profile, value in values_in(workspace, row.name).items())
    first = "; ".join(filter(None, [parameter.help, others]))
    return "\n".join(filter(None, [first, f"taken by {used}" if used else "no setting takes it"]))


def value_problem(raw: str) -> str:
    """Return why a text is no value; "" if it is one."""
    try:
        value_of(raw, ANYTHING)
    except ValueError as error:
        return str(error)
    return ""


def declaration_problem(raw: str) -> str:
    """Return why a text says nothing of a parameter; "" if it does."""
    try:
        told = value_of(raw, ("mapping",))
    except ValueError as error:
        return str(error)
    known = ("help", "type", "min", "max", "choices")
    unknown = [name for name in told if name not in known] if isinstance(told, dict) else ["this"]
    return f"{unknown[0]} is none of {', '.join(known)}" if unknown else ""
