"""A task's tools as an MCP server, over stdio and streamable HTTP with the official SDK.

Any MCP client can do the task: it finds the query in the server's instructions and in the prompt
`task`, tries the tools, calls `begin_execution` and then `answer`. Each connection is one session.
Over HTTP that takes a protocol version with sessions, so newer, stateless ones are refused and
clients fall back; over stdio the process is the connection. What a client did is appended to a file
when its session ends, and when the server ends for those that did not.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import mcp_types as types
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from toolmaster import __version__
from toolmaster.errors import InputError
from toolmaster.runs import append_trajectory
from toolmaster.serving.served import ServedSession, instructions
from toolmaster.tools import Tool
from toolmaster.types import Effect

_HOST = "127.0.0.1"
_STDIO = "stdio"
_SESSION_HEADER = "mcp-session-id"
_VERSION_HEADER = "mcp-protocol-version"


class SessionServer:
    """Gives each connection a session of its own.

    Args:
        make: a fresh session for a client of this name.
        file: the `trajectories.jsonl` that sessions are appended to; created if missing.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, make: Callable[[str], ServedSession], file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError as error:
            raise InputError(
                f"cannot write {str(file)!r}: {error.strerror}; give another --out"
            ) from None
        self._make = make
        self._file = file
        self._sessions: dict[str, ServedSession] = {}
        self._kept: set[str] = set()
        shown = make("")
        task = shown.session.task
        self._told = instructions(task, shown.session.protocol, shown.session.limits)
        self._tools = [_as_mcp(tool) for tool in shown.tools]
        self.server: Server[None] = Server(
            "toolmaster",
            version=__version__,
            instructions=self._told,
            lifespan=self._lifespan,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
        )

    async def serve_stdio(self) -> None:
        """Serve the client at this process's stdin and stdout until it leaves."""
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options())

    async def serve_http(self, port: int) -> None:
        """Serve clients of this machine over streamable HTTP until the process is stopped.

        Args:
            port: 0 takes a free one; the address is printed on stderr.

        Raises:
            InputError: the port cannot be had.
        """
        try:
            listener = socket.create_server((_HOST, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {_HOST}:{port}: {error.strerror}; give another --port, or 0 for"
                " a free one"
            ) from None
        with listener:
            print(f"http://{_HOST}:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
            app = _with_sessions(self.server.streamable_http_app(), self._keep)
            config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
            await uvicorn.Server(config).serve(sockets=[listener])

    @asynccontextmanager
    async def _lifespan(self, _server: Server[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for connection in self._sessions:
                await self._keep(connection)

    async def _keep(self, connection: str) -> None:
        """Append what was done on a connection, once, and if anything was."""
        served = self._sessions.get(connection)
        if served is not None and served.session.steps and connection not in self._kept:
            self._kept.add(connection)
            append_trajectory(self._file, await served.trajectory())

    async def _list_tools(
        self, _ctx: ServerRequestContext[None], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools)

    async def _call_tool(
        self, ctx: ServerRequestContext[None, Request], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        connection = ctx.request.headers[_SESSION_HEADER] if ctx.request else _STDIO
        if connection not in self._sessions:
            about = ctx.session.client_params
            self._sessions[connection] = self._make(about.client_info.name if about else "unnamed")
        served = self._sessions[connection]
        text, is_error = await served.call(params.name, params.arguments or {})
        if served.session.stop_reason is not None:
            await self._keep(connection)
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)

    async def _list_prompts(
        self, _ctx: ServerRequestContext[None], _params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        prompt = types.Prompt(name="task", description="What is to be done with these tools")
        return types.ListPromptsResult(prompts=[prompt])

    async def _get_prompt(
        self, _ctx: ServerRequestContext[None], _params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        message = types.PromptMessage(role="user", content=types.TextContent(text=self._told))
        return types.GetPromptResult(messages=[message])


def _as_mcp(tool: Tool) -> types.Tool:
    """The tool as a client sees it; an unknown effect is left to the specification's defaults."""
    hints = None
    if tool.effect is not Effect.UNKNOWN:
        hints = types.ToolAnnotations(
            read_only_hint=tool.effect is Effect.READ,
            destructive_hint=tool.effect is Effect.DESTRUCTIVE,
        )
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.parameters,
        annotations=hints,
    )


def _with_sessions(app: ASGIApp, left: Callable[[str], Awaitable[None]]) -> ASGIApp:
    """The app for versions of the protocol that have sessions; tells when a client ends one."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope)
        if request.headers.get(_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS:
            error = types.ErrorData(
                code=types.UNSUPPORTED_PROTOCOL_VERSION,
                message="this server needs a protocol version with sessions",
                data={
                    "supported": list(HANDSHAKE_PROTOCOL_VERSIONS),
                    "requested": request.headers[_VERSION_HEADER],
                },
            )
            body = types.JSONRPCError(jsonrpc="2.0", id=None, error=error)
            refusal = JSONResponse(body.model_dump(mode="json", by_alias=True), status_code=400)
            await refusal(scope, receive, send)
            return
        await app(scope, receive, send)
        if request.method == "DELETE":
            await left(request.headers.get(_SESSION_HEADER, ""))

    return wrapped
