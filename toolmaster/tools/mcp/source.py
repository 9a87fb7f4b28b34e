"""Opens MCP servers and gives their tools as one `ToolSet`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import mcp_types

from toolmaster.errors import InputError
from toolmaster.tools.mcp.listing import effect_of, usable_parameters
from toolmaster.tools.mcp.live import LiveServer
from toolmaster.tools.mcp.redaction import redacted_logs
from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.merging import unique_names
from toolmaster.tools.tool import Tool, ToolSet


@asynccontextmanager
async def open_mcp(
    servers: Mapping[str, McpServer], *, timeout_s: float = 30.0, start_timeout_s: float = 60.0
) -> AsyncIterator[ToolSet]:
    """Start or reach MCP servers and give their tools.

    The tools are those that the servers list at the start. One set may serve many sessions at once,
    in the event loop that it was opened in. A tool that only reads by its own declaration
    (`readOnlyHint`) is run in trials: a server that lies about that is not to be used. Names that
    two servers share get the servers' names in front; the description says what a tool is called on
    its server whenever that differs.

    A call never raises anything but `ToolRefusal`: a crash, a vanished or changed tool, an error of
    the server are answered in words. A lost server is started again by the next call.

    Args:
        servers: by name, as `read_mcp_servers` gives them.
        timeout_s: seconds one call may take.
        start_timeout_s: seconds a server may take from its start to its list of tools.

    Raises:
        InputError: a server cannot be started; one line for each of them.
    """
    live = [LiveServer(name, server, start_timeout_s) for name, server in servers.items()]
    with redacted_logs([server.redactor for server in live]):
        try:
            yield ToolSet(await _list_all(live, timeout_s))
        finally:
            await asyncio.gather(*(server.close() for server in live))


async def _list_all(live: list[LiveServer], timeout_s: float) -> tuple[Tool, ...]:
    results = await asyncio.gather(*(server.connect() for server in live), return_exceptions=True)
    listed: list[tuple[LiveServer, mcp_types.Tool]] = []
    problems: list[str] = []
    for server, result in zip(live, results, strict=True):
        if isinstance(result, InputError):
            problems.append(str(result))
        elif isinstance(result, BaseException):
            raise result
        elif not result.tools:
            problems.append(f"MCP server {server.name!r} offers no tools")
        else:
            listed += [(server, tool) for tool in result.tools.values()]
    if problems:
        raise InputError("\n".join(problems))
    names = unique_names([(server.name, tool.name) for server, tool in listed])
    return tuple(
        _as_tool(server, tool, name, timeout_s)
        for (server, tool), name in zip(listed, names, strict=True)
    )


def _as_tool(server: LiveServer, tool: mcp_types.Tool, name: str, timeout_s: float) -> Tool:
    async def execute(_state: Any, arguments: dict[str, Any]) -> str:
        return await server.call(tool, arguments)

    note = f"[{tool.name!r} of server {server.name!r}] " if name != tool.name else ""
    description = server.redactor.observation(tool.description or tool.title or "")
    parameters = usable_parameters(tool.input_schema)
    source = f"{server.name} ({server.redactor.shown})"
    return Tool(
        name,
        note + description,
        parameters,
        execute,
        effect_of(tool),
        timeout_s,
        source=source,
        own_name=tool.name,
    )
