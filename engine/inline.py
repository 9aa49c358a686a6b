"""Plain data in one line, as it is shown and typed in a form: texts without quotes wherever they can be read back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from vflow.engine.document import parse
from vflow.engine.graph import flow
from vflow.engine.pieces import scalar

_BARE = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~@+=-]*(?:://[A-Za-z0-9_./~@+=?&%-]*)?")
_WHOLE = re.compile(r"\$\{([^{}]*)\}")
_KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "mapping"}
#: what an empty line means, by the first of these that a setting takes
_EMPTY: dict[str, Any] = {"empty": None, "text": "", "list": [], "mapping": {}}


def parameter_in(raw: Any) -> str | None:
    """Return the name of the parameter that stands for a whole value (`${rank}`); None where there is none."""
    found = _WHOLE.fullmatch(raw) if isinstance(raw, str) else None
    return found[1] if found else None


def has_parameter(raw: Any) -> bool:
    """Tell whether a parameter stands somewhere in plain data as a file has it."""
    if isinstance(raw, str):
        return "${" in raw.replace("$${", "")
    inside = raw.values() if isinstance(raw, Mapping) else raw if isinstance(raw, list) else ()
    return any(map(has_parameter, inside))


def escaped(value: Any) -> Any:
    """Return plain data as a file writes it, where `${` in a text is no parameter."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {name: escaped(inside) for name, inside in value.items()}
    return [escaped(inside) for inside in value] if isinstance(value, list) else value


def in_line(data: Any) -> str:
    """Return plain data as YAML in one line, with quotes only where they are needed: `[a, "16:9, wide"]`."""
    if isinstance(data, str):
        return data if _BARE.fullmatch(data) and type(scalar(data)) is str else flow(data)
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{in_line(str(name))}: {in_line(inside)}" for name, inside in data.items()) + "}"
    if isinstance(data, (list, tuple)):
        return f"[{', '.join(map(in_line, data))}]"
    return flow(data)


def shown(data: Any) -> str:
    """Return plain data in one line for reading: a text as it is, nothing as `empty`."""
    if data is None or data == "":
        return "empty"
    return data if isinstance(data, str) and data.isprintable() else in_line(data)


def text_of(value: Any, takes: Collection[str], lines: bool = False) -> str:
    """Return how a value is typed, so that `value_of` gives it back; `lines`: a list of texts, one on each line."""
    if value is None:
        return ""
    if lines and isinstance(value, list) and all(isinstance(one, str) for one in value):
        plain = "\n".join(one if _lines_of(one) == [one] else flow(one) for one in value)
        return plain if _read_lines(plain) == value else "\n".join(map(flow, value))
    if not isinstance(value, str):
        return in_line(value)
    try:
        return value if value_of(value, takes) == value else flow(value)
    except ValueError:
        return flow(value)


def value_of(raw: str, takes: Collection[str], lines: bool = False) -> Any:
    """Return what was typed as plain data.

    `takes` are the kinds of values that may stand there: `empty`, `bool`, `int`, `float`, `text`, `list`, `mapping`,
    or none where anything may. A text is taken as it stands, unless it stands in quotes; all else is YAML, where the
    outer brackets of a list or a mapping may be left out.

    Raises:
        ValueError: it cannot be read; says why.
    """
    if lines:
        return _read_lines(raw)
    if not raw.strip():
        return next((empty for kind, empty in _EMPTY.items() if kind in takes), None)
    if takes and set(takes) <= {"text", "empty"}:
        return _quoted(raw)
    if parameter_in(raw.strip()) is not None:
        return raw.strip()
    if "list" in takes and "text" not in takes:
        return _in_brackets(raw, "[]", list)
    if "mapping" in takes and "text" not in takes:
        return _in_brackets(raw, "{}", dict)
    try:
        found = _parsed(raw)
    except ValueError:
        if "text" in takes or not takes:
            return raw
        raise
    return raw if "text" in takes and not _is_taken(found, takes) else found


def _is_taken(value: Any, takes: Collection[str]) -> bool:
    kind = _KINDS.get(type(value), "empty")
    return kind in takes or (kind == "int" and "float" in takes)


def _parsed(raw: str) -> Any:
    document = parse(raw)
    for problem in document.problems:
        raise ValueError(f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message)
    return document.root.plain() if document.root else None


def _quoted(raw: str) -> str:
    """Return a text as it stands, or what stands between the quotes that are around all of it."""
    if raw.strip()[:1] in ("'", '"'):
        try:
            found = _parsed(raw)
        except ValueError:
            return raw
        return found if isinstance(found, str) else raw
    return raw


def _in_brackets(raw: str, brackets: str, kind: type) -> Any:
    if kind is dict and ":" not in raw:
        return _parsed(raw)
    if not raw.strip().startswith(brackets[0]):
        try:
            return _parsed(brackets[0] + raw + brackets[1])
        except ValueError:
            pass  # what is wrong is told of what was typed
    return _parsed(raw)


def _lines_of(text: str) -> list[str]:
    return [_quoted(line) for line in text.splitlines() if line.strip()]


def _read_lines(raw: str) -> Any:
    if parameter_in(raw.strip()) is not None:
        return raw.strip()
    if raw.strip().startswith("["):
        try:
            found = _parsed(raw)
        except ValueError:
            return _lines_of(raw)
        if isinstance(found, list):
            return found
    return _lines_of(raw)
