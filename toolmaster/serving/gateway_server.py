"""Serves a `Gateway` over MCP, on stdio and streamable HTTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import NoBackChannelError

from toolmaster import __version__
from toolmaster.serving.gateway import Client, Gateway, Peer
from toolmaster.serving.tool_server import Context, as_mcp, serve_http, with_handshake

_DECISION: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "Run this call?",
            "enum": ["once", "always", "no"],
            "description": "always: this tool, until it changes or this client leaves",
        }
    },
    "required": ["decision"],
}


class _Server(Server[None]):
    """A server that says that its list of tools can change."""

    def get_capabilities(self, *_args: Any, **named: Any) -> types.ServerCapabilities:
        return super().get_capabilities(NotificationOptions(tools_changed=True), **named)


class GatewayServer:
    """An MCP server in front of a gateway, with a session of the gateway for each connection.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._server = _Server(
            "toolmaster gateway",
            version=__version__,
            instructions=gateway.instructions,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self._server.middleware.append(with_handshake)

    async def serve_stdio(self) -> None:
        """Serve the client at this process's stdin and stdout until it leaves."""
        async with stdio_server() as (read, write):
            watching = asyncio.create_task(self._gateway.watch())
            try:
                await serve_loop(self._server, read, write, lifespan_state=None)
            finally:
                watching.cancel()

    async def serve_http(self, port: int, host: str, **options: object) -> None:
        """Serve clients over streamable HTTP; for arguments see `tool_server.serve_http`."""
        watching = asyncio.create_task(self._gateway.watch())
        try:
            await serve_http(self._server, port, host, **options)  # type: ignore[arg-type]
        finally:
            watching.cancel()

    async def _list_tools(self, context: Context, _params: object) -> types.ListToolsResult:
        tools = await self._client(context).listed()
        return types.ListToolsResult(tools=[as_mcp(tool) for tool in tools])

    async def _call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        client = self._client(context)
        text, is_error = await client.call(
            params.name, params.arguments or {}, lambda message: _ask(context, message)
        )
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)

    def _client(self, context: Context) -> Client:
        # The SDK has `Connection.state` for this, but no public way to reach it.
        connection = context.session._connection
        if "client" not in connection.state:
            about = context.session.client_params
            name = about.client_info.name if about else "unnamed"
            client = self._gateway.client(Peer(name, connection.send_tool_list_changed))
            connection.state["client"] = client
            connection.exit_stack.push_async_callback(client.close)
        found: Client = connection.state["client"]
        return found


async def _ask(context: Context, message: str) -> str | None:
    """Ask the user through the client; see `gateway.Ask`."""
    able = context.session.client_capabilities
    if able is None or able.elicitation is None or not context.session.can_send_request:
        raise LookupError("this client cannot ask")
    with suppress(MCPError):
        try:
            result = await context.session.elicit_form(message, _DECISION, context.request_id)
        except NoBackChannelError:
            raise LookupError("this client cannot ask") from None
        decision = (result.content or {}).get("decision")
        if result.action == "accept" and decision in ("once", "always"):
            return str(decision)
    return None
