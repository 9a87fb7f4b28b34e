"""Parameters and effects of listed tools."""

import socket

import pytest
from mcp_types import Tool, ToolAnnotations

from toolmaster.tools.mcp.live import effect_of
from toolmaster.tools.schemas import usable_parameters
from toolmaster.types import Effect


@pytest.mark.parametrize(
    ("hints", "effect"),
    [
        (None, Effect.UNKNOWN),
        ({}, Effect.UNKNOWN),
        ({"title": "Read", "idempotentHint": True, "openWorldHint": False}, Effect.UNKNOWN),
        ({"readOnlyHint": True}, Effect.READ),
        ({"readOnlyHint": True, "destructiveHint": False}, Effect.READ),
        ({"readOnlyHint": True, "destructiveHint": True}, Effect.DESTRUCTIVE),
        ({"readOnlyHint": False}, Effect.DESTRUCTIVE),  # the default of destructiveHint
        ({"readOnlyHint": False, "destructiveHint": True}, Effect.DESTRUCTIVE),
        ({"destructiveHint": True}, Effect.DESTRUCTIVE),
        ({"readOnlyHint": False, "destructiveHint": False}, Effect.WRITE),
        ({"destructiveHint": False}, Effect.WRITE),  # readOnlyHint is false by default
    ],
)
def test_effects(hints, effect):
    annotations = None if hints is None else ToolAnnotations.model_validate(hints)
    assert effect_of(Tool(name="x", input_schema={}, annotations=annotations)) is effect


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}},
        {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"},
        {},
    ],
)
def test_good_schemas_stay_as_they_are(schema):
    assert usable_parameters(schema) is schema


@pytest.mark.parametrize("broken", [{"type": "text"}, {"pattern": "("}, {"$ref": "#/nowhere"}, 7])
def test_a_broken_schema_keeps_names_and_descriptions(broken):
    properties = {"a": broken, "b": {"type": "string", "description": "what b is"}}
    schema = {"type": "object", "properties": properties, "required": ["a", "z"]}
    assert usable_parameters(schema) == {
        "type": "object",
        "properties": {"a": {}, "b": {"description": "what b is"}},
    }


def test_a_schema_elsewhere_is_never_fetched():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        schema = {"type": "object", "properties": {"a": {"$ref": address}}}
        assert usable_parameters(schema)["properties"] == {"a": {}}
        with pytest.raises(BlockingIOError):
            listener.accept()
