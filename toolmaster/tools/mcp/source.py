"""`open_mcp`: the tools of MCP servers as one `ToolSet`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from toolmaster.errors import InputError
from toolmaster.system.extras import require
from toolmaster.tools.mcp.redaction import redacted_logs
from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.merging import merge
from toolmaster.tools.tool import ToolSet


@asynccontextmanager
async def open_mcp(
    servers: Mapping[str, McpServer], *, timeout_s: float = 30.0, start_timeout_s: float = 60.0
) -> AsyncIterator[ToolSet]:
    """Start or reach MCP servers and yield their tools.

    One set can serve many sessions at once, in the event loop in which it was opened. Trials run
    tools that declare that they only read (`readOnlyHint`), so do not use a server that declares
    this wrongly. Names that two servers share get the servers' names in front.

    A call raises only `ToolRefusal`: its message describes a crash, a tool that is gone or changed,
    or an error of the server. The next call starts a lost server again.

    The tools are those that the servers list at the start. The model is told of a tool that a
    server adds later, but it can be called only after the servers are opened again: the tools that
    a model knows, their names, the user's options and the permissions are settled when a session
    begins, and a server must not be able to add to them while it runs.

    Args:
        servers: Servers by name, as `read_mcp_servers` gives them.
        timeout_s: Seconds one call may take.
        start_timeout_s: Seconds a server may take from its start to its list of tools.

    Yields:
        One live tool set. Its tools have the server in `source` and its name there in `own_name`.

    Raises:
        InputError: A server cannot be started (one line for each of them), or the package `mcp` is
            not installed.

    Example:
        async with open_mcp(read_mcp_servers(Path("mcp.json"))) as tools:
            print(*tools.names())
    """
    require("mcp", "mcp")
    from toolmaster.tools.mcp.live import LiveServer  # noqa: PLC0415 - loads the SDK

    live = [LiveServer(name, server, start_timeout_s) for name, server in servers.items()]
    with redacted_logs([server.log_redactor for server in live]):
        try:
            opening = (server.tools(timeout_s) for server in live)
            opened = await asyncio.gather(*opening, return_exceptions=True)
            problems = [one for one in opened if isinstance(one, BaseException)]
            for problem in problems:
                if not isinstance(problem, InputError):
                    raise problem
            if problems:
                raise InputError("\n".join(map(str, problems)))
            sets = [one for one in opened if isinstance(one, ToolSet)]
            yield merge([(server.name, tools) for server, tools in zip(live, sets, strict=True)])
        finally:
            await asyncio.gather(*(server.close() for server in live))
