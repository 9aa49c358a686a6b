"""The fields of a form: one for each setting, those of nested groups behind the group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from vflow.engine.inline import escaped, has_parameter, text_of
from vflow.engine.load import Loaded
from vflow.engine.node import Node
from vflow.engine.origins import Origin, known_parameter, layers, origins_of, written
from vflow.engine.problems import Problem, Severity
from vflow.engine.settings import missing
from vflow.engine.takes import Kind, Takes, takes
from vflow.engine.words import key_words, type_words

Path = tuple[str, ...]
_ABSENT: Any = object()
_ANYTHING = Takes("text")
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "hint")


@dataclass(frozen=True)
class Field:
    """One setting. `value` is the plain data in force, `text` how it is typed: with the parameters that stand inside
    it, but with the value of one that stands for all of it. `level` counts the groups around it.

    `words` is its type, `in_key` how it enters the key ("" for a plain part of it), both as `vflow nodes` says them.
    `origins` tells where the value comes from, what is in force first; the declaration's default is the last.
    """

    path: Path
    label: str
    kind: Kind
    value: Any = None
    text: str = ""
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    bounds: str = ""
    unit: str = ""
    about: str = ""
    in_key: str = ""
    origins: tuple[Origin, ...] = (Origin("default"),)
    problem: str = ""
    level: int = 0
    words: str = ""
    severity: Severity = "error"
    takes: Takes = _ANYTHING

    @property
    def is_set(self) -> bool:
        """Tell whether anything but the declaration's default gives it its value."""
        return self.origins[0].kind != "default"

    @property
    def optional(self) -> bool:
        """Tell whether it may be empty."""
        return self.takes.optional

    @property
    def lines(self) -> bool:
        """Tell whether it is a list of texts, typed one on each line."""
        return self.takes.lines


class Found:
    """The problems of a node, each handed out once, to the field or port where it is shown."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.left = dict.fromkeys(problems)

    def take(self, wanted: Callable[[Problem], bool]) -> tuple[str, Severity]:
        """Return the words of those that are wanted, one on each line, and the gravest severity among them."""
        taken = [one for one in self.left if wanted(one)]
        for one in taken:
            del self.left[one]
        severities = {one.severity for one in taken}
        return "\n".join(map(sentence, taken)), next((one for one in _SEVERITIES if one in severities), "error")


def sentence(problem: Any) -> str:
    """Return what is wrong and what to do, of anything that has a `message` and a `remedy`."""
    return f"{problem.message}; {problem.remedy}" if problem.remedy else str(problem.message)


@dataclass(frozen=True)
class _Above:
    """What stands around a setting: its model's path, what the graph gives of it, and the default it has if nothing.

    `in_key` is what all settings inside inherit, `tag` the setting that chooses among several groups, with its choices.
    """

    path: Path = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    default: BaseModel | None = None
    in_key: str = ""
    tag: str = ""
    tags: tuple[Any, ...] = ()


class FieldMaker:
    """Makes the fields of one node."""

    def __init__(self, loaded: Loaded, node: str, found: Found) -> None:
        self.loaded, self.node, self.found = loaded, node, found

    def fields(self, cls: type[Node] | None, settings: Mapping[str, Any]) -> list[Field]:
        """Return the fields of all settings that are declared, then of those that only the graph has."""
        above = _Above(given=settings)
        return list(self._of_model(cls, above) if cls else self._undeclared(settings, (), above))

    def _of_model(self, model: type[BaseModel], above: _Above) -> Iterator[Field]:
        declared = _declared(model)
        for name, taken in sorted(declared.items(), key=lambda one: one[0] != above.tag):
            if name == above.tag:
                taken = replace(taken, kind="choice", choices=above.tags)
            yield from self._declared(name, model.model_fields[name], taken, above)
        yield from self._undeclared(above.given, declared, above)

    def _declared(self, name: str, info: FieldInfo, taken: Takes, above: _Above) -> Iterator[Field]:
        path, is_given = (*above.path, name), name in above.given
        default = _default(name, info, above)
        value = above.given[name] if is_given else None if default is _ABSENT else _plain(default)
        in_key = above.in_key or key_words(info)
        is_group = taken.kind in ("group", "union")
        if is_group and not (value is None or isinstance(value, Mapping)):
            taken, is_group = _ANYTHING, False  # the file gives something else: it is shown as it is written
        made = Field(
            path,
            name,
            taken.kind,
            value,
            default=None if default is _ABSENT else _plain(default),
            required=info.is_required(),
            choices=taken.choices,
            bounds=taken.bounds,
            unit=taken.unit,
            about=info.description or "",
            in_key=in_key,
            level=len(above.path),
            words=type_words(info.annotation),
            takes=taken,
        )
        yield self._filled(made, is_group, above)
        if is_group and (value is not None or not (is_given or taken.optional)):
            given = value if is_given and isinstance(value, Mapping) else {}
            inside = _Above(path, given, None, in_key, taken.tag, taken.choices)
            if not is_given and isinstance(default, BaseModel):
                inside = replace(inside, default=default)
            yield from self._of_group(taken, value, inside)

    def _of_group(self, taken: Takes, value: Any, inside: _Above) -> Iterator[Field]:
        group = taken.group_of(inside.default or value)
        if group is not None:
            yield from self._of_model(group, inside)
            return
        # which group it is cannot be told yet: only the setting that decides can be chosen
        info = taken.groups[0].model_fields[taken.tag]
        yield from self._declared(taken.tag, info, Takes("choice", choices=taken.choices), inside)
        yield from self._undeclared(inside.given, (taken.tag,), inside)

    def _undeclared(self, given: Mapping[str, Any], declared: Iterable[str], above: _Above) -> Iterator[Field]:
        for name in given:
            if name not in declared:
                made = Field((*above.path, name), name, "text", given[name], level=len(above.path))
                yield self._filled(made, False, above)

    def _filled(self, made: Field, is_group: bool, above: _Above) -> Field:
        """Return a field with what the graph says of it: its text, where that comes from, what is wrong."""
        said = layers(self.loaded, self.node, made.path)
        raw, value = escaped(made.value), made.value
        parameter = known_parameter(self.loaded.graph, said[0].piece) if said and not said[0].rest else None
        if parameter is not None:
            if not self.loaded.graph.parameters[parameter].is_given:
                raw = value = None
        elif said and has_parameter(as_written := written(said)):
            raw = as_written
        is_name = made.kind == "choice" and isinstance(raw, str)
        text = raw if is_name else text_of(raw, made.takes.kinds, made.lines)
        where = ".".join(("nodes", self.node, *made.path))
        parent = where.rpartition(".")[0]

        inside = {missing(name) for group in made.takes.groups for name in group.model_fields} if is_group else ()

        def is_ours(problem: Problem) -> bool:
            if problem.where == where:
                return problem.message not in inside
            if problem.where.startswith(f"{where}.") and not is_group:
                return True
            if problem.where == parent and problem.message == missing(made.label):
                return True
            return parameter is not None and f"{problem.where}.".startswith(f"params.{parameter}.")

        problem, severity = self.found.take(is_ours)
        origins = origins_of(self.loaded, said, made.default)
        return replace(made, value=value, text=text, origins=origins, problem=problem, severity=severity)


@cache
def _declared(model: type[BaseModel]) -> dict[str, Takes]:
    return {name: takes(info) for name, info in model.model_fields.items()}


def _default(name: str, info: FieldInfo, above: _Above) -> Any:
    """Return the value that a setting has if nobody sets it; `_ABSENT` where it has to be set."""
    if above.default is not None:
        return getattr(above.default, name)
    if info.is_required():
        return _ABSENT
    found = info.get_default(call_default_factory=True, validated_data={})
    return _ABSENT if found is PydanticUndefined else found


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, fallback=str)
