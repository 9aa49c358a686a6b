"""What the parameters of a graph are: how a file declares them, and which values they take.

    rank: 16
    rank: {default: 16, type: int, help: Rank of the adapter., min: 1, max: 256, choices: [8, 16, 32]}

Inside vflow every parameter has the long form: `rank: 16` is `rank: {default: 16}`. So a profile, or a graph that
extends another, may write the short form and replaces the value alone. A mapping is always the long form; a value that
is a mapping stands under `default:`. Without `default` the parameter has to be given by the call.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vflow.engine.document import parse
from vflow.engine.pieces import NOWHERE, Findings, Piece, Place, scalar, show
from vflow.engine.problems import suggest

#: What the long form says of a parameter.
KEYS = ("default", "type", "help", "min", "max", "choices")
#: A graph may have this many parameters, those of its profiles counted again, and this many profiles.
MAX_PARAMETERS = 10_000
MAX_PROFILES = 1_000

#: type -> what may stand there in words, its short name in words, the types of plain data
TYPES: dict[str, tuple[str, str, tuple[type, ...]]] = {
    "int": ("a whole number", "whole number", (int,)),
    "float": ("a number", "number", (int, float)),
    "text": ("a text", "text", (str,)),
    "bool": ("true or false", "true | false", (bool,)),
    "list": ("a list", "list", (list,)),
    "mapping": ("a mapping", "mapping", (dict,)),
}
_MOST_LISTED = 20
_KIND = {bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "mapping"}


@dataclass(slots=True)
class Parameter:
    """A parameter of a graph. `type` is one of `TYPES`, or empty where any value may stand.

    `default` is the graph's own value and `value` the one in force, both plain data and None where there is none;
    `is_given` tells whether there is a value in force, `place` where it comes from. `used_by` names the settings that
    take the parameter (`nodes.lora.rank`).
    """

    name: str
    type: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    default: Any = None
    has_default: bool = False
    value: Any = None
    is_given: bool = False
    is_refused: bool = False  #: its declaration or its value is wrong, which was told
    is_type_written: bool = False
    place: Place = NOWHERE
    used_by: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What may stand there, in words: `whole number, 1 to 256`, `text: fast | slow`."""
        words = TYPES[self.type][1] if self.type else "any value"
        if self.choices:
            return f"{words}: {' | '.join(one if isinstance(one, str) else json.dumps(one) for one in self.choices)}"
        if self.minimum is not None and self.maximum is not None:
            return f"{words}, {show(self.minimum)} to {show(self.maximum)}"
        if self.minimum is not None:
            return f"{words}, at least {show(self.minimum)}"
        return words if self.maximum is None else f"{words}, at most {show(self.maximum)}"

    def wrong(self, value: Any) -> tuple[str, str] | None:
        """Return what is wrong with a value, and what to do; None where it may stand."""
        if value is None and self.has_default and self.default is None:
            return None
        if told := self._wrong_type(value):
            return told
        if self.choices and not any(_same(value, one) for one in self.choices):
            return self._not_chosen(value)
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {show(self.minimum)}, not {show(value)}", ""
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {show(self.maximum)}, not {show(value)}", ""
        return None

    def _not_chosen(self, value: Any) -> tuple[str, str]:
        known = [one for one in self.choices if type(one) is str]
        near = suggest(value[:80], known, " ").strip() if type(value) is str and known else ""
        listed = ", ".join(show(one) for one in self.choices[:_MOST_LISTED])
        more = ", ..." if len(self.choices) > _MOST_LISTED else ""
        return f"must be one of {listed}{more}, not {show(value)}", near

    def _wrong_type(self, value: Any) -> tuple[str, str] | None:
        if not self.type:
            return None
        words, _, kinds = TYPES[self.type]
        if type(value) in kinds:
            return (f"must be a finite number, not {show(value)}", "") if _is_endless(value) else None
        return f"must be {words}, not {show(value)}", self._remedy(value)

    def _remedy(self, value: Any) -> str:
        if self.type == "int" and type(value) is float:
            if value.is_integer():
                return f"write {int(value)}"
            return "" if self.is_type_written else "its default is a whole number; `type: float` takes any number"
        if self.type in ("int", "float") and type(value) is str and type(scalar(value or "~")) in (int, float):
            return "write it without quotes"
        return "put it in quotes" if self.type == "text" and type(value) in (int, float, bool) else ""

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data, for `--json`."""
        found: dict[str, Any] = {"name": self.name, "type": self.type or "any", "help": self.help}
        found |= {"min": self.minimum, "max": self.maximum, "choices": list(self.choices) or None}
        if self.has_default:
            found["default"] = self.default
        if self.is_given:
            found["value"] = self.value
        return {**found, "used_by": self.used_by}


def is_wanted(declared: Any) -> bool:
    """Tell whether a parameter has to be given, from what a file declares: `{help: what to give}` has no value."""
    return isinstance(declared, Mapping) and "default" not in declared


def with_long_forms(root: Piece, findings: Findings) -> Piece:
    """Return a file's root with all its parameters, those of its profiles too, in the long form."""
    profiles = root.get("profiles")
    within = list(profiles.data.items()) if profiles is not None and type(profiles.data) is dict else []
    mine = [piece.get("params") for _, piece in within]
    many = sum(len(one.data) for one in (root.get("params"), *mine) if _is_mapping(one)) > MAX_PARAMETERS
    if many or len(within) > MAX_PROFILES:
        message = f"the graph has more than {MAX_PARAMETERS:,} parameters, those of its profiles included"
        part, message = ("params", message) if many else ("profiles", f"there are more than {MAX_PROFILES:,} profiles")
        findings.add((root.get(part) or root).place(key=True), part, message, "is this a graph?")
        return root.with_data({name: piece for name, piece in root.data.items() if name not in ("params", "profiles")})
    data = dict(root.data)
    if _is_mapping(params := root.get("params")):
        data["params"] = _long(params)
    if profiles is not None and any(map(_is_mapping, mine)):
        changed = {
            name: piece.with_data({**piece.data, "params": _long(one)}) if _is_mapping(one) else piece
            for (name, piece), one in zip(within, mine, strict=True)
        }
        data["profiles"] = profiles.with_data(changed)
    return root.with_data(data)


def _is_mapping(piece: Piece | None) -> bool:
    return piece is not None and type(piece.data) is dict


def _long(params: Piece | None) -> Piece:
    assert params is not None
    return params.with_data(
        {
            name: piece if type(piece.data) is dict else piece.with_data({"default": piece})
            for name, piece in params.data.items()
        }
    )


def with_value(declared: Piece, value: Piece) -> Piece:
    """Return a declaration in the long form with another value."""
    return declared.with_data({**declared.data, "default": value})


def read_value(parameter: Parameter, text: str, place: Place, findings: Findings) -> Piece | None:
    """Return the value that a call gives as text; None where it cannot be read, which is told.

    It is YAML; but what a parameter of type text is given is the text as it stands, unless it stands in quotes.
    """
    if parameter.type == "text" and text.strip()[:1] not in ("'", '"') and not _is_null(parameter, text):
        return Piece(None, place.file).with_data(text)
    document = parse(text)
    for problem in document.problems:
        findings.add(place, f"params.{parameter.name}", problem.message, problem.remedy)
    return None if document.problems else _unplaced(document.root or Piece(None), place.file)


def _is_null(parameter: Parameter, text: str) -> bool:
    return parameter.has_default and parameter.default is None and scalar(text.strip()) is None


def _unplaced(piece: Piece, file: str) -> Piece:
    """Return a value that came with the call: it stands in no file."""
    data = piece.data
    if type(data) is dict:
        data = {name: _unplaced(inside, file) for name, inside in data.items()}
    elif type(data) is list:
        data = [_unplaced(inside, file) for inside in data]
    return Piece(data, file).with_data(data)


# --- reading a declaration -------------------------------------------------------------------------------------------


def declared(name: str, piece: Piece, findings: Findings) -> Parameter:
    """Read a declaration in the long form; what is wrong with it is told and left out."""
    reader = _Declaration(name, piece, findings)
    parameter = reader.parameter
    reader.refuse_unknown()
    default = piece.get("default")
    if default is not None:
        parameter.default, parameter.has_default = default.plain(), True
    reader.read_help()
    reader.read_type()
    reader.read_bounds()
    reader.read_choices()
    if default is not None and not parameter.is_refused:
        check(parameter, default, findings)
    return parameter


def check(parameter: Parameter, value: Piece, findings: Findings) -> bool:
    """Tell what is wrong with a value, at its place; return whether it may stand."""
    told = parameter.wrong(value.plain())
    if told:
        findings.add(value.place(), f"params.{parameter.name}", *told)
    return not told


class _Declaration:
    """Reads the long form of one parameter."""

    def __init__(self, name: str, piece: Piece, findings: Findings) -> None:
        self.piece, self.findings, self.where = piece, findings, f"params.{name}"
        self.parameter = Parameter(name)

    def refuse_unknown(self) -> None:
        unknown = [name for name in self.piece.data if name not in KEYS]
        self.parameter.is_refused = bool(unknown) and "default" not in self.piece.data
        if unknown and len(unknown) == len(self.piece.data):
            message = f"a mapping says what a parameter is, and {show(unknown[0])} is no part of that"
            remedy = f"known: {', '.join(KEYS)}; a value that is a mapping is written {{default: {{...}}}}"
            near = self.findings.suggest(unknown[0], KEYS, " ").strip()
            self.findings.add(self.piece.place(), self.where, message, near or remedy)
            return
        for name in unknown:
            place, remedy = self.piece.data[name].place(key=True), self.findings.suggest(name, KEYS)
            self.findings.add(place, f"{self.where}.{name}", f"unknown key {show(name)}", remedy)

    def read_help(self) -> None:
        if piece := self._get("help"):
            if type(piece.data) is str:
                self.parameter.help = piece.data
            else:
                self._tell(piece, "help", f"must be a text, not {show(piece.data)}", "put it in quotes")

    def read_type(self) -> None:
        """Read the type, else take that of the default, the choices or the bounds, where anything is said of them."""
        parameter, piece = self.parameter, self._get("type")
        if piece is not None:
            if type(piece.data) is str and piece.data in TYPES:
                parameter.type, parameter.is_type_written = piece.data, True
                return
            given = piece.data if type(piece.data) is str else ""
            remedy = self.findings.suggest(given, TYPES, f"known: {', '.join(TYPES)}")
            self._tell(piece, "type", f"must be the name of a type, not {show(piece.data)}", remedy)
        elif any(self._get(key) for key in KEYS if key != "default"):
            choices = self._get("choices")
            listed = choices.data if choices is not None and type(choices.data) is list else []
            kinds = {_KIND.get(type(one.data), "") for one in listed}
            if parameter.default is not None:
                parameter.type = _KIND.get(type(parameter.default), "")
            elif len(kinds) == 1:
                (parameter.type,) = kinds
            elif kinds == {"int", "float"} or self._get("min") or self._get("max"):
                parameter.type = "float"

    def read_bounds(self) -> None:
        parameter = self.parameter
        parameter.minimum, parameter.maximum = self._bound("min"), self._bound("max")
        if parameter.minimum is not None and parameter.maximum is not None and parameter.minimum > parameter.maximum:
            message = f"{show(parameter.maximum)} is less than `min: {show(parameter.minimum)}`"
            self._tell(self.piece.data["max"], "max", message, "exchange them")
            parameter.minimum = parameter.maximum = None

    def _bound(self, key: str) -> float | None:
        piece = self._get(key)
        if piece is None:
            return None
        if type(piece.data) not in (int, float) or _is_endless(piece.data):
            self._tell(piece, key, f"must be a number, not {show(piece.data)}")
        elif self.parameter.type not in ("int", "float"):
            words = TYPES[self.parameter.type][0] if self.parameter.type else "any value"
            self._tell(piece, key, f"only numbers have bounds, and this is {words}", "drop it, or write `type: float`")
        else:
            bound: float = piece.data
            return bound
        return None

    def read_choices(self) -> None:
        piece = self._get("choices")
        if piece is None:
            return
        if type(piece.data) is not list or not piece.data:
            given = show(piece.data) if piece.data != [] else "an empty one"
            self._tell(piece, "choices", f"must be a list, not {given}", "write `choices: [a, b]`")
            return
        fit = [one for one in piece.data if self._may_be_chosen(one)]
        self.parameter.choices = tuple(one.plain() for one in fit)

    def _may_be_chosen(self, piece: Piece) -> bool:
        told = self.parameter.wrong(piece.plain())
        if told:
            self._tell(piece, "choices", *told)
        return not told

    def _get(self, key: str) -> Piece | None:
        """Return what stands under a key; None where it is empty."""
        piece = self.piece.get(key)
        return piece if piece is not None and piece.data is not None else None

    def _tell(self, piece: Piece, key: str, message: str, remedy: str = "") -> None:
        self.findings.add(piece.place(), f"{self.where}.{key}", message, remedy)


def _is_endless(value: Any) -> bool:
    # a large integer would not fit into math.isfinite
    return type(value) is float and not math.isfinite(value)


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are one: 1 and 1.0 are, 1 and true are not."""
    numbers = (int, float)
    if type(one) in numbers and type(other) in numbers:
        return bool(one == other)
    return type(one) is type(other) and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
