"""A server that outlasts its connections, and the calls to it.

When a connection is lost, the call that it was lost in says so, and the next call connects again.
Whatever goes wrong in a call becomes one text for the policy.
"""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types
from mcp import MCPError
from pydantic import ValidationError

from toolmaster.errors import InputError
from toolmaster.tools.mcp.connection import Connection
from toolmaster.tools.mcp.content import result_text
from toolmaster.tools.mcp.listing import effect_of, outline, usable_parameters
from toolmaster.tools.mcp.redaction import Redactor
from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.tool import Tool, ToolRefusal
from toolmaster.types import Effect

_CLOSED = "Connection closed"
"""The SDK's words for a connection that ended. Its code is not only the SDK's."""
_HTTP_ERROR = "Server returned an error response"
"""The SDK's words for an HTTP error that carries no error of the protocol."""
_DANGER = {Effect.READ: 0, Effect.WRITE: 1, Effect.DESTRUCTIVE: 2, Effect.UNKNOWN: 2}
_NEEDS = {"npx": "Node.js", "npm": "Node.js", "node": "Node.js", "uvx": "uv", "uv": "uv"}


class LiveServer:
    """A server that is running, or is started again by the next call.

    Args:
        name: what the user calls it.
        server: how to reach it, as it was written.
        start_timeout_s: seconds from its start to its list of tools.

    Raises:
        InputError: it cannot be used: a variable is not set, the URL is none.
    """

    def __init__(self, name: str, server: McpServer, start_timeout_s: float) -> None:
        self.name = name
        try:
            self._server = server.resolve()
        except InputError as error:
            raise InputError(f"MCP server {name!r}: {error}") from None
        self.redactor = Redactor(server, self._server)
        self._start_timeout_s = start_timeout_s
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def connect(self) -> Connection:
        """The connection, made anew where there is none or the last one was lost.

        Raises:
            InputError: the server did not start, or was closed; says what was run and what it
                printed last.
        """
        async with self._connecting:
            if self._closed:
                raise InputError(f"MCP server {self.name!r} was closed with its tool set")
            if self._connection is None or self._connection.over:
                if self._connection is not None:
                    await self._connection.close()
                self._connection = Connection(self._server, self._start_timeout_s)
            connection = self._connection
        if not await connection.ready():
            await connection.close()
            raise InputError(self._why_not(connection))
        return connection

    async def close(self) -> None:
        """End the connection and the process behind it for good."""
        async with self._connecting:
            self._closed = True
            if self._connection is not None:
                await self._connection.close()

    async def call(self, tool: mcp_types.Tool, arguments: dict[str, Any]) -> str:
        """Call a tool.

        Args:
            tool: as it was listed when the tool set was opened.
            arguments: what to call it with.

        Returns:
            The result as text, without secrets.

        Raises:
            ToolRefusal: whatever went wrong, in one text.
        """
        try:
            connection = await self.connect()
        except InputError as error:
            raise ToolRefusal(str(error)) from None
        try:
            return await self._call(connection, tool, arguments)
        except ToolRefusal:
            raise
        except Exception as error:  # noqa: BLE001 - may quote what must not be shown
            if connection.over or connection.forgotten or _is_closed(error):
                await connection.close()
                raise ToolRefusal(self._lost(connection)) from None
            connection.expect_changes()  # the tool may be gone, unannounced
            text = _one_line(error)
            if text == _HTTP_ERROR and connection.status:
                text += f": HTTP status {connection.status}"
            raise ToolRefusal(self.redactor.observation(text)) from None

    async def _call(
        self, connection: Connection, tool: mcp_types.Tool, arguments: dict[str, Any]
    ) -> str:
        client = connection.client
        if client is None:
            raise ConnectionError
        connection.status = 0
        note = self._changes(tool, await connection.current(client, tool.name), arguments)
        result = await client.call_tool(tool.name, arguments)
        text = note + self.redactor.observation(result_text(result))
        if result.is_error:
            raise ToolRefusal(text)
        return text

    def _changes(
        self, before: mcp_types.Tool, now: mcp_types.Tool | None, arguments: dict[str, Any]
    ) -> str:
        """A note on what the server changed in a tool; refuses calls that cannot be right."""
        if now is None:
            raise ToolRefusal(f"MCP server {self.name!r} does not offer this tool any more")
        was, became = effect_of(before), effect_of(now)
        if _DANGER[became] > _DANGER[was]:
            what = f"its effect was {was} and is {became} now"
            raise ToolRefusal(f"MCP server {self.name!r} has changed this tool: {what}")
        if now.input_schema == before.input_schema:
            return ""
        parameters = usable_parameters(now.input_schema)
        text = f"the server has changed this tool's parameters; now: {outline(parameters)}"
        violation = Tool(now.name, "", parameters, print).violation(arguments)
        if violation is not None:
            raise ToolRefusal(f"{violation}; {text}")
        return f"[{text}]\n"

    def _why_not(self, connection: Connection) -> str:
        error, command = connection.error, self._server.command
        if error is None:
            what = f"listed no tools within {self._start_timeout_s:g} s"
        elif isinstance(error, FileNotFoundError | NotADirectoryError):
            missing = self._server.cwd if error.filename == self._server.cwd else None
            what = f"the folder {missing!r} was not found" if missing else _not_found(command or "")
        elif connection.status:
            what = f"the server answered with HTTP status {connection.status}"
            if connection.status in (401, 403):
                what += "; give what it asks for in 'headers'"
        elif _is_closed(error):
            what = "it ended before it was ready"
        else:
            what = _one_line(error)
        return self._tell(what, connection)

    def _lost(self, connection: Connection) -> str:
        again = "starts it again" if self._server.command else "connects again"
        what = "the connection was lost; the call may or may not have been done; the next call "
        return self._tell(what + again, connection)

    def _tell(self, what: str, connection: Connection) -> str:
        printed = connection.stderr.line() if self._server.command else ""
        last = f"; last on stderr: {printed}" if printed else ""
        text = self.redactor.error(f"{what}{last}")
        return f"MCP server {self.name!r} ({self.redactor.shown}): {text}"


def _is_closed(error: Exception) -> bool:
    if isinstance(error, MCPError):
        return error.message == _CLOSED
    return isinstance(error, ConnectionError)


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "the server answered with something that is no valid result"
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, MCPError | RuntimeError) else f"{type(error).__name__}: {text}"


def _not_found(command: str) -> str:
    needs = _NEEDS.get(command)
    hint = f"install {needs} or put it on PATH" if needs else "install it or give its full path"
    return f"the command {command!r} was not found; {hint}"
