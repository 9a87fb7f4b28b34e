"""Tools and tool sets: violations in one line, unique names, forks."""

import copy
from dataclasses import replace

import pytest

from toolmaster.errors import InputError
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect

PARAMETERS = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["item"],
    "additionalProperties": False,
}


def tool(name="get", parameters=PARAMETERS):
    return Tool(name, "doc", parameters, lambda state, arguments: "done")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"item": "a"}, None),
        ({"item": "a", "count": 2}, None),
        ({}, 'missing required parameter "item"'),
        ({"count": 0}, 'missing required parameter "item"'),
        ({"item": "a", "cnt": 1}, 'unknown parameter "cnt"; allowed: "item", "count"'),
        ({"item": 1}, 'item: 1 is not of type "string"'),
        ({"item": "a", "count": 0}, "count: 0 is less than the minimum of 1"),
        ({"item": "a", "count": "2"}, 'count: "2" is not of type "integer"'),
    ],
)
def test_violation(arguments, message):
    assert tool().violation(arguments) == message


def test_unknown_parameters_pass_where_the_schema_lets_them():
    assert tool(parameters={"type": "object"}).violation({"x": 1}) is None


def test_violation_at_the_root_names_no_place():
    message = tool(parameters={"type": "object", "minProperties": 1}).violation({})
    assert message
    assert not message.startswith(": ")


def test_schemas_that_python_finds_equal_are_not_mixed_up():
    number, truth = (
        tool(parameters={"type": "object", "properties": {"x": {"const": const}}})
        for const in (1, True)
    )
    assert number.violation({"x": 1}) is None
    assert truth.violation({"x": 1}) is not None
    assert truth.violation({"x": True}) is None


def test_schema_is_openais():
    function = {"name": "get", "description": "doc", "parameters": PARAMETERS}
    assert tool().schema() == {"type": "function", "function": function}


def test_tool_set_looks_up_by_name():
    tools = ToolSet((tool("b"), tool("a")))
    assert list(tools.names()) == ["b", "a"]
    assert "a" in tools
    assert "c" not in tools
    assert tools["a"].name == "a"
    assert [s["function"]["name"] for s in tools.schemas()] == ["b", "a"]


def test_duplicate_names():
    with pytest.raises(InputError, match="two tools are called 'b'; rename one of them"):
        ToolSet((tool("b"), tool("a"), tool("b")))


def test_fork_copies_the_state_deeply():
    tools = ToolSet((tool(),), {"stock": {"rye": 1}}, copy.deepcopy)
    fork = tools.fork()
    fork.state["stock"]["rye"] = 2
    assert tools.state == {"stock": {"rye": 1}}
    assert fork.tools == tools.tools
    assert fork.fork().state == {"stock": {"rye": 2}}


def test_fork_uses_the_given_copy():
    tools = ToolSet((), [1], lambda state: [*state, 2])
    assert tools.fork().fork().state == [1, 2, 2]


def test_fork_without_a_copy():
    with pytest.raises(InputError, match="no state that can be copied"):
        ToolSet((), {}, None).fork()


def test_an_effect_may_be_written_as_text():
    tool = Tool("get", "", {"type": "object"}, lambda s, a: 1, effect="read")
    assert tool.effect is Effect.READ
    with pytest.raises(InputError, match=r"'get': its effect is one of .*received 'reed'"):
        Tool("get", "", {"type": "object"}, lambda s, a: 1, effect="reed")


def test_null_for_an_option_is_the_same_as_leaving_it_out():
    properties = {
        "item": {"type": "string"},
        "days": {"type": "integer", "default": 3},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "place": {"$ref": "#/$defs/place"},
    }
    schema = {"type": "object", "properties": properties, "required": ["item"]}
    tool = Tool("t", "", {**schema, "$defs": {"place": {"type": ["string", "null"]}}}, len)
    nulls = dict.fromkeys(("item", "days", "note", "place", "other"))
    assert tool.given(nulls) == dict.fromkeys(("item", "note", "place", "other"))
    assert replace(tool, validated=False).given(nulls) == nulls
