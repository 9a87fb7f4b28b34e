"""Open MCP servers and call their tools."""

import asyncio

import pytest

from toolmaster.tools import ToolRefusal
from toolmaster.tools.mcp import McpServer, open_mcp


def run(servers, use, **settings):
    """What `use(tools)` returns over these servers, or over one that is called `web`."""
    servers = {"web": servers} if isinstance(servers, McpServer) else servers

    async def opened():
        async with open_mcp(servers, **settings) as tools:
            return await use(tools)

    return asyncio.run(opened())


async def call(tools, name, /, **arguments):
    return await tools[name].execute(tools.state, arguments)


async def refused(tools, name, /, **arguments):
    """The text with which a call is refused."""
    with pytest.raises(ToolRefusal) as caught:
        await call(tools, name, **arguments)
    return str(caught.value)
