"""Tools in the form that the strictest endpoints take."""

import re

import jsonschema_rs
import pytest

from toolmaster.policies.sent_tools import sent_tools, strict_parameters

PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}
SCHEMAS = [
    None,
    True,
    {},
    {"type": "object"},
    {"type": "object", "properties": None},
    {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}]},
    {"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": ["array", "null"]}}},
    {"type": "object", "properties": {"a": PAIR, "b": {"items": [PAIR, {"type": "object"}]}}},
    {"type": "object", "properties": {"a": True, "b": {"type": "object"}}, "required": ["c", "a"]},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "array"}, {"type": "null"}]}}},
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "array"}}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": PAIR}}}},
    {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": PAIR}}]},
    {"oneOf": [{"type": "object"}, {"type": "null"}], "not": {"required": ["a"]}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "enum": [{}]},
]


def faults(schema, where=""):
    """What a strict endpoint would find."""
    if not isinstance(schema, dict):
        yield f"{where} is {schema}"
        return
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds and not isinstance(schema.get("items"), dict):
        yield f"{where} has no items"
    if "object" in kinds and not isinstance(schema.get("properties"), dict):
        yield f"{where} has no properties"
    inner = {**schema.get("properties", {}), **schema.get("$defs", {})}
    inner |= {k: schema[k] for k in ("items", "additionalProperties") if k in schema}
    inner |= dict(enumerate(s for k in ("anyOf", "oneOf", "allOf") for s in schema.get(k, ())))
    for name, one in inner.items():
        yield from faults(one, f"{where}.{name}")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_is_one_that_strict_endpoints_take(schema):
    strict = strict_parameters(schema)
    assert strict["type"] == "object"
    assert isinstance(strict["properties"], dict)
    top = {"oneOf", "anyOf", "allOf", "enum", "not", "$ref", "$schema", "if", "const"}
    assert not strict.keys() & top
    assert set(strict.get("required", ())) <= strict["properties"].keys()
    assert list(faults(strict)) == []
    jsonschema_rs.meta.validate(strict)


def test_a_choice_at_the_top_becomes_all_of_its_properties():
    schema = {
        "oneOf": [
            {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
             "required": ["kind", "lives"]},
            {"properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
        ]
    }  # fmt: skip
    assert strict_parameters(schema) == {
        "type": "object",
        "properties": {
            "kind": {"anyOf": [{"enum": ["cat"]}, {"enum": ["dog"]}]},
            "lives": {"type": "integer"},
        },
        "required": ["kind"],
    }


def test_what_is_fine_stays_as_it_is():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/A"}, "minItems": 1}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}},
    }
    assert strict_parameters(schema) == schema


def test_names():
    own = ["users.list", "users_list", "café", "2nd", "x" * 65, "x" * 64, "-a", "日本", "ok-1"]
    tools = [{"type": "function", "function": {"name": name}} for name in own]
    sent, names = sent_tools(tools)
    written = [tool["function"]["name"] for tool in sent]
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", name) for name in written)
    assert len(set(written)) == len(own)
    assert [names.get(name, name) for name in written] == own
    assert [name for name in own if name in written] == ["users_list", "x" * 64, "ok-1"]
