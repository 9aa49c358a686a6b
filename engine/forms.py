"""The settings of a node as a form: made from its declaration, filled with what the graph says, checked as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from vflow.engine.check import unlinked
from vflow.engine.fields import Field, FieldMaker, Found, Path, sentence
from vflow.engine.filling import Filler
from vflow.engine.inline import in_line, value_of
from vflow.engine.load import Loaded
from vflow.engine.origins import Origin, Place, place_of, whole_value, with_value, written_at
from vflow.engine.outline import PortView, links_of, node_view, wires_into
from vflow.engine.pieces import Findings, Piece
from vflow.engine.problems import Problem
from vflow.engine.settings import Wrong, make
from vflow.engine.takes import Kind, Takes
from vflow.engine.words import about_of

__all__ = [
    "Field",
    "Form",
    "Kind",
    "Origin",
    "Place",
    "Takes",
    "form",
    "place_of",
    "problem_of",
    "read",
    "whole_value",
    "written_at",
]


@dataclass(frozen=True)
class Form:
    """A node with all that can be set of it. The links of its inputs are as written, those of its outputs name what
    they feed (`train.latents`, `outputs.lora`).

    `problems` are all that were found at the node; `loose` those that belong to no field and no port, `at_ports` tells
    what is wrong with the link to a port. `known` is False for a node of unknown type: then the fields are what the
    file says of it.
    """

    node: str
    type: str
    about: str = ""
    fields: tuple[Field, ...] = ()
    inputs: tuple[PortView, ...] = ()
    outputs: tuple[PortView, ...] = ()
    problems: tuple[Problem, ...] = ()
    known: bool = True
    light: bool = False
    disabled: bool = False
    loose: tuple[Problem, ...] = ()
    at_ports: Mapping[str, str] = field(default_factory=dict)
    _check: Callable[[Path, Any], str] = field(default=lambda _path, _value: "", compare=False, repr=False)

    def problem_of(self, path: Path, value: Any) -> str:
        """Return what the engine says of a value before it is set; "" if it is fine."""
        return self._check(path, value)

    def get(self, path: Path) -> Field | None:
        """Return the field of a setting."""
        return next((one for one in self.fields if one.path == path), None)


def form(loaded: Loaded, node: str, more: Iterable[Problem] = ()) -> Form | None:
    """Return the form of a node; None where the graph has no such node.

    `more` are problems that were found elsewhere, such as while planning; those of other nodes are left out.
    """
    spec, bound = loaded.graph.nodes.get(node), loaded.bound.get(node)
    if spec is None:
        return None
    where = f"nodes.{node}"
    mine = [one for one in (*loaded.problems, *more) if f"{one.where}.".startswith(f"{where}.")]
    found = Found((*mine, *(one for one in loaded.problems if one.where.startswith("params."))))
    fields = FieldMaker(loaded, node, found).fields(bound.type if bound else None, spec.settings)
    view = node_view(loaded, node)
    at_ports = {port.name: words for port in view.inputs if (words := _at_port(found, where, port.name))}
    return Form(
        node,
        spec.type,
        about_of(bound.type) if bound else "",
        tuple(fields),
        view.inputs,
        _feeding(loaded, node, view.outputs),
        tuple(dict.fromkeys(mine)),
        bound is not None,
        view.light,
        spec.disabled,
        tuple(one for one in dict.fromkeys(mine) if one in found.left),
        at_ports,
        partial(problem_of, loaded, node),
    )


def _at_port(found: Found, where: str, port: str) -> str:
    at, missing = f"{where}.inputs.{port}", f"{unlinked(port)},"
    words, _ = found.take(
        lambda one: f"{one.where}.".startswith(f"{at}.") or (one.where == where and one.message.startswith(missing))
    )
    return words


def _feeding(loaded: Loaded, node: str, outputs: tuple[PortView, ...]) -> tuple[PortView, ...]:
    """Return the outputs of a node with what each feeds; a link that does not tell which is left out."""
    fed: dict[str, list[str]] = {}
    for name, spec in loaded.graph.nodes.items():
        if any(link.partition(".")[0] == node for _, link in links_of(spec)):
            for port in node_view(loaded, name).inputs:
                for wire in wires_into(loaded, name, port):
                    if wire.source == node:
                        fed.setdefault(wire.output, []).append(f"{name}.{port.name}")
    for name, link in loaded.outputs.items():
        if link.node == node:
            fed.setdefault(link.output, []).append(f"outputs.{name}")
    return tuple(replace(port, links=tuple(dict.fromkeys(fed.get(port.name, ())))) for port in outputs)


def read(field: Field, raw: str) -> Any:
    """Return what was typed into a field as plain data, as the file would have it: parameters are still in it.

    Raises:
        ValueError: it cannot be read; says why.
    """
    if field.kind == "choice":
        choices = {one if isinstance(one, str) else in_line(one): one for one in field.choices}
        return choices[raw.strip()] if raw.strip() in choices else value_of(raw, ("empty", "text"))
    return value_of(raw, field.takes.kinds, field.lines)


def problem_of(loaded: Loaded, node: str, path: Path, value: Any) -> str:
    """Return the engine's words about one value before it is set, "" if it is fine.

    `value` is plain data as the file would have it. The node is built with it; what is wrong with other settings is
    not told.
    """
    bound, spec = loaded.bound.get(node), loaded.graph.nodes.get(node)
    if bound is None or spec is None:
        return ""
    place = place_of(loaded, node, path, value)
    if place.kind in ("parameter", "set"):
        told = loaded.graph.parameters[place.name].wrong(whole_value(loaded, place, value))
        if told:
            return sentence(Wrong((), *told))
    findings = Findings()
    values = _values(loaded)
    filler = Filler(values, findings, loaded.graph.parameters.keys() - values)
    filled = filler.fill(_piece(value), "", 0).plain()
    if findings.problems:
        return sentence(findings.problems[0])
    if filler.unfilled:
        return ""  # it waits for a parameter without a value, which is told of the parameter
    _, wrong = make(bound.type, with_value(spec.settings, path, filled), findings)
    _, anyway = make(bound.type, _without(spec.settings, path), findings)
    for one in wrong:
        if one.path[: len(path)] == path or (one.path == path[: len(one.path)] and one not in anyway):
            return sentence(one)
    return ""


def _values(loaded: Loaded) -> dict[str, Piece]:
    """Return the parameters that have a value which can be put in."""
    parameters, found = loaded.graph.parameters, loaded.graph.tree.get("params")
    given = found.data if found is not None and isinstance(found.data, dict) else {}
    return {name: piece for name, piece in given.items() if name in parameters and not parameters[name].is_refused}


def _piece(data: Any) -> Piece:
    if isinstance(data, Mapping):
        data = {name: _piece(inside) for name, inside in data.items()}
    elif isinstance(data, (list, tuple)):
        data = [_piece(inside) for inside in data]
    return Piece(None).with_data(data)


def _without(data: Any, path: Path) -> Any:
    if not isinstance(data, Mapping):
        return data
    if len(path) == 1:
        return {name: value for name, value in data.items() if name != path[0]}
    return {name: _without(value, path[1:]) if name == path[0] else value for name, value in data.items()}
