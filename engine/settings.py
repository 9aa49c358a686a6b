"""Settings of a node made from plain data, and what is wrong with them in plain words at their places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from vflow.engine.node import Node
from vflow.engine.pieces import Findings, scalar, show

Path = tuple[str | int, ...]

_MOST_WRONG = 5_000  # each costs a kilobyte while it is read


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with a setting; `expected` is set where the setting takes another kind of value."""

    path: Path
    message: str
    remedy: str = ""
    expected: str = ""
    unknown: bool = False


def make(cls: type[Node], settings: Mapping[str, Any], findings: Findings) -> tuple[Node | None, list[Wrong]]:
    """Return the node with these settings, else None and what is wrong with them.

    The data are validated as JSON in strict mode: a list may fill a tuple, an integer a number, nothing else changes.
    """
    wrong = [Wrong(path, f"must be a finite number, not {show(value)}") for path, value in _not_finite(settings, ())]
    try:
        node = cls.model_validate_json(json.dumps(settings), strict=True)
    except ValidationError as error:
        if (count := error.error_count()) > _MOST_WRONG:
            return None, [Wrong((), f"{count:,} values in it are wrong")]
        told = {one.path for one in wrong}
        found = [_read(cls, settings, one, findings) for one in error.errors(include_url=False)]
        wrong += [one for one in _joined(found, settings) if one.path not in told]
    except Exception as error:
        wrong.append(Wrong((), f"the check of {cls.__name__} itself failed: {type(error).__name__}: {error}"))
    return (None, wrong) if wrong else (node, [])


def _not_finite(data: Any, path: Path) -> Iterator[tuple[Path, float]]:
    if isinstance(data, float):
        if data - data != 0:
            yield path, data
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield from _not_finite(value, (*path, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _not_finite(value, (*path, index))


def _read(cls: type[Node], settings: Mapping[str, Any], error: Any, findings: Findings) -> Wrong:
    path, given = _path_in(settings, error["loc"], error["type"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(cls, path, findings)
    if kind == "missing":
        return _missing(cls, path)
    if kind == "union_tag_invalid":
        name, known = context["discriminator"].strip("'"), _words(context["expected_tags"])
        return Wrong((*path, name), f"there is no {show(context['tag'])} here", findings.suggest(context["tag"], known))
    if kind == "union_tag_not_found":
        name = context["discriminator"].strip("'")
        tags = " or ".join(_tags(cls, path, name))
        return Wrong(path, f"does not say its {name!r}", f"write `{name}: ...` ({tags})" if tags else "")
    if kind in ("literal_error", "enum"):
        known = _words(context["expected"])
        remedy = findings.suggest(given, known, " ") if isinstance(given, str) else ""
        return Wrong(path, "", remedy.strip(), f"one of {', '.join(known)}" if len(known) > 1 else repr(known[0]))
    if expected := _expected(kind, context):
        return Wrong(path, "", _remedy(kind, given), expected)
    message = str(error["msg"])
    return Wrong(path, message.split(", ", 1)[1] if kind in ("value_error", "assertion_error") else message)


def _path_in(settings: Mapping[str, Any], location: tuple[str | int, ...], kind: str) -> tuple[Path, Any]:
    """Return the path of an error in the data, without the names of union members that Pydantic puts between."""
    path: list[str | int] = []
    data: Any = settings
    for index, step in enumerate(location):
        if step in (data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()):
            data = data[step]
        elif not (kind == "missing" and index == len(location) - 1):
            continue
        path.append(step)
    return tuple(path), data


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    """Return what should stand there, for the errors of Pydantic that say so."""
    words = {
        "int": "a whole number",
        "float": "a number",
        "string": "a text",
        "bool": "true or false",
        "list": "a list",
        "tuple": "a list",
        "set": "a list",
        "frozen_set": "a list",
        "dict": "a mapping",
        "model": "a mapping",
        "dataclass": "a mapping",
        "mapping": "a mapping",
        "none_required": "empty",
        "finite_number": "a finite number",
    }
    if kind == "int_from_float":
        return words["int"]
    word = words.get(kind) or words.get(kind.rpartition("_")[0] if kind.endswith(("_type", "_parsing")) else "")
    if word:
        return word
    bounds = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
    bounds |= {"less_than_equal": "at most", "multiple_of": "a multiple of"}
    keys = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
    if kind in bounds:
        return f"{bounds[kind]} {context[keys.get(kind, kind)]}"
    lengths = {"too_short": ("at least", "min"), "too_long": ("at most", "max")}
    for name, (word, end) in lengths.items():
        if kind in (name, f"string_{name}"):
            one, many = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
            length = context[f"{end}_length"]
            return f"{word} {length} {one if length == 1 else many} long"
    return f"a text that matches {context['pattern']}" if kind == "string_pattern_mismatch" else ""


def _remedy(kind: str, given: Any) -> str:
    if isinstance(given, float) and given.is_integer() and kind.startswith("int"):
        return f"write {int(given)}"
    if isinstance(given, str) and kind.startswith(("int", "float")) and type(scalar(given)) in (int, float):
        return "write it without quotes"
    if kind == "bool_type":
        return "write true or false"
    return "put it in quotes" if kind == "string_type" and not isinstance(given, (dict, list)) else ""


def _joined(found: list[Wrong], settings: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield one problem per place: where a setting takes several kinds of values, they are named together."""
    by_path: dict[Path, list[Wrong]] = {}
    for one in found:
        by_path.setdefault(one.path, []).append(one)
    deeper = {path[:length] for path in by_path for length in range(len(path))}
    for path, together in by_path.items():
        expected = list(dict.fromkeys(one.expected for one in together if one.expected))
        if expected and path not in deeper:
            given = _at(settings, path)
            remedy = next((one.remedy for one in together if one.remedy), "")
            yield Wrong(path, f"must be {' or '.join(expected)}, not {show(given)}", remedy)
        yield from dict.fromkeys(one for one in together if not one.expected)


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _unknown(cls: type[Node], path: Path, findings: Findings) -> Wrong:
    name = str(path[-1])
    if len(path) == 1 and name in cls.ports:
        return Wrong(path, f"{name!r} is an input port and no setting", "write it below `inputs:`", unknown=True)
    known = [field for model in _models_at(cls, path[:-1]) for field in model.model_fields]
    if len(path) == 1:
        known += ["inputs", "type", "disabled"]
    return Wrong(path, f"unknown setting {show(name)}", findings.suggest(name, set(known)), unknown=True)


def _missing(cls: type[Node], path: Path) -> Wrong:
    name = path[-1]
    if isinstance(name, int):
        return Wrong(path[:-1], f"has no entry {name + 1}", "write one more")
    fields = [model.model_fields[name] for model in _models_at(cls, path[:-1]) if name in model.model_fields]
    about = next((field.description for field in fields if field.description), "")
    remedy = f"write `{name}: ...`" + (f" ({about})" if about else "")
    return Wrong(path[:-1], missing(str(name)), remedy)


def missing(name: str) -> str:
    """Return what is said of a setting that has to be given and is not."""
    return f"the setting {name!r} is missing"


def _models_at(cls: type[BaseModel], path: Path) -> list[type[BaseModel]]:
    """Return the models that may stand at a path of settings."""
    models = [cls]
    for step in path:
        if isinstance(step, str):
            fields = [model.model_fields[step] for model in models if step in model.model_fields]
            models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _tags(cls: type[Node], path: Path, name: str) -> list[str]:
    fields = [model.model_fields[name] for model in _models_at(cls, path) if name in model.model_fields]
    return [str(tag) for field in fields for tag in get_args(field.annotation)]


def _words(listed: str) -> list[str]:
    """Read the words of `'a', 'b' or 'c'` as Pydantic writes them."""
    return [word.strip("'\"") for word in listed.replace(" or ", ", ").split(", ")]
