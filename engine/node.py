"""The declaration of a node: one class from which the checker, the schema, the forms and the reference are made.

A node is a frozen Pydantic model. Its fields are *settings*; the parameters of `run` behind `context` are its *input
ports*; what `run` returns are its *output ports*. `run` is

- a plain method that returns a value, an `Items` list or an `Outputs` model; or
- a generator annotated `Iterator[T]`, with exactly one port of type `Items[...]`: then the node works per item. It
  receives only the items that the store lacks and yields one result per item, in order; each result is recorded as it
  is yielded, under a key of its own. Its output port is `Items[T]`, with the rows of its input.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from vflow.engine.context import Context
from vflow.engine.problems import Problem
from vflow.engine.values import Items, Value

if typing.TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.engine.rehearsal import Check

Matters = Literal["plain", "placement", "observe", "horizon"]
_MARK = "vflow"


@dataclass(frozen=True)
class Unit:
    """Says what a setting counts, for people: `fps: Annotated[float, Unit("frames/s")]`."""

    name: str


class Observed:
    """Marks an input port that watches and does not change the result: `sampler: Annotated[Sampler, Observed]`.

    On a field of `Outputs` it marks an output that is no part of the record: it is read from what the store holds, by
    `Node.read_observed`.
    """


def _setting(matters: Matters, default: Any, field: dict[str, Any], **more: Any) -> Any:
    return Field(default, json_schema_extra={_MARK: {"matters": matters, **more}}, **field)


def placement(default: Any, *, exact: bool = True, **field: Any) -> Any:
    """Declare a setting that changes where or how fast: not in the key. `exact` means bit-equal, held by a test."""
    return _setting("placement", default, field, exact=exact)


def observe(default: Any, **field: Any) -> Any:
    """Declare a setting that watches (trackers, previews, checkpoint limits): not in the key."""
    return _setting("observe", default, field)


def horizon(default: Any, **field: Any) -> Any:
    """Declare a setting that says how far: in the record's key, but not in the work folder's while `open_ended`."""
    return _setting("horizon", default, field)


def added(default: Any, *, first: Any, **field: Any) -> Any:
    """Declare a setting that came after version 1: left out of the key while it has its first default."""
    return _setting("plain", default, field, first=first)


def private(default: Any = ..., *, when: Literal["always", "path"] = "always", **field: Any) -> Any:
    """Declare a setting that is the user's own, and stays out of what exported files carry unless asked for.

    `always`: texts such as prompts. `path`: where it names something on this machine, and not an address or a hub's.
    """
    return _setting("plain", default, field, private=when)


class Outputs(BaseModel):
    """Several named output ports: a subclass declares one field per port (`T`, `Items[T]`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Port:
    """An input or output port. It takes (or gives) values of any of `types`; `many` means an `Items` list of them.

    `variable` names the type variable of a port whose output follows its input.
    """

    name: str
    types: tuple[type[Value], ...]
    many: bool = False
    optional: bool = False
    observed: bool = False
    variable: str = ""

    def accepts(self, given: Sequence[type[Value]], many: bool = False) -> bool:
        """Tell whether an output of these types fits: the same type, a subclass, or an item of a list."""
        return (self.many or not many) and all(issubclass(kind, self.types) for kind in given)

    @property
    def words(self) -> str:
        """The port's type in words: `Transformer | VAE`, `list of Window`."""
        names = " | ".join(kind.__name__ for kind in self.types)
        return f"list of {names}" if self.many else names


class Node(BaseModel):
    """Base of all nodes. See the module's docstring for what a subclass declares.

    `version` rises whenever equal settings and inputs would give another result. `light` nodes (recipes, scans,
    prompts) run at every plan, load no model and are not recorded. `source` nodes have no inputs and yield nothing when
    disabled; a `passes` node, when disabled, hands its only input of that name through.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ignored_types=(cached_property,)
    )

    version: ClassVar[int] = 1
    light: ClassVar[bool] = False
    types: ClassVar[dict[str, type[Node]]] = {}
    ports: ClassVar[dict[str, Port]] = {}
    outputs: ClassVar[dict[str, Port]] = {}
    per_item: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "run" not in vars(cls):
            return  # an abstract base between Node and the nodes
        declaration = read_declaration(cls)
        cls.ports, cls.outputs, cls.per_item = declaration
        Node.types[cls.__name__] = cls

    if typing.TYPE_CHECKING:
        #: the node's work; every subclass declares its own ports
        run: ClassVar[collections.abc.Callable[..., Any]]

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what is wrong, from settings and inputs that are known before heavy work (unknown ones are None)."""
        return iter(())

    def also(self, items: Items[Any]) -> Items[Any]:
        """Return items to compute besides those that arrive at a per-item node (the empty caption)."""
        return Items()

    def sends(self) -> Sequence[str]:
        """Return where this node would send something with its settings: addresses, or `service:name`."""
        return ()

    def open_ended(self) -> bool:
        """Tell whether the way does not depend on how far it goes, so that a longer run may go on from a shorter."""
        return True

    def rehearsal_rows(self, known: Mapping[str, Items[Any]]) -> Mapping[str, Sequence[str]]:
        """Return the rows that a rehearsal needs of this node's lists, by port; of ports left out it needs all.

        `known` has the lists as they arrive or, where they are not computed yet, those that they are computed from.
        """
        return {}

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Prove, with few items and in little time, that this node's work fits together here; yield what was found.

        Lists hold few rows (`rehearsal_rows`). `output` is what `run` gave for them; None for a whole heavy node, which
        is not run. Nothing is written but into the context's scratch folder.
        """
        return iter(())

    def read_observed(self, context: Context, output: Any) -> Mapping[str, Any]:
        """Return the observed outputs, read from what the store holds (`context.work`) beside the recorded output."""
        return {}

    def key_settings(self) -> dict[str, Any]:
        """Return the settings that enter the record's key, as plain data."""
        return self._settings({"plain", "horizon"})

    def work_settings(self) -> dict[str, Any]:
        """Return the settings that enter the name of the work folder: without the horizon while `open_ended`."""
        return self._settings({"plain"} if self.open_ended() else {"plain", "horizon"})

    def placed(self) -> dict[str, Any]:
        """Return the placement settings that are equal only up to rounding, for the record."""
        dumped = self.model_dump(mode="json")
        return {
            name: dumped[name]
            for name, field in type(self).model_fields.items()
            if (mark := mark_of(field)).get("matters") == "placement" and not mark["exact"]
        }

    def _settings(self, kinds: set[str]) -> dict[str, Any]:
        if not type(self).model_fields:
            return {}
        dumped = self.model_dump(mode="json")
        return {
            name: _strip(getattr(self, name), dumped[name])
            for name, field in type(self).model_fields.items()
            if matters(field) in kinds and not _is_first(field, getattr(self, name))
        }


def mark_of(field: FieldInfo) -> dict[str, Any]:
    """Return what `placement`, `observe`, `horizon` or `added` wrote on a setting."""
    extra = field.json_schema_extra
    found = extra.get(_MARK, {}) if isinstance(extra, dict) else {}
    return found if isinstance(found, dict) else {}


def matters(field: FieldInfo) -> Matters:
    """Return how a setting enters the key."""
    kind: Matters = mark_of(field).get("matters", "plain")
    return kind


def _is_first(field: FieldInfo, value: Any) -> bool:
    mark = mark_of(field)
    return "first" in mark and bool(value == mark["first"]) and type(value) is type(mark["first"])


def _strip(value: Any, dumped: Any) -> Any:
    """Drop from nested settings what does not enter keys either (an optimizer's `foreach`)."""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        fields = type(value).model_fields
        return {
            name: _strip(getattr(value, name), dumped[name])
            for name, field in fields.items()
            if matters(field) == "plain" and not _is_first(field, getattr(value, name))
        }
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [_strip(v, d) for v, d in zip(value, dumped, strict=True)]
    return dumped


def read_declaration(cls: type[Node]) -> tuple[dict[str, Port], dict[str, Port], str]:
    """Read input ports, output ports and the per-item port ("" where there is none) from a node class.

    Raises:
        TypeError: the class cannot be read as a declaration; says why.
    """
    name = cls.__name__
    try:
        hints = typing.get_type_hints(cls.run, include_extras=True)
    except NameError as error:
        raise TypeError(f"{name}.run: an annotation does not resolve: {error}") from error
    parameters = list(inspect.signature(cls.run).parameters.values())[1:]
    if not parameters or parameters[0].name != "context":
        raise TypeError(f"{name}.run: the first parameter must be `context`")
    ports: dict[str, Port] = {}
    for parameter in parameters[1:]:
        where = f"{name}.run: port {parameter.name!r}"
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"{where} must be a plain parameter")
        if parameter.name in cls.model_fields:
            raise TypeError(f"{where} has the name of a setting")
        if parameter.name not in hints:
            raise TypeError(f"{where} has no type")
        if parameter.default is not inspect.Parameter.empty and parameter.default is not None:
            raise TypeError(f"{where}: an optional port has the default None")
        port = _port(parameter.name, hints[parameter.name], where)
        if (parameter.default is None) != port.optional:
            raise TypeError(f"{where}: an optional port is written `T | None = None`")
        ports[parameter.name] = port
    for setting in cls.model_fields:
        if hasattr(Node, setting) or setting in ("inputs", "type", "disabled"):
            raise TypeError(f"{name}: setting {setting!r} has a name that nodes use themselves")
    outputs, per_item = _outputs(cls, hints.get("return"), ports)
    return ports, outputs, per_item


def _outputs(cls: type[Node], returned: Any, ports: Mapping[str, Port]) -> tuple[dict[str, Port], str]:
    where = f"{cls.__name__}.run"
    if returned is None or returned is type(None):
        return {}, ""
    if get_origin(returned) is collections.abc.Iterator:
        lists = [port.name for port in ports.values() if port.many and not port.observed]
        if len(lists) != 1:
            raise TypeError(f"{where} yields per item and so needs exactly one port of type Items, not {len(lists)}")
        (item,) = get_args(returned)
        listed: Any = types.GenericAlias(Items, (item,))
        return {"items": _port("items", listed, f"{where}: what it yields")}, lists[0]
    if isinstance(returned, type) and issubclass(returned, Outputs):
        hints = typing.get_type_hints(returned, include_extras=True)
        return {n: _port(n, hints[n], f"{returned.__name__}.{n}") for n in returned.model_fields}, ""
    return {"output": _port("output", returned, f"{where}: what it returns")}, ""


def _port(name: str, annotation: Any, where: str) -> Port:
    observed = False
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        observed = Observed in marks
    optional = False
    if get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
        optional = True
        rest = tuple(arg for arg in get_args(annotation) if arg is not type(None))
        annotation = rest[0] if len(rest) == 1 else Union.__getitem__(rest)
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        observed = observed or Observed in marks
    many = get_origin(annotation) is Items
    if many:
        (annotation,) = get_args(annotation)
    variable = ""
    if isinstance(annotation, TypeVar):
        variable = annotation.__name__
        constraints = annotation.__constraints__
        annotation = annotation.__bound__ or (Union.__getitem__(constraints) if constraints else Value)
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for member in members:
        if not (isinstance(member, type) and issubclass(member, Value)):
            raise TypeError(f"{where}: {member!r} is not a Value, a union of them, or Items of one")
    return Port(name, tuple(members), many, optional, observed, variable)
