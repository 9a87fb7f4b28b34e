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
        ({"patternProperties": {"/^a/": {}}}, {"patternProperties": {"^a": {}}}),
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


ID = {"type": "integer", "readOnly": True}
NAME = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"id": ID}}, {"required": ["id", "name"]}]},
        {"allOf": [{"properties": {"id": ID}}], "required": ["id", "name"]},
        {"allOf": [{"allOf": [{"$ref": "#/components/schemas/Base"}]}], "required": ["id"]},
        {"required": ["id"], "properties": {"id": {"allOf": [{"type": "integer"}, ID]}}},
        {"required": ["id"], "properties": {"id": {**ID, "type": "string"}}},
        {
            "required": ["id"],
            "properties": {"id": {"$ref": "#/components/schemas/Key", "readOnly": True}},
        },
        {"required": ["id"], "oneOf": [{"properties": {"id": ID}}] * 2},
        {"properties": {"id": ID}, "allOf": [{"properties": {"id": {}}, "required": ["id"]}]},
    ],
)
def test_what_only_answers_have_is_not_asked_for(schema):
    base = {"properties": {"id": ID}}
    found = convert(schema, Base=base, Key={"type": "integer"})
    assert jsonschema_rs.is_valid(found, {"name": "x"})
    assert '"id"' not in json.dumps(found)


def test_what_one_form_takes_is_asked_for():
    found = convert({"oneOf": [{"properties": {"id": ID}}, {"properties": {"id": {}}}]})
    assert found == {"anyOf": [{"properties": {}}, {"properties": {"id": {}}}]}


def test_parts_of_an_object_allow_what_other_parts_declare():
    closed = {"type": "object", "additionalProperties": False}
    parts = [{**closed, "properties": {name: NAME}} for name in ("a", "b")]
    found = convert({**closed, "allOf": parts})
    assert jsonschema_rs.is_valid(found, {"a": "x", "b": "y"})
    assert not jsonschema_rs.is_valid(found, {"a": 1})
    assert convert(parts[0]) == parts[0]


def pet(**more):
    return {"type": "object", "required": ["kind"], "properties": {"kind": NAME, **more}}


PETS = {"Cat": pet(lives={"type": "integer"}), "Dog": pet(bark={"type": "boolean"})}
FORMS = [{"$ref": f"#/components/schemas/{name}"} for name in PETS]
MAPPING = {"cat": "#/components/schemas/Cat", "dog": "Dog", "puppy": "Dog"}


@pytest.mark.parametrize("key", ["oneOf", "anyOf"])
@pytest.mark.parametrize(
    ("mapping", "values"),
    [
        ({"mapping": MAPPING}, [["cat"], ["dog", "puppy"]]),
        ({}, [["Cat"], ["Dog"]]),
        ({"mapping": {"cat": MAPPING["cat"]}}, [["cat"], ["Dog"]]),
    ],
)
def test_the_values_of_a_discriminator_are_told_and_not_enforced(key, mapping, values):
    union = {key: FORMS, "discriminator": {"propertyName": "kind", **mapping}}
    found = convert(union, **PETS)
    told = [", ".join(f'"{value}"' for value in form) for form in values]
    assert found["description"] == f"kind is one of {', '.join(told)}"
    assert [form["description"] for form in found["anyOf"]] == [f"If kind is {t}" for t in told]
    assert [form["properties"]["kind"]["examples"] for form in found["anyOf"]] == values
    for kind in ("cat", "dog", "Cat", "other"):
        assert jsonschema_rs.is_valid(found, {"kind": kind, "lives": 9, "more": 1})
    assert not jsonschema_rs.is_valid(found, {"kind": 5})


def test_a_discriminator_that_closed_forms_do_not_declare():
    forms = [{"properties": {name: NAME}, "additionalProperties": False} for name in ("a", "b")]
    found = convert({"oneOf": forms, "discriminator": {"propertyName": "kind"}})
    assert jsonschema_rs.is_valid(found, {"kind": "x", "b": "y"})


def test_a_discriminator_beside_values_that_the_forms_declare():
    forms = [pet(kind={"enum": ["cat"]}), pet(kind={"const": "dog"})]
    union = {"oneOf": FORMS, "discriminator": {"propertyName": "kind"}, "nullable": True}
    found = convert(union, Cat=forms[0], Dog=forms[1])
    assert 'kind is one of \\"cat\\", \\"dog\\"' in json.dumps(found)
    assert jsonschema_rs.is_valid(found, None)
    assert jsonschema_rs.is_valid(found, {"kind": "dog"})


def test_the_discriminator_of_a_schema_that_others_extend():
    base = {**pet(), "discriminator": {"propertyName": "kind"}}
    cat = {"allOf": [{"$ref": "#/components/schemas/Pet"}, PETS["Cat"]]}
    found = convert({"$ref": "#/components/schemas/Pet"}, Pet=base, Cat=cat, Dog=PETS["Dog"])
    assert found == {**pet(), "description": 'kind is one of "Cat"'}
    old = {"definitions": {"Pet": {**pet(), "discriminator": "kind"}, "Cat": {"allOf": []}}}
    old["definitions"]["Cat"]["allOf"] = [{"$ref": "#/definitions/Pet"}]
    [found] = SchemaReader(old).convert({"x": {"$ref": "#/definitions/Pet"}}).values()
    assert found["description"] == 'kind is one of "Cat"'


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("/^[a-z]+$/", "ab"), ("/^[a-z]+$/i", "AB"), ("/^[a-z]+$/gu", "ab"), (r"/^\/[a-z]+$/", "/ab")],
)
def test_a_pattern_written_with_slashes(pattern, fits):
    found = convert({"type": "string", "pattern": pattern})
    assert jsonschema_rs.is_valid(found, fits)
    assert not jsonschema_rs.is_valid(found, "a b")


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


def test_schemas_that_share_their_parts_take_bounded_time():
    """Read without memory, the parts of these would be read 4**40 or 29**8 times."""
    schemas = {
        f"S{i}": {"allOf": [{"$ref": f"#/components/schemas/S{i + 1}"}] * 4} for i in range(40)
    }
    for i in range(30):
        forms = [{"$ref": f"#/components/schemas/P{j}"} for j in range(30)]
        schemas[f"P{i}"] = {"oneOf": forms, "discriminator": {"propertyName": "kind"}}
    for name in ("S0", "P0"):
        found = convert(
            {"$ref": f"#/components/schemas/{name}"}, S40={"required": ["a"]}, **schemas
        )
        assert len(json.dumps(found)) < 2 * SCHEMA_CHARS
