"""`LiveServer`: an MCP server and the calls to it, over one connection after the other.

If the connection is lost during a call, the call reports it and the next call connects again. Every
failure of a call becomes one text for the policy.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from functools import partial
from typing import Any

import mcp_types
from mcp import MCPError
from pydantic import ValidationError

from toolmaster.errors import InputError
from toolmaster.system.redaction import Redactor, hide_everywhere
from toolmaster.tools.mcp.connection import Connection, HttpError, error_text, is_closed
from toolmaster.tools.mcp.redaction import given_to, secrets_of
from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.schemas import usable_parameters
from toolmaster.tools.tool import Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, TrialMode

_HOST = re.compile(r"(?:\w+://)?(?:[^/?#]*@)?([^/?#]*).*", re.DOTALL)
_STAND_INS = ("Server returned an error response", "Session terminated", "Not Found")
"""The SDK's messages for an HTTP error whose body it does not read."""
_MAX_NAMED = 10
"""The most imperfect tools that a warning names."""

_log = logging.getLogger(__name__)


class LiveServer:
    """A server that is running, or that the next call starts again.

    Raises:
        InputError: An environment variable in its settings is not set.
    """

    def __init__(self, name: str, server: McpServer, start_timeout_s: float) -> None:
        self.name = name
        try:
            self._server = server.resolve()
        except InputError as error:
            raise InputError(f"MCP server {name!r}: {error}") from None
        secrets = list(secrets_of(server, self._server))
        hide_everywhere(secrets)
        self._result_redactor = Redactor(secrets)
        self.log_redactor = Redactor([*given_to(server, self._server), *secrets])
        """Hides every configured value of the server in errors and logs."""
        host = _HOST.sub(r"\1", self._server.url or "")
        self._where = self.log_redactor.text(self._server.command or host)
        self._start_timeout_s = start_timeout_s
        self._connection: Connection | None = None
        self._offered: set[str] = set()
        """The names of the tools that the user or the model was told of."""
        self._connecting = asyncio.Lock()
        self._closed = False

    async def tools(self, timeout_s: float) -> ToolSet:
        """Connect, and return the tools that the server lists.

        Raises:
            InputError: The server did not start, or lists no tools.
        """
        connection = await self._connect()
        problems = dict(connection.problems)
        for name, tool in connection.tools.items():
            if usable_parameters(tool.input_schema) is not tool.input_schema:
                problems[name] = "loosened, because its schema cannot be used to check arguments"
        named = [f"tool {name!r} is {what}" for name, what in problems.items()]
        told = self.log_redactor.text("; ".join(named[:_MAX_NAMED]))
        if not connection.tools:
            raise InputError(f"MCP server {self.name!r} offers no tools{told and f': {told}'}")
        if told:
            more = f"; {len(named)} in all" if len(named) > _MAX_NAMED else ""
            _log.warning("MCP server %r: %s%s", self.name, told, more)
        self._offered.update(connection.tools)
        tools = tuple(self._as_tool(tool, timeout_s) for tool in connection.tools.values())
        return ToolSet(tools, live=True)

    async def close(self) -> None:
        """End the connection and the process behind it; later calls fail."""
        async with self._connecting:
            self._closed = True
            if self._connection is not None:
                await self._connection.close()

    async def _connect(self) -> Connection:
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
            raise InputError(self._message(self._why_not(connection), connection))
        return connection

    def _as_tool(self, tool: mcp_types.Tool, timeout_s: float) -> Tool:
        return Tool(
            name=tool.name,
            **self._fields(tool),
            timeout_s=timeout_s,
            source=f"{self.name} ({self._where})",
            current=partial(self._current, tool),
        )

    def _fields(self, tool: mcp_types.Tool) -> dict[str, Any]:
        """Return the fields of a `Tool` that follow from what the server lists."""

        async def execute(_state: Any, arguments: dict[str, Any]) -> str:
            return await self._call(tool, arguments)

        return {
            "description": self._result_redactor.text(tool.description or tool.title or ""),
            "parameters": usable_parameters(tool.input_schema),
            "execute": execute,
            "effect": effect_of(tool),
        }

    async def _current(self, listed: mcp_types.Tool) -> dict[str, Any]:
        """Return the fields of a tool that differ from when it was listed; see `Tool.current`."""
        with suppress(Exception):  # the call itself tells what is wrong
            connection = await self._connect()
            _, now = await connection.current(listed.name)
            if now is not None and _shown(now) != _shown(listed):
                # What a user declared of the tool, such as that it reads, was said of the former.
                return {**self._fields(now), "trials": TrialMode.READ_ONLY}
        return {}

    async def _call(self, known: mcp_types.Tool, arguments: dict[str, Any]) -> str:
        """Call a tool, if it still is as the caller knows it; every failure is a `ToolRefusal`."""
        try:
            connection = await self._connect()
        except InputError as error:
            raise ToolRefusal(str(error)) from None
        connection.http = HttpError()
        try:
            client, now = await connection.current(known.name)
            if now is None:
                raise ToolRefusal(f"MCP server {self.name!r} does not offer this tool any more")
            if _shown(now) != _shown(known):
                raise ToolRefusal(
                    f"MCP server {self.name!r} changed this tool before the call, which was not"
                    " made; call it again"
                )
            news = self._news(connection)
            result = await client.call_tool(known.name, arguments)
        except ToolRefusal:
            raise
        except Exception as error:  # noqa: BLE001 - it may quote a secret
            raise await self._failure(error, connection) from None
        texts = [one.text for one in result.content if isinstance(one, mcp_types.TextContent)]
        text = self._result_redactor.text(news + "\n".join(texts))
        if result.is_error:
            raise ToolRefusal(text)
        return text

    async def _failure(self, error: Exception, connection: Connection) -> ToolRefusal:
        """Return what to say of a call that failed; closes a connection that is lost."""
        http = connection.http
        if connection.over or connection.forgotten or is_closed(error):
            await connection.close()
            again = "starts it again" if self._server.command else "connects again"
            why = f" ({http.text})" if http.text else ""
            what = f"the connection was lost{why}; the call may or may not have been done"
            return ToolRefusal(self._message(f"{what}; the next call {again}", connection))
        connection.stale = True  # the tool may be gone without notice
        text = _one_line(error)
        if text in _STAND_INS and http.text:
            text = http.text
        status = f": HTTP status {http.status}" if http.status else ""
        return ToolRefusal(self.log_redactor.text(text + status))

    def _news(self, connection: Connection) -> str:
        """Return a note on tools that the server has offered since it was opened, told once."""
        added = [name for name in connection.tools if name not in self._offered]
        if not added:
            return ""
        self._offered.update(added)
        names = self.log_redactor.text(", ".join(map(repr, added)))
        _log.warning("MCP server %r now offers %s; open it again to use them", self.name, names)
        return f"[the server now also offers {names}; not to be called before it is opened again]\n"

    def _why_not(self, connection: Connection) -> str:
        error, status, told = connection.error, connection.http.status, connection.http.text
        if error is None and not status:
            return f"listed no tools within {self._start_timeout_s:g} s"
        if isinstance(error, FileNotFoundError):
            if error.filename == self._server.cwd:
                return f"the folder {error.filename!r} was not found"
            hint = "install it (npx comes with Node.js, uvx with uv) or give its full path"
            return f"the command {error.filename!r} was not found; {hint}"
        if status:
            hint = "; give what it asks for in 'headers'" if status in (401, 403) else ""
            return f"the server answered with HTTP status {status}{told and f': {told}'}{hint}"
        if error is None or is_closed(error):
            return "it ended before it was ready"
        return _one_line(error)

    def _message(self, what: str, connection: Connection) -> str:
        printed = connection.last_words()
        last = f"; last on stderr: {printed}" if printed else ""
        return f"MCP server {self.name!r} ({self._where}): {self.log_redactor.text(what + last)}"


def _shown(tool: mcp_types.Tool) -> tuple[Any, ...]:
    """Return what a user or a model is told of a tool."""
    return tool.description, tool.title, tool.input_schema, effect_of(tool)


def effect_of(tool: mcp_types.Tool) -> Effect:
    """Return the effect that a tool declares.

    As in the specification, `destructiveHint` defaults to true. Without either hint the effect is
    unknown. A tool that claims to be both read-only and destructive counts as destructive.
    """
    hints = tool.annotations
    if hints is None or (hints.read_only_hint is None and hints.destructive_hint is None):
        return Effect.UNKNOWN
    if hints.read_only_hint and not hints.destructive_hint:
        return Effect.READ
    return Effect.WRITE if hints.destructive_hint is False else Effect.DESTRUCTIVE


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "the server answered with something that is no valid result"
    if isinstance(error, MCPError):
        return error_text(error.message, error.data)
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, RuntimeError) else f"{type(error).__name__}: {text}"
