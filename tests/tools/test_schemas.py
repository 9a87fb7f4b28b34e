"""Schemas that expand without end: they are usable or loosened, and checked in bounded time."""

import time

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolmaster.tools import Tool
from toolmaster.tools.schemas import MAX_SUBSCHEMAS, follow, usable_parameters, violation

STRING = {"type": "string"}


def doubling(levels, combine="allOf", reference="$ref", name="x"):
    """A short schema that is applied 2**levels times."""
    inner = {f"d{i}": {combine: [{reference: f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    defs = {**inner, f"d{levels}": STRING}
    return {"type": "object", "properties": {name: {reference: "#/$defs/d0"}}, "$defs": defs}


def nested(keyword, levels):
    schema = STRING
    for _ in range(levels):
        schema = {keyword: [schema] if keyword == "allOf" else schema}
    return {"type": "object", "properties": {"x": schema}}


ENDLESS = [
    doubling(40),
    doubling(40, "anyOf"),
    doubling(40, "oneOf"),
    doubling(40, reference="$dynamicRef"),
    *(doubling(40, name=name) for name in ("default", "enum", "$defs", "$ref", "definitions")),
    doubling(40) | {"properties": {}, "additionalProperties": {"$ref": "#/$defs/d0"}},
    doubling(40) | {"properties": {"x": {"if": {"$ref": "#/$defs/d0"}, "then": STRING}}},
    doubling(40) | {"patternProperties": {"x": {"$ref": "#/$defs/d0"}}},
    doubling(40) | {"dependentSchemas": {"x": {"$ref": "#/$defs/d0"}}},
    nested("allOf", 10_000),
    nested("items", 10_000),
]


@pytest.mark.parametrize("schema", ENDLESS, ids=range(len(ENDLESS)))
def test_a_schema_without_bounds_keeps_names_and_descriptions(schema):
    began_s = time.process_time()
    names = {name: dict[str, object]() for name in schema["properties"]}
    assert usable_parameters(schema) == {"type": "object", "properties": names}
    tool = Tool("t", "", schema, print)
    assert tool.violation(dict.fromkeys(names or ["x"], "x")) is None
    assert time.process_time() - began_s < 5


def test_the_size_of_a_schema_counts_what_is_referred_to_as_often_as_it_is():
    levels = MAX_SUBSCHEMAS.bit_length() - 4
    assert usable_parameters(doubling(levels)) == doubling(levels)
    assert violation(doubling(levels), {"x": "a"}) is None
    assert violation(doubling(levels), {"x": 1}) == 'x: 1 is not of type "string"'
    assert usable_parameters(doubling(levels + 2)) != doubling(levels + 2)


@pytest.mark.parametrize("combine", ["allOf", "anyOf", "oneOf"])
def test_a_schema_of_itself_is_checked_as_far_as_the_values_allow(combine):
    schema = {"properties": {"a": {combine: [{"$ref": "#"}] * 2}}, "required": ["z"]}
    assert usable_parameters(schema) is schema
    value = {}
    for _ in range(60):
        value = {"a": value}
    began_s = time.process_time()
    assert "nested too deeply" in violation(schema, value)
    assert violation(schema, {"a": {"a": {}}}) is not None
    assert time.process_time() - began_s < 5


def test_trees_of_any_size_are_checked():
    tree = {
        "type": "object",
        "properties": {"name": STRING, "children": {"items": {"$ref": "#"}}},
        "required": ["name"],
    }
    value = {"name": "leaf"}
    for _ in range(8):
        value = {"name": "inner", "children": [value] * 3}
    assert violation(tree, value) is None
    assert violation(tree, {"name": "x", "children": [{"name": 1}]}) == (
        'children.0.name: 1 is not of type "string"'
    )


SCHEMAS = st.recursive(
    st.just(STRING) | st.booleans(),
    lambda inner: st.builds(
        lambda key, one: {key: [one, one] if key in ("allOf", "anyOf") else one},
        st.sampled_from(["allOf", "anyOf", "not", "items", "additionalProperties"]),
        inner,
    ),
)
VALUES = st.recursive(
    st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_a_small_schema_says_what_the_validator_says(schema, value):
    whole = {"properties": {"x": schema}}
    expected = jsonschema_rs.validator_for(whole).is_valid({"x": value})
    assert (violation(whole, {"x": value}) is None) == expected


DOCUMENT = {"a/b": {"c~d": 1}, "list": [5, {"": 6}], "0": 7}


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#", DOCUMENT),
        ("#/a~1b/c~0d", 1),
        ("#/a%7E1b/c%7E0d", 1),
        ("#/list/1/", 6),
        ("#/0", 7),
    ],
)
def test_a_reference_is_followed(reference, found):
    assert follow(DOCUMENT, reference) == found


@pytest.mark.parametrize(
    "reference",
    ["", "#a", "b.json#/0", "/0", "#/", "#/none", "#/list/2", "#/list/-1", "#/list/x", "#/0/0"],
)
def test_a_reference_that_names_nothing_here(reference):
    with pytest.raises(LookupError):
        follow(DOCUMENT, reference)
