"""Serves tools over MCP, on stdio and streamable HTTP, with a separate state for each client.

The state of a client lasts as long as its connection. Newer protocol versions, in which requests
have no connection, are therefore refused, and clients fall back to a version with a handshake.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
import sys
from collections.abc import Callable, Collection
from typing import Any

import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.responses import Response

from toolmaster import __version__
from toolmaster.errors import InputError
from toolmaster.serving.served import ServedSession
from toolmaster.tools import Tool
from toolmaster.types import Effect

HOST = "127.0.0.1"
Context = ServerRequestContext[None]


class ToolServer:
    """An MCP server with a separate session for each client, from its first call until it leaves.

    The instructions of the session are sent at the start, and as the prompt `task`.

    Args:
        make: Makes a session; called with the name of a client as `client`.
    """

    def __init__(self, make: Callable[..., ServedSession]) -> None:
        shown = make()
        self._make, self._instructions = make, shown.instructions
        self._tools = [as_mcp(tool) for tool in shown.tools]
        self._server: Server[None] = Server(
            "toolmaster",
            version=__version__,
            instructions=self._instructions,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
        )
        self._server.middleware.append(with_handshake)

    async def serve_stdio(self) -> None:
        """Serve the client at this process's stdin and stdout until it leaves."""
        async with stdio_server() as (read, write):
            await serve_loop(self._server, read, write, lifespan_state=None)

    async def serve_http(self, port: int) -> None:
        """Serve clients of this machine over streamable HTTP until the process is stopped.

        Args:
            port: 0 takes a free one. The address is printed on stderr.

        Raises:
            InputError: The port cannot be used.
        """
        await serve_http(self._server, port)

    async def _list_tools(self, _context: Context, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools)

    async def _call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        # The SDK has `Connection.state` for this, but no public way to reach it.
        connection = context.session._connection
        if "session" not in connection.state:
            about = context.session.client_params
            session = self._make(client=about.client_info.name if about else "unnamed")
            connection.state["session"] = session
            connection.exit_stack.push_async_callback(session.close)
        text, is_error = await connection.state["session"].call(params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)

    async def _list_prompts(self, _context: Context, _params: object) -> types.ListPromptsResult:
        prompt = types.Prompt(name="task", description="What is to be done with these tools")
        return types.ListPromptsResult(prompts=[prompt])

    async def _get_prompt(self, _context: Context, _params: object) -> types.GetPromptResult:
        content = types.TextContent(text=self._instructions)
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


async def serve_http(
    server: Server[None],
    port: int,
    host: str = HOST,
    *,
    names: Collection[str] = (),
    token: str | None = None,
    max_sessions: int = 64,
    idle_s: float = 1800.0,
) -> None:
    """Serve a server over streamable HTTP until the process is stopped.

    Requests from a web page of another origin, or for a host of another name, are refused.

    Args:
        server: The server.
        port: 0 takes a free one. The address is printed on stderr.
        host: The address to listen on.
        names: Further names of this host that requests may be for.
        token: What each request has to send as `Authorization: Bearer TOKEN`; None for nothing.
        max_sessions: Most clients at the same time; a further one is refused.
        idle_s: Seconds without a request after which a client's session ends.

    Raises:
        InputError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}; give another --port, or 0 for a"
            " free one"
        ) from None
    with listener:
        port = listener.getsockname()[1]
        local = ("127.0.0.1", "localhost", "::1") if is_loopback(host) else ()
        hosts = [f"[{name}]" if ":" in name else name for name in (host, *local, *names)]
        at = [f"{name}:{port}" for name in hosts]
        print(f"http://{at[0]}/mcp", file=sys.stderr, flush=True)
        app: Any = server.streamable_http_app(
            transport_security=TransportSecuritySettings(
                allowed_hosts=at, allowed_origins=[f"http://{one}" for one in at]
            ),
            max_sessions=max_sessions,
            session_idle_timeout=idle_s,
        )
        if token is not None:
            app = _WithToken(app, token)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _WithToken:
    """An ASGI application that answers only requests with a token."""

    def __init__(self, app: Any, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sent = [v for k, v in scope.get("headers", ()) if k == b"authorization"]
        if scope["type"] == "http" and not (
            len(sent) == 1 and hmac.compare_digest(sent[0], self._expected)
        ):
            answer = Response("send Authorization: Bearer TOKEN", 401)
            answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def with_handshake(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Refuse requests of protocol versions without connections."""
    if ctx.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        raise MCPError(
            types.UNSUPPORTED_PROTOCOL_VERSION,
            "this server needs a protocol version with a handshake",
            {"supported": list(HANDSHAKE_PROTOCOL_VERSIONS), "requested": ctx.protocol_version},
        )
    return await call_next(ctx)


def as_mcp(tool: Tool) -> types.Tool:
    """Return a tool in the form of MCP; it has no hints if its effect is unknown."""
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
