"""Mends answers of MCP servers before the SDK validates them.

The SDK takes an answer as a whole or not at all: one imperfect tool would take away all tools of
its server, and one block of a newer kind a whole result. Here each tool is read by itself, with the
few fields that are used, and the content of a result becomes the text that is shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import mcp_types

from toolmaster.tools.mcp.content import result_text, shortened
from toolmaster.tools.schemas import as_object

Report = Callable[[str, str], None]
"""Takes the name of a tool and what is wrong with it."""
_MISPLACED = ("type", "required", "description", "title", "additionalProperties")
"""Keywords of a schema that some servers write among the properties."""


@asynccontextmanager
async def mended(
    transport: AbstractAsyncContextManager[Any], report: Report
) -> AsyncIterator[tuple[Any, Any]]:
    """Open a transport whose answers are mended."""
    async with transport as (reading, writing):
        yield _MendedStream(reading, report), writing


class _MendedStream:
    """The read stream of a transport, with its answers mended."""

    def __init__(self, stream: Any, report: Report) -> None:
        self._stream, self._report = stream, report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._stream:
            message = getattr(item, "message", None)
            if isinstance(message, mcp_types.JSONRPCResponse):
                message.result = mended_result(message.result, self._report)
            yield item

    async def __aenter__(self) -> _MendedStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.__aexit__(*error)


def mended_result(result: dict[str, Any], report: Report) -> dict[str, Any]:
    """Return the result of a request with what the SDK would refuse left out or loosened.

    Args:
        result: The result of any request. What it answers is recognised by its fields.
        report: Called for each tool that is left out or loosened.
    """
    if isinstance(result.get("tools"), list):
        tools = [_tool(tool, report) for tool in result["tools"]]
        cursor = result.get("nextCursor")
        page = {**result, "tools": [tool for tool in tools if tool is not None]}
        return page if cursor is None else {**page, "nextCursor": str(cursor)}
    if "content" in result or "structuredContent" in result:
        return _call_result(result)
    if "protocolVersion" in result:
        return _start(result)
    return result


def _start(result: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `initialize`, whose texts nothing depends on."""
    info, capabilities = (as_object(result.get(key)) for key in ("serverInfo", "capabilities"))
    listed = as_object(capabilities.get("tools")).get("listChanged") is True
    return {
        "protocolVersion": result["protocolVersion"],
        "serverInfo": {key: str(info.get(key) or "unknown") for key in ("name", "version")},
        "capabilities": {"tools": {"listChanged": listed}},
    }


def _tool(raw: Any, report: Report) -> dict[str, Any] | None:
    """Return a tool with the fields that are used, loosened where they are not valid."""
    name = as_object(raw).get("name")
    if not (isinstance(name, str) and name):
        report(shortened(name if name is not None else raw), "left out, because it has no name")
        return None
    problems: list[str] = []
    tool = {"name": name, "inputSchema": _object_schema(raw.get("inputSchema"), problems)}
    for key in ("title", "description"):
        if isinstance(raw.get(key), str):
            tool[key] = raw[key]
        elif raw.get(key) is not None:
            problems.append(f"its {key} is no text")
    wrong: list[str] = []
    output = _object_schema(raw.get("outputSchema"), wrong)
    if not wrong:  # else it cannot be used to check results
        tool["outputSchema"] = output
    if raw.get("annotations") is not None:
        tool["annotations"] = hints = {}
        for key in ("readOnlyHint", "destructiveHint"):
            value = as_object(raw["annotations"]).get(key)
            if isinstance(value, bool):
                hints[key] = value
            elif value is not None:
                problems.append(f"its {key} is {shortened(value)}, not true or false")
    if problems:
        report(name, f"loosened, because {' and '.join(problems)}")
    return tool


def _object_schema(raw: Any, problems: list[str]) -> dict[str, Any]:
    """Return a schema of an object as the protocol requires it; what is wrong goes to a list."""
    if not isinstance(raw, dict):
        problems.append("its schema is missing" if raw is None else "its schema is no object")
        return {"type": "object"}
    schema = {key: value for key, value in raw.items() if value is not None}
    if schema.get("type") != "object":
        problems.append(f"its schema has the type {shortened(schema.get('type'))}, not 'object'")
        schema["type"] = "object"
    for key, kind in (("properties", dict), ("required", list), ("$schema", str)):
        if not isinstance(schema.get(key, kind()), kind):
            problems.append(f"its schema has {shortened(schema.pop(key))} as {key!r}")
    if not all(isinstance(name, str) for name in schema.get("required", ())):
        problems.append(
            f"its schema requires {shortened(schema.pop('required'))}, which are no names"
        )
    properties = schema.get("properties", {})
    bad = [name for name, inner in properties.items() if not isinstance(inner, dict | bool)]
    if bad:
        problems.append(f"its schema has properties that are no schemas: {shortened(bad)}")
        schema["properties"] = {
            name: {} if name in bad else inner
            for name, inner in properties.items()
            if not (name in bad and name in _MISPLACED)
        }
    return schema


def _call_result(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a call with all of its content as one text."""
    if not isinstance(result.get("content"), list | None):
        return result  # refused by the SDK
    text = {"type": "text", "text": result_text(result)}
    out = {**result, "content": [text], "isError": result.get("isError") in (True, "true", 1)}
    if not isinstance(out.get("structuredContent"), dict):  # others are allowed since 2026 only
        out.pop("structuredContent", None)
    return out
