"""Answers of a real server that the SDK refuses: one part is loosened or noted, the rest works."""

import json
import sys
from pathlib import Path

import pytest
from mcp_calls import call, refused, run

from toolmaster.errors import InputError
from toolmaster.tools.mcp import McpServer
from toolmaster.types import Effect

SCRIPT = str(Path(__file__).with_name("scripted_server.py"))
OBJECT = {"type": "object"}
GOOD = {"name": "good", "description": "d", "inputSchema": OBJECT}
INFO = {"serverInfo": {"name": "s", "version": "1"}, "capabilities": {"tools": {}}}


def scripted(*pages, answers=None, start=INFO):
    """The settings of a server with these pages of tools."""
    said = (pages, answers or {}, start)
    return McpServer(command=sys.executable, args=(SCRIPT, *map(json.dumps, said)))


def bad(**fields):
    return {"name": "bad", "inputSchema": OBJECT, **fields}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("tool", "reason", "parameters"),
    [
        ({"name": "bad"}, "its schema is missing", OBJECT),
        (bad(inputSchema=[]), "its schema is no object", OBJECT),
        (bad(inputSchema={}), "its schema has the type null, not 'object'", OBJECT),
        (
            bad(inputSchema={"oneOf": [OBJECT]}),
            "its schema has the type null, not 'object'",
            {"oneOf": [OBJECT], **OBJECT},
        ),
        (bad(inputSchema={"type": ["object", "null"]}), "its schema has the type", OBJECT),
        (
            bad(inputSchema={**OBJECT, "properties": {"a": TEXT, "type": "object", "b": "text"}}),
            'properties that are no schemas: ["type", "b"]',
            {**OBJECT, "properties": {"a": TEXT, "b": {}}},
        ),
        (
            bad(inputSchema={**OBJECT, "properties": []}),
            "its schema has [] as 'properties'",
            OBJECT,
        ),
        (
            bad(inputSchema={**OBJECT, "required": True}),
            "its schema has true as 'required'",
            OBJECT,
        ),
        (bad(inputSchema={**OBJECT, "required": [7]}), "requires [7], which are no names", OBJECT),
        (bad(description=5), "its description is no text", OBJECT),
        (bad(annotations={"readOnlyHint": "maybe"}), 'readOnlyHint is "maybe", not true', OBJECT),
        (
            bad(inputSchema={**OBJECT, "properties": {"a": {"type": "text"}}}),
            "its schema cannot be used to check arguments",
            {**OBJECT, "properties": {"a": {}}},
        ),
    ],
)
def test_an_imperfect_tool_is_loosened_and_named(caplog, tool, reason, parameters):
    async def use(tools):
        assert list(tools.names()) == ["good", "bad"]
        assert tools["bad"].parameters == parameters
        assert tools["bad"].effect is Effect.UNKNOWN
        return await call(tools, "bad", a=1), await call(tools, "good")

    assert run({"s": scripted([GOOD, tool])}, use) == ('{"a": 1}', "{}")
    [warning] = [r for r in caplog.records if r.name.startswith("toolmaster")]
    assert warning.getMessage().startswith("MCP server 's': tool 'bad' is loosened, because")
    assert reason in warning.getMessage()


@pytest.mark.parametrize(
    "fields",
    [
        {"outputSchema": {"type": "array", "items": {}}},
        {"outputSchema": {"$id": "x"}},
        {"outputSchema": {**OBJECT, "required": ["n"]}},  # and no structured result
        {"icons": "none", "execution": 7, "_meta": []},
        {"annotations": {"title": 5, "idempotentHint": "no"}},
    ],
)
def test_what_is_not_used_does_no_harm(caplog, fields):
    async def use(tools):
        return await call(tools, "bad", a=1)

    assert run({"s": scripted([bad(**fields)])}, use) == '{"a": 1}'
    assert not [r for r in caplog.records if r.name.startswith("toolmaster")]


@pytest.mark.parametrize("tool", [{"inputSchema": OBJECT}, "bad", None, bad(name=""), bad(name=7)])
def test_a_tool_without_a_name_is_left_out_and_told(caplog, tool):
    async def use(tools):
        return list(tools.names())

    assert run({"s": scripted([tool], [GOOD])}, use) == ["good"]
    assert "is left out, because it has no name" in caplog.text
    with pytest.raises(InputError, match=r"offers no tools: tool .* left out, because"):
        run({"s": scripted([tool])}, use)


@pytest.mark.parametrize("start", [{}, {"serverInfo": "s", "capabilities": {"tools": True}}])
def test_a_server_that_does_not_present_itself(start):
    async def use(tools):
        return await call(tools, "good")

    assert run({"s": scripted([GOOD], start=start)}, use) == "{}"


def block(type_, **fields):
    return {"type": type_, **fields}


SAID = block("text", text="said")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            {"content": [SAID, block("video", text="a cat", url="http://h/cat")]},
            'said\n[content of the type "video", which cannot be shown as such:'
            ' {"url": "http://h/cat"}]\na cat',
        ),
        (
            {"content": [block("image", data="A" * 300), SAID]},
            "[image, 225 bytes]\nsaid",
        ),
        (
            {"content": [{"text": "untyped"}]},
            "[content of the type null, which cannot be shown as such]\nuntyped",
        ),
        (
            {"content": [block("video", data="A" * 300, name="cat"), 7]},
            '[content of the type "video", which cannot be shown as such:'
            ' {"data": "(300 characters)", "name": "cat"}]\n7',
        ),
        (
            {"content": [block("resource_link", uri="a://b", size=5)]},
            "[link to a resource: a://b, 5 bytes]",
        ),
        ({"content": ["plain", SAID]}, "plain\nsaid"),
        ({"content": [{**SAID, "annotations": {"priority": 7, "audience": "me"}}]}, "said"),
        ({"structuredContent": {"n": 1}}, '{"n": 1}'),
        ({"content": [SAID], "structuredContent": [1, 2]}, "said\n[1, 2]"),
        ({"content": [block("text", text="[1,2]")], "structuredContent": [1, 2]}, "[1, 2]"),
        ({"content": [SAID], "isError": None}, "said"),
        ({"content": [block("resource", resource={"uri": "a://b"})]}, "[resource a://b]\n"),
    ],
)
def test_what_can_be_read_of_a_result_is_shown(result, text):
    async def use(tools):
        return await call(tools, "good")

    assert run({"s": scripted([GOOD], answers={"good": {"result": result}})}, use) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"message": "Invalid params", "data": {"city": "unknown"}}, ': {"city": "unknown"}'),
        ({"message": "Invalid params", "data": "city is\nunknown"}, ": city is unknown"),
        ({"message": "Invalid params", "data": ["a", 1]}, ': ["a", 1]'),
        ({"message": "Invalid params\n", "data": None}, ""),
        ({"message": "Invalid params", "data": "x" * 5000}, ": " + "x" * 984 + " ..."),
    ],
)
def test_the_data_of_an_error_is_shown(error, text):
    async def use(tools):
        return await refused(tools, "good")

    answers = {"good": {"error": {"code": -32602, **error}}}
    assert run({"s": scripted([GOOD], answers=answers)}, use) == f"Invalid params{text}"
