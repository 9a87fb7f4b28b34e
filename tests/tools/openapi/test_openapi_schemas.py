"""Schemas of every version as JSON Schema 2020-12: faithful, self-contained, bounded."""

import json

import jsonschema_rs
import pytest

from toolmaster.tools.openapi.schemas import (
    DESCRIPTION_CHARS,
    FILE,
    SCHEMA_CHARS,
    SchemaReader,
    trim,
)


def convert(schema, version="3.0.0", **schemas):
    """The schema in today's words."""
    reader = SchemaReader({"openapi": version, "components": {"schemas": schemas}})
    found = reader.convert({"x": schema})["x"]
    jsonschema_rs.validator_for(found, offline=True)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"maximum": 9, "exclusiveMaximum": True}, {"exclusiveMaximum": 9}),
        ({"exclusiveMaximum": True}, {}),
        ({"exclusiveMaximum": 5}, {"exclusiveMaximum": 5}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "x-nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        (
            {"nullable": True, "allOf": [{"type": "object"}]},
            {"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        ({"type": "file"}, {"type": "string", "description": FILE}),
        ({"pattern": "/^a$/"}, {"pattern": "^a$"}),
        ({"example": "a b"}, {"examples": ["a b"]}),
        ({"examples": [1, 2]}, {"examples": [1]}),
        ({"example": {"a": 1}}, {}),
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
        (
            {"title": "T", "xml": {}, "x-a": 1, "externalDocs": {}, "discriminator": {}},
            {},
        ),
        (
            {"type": "integer", "format": "int32", "default": 3, "multipleOf": 3, "enum": [3, 6]},
            {"type": "integer", "format": "int32", "default": 3, "multipleOf": 3, "enum": [3, 6]},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        ),
        (
            {"additionalProperties": {"minimum": 0, "exclusiveMinimum": True}},
            {"additionalProperties": {"exclusiveMinimum": 0}},
        ),
        ({"additionalProperties": False, "not": {}}, {"additionalProperties": False, "not": {}}),
    ],
)
def test_older_versions_in_todays_words(old, new):
    assert convert(old) == new


def test_3_1_is_kept():
    schema = {
        "type": ["string", "null"],
        "const": None,
        "contentEncoding": "base64",
        "if": {"minLength": 1},
        "then": {"pattern": "^a"},
        "dependentRequired": {"a": ["b"]},
        "patternProperties": {"^x": True},
        "prefixItems": [{"exclusiveMinimum": 0}],
        "unevaluatedProperties": False,
    }
    assert convert(schema, "3.1.0") == schema


def test_read_only_properties_are_not_for_requests():
    schema = {
        "properties": {"id": {"readOnly": True}, "made": {"$ref": "#/components/schemas/Made"}}
        | {"name": {"type": "string", "writeOnly": True}},
        "required": ["id", "name"],
    }
    found = convert(schema, Made={"readOnly": True})
    assert found == {"properties": {"name": {"type": "string"}}, "required": ["name"]}


PET = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_references_are_written_out():
    ref = {"$ref": "#/components/schemas/Pet"}
    found = convert(
        {"properties": {"a": ref, "b": {"items": ref}}},
        Pet={"properties": {"owner": {"$ref": "#/components/schemas/Owner"}}},
        Owner={"type": "string"},
    )
    pet = {"properties": {"owner": {"type": "string"}}}
    assert found == {"properties": {"a": pet, "b": {"items": pet}}}


def test_what_contains_itself_accepts_anything_inside():
    a = {"properties": {"n": {"type": "integer"}, "b": {"$ref": "#/components/schemas/B"}}}
    b = {"properties": {"a": {"$ref": "#/components/schemas/A"}}}
    assert convert({"$ref": "#/components/schemas/A"}, A=a, B=b) == {
        "properties": {
            "n": {"type": "integer"},
            "b": {"properties": {"a": {"description": "another A"}}},
        }
    }
    alone = {"$ref": "#/components/schemas/A"}
    assert convert(alone, A=alone) == {"description": "another A"}


def test_what_stands_beside_a_reference():
    beside = {"$ref": "#/components/schemas/Pet", "description": "mine", "default": {}}
    assert convert({**beside, "minProperties": 1}, Pet=PET) == {
        **PET,
        "description": "mine",
        "default": {},
    }
    nullable = {"$ref": "#/components/schemas/Pet", "nullable": True}
    assert convert(nullable, Pet=PET) == {**PET, "type": ["object", "null"]}


def test_pointers_with_escapes():
    schemas = {"a/b": {"type": "string"}, "x": {"a/b": {"type": "integer"}}}
    assert convert({"$ref": "#/components/schemas/a~1b"}, **schemas) == {"type": "string"}
    assert convert({"$ref": "#/components/schemas/x/a%7E1b"}, **schemas) == {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "integr"}, {}),
        ({"minimum": "1", "maximum": 2}, {"maximum": 2}),
        ({"required": True}, {}),
        ({"required": ["a", "a"]}, {}),
        ({"required": [[]], "properties": {}}, {"properties": {}}),
        ({"pattern": "(?<"}, {}),
        ({"patternProperties": {"(?<": {}, "a": {}}}, {"patternProperties": {"a": {}}}),
        ({"properties": {"a": []}}, {"properties": {"a": {}}}),
        ({"properties": [], "required": ["a"]}, {"properties": {}, "required": ["a"]}),
        ({"allOf": []}, {}),
        ({"anyOf": [{"type": 5}, {"minLength": -1}]}, {"anyOf": [{}, {}]}),
        ("string", {}),
        ({"type": "string", "enum": [1, 2]}, {"enum": [1, 2]}),
    ],
)
def test_what_is_not_valid_is_dropped(schema, kept):
    assert convert(schema) == kept


@pytest.mark.parametrize(
    ("reference", "reason"),
    [("#/components/schemas/No", "names nothing"), ("other.yaml#/Pet", "is in another document")],
)
def test_references_that_lead_nowhere_say_so(reference, reason):
    assert reason in convert({"$ref": reference})["description"]


@pytest.mark.parametrize(
    "pattern",
    ["^a+$", "^.{0,262144}$", r"^(\w{1,5000}\d{0,5000}){1,5000}$", r"(?<n>a)\k<n>", "(?<"],
)
def test_a_pattern_is_kept_if_the_validator_can_use_it(pattern):
    """Which sizes and dialects it can use differs between versions of the validator."""
    try:
        jsonschema_rs.validator_for({"pattern": pattern})
    except ValueError:
        assert convert({"pattern": pattern}) == {}
    else:
        assert convert({"pattern": pattern}) == {"pattern": pattern}


def test_deep_nesting_is_cut():
    schema, default = {"type": "string"}, 1
    for _ in range(300):
        schema, default = {"items": schema}, [default]
    assert jsonschema_rs.is_valid(convert(schema), [[[]]])
    assert convert({"default": default}) == {}


def test_sharing_does_not_explode():
    schemas = {
        f"S{i}": {
            "properties": {
                name: {"$ref": f"#/components/schemas/S{i + 1}"} for name in ("a", "b", "c", "d")
            }
        }
        for i in range(60)
    }
    schemas["S60"] = {"type": "integer"}
    found = convert({"$ref": "#/components/schemas/S0"}, **schemas)
    assert len(json.dumps(found)) < 2 * SCHEMA_CHARS
    assert jsonschema_rs.is_valid(found, {"a": {"a": {"a": {}}}})


def test_large_schemas_accept_anything_beyond_the_budget():
    big = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(300)}}
    schemas = {f"S{i}": big for i in range(10)}
    schema = {"properties": {name: {"$ref": f"#/components/schemas/{name}"} for name in schemas}}
    found = convert({"properties": {"one": big, "ten": schema}}, **schemas)
    assert found["properties"]["one"] == big
    cut = {f"S{i}": {"description": f"S{i}: too large to show here"} for i in range(10)}
    assert found["properties"]["ten"] == {"properties": cut}


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (" short\n text ", "short text"),
        ("one word after word after word", "one word after word..."),
        ("x" * 50, "x" * 21 + "..."),
        (None, ""),
        (["a"], ""),
    ],
)
def test_text_is_trimmed(text, cut):
    assert trim(text, 24) == cut
    assert len(convert({"description": "word " * 500})["description"]) <= DESCRIPTION_CHARS
