"""The JSON Schema (draft 2020-12) of graph files, so that editors complete and check them while they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vflow.engine.graph import FORMAT, NAME
from vflow.engine.node import Node, Port
from vflow.engine.parameters import TYPES

_PARAMETER = {"type": "string", "pattern": r"^\$\{[^{}]+\}$", "description": "A parameter: ${name}."}
_LINK = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_]+)?$"}
_NAMES = {"pattern": f"^{NAME.pattern}$"}
_OR_PARAMETER = {"$ref": "#/$defs/parameter"}
#: What a parameter may be in the short form: anything but a mapping.
_VALUE = {"type": ["string", "number", "boolean", "array", "null"]}
#: Schemas inside a schema: one of them, a list of them, or a mapping of them.
_ONE, _LIST, _NAMED = ("items", "additionalProperties"), ("anyOf", "oneOf", "allOf", "prefixItems"), ("properties",)


def graph_schema(types: Mapping[str, type[Node]]) -> dict[str, Any]:
    """Return the schema of graph files for these node types.

    Of a node's settings each takes what its declaration says, or a parameter. In profiles, and in graphs that extend
    another, a node may be a part of one, or null.
    """
    definitions: dict[str, Any] = {"parameter": _PARAMETER, "link": _LINK, "declaration": _declaration()}
    for name, cls in sorted(types.items()):
        definitions |= _of_type(name, cls)
    definitions["part"] = {
        "type": ["object", "null"],
        "properties": {"type": {"type": "string", "enum": sorted(types)}},
        "allOf": [_when(name, {"$ref": f"#/$defs/{name}"}) for name in sorted(types)],
    }
    definitions["node"] = {
        "$ref": "#/$defs/part",
        "type": "object",
        "required": ["type"],
        "allOf": [_when(name, {"required": needed}) for name, cls in sorted(types.items()) if (needed := _needed(cls))],
    }
    definitions["profile"] = _object(
        "What a profile changes.",
        {"about": {"type": "string"}, "params": _values(), "nodes": _nodes("part"), "outputs": _outputs()},
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vflow graph",
        **_object("", _top()),
        "required": ["vflow"],
        "if": {"not": {"required": ["extends"]}},
        "then": {"properties": {"nodes": _nodes("node")}},
        "$defs": definitions,
    }


def _top() -> dict[str, Any]:
    profile = {"anyOf": [{"$ref": "#/$defs/profile"}, {"type": "null"}]}
    return {
        "vflow": {"const": FORMAT, "description": "The format of this file."},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", "description": "Names the runs."},
        "about": {"type": "string", "description": "What the graph does."},
        "extends": {"type": "string", "description": "A graph file to start from, relative, in this folder or below."},
        "params": _params(),
        "profiles": {"type": "object", "additionalProperties": profile, "description": "Changes chosen by --profile."},
        "nodes": _nodes("part"),
        "outputs": _outputs(),
    }


def _params() -> dict[str, Any]:
    about = "Parameters: ${name} in settings, --set name=..."
    return {
        "type": "object",
        "propertyNames": _NAMES,
        "description": about,
        "additionalProperties": {"anyOf": [_VALUE, {"$ref": "#/$defs/declaration"}]},
    }


def _values() -> dict[str, Any]:
    """Return the schema of a profile's parameters: values, and in the long form no more than one."""
    value = _object("The value, where it is a mapping.", {"default": {}})
    return {
        "type": "object",
        "propertyNames": _NAMES,
        "description": "Values of parameters.",
        "additionalProperties": {"anyOf": [_VALUE, value]},
    }


def _declaration() -> dict[str, Any]:
    number = {"type": ["number", "null"]}
    return _object(
        "What a parameter is.",
        {
            "default": {"description": "Its value; without one it has to be given with --set."},
            "type": {"enum": [*TYPES, None], "description": "Else that of the default."},
            "help": {"type": ["string", "null"], "description": "What it is for."},
            "min": {**number, "description": "The least that it may be."},
            "max": {**number, "description": "The most that it may be."},
            "choices": {"type": ["array", "null"], "minItems": 1, "description": "What it may be."},
        },
    )


def _nodes(kind: str) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _NAMES, "additionalProperties": {"$ref": f"#/$defs/{kind}"}}


def _outputs() -> dict[str, Any]:
    link = {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]}
    return {"type": "object", "propertyNames": _NAMES, "additionalProperties": link, "description": "Name: link."}


def _object(about: str, properties: dict[str, Any]) -> dict[str, Any]:
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"description": about, **found} if about else found


def _when(name: str, then: dict[str, Any]) -> dict[str, Any]:
    named = {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]}
    return {"if": named, "then": then}


def _needed(cls: type[Node]) -> list[str]:
    settings = [name for name, field in cls.model_fields.items() if field.is_required()]
    return settings + ["inputs"] * any(not port.optional for port in cls.ports.values())


def _of_type(name: str, cls: type[Node]) -> dict[str, Any]:
    """Return the definition of one node type, and those of the groups of settings in it."""
    schema = cls.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    inner = {f"{name}.{group}": _with_parameters(of_group) for group, of_group in schema.get("$defs", {}).items()}
    settings = _with_parameters({"properties": schema.get("properties", {})})["properties"]
    ports = {port.name: _of_port(port) for port in cls.ports.values()}
    about = (cls.__doc__ or "").strip()
    properties = {
        "type": {"const": name, "description": about},
        "inputs": _object("Links: `node` or `node.output`.", ports),
        "disabled": {"type": "boolean", "default": False},
        **settings,
    }
    return {name: _object(about, properties), **inner}


def _of_port(port: Port) -> dict[str, Any]:
    links: list[Any] = [{"$ref": "#/$defs/link"}, {"type": "null"}]
    if port.many:
        links.append({"type": "array", "items": {"$ref": "#/$defs/link"}})
    return {"description": port.words + (" (optional)" if port.optional else ""), "anyOf": links}


def _with_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that takes a parameter in the place of each setting and of each entry of a list."""
    found = {key: value for key, value in schema.items() if key not in ("title", "vflow")}
    for key in _ONE:
        if isinstance(found.get(key), dict):
            found[key] = _or_parameter(found[key])
    for key in _LIST:
        if key in found:
            wrap = _or_parameter if key == "prefixItems" else _with_parameters
            found[key] = [wrap(one) for one in found[key]]
    for key in _NAMED:
        if key in found:
            found[key] = {name: _or_parameter(one) for name, one in found[key].items()}
    return found


def _or_parameter(schema: dict[str, Any]) -> dict[str, Any]:
    inside = _with_parameters(schema)
    shown: dict[str, Any] = {key: inside.pop(key) for key in ("description", "default") if key in inside}
    return {**shown, "anyOf": [inside, _OR_PARAMETER]}
