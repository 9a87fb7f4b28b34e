"""One connection to an MCP server, in a task of its own.

A connection has to be left in the task that entered it (anyio's rule), while sessions call from
many tasks. So it lives in one task from start to end, and calls go through its streams from
wherever they are made.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
import httpx2
import mcp_types
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.mcp.stderr import StderrTail

_MAX_PAGES = 100
"""Pages of a list of tools, so that one without an end has an end."""
_HTTP_TIMEOUT_S = 30.0
"""To connect and to send; how long an answer may take is the tool's own limit."""
_CLOSE_TIMEOUT_S = 10.0


class Connection:
    """One connection, from start to end in one task.

    Args:
        server: with its variables replaced.
        start_timeout_s: seconds from the start to the list of tools.
    """

    def __init__(self, server: McpServer, start_timeout_s: float) -> None:
        self.tools: dict[str, mcp_types.Tool] = {}
        """What the server offers now, by its own names."""
        self.client: Client | None = None
        """None before it is ready and after it is lost."""
        self.error: Exception | None = None
        self.status = 0
        """The last HTTP status that says something went wrong."""
        self.stderr = StderrTail()
        self._server = server
        self._start_timeout_s = start_timeout_s
        self._stale = False
        self._listing = asyncio.Lock()
        self._ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._live())

    @property
    def over(self) -> bool:
        """Whether it has ended or is about to."""
        return self._stop.is_set() or self._task.done()

    @property
    def forgotten(self) -> bool:
        """Whether the server answered that it does not know this client's session.

        With 404, says the specification; many servers say 400. Newer ones keep no sessions.
        """
        return self.status in (400, 404) and self.client is not None and not _is_modern(self.client)

    async def ready(self) -> bool:
        """Wait until it can be used; False when it could not be made."""
        await self._ready.wait()
        return self.client is not None

    async def close(self) -> None:
        """End it, and the process behind it; returns when both are gone."""
        self._stop.set()
        if not self._ready.is_set():
            self._scope.cancel()
        await asyncio.wait([self._task])
        await self.stderr.settle()

    def expect_changes(self) -> None:
        """Have the tools listed again before the next call."""
        self._stale = True

    async def current(self, client: Client, name: str) -> mcp_types.Tool | None:
        """The tool as the server offers it now; None when it does not any more."""
        async with self._listing:
            if self._stale:
                self._stale = False  # before the list is asked for: it may change meanwhile
                try:
                    self.tools = await _list_tools(client)
                except BaseException:
                    self._stale = True
                    raise
            return self.tools.get(name)

    async def _live(self) -> None:
        try:
            with self._scope as scope:
                scope.deadline = anyio.current_time() + self._start_timeout_s
                async with self._open() as client:
                    self.tools = await _list_tools(client)
                    scope.deadline = math.inf
                    self.client = client
                    self._ready.set()
                    await self._stop.wait()
                    scope.deadline = anyio.current_time() + _CLOSE_TIMEOUT_S
        except Exception as error:  # noqa: BLE001 - told to whoever calls next
            self.error = _first_cause(error)
        finally:
            self.client = None
            self._ready.set()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Client]:
        async with AsyncExitStack() as stack:
            if self._server.command is not None:
                errlog = stack.enter_context(self.stderr.pipe())
                transport = stdio_client(_parameters(self._server), errlog)
            else:
                http = httpx2.AsyncClient(
                    headers=self._server.headers,
                    timeout=httpx2.Timeout(_HTTP_TIMEOUT_S, read=None),
                    event_hooks={"response": [self._note_status]},
                )
                await stack.enter_async_context(http)
                transport = streamable_http_client(self._server.url or "", http_client=http)
            client = Client(transport, cache=None, message_handler=self._on_message)
            await stack.enter_async_context(client)
            if _announces_changes(client):
                with suppress(MCPError, RuntimeError):  # then changes show when a call fails
                    await stack.enter_async_context(client.listen(tools_list_changed=True))
            yield client

    async def _on_message(self, message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._stale = True

    async def _note_status(self, response: httpx2.Response) -> None:
        if response.status_code >= 400:
            self.status = response.status_code


async def _list_tools(client: Client) -> dict[str, mcp_types.Tool]:
    tools: dict[str, mcp_types.Tool] = {}
    cursor = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            tools.setdefault(tool.name, tool)
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _parameters(server: McpServer) -> StdioServerParameters:
    return StdioServerParameters(
        command=server.command or "", args=list(server.args), env=server.env, cwd=server.cwd
    )


def _announces_changes(client: Client) -> bool:
    """Whether changes have to be listened for; older servers send them unasked."""
    tools = client.server_capabilities.tools
    return _is_modern(client) and tools is not None and bool(tools.list_changed)


def _is_modern(client: Client) -> bool:
    return client.protocol_version in MODERN_PROTOCOL_VERSIONS


def _first_cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
