"""Schemas of every version as JSON Schema 2020-12: faithful, self-contained, bounded."""

import json

import jsonschema_rs
import pytest

from toolmaster.tools.openapi.schemas import DESCRIPTION_CHARS, SCHEMA_CHARS, SchemaReader
from toolmaster.tools.openapi.spec import Spec


def convert(schema, version="3.0.0", **schemas):
    """The self-contained schema and the reasons of what was relaxed."""
    spec = Spec({"openapi": version, "paths": {}, "components": {"schemas": schemas}}, "api.json")
    reader = SchemaReader(spec)
    found = reader.read(schema, "/x")
    closed = reader.close(found.value, found.uses)
    jsonschema_rs.validator_for(closed, offline=True)
    return closed, [str(note) for note in spec.relaxed]


def converted(schema, version="3.0.0", **schemas):
    closed, relaxed = convert(schema, version, **schemas)
    assert relaxed == []
    return closed


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
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"nullable": True, "allOf": [{"type": "object"}]},
            {"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        ({"type": "file"}, {"type": "string"}),
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
            {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        ),
        (
            {"additionalProperties": {"minimum": 0, "exclusiveMinimum": True}},
            {"additionalProperties": {"exclusiveMinimum": 0}},
        ),
        ({"additionalProperties": False, "not": {}}, {"additionalProperties": False, "not": {}}),
    ],
)
def test_older_versions_in_todays_words(old, new):
    assert converted(old) == new


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
    assert converted(schema, "3.1.0") == schema


def test_read_only_properties_are_not_for_requests():
    schema = {
        "properties": {"id": {"readOnly": True}, "made": {"$ref": "#/components/schemas/Made"}}
        | {"name": {"type": "string", "writeOnly": True}},
        "required": ["id", "name"],
    }
    found = converted(schema, Made={"readOnly": True})
    assert found == {"properties": {"name": {"type": "string"}}, "required": ["name"]}


PET = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_what_is_used_once_is_written_in_place():
    found = converted(
        {"items": {"$ref": "#/components/schemas/Pet"}},
        Pet={"properties": {"owner": {"$ref": "#/components/schemas/Owner"}}},
        Owner={"type": "string"},
    )
    assert found == {"items": {"properties": {"owner": {"type": "string"}}}}


def test_what_is_used_twice_is_a_definition():
    ref = {"$ref": "#/components/schemas/Pet"}
    found = converted({"properties": {"a": ref, "b": ref}}, Pet=PET)
    new = {"$ref": "#/$defs/Pet"}
    assert found == {"properties": {"a": new, "b": new}, "$defs": {"Pet": PET}}


def test_recursion():
    node = {
        "properties": {
            "value": {"type": "integer"},
            "children": {"items": {"$ref": "#/components/schemas/Node"}},
        }
    }
    found = converted({"$ref": "#/components/schemas/Node"}, Node=node)
    validator = jsonschema_rs.validator_for(found)
    assert validator.is_valid({"children": [{"children": [{"value": 1}]}]})
    assert not validator.is_valid({"children": [{"children": [{"value": "1"}]}]})


def test_mutual_recursion_and_references_to_references():
    schemas = {
        "A": {"properties": {"b": {"$ref": "#/components/schemas/B"}}},
        "B": {"properties": {"c": {"$ref": "#/components/schemas/C"}, "n": {"type": "integer"}}},
        "C": {"$ref": "#/components/schemas/A"},
    }
    validator = jsonschema_rs.validator_for(
        converted({"$ref": "#/components/schemas/A"}, **schemas)
    )
    assert validator.is_valid({"b": {"c": {"b": {"n": 1}}}})
    assert not validator.is_valid({"b": {"c": {"b": {"n": "x"}}}})


def test_a_reference_to_itself_accepts_what_the_validator_lets_it():
    converted({"$ref": "#/components/schemas/A"}, A={"$ref": "#/components/schemas/A"})


def test_siblings_of_references():
    siblings = {"$ref": "#/components/schemas/Pet", "description": "mine", "minProperties": 1}
    assert converted(siblings, Pet=PET) == {**PET, "description": "mine"}
    assert converted(siblings, "3.1.0", Pet=PET) == {
        "allOf": [PET],
        "description": "mine",
        "minProperties": 1,
    }
    nullable = {"$ref": "#/components/schemas/Pet", "nullable": True}
    assert converted(nullable, Pet=PET) == {"anyOf": [PET, {"type": "null"}]}


def test_pointers_with_escapes_and_definitions_of_one_name():
    spec = {"a/b": {"type": "string"}, "x": {"a/b": {"type": "integer"}}}
    found = converted(
        {
            "properties": {
                "p": {"$ref": "#/components/schemas/a~1b"},
                "q": {"$ref": "#/components/schemas/x/a%7E1b"},
                "r": {"$ref": "#/components/schemas/a~1b"},
                "s": {"$ref": "#/components/schemas/x/a%7E1b"},
            }
        },
        **spec,
    )
    assert sorted(found["$defs"].values(), key=str) == [{"type": "integer"}, {"type": "string"}]
    validator = jsonschema_rs.validator_for(found)
    assert validator.is_valid({"p": "a", "q": 1, "r": "b", "s": 2})
    assert not validator.is_valid({"p": 1})
    assert not validator.is_valid({"s": "a"})


@pytest.mark.parametrize(
    ("schema", "kept", "reason"),
    [
        ({"type": "integr"}, {}, "/x/type: "),
        ({"minimum": "1", "maximum": 2}, {"maximum": 2}, "/x/minimum: "),
        ({"required": True}, {}, "/x/required: "),
        ({"required": ["a", "a"]}, {}, "/x/required: "),
        ({"pattern": "(?<"}, {}, "/x/pattern: "),
        ({"properties": {"a": []}}, {"properties": {"a": {}}}, "/x/properties/a: "),
        ({"allOf": []}, {}, "/x/allOf: "),
        ({"anyOf": [{"type": 5}, {"minLength": -1}]}, {"anyOf": [{}, {}]}, "/x/anyOf/0/type: "),
        ("string", {}, "/x: a schema is an object"),
        ({"$ref": "#/components/schemas/No"}, {}, "names nothing"),
        ({"$ref": "other.yaml#/Pet"}, {}, "in another document"),
        ({"type": "string", "enum": [1, 2]}, {"enum": [1, 2]}, "no enum value is of type"),
    ],
)
def test_what_cannot_be_kept_is_dropped_and_noted(schema, kept, reason):
    found, relaxed = convert(schema)
    assert found == kept
    assert reason in relaxed[0]


@pytest.mark.parametrize(
    "pattern",
    ["^a+$", "^.{0,262144}$", r"^(\w{1,5000}\d{0,5000}){1,5000}$", r"(?<n>a)\k<n>", "(?<"],
)
def test_a_pattern_is_kept_if_the_validator_can_use_it(pattern):
    """Which sizes and dialects it can use differs between versions of the validator."""
    try:
        jsonschema_rs.validator_for({"pattern": pattern})
    except ValueError:
        note = f"/x/pattern: {pattern!r} is no pattern known here; dropped"
        assert convert({"pattern": pattern}) == ({}, [note])
    else:
        assert convert({"pattern": pattern}) == ({"pattern": pattern}, [])


def test_deep_nesting_is_cut():
    schema = {"type": "string"}
    for _ in range(300):
        schema = {"items": schema}
    found, relaxed = convert(schema)
    assert "nested too deeply" in relaxed[0]
    assert jsonschema_rs.is_valid(found, [[[]]])
    default = 1
    for _ in range(400):
        default = [default]
    assert convert({"default": default}) == ({}, ["/x/default: nested too deeply; dropped"])


def test_long_chains_of_references():
    schemas = {f"S{i}": {"items": {"$ref": f"#/components/schemas/S{i + 1}"}} for i in range(150)}
    schemas["S150"] = {"type": "integer"}
    found = converted({"$ref": "#/components/schemas/S0"}, **schemas)
    value = 1
    for _ in range(150):
        value = [value]
    validator = jsonschema_rs.validator_for(found)
    assert validator.is_valid(value)
    assert not validator.is_valid([value])


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
    assert len(json.dumps(converted({"$ref": "#/components/schemas/S0"}, **schemas))) < SCHEMA_CHARS


def test_large_schemas_accept_anything_beyond_the_budget():
    big = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(300)}}
    schemas = {f"S{i}": big for i in range(10)}
    schema = {"properties": {name: {"$ref": f"#/components/schemas/{name}"} for name in schemas}}
    found = converted(schema, **schemas)
    assert len(json.dumps(found)) < SCHEMA_CHARS + 2000
    assert found["properties"]["S0"]["properties"]["p0"] == {"type": "integer"}
    assert found["properties"]["S9"] == {"description": "any value: too large to show here"}


def test_descriptions_are_trimmed():
    text = "word " * 500
    assert len(converted({"description": text})["description"]) <= DESCRIPTION_CHARS
