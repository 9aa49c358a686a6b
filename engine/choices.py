"""What a call may choose of a graph, `--profile` and `--set`, as a form shows it. Nothing here changes the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vflow.engine.inline import shown, text_of, value_of
from vflow.engine.origins import givers

if TYPE_CHECKING:
    from vflow.engine.load import Loaded
    from vflow.engine.parameters import Parameter

_ANYTHING = ("empty", "bool", "int", "float", "list", "mapping", "text")


@dataclass(frozen=True)
class ProfileChoice:
    """A profile of a graph. `changes` says in words what it changes: `rank = 4`, `node train`."""

    name: str
    about: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class ParameterChoice:
    """A parameter of a graph and what stands below a value that is set for the call.

    `given` tells whether the call sets it, `value` is what counts with that, `text` how it is typed. `below` is what
    counts without, in one line, and `origin` says in words where that stands; both are empty where nothing does.
    """

    parameter: Parameter
    given: bool
    value: Any
    text: str
    below: str
    origin: str

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parameter.name

    @property
    def words(self) -> str:
        """What may stand there: `whole number, 1 to 256`."""
        return self.parameter.words if self.parameter.type else ""


def profiles_of(loaded: Loaded) -> list[ProfileChoice]:
    """Return the profiles of a graph, chosen or not, in the order of the file."""
    return [
        ProfileChoice(name, str((given or {}).get("about") or ""), tuple(_changes(given or {})))
        for name, given in loaded.graph.profiles.items()
    ]


def parameters_of(loaded: Loaded, sets: Mapping[str, Any]) -> list[ParameterChoice]:
    """Return the parameters of a graph that was loaded with these `sets`."""
    found = []
    for name, parameter in loaded.graph.parameters.items():
        below = next((one for one in givers(loaded, name) if one.kind != "set"), None)
        value = sets.get(name, parameter.value)
        has_value = name in sets or parameter.is_given
        found.append(
            ParameterChoice(
                parameter,
                name in sets,
                value,
                text_of(value, takes(parameter)) if has_value else "",
                below.text if below is not None else "",
                _words(below.kind, below.name) if below is not None else "",
            )
        )
    return found


def takes(parameter: Parameter) -> tuple[str, ...]:
    """Return the kinds of values that a parameter takes, as `inline.value_of` names them."""
    kinds = (parameter.type,) if parameter.type else _ANYTHING
    return (*kinds, "empty") if parameter.has_default and parameter.default is None and parameter.type else kinds


def read(parameter: Parameter, raw: str) -> Any:
    """Return what was typed as plain data.

    Raises:
        ValueError: it cannot be read, or may not stand there; says why, and what to do.
    """
    value = value_of(raw, takes(parameter))
    if told := parameter.wrong(value):
        raise ValueError("; ".join(filter(None, told)))
    return value


def moved(chosen: Sequence[str], name: str, by: int) -> tuple[str, ...]:
    """Return the chosen profiles with one of them moved by so many places; the last one counts most."""
    rest = [one for one in chosen if one != name]
    if len(rest) == len(chosen):
        return tuple(chosen)
    at = min(max(0, list(chosen).index(name) + by), len(rest))
    return (*rest[:at], name, *rest[at:])


def _words(kind: str, name: str) -> str:
    return {"profile": f"profile {name}", "extends": name}.get(kind, "the graph")


def _changes(profile: Mapping[str, Any]) -> list[str]:
    params, nodes, outputs = (profile.get(part) or {} for part in ("params", "nodes", "outputs"))
    values = [
        f"{name} = {shown(given.get('default') if isinstance(given, Mapping) else given)}"
        for name, given in params.items()
    ]
    return [*values, *(f"node {name}" for name in nodes), *(f"output {name}" for name in outputs)]
