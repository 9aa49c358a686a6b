import json
import re
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from vflow.engine.document import parse
from vflow.engine.node import Node, placement
from vflow.engine.schema import graph_schema
from vflow.engine.values import Items, Value


class SchemaValue(Value):
    x: int = 0


class SchemaGroup(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = Field(1e-4, gt=0, description="How fast.")
    betas: tuple[float, float] = (0.9, 0.99)


class SchemaMake(Node):
    """Make something."""

    steps: int = Field(ge=1, description="How many steps.")
    mode: Literal["fast", "slow"] = "fast"
    group: SchemaGroup = SchemaGroup()
    sizes: list[int] | None = None
    workers: int = placement(1)

    def run(self, context) -> SchemaValue: ...


class SchemaTake(Node):
    """Take it."""

    def run(self, context, one: SchemaValue, many: Items[SchemaValue] | None = None) -> SchemaValue: ...


SCHEMA = graph_schema({"Make": SchemaMake, "Take": SchemaTake})
NUMBER = (int, float)
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": NUMBER,
    "boolean": bool,
    "null": type(None),
}


def fits(schema, data):
    """Tell whether data fit a schema: as much of draft 2020-12 as graph schemas use."""
    if isinstance(schema, bool):
        return schema
    unknown = schema.keys() - set(CHECKS) - {"$schema", "$defs", "title", "description", "default", "then"}
    assert not unknown, unknown
    return all(CHECKS[key](schema[key], data, schema) for key in schema if key in CHECKS)


def _type(kinds, data):
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return any(isinstance(data, KINDS[k]) and (not isinstance(data, bool) or k == "boolean") for k in kinds)


def _ref(reference):
    return SCHEMA["$defs"][reference.removeprefix("#/$defs/")]


def _only(kind, check):
    return lambda value, data, schema: (
        not isinstance(data, kind) or isinstance(data, bool) or check(value, data, schema)
    )


CHECKS = {
    "type": lambda kinds, data, _: _type(kinds, data),
    "$ref": lambda reference, data, _: fits(_ref(reference), data),
    "const": lambda value, data, _: data == value and type(data) is type(value),
    "enum": lambda values, data, _: data in values,
    "anyOf": lambda schemas, data, _: any(fits(one, data) for one in schemas),
    "allOf": lambda schemas, data, _: all(fits(one, data) for one in schemas),
    "not": lambda one, data, _: not fits(one, data),
    "if": lambda one, data, schema: not fits(one, data) or fits(schema["then"], data),
    "required": _only(dict, lambda names, data, _: set(names) <= set(data)),
    "properties": _only(dict, lambda ones, data, _: all(fits(one, data[n]) for n, one in ones.items() if n in data)),
    "additionalProperties": _only(
        dict,
        lambda one, data, schema: all(fits(one, v) for n, v in data.items() if n not in schema.get("properties", {})),
    ),
    "propertyNames": _only(dict, lambda one, data, _: all(fits(one, name) for name in data)),
    "items": _only(list, lambda one, data, _: all(fits(one, entry) for entry in data)),
    "prefixItems": _only(
        list, lambda ones, data, _: all(fits(one, entry) for one, entry in zip(ones, data, strict=False))
    ),
    "minItems": _only(list, lambda least, data, _: len(data) >= least),
    "maxItems": _only(list, lambda most, data, _: len(data) <= most),
    "pattern": _only(str, lambda pattern, data, _: bool(re.search(pattern, data))),
    "minimum": _only(NUMBER, lambda least, data, _: data >= least),
    "exclusiveMinimum": _only(NUMBER, lambda least, data, _: data > least),
}


def valid(text):
    return fits(SCHEMA, parse(f"vflow: 1\n{text}").root.plain())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: x\nabout: y\nparams: {a: 1, b: [1]}",
        "nodes: {a: {type: Make, steps: 1}}",
        "nodes: {a: {type: Make, steps: '${steps}'}}",
        "nodes: {a: {type: Make, steps: 1, group: '${group}', mode: '${m}'}}",
        "nodes: {a: {type: Make, steps: 1, group: {lr: '${lr}', betas: [0.5, '${b}']}}}",
        "nodes: {a: {type: Make, steps: 1, mode: slow, sizes: [1, '${x}'], workers: 2, disabled: true}}",
        "nodes: {a: {type: Make, steps: 1, sizes: null}}",
        "nodes: {a: {type: Take, inputs: {one: b, many: [c, d.e]}}}",
        "nodes: {a: {type: Take, inputs: {one: b.c, many: d}}}",
        "profiles: {24gb: {params: {x: 1}, nodes: {a: {steps: 3}, b: null}, about: z}, gone: null}",
        "extends: base.yaml\nnodes: {a: {steps: 2}, b: null, c: {type: Make, mode: fast}}",
        "outputs: {a: b.c, d: e, f: null}",
    ],
)
def test_a_sound_graph_fits_the_schema(text):
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "extra: 1",
        "name: [x]",
        "name: ../x",
        "nodes: {a: {steps: 1}}",
        "nodes: {a: {type: Nope}}",
        "nodes: {a: {type: Make}}",
        "nodes: {a: {type: Take}}",
        "nodes: {a: null}",
        "nodes: {1a: {type: Make, steps: 1}}",
        "nodes: {a: {type: Make, steps: 0}}",
        "nodes: {a: {type: Make, steps: true}}",
        "nodes: {a: {type: Make, steps: x}}",
        "nodes: {a: {type: Make, steps: 1, mode: medium}}",
        "nodes: {a: {type: Make, steps: 1, speed: 1}}",
        "nodes: {a: {type: Make, steps: 1, group: {ls: 1}}}",
        "nodes: {a: {type: Make, steps: 1, group: {betas: [1]}}}",
        "nodes: {a: {type: Make, steps: 1, group: {lr: 0}}}",
        "nodes: {a: {type: Take, inputs: {two: b}}}",
        "nodes: {a: {type: Take, inputs: {one: [b]}}}",
        "nodes: {a: {type: Take, inputs: {one: '${b}'}}}",
        "profiles: {p: {extends: x}}",
        "profiles: {p: {nodes: {a: {type: Make, steps: x}}}}",
        "outputs: {a: b.c.d}",
    ],
)
def test_a_wrong_graph_does_not_fit(text):
    assert not valid(text)


def test_the_schema_names_this_format_and_is_plain_json():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert not fits(SCHEMA, {"vflow": 2})
    assert not fits(SCHEMA, {"name": "x"})


def test_an_editor_finds_descriptions_and_defaults():
    make = SCHEMA["$defs"]["Make"]
    assert make["description"] == "Make something."
    assert make["properties"]["steps"]["description"] == "How many steps."
    assert make["properties"]["mode"]["default"] == "fast"
    assert SCHEMA["$defs"]["Make.SchemaGroup"]["properties"]["lr"]["description"] == "How fast."
    assert SCHEMA["$defs"]["Take"]["properties"]["inputs"]["properties"]["many"]["description"] == (
        "list of SchemaValue (optional)"
    )


def test_nothing_of_vflow_itself_leaks_into_the_schema():
    assert '"matters"' not in json.dumps(SCHEMA)
