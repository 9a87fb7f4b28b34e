"""One connection to an MCP server, in an asyncio task of its own.

anyio requires that the task that opens a connection also closes it, while sessions call from many
tasks. So one task holds the connection from start to end, and calls from other tasks use its
streams.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from functools import partial
from typing import Any, NamedTuple, TextIO

import anyio
import httpx2
import mcp_types
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from toolmaster.system.compression import ACCEPT_NONE
from toolmaster.tools.mcp.answers import mended
from toolmaster.tools.mcp.servers import McpServer
from toolmaster.tools.schemas import is_bounded, violation

_MAX_PAGES = 100
"""The most pages of a list of tools that are read."""
_CLOSE_TIMEOUT_S = 10.0
_CLOSED = "Connection closed"
"""The SDK's message for a connection that ended; other errors have the same code."""
_STDERR_BYTES, _STDERR_CHARS = 8000, 300
"""How much of a server's stderr is held in memory, and how much an error shows."""
_ERROR_BYTES, _ERROR_CHARS = 64 * 1024, 1000
"""The longest body of an HTTP error that is read, and how much of it or its data is shown."""
_OTHER_TRANSPORT = (400, 404, 405, 406, 415, 501)
"""HTTP statuses of a server that may speak the other transport over HTTP."""
_NO_SESSION = re.compile(r"\bsession\b|not initiali[sz]ed", re.IGNORECASE)


class HttpError(NamedTuple):
    """An HTTP answer that is an error; `status` is 0 if there was none."""

    status: int = 0
    text: str = ""
    """What its body says; "" if that is a page, or empty."""
    is_rpc: bool = False
    """Whether the body is a JSON-RPC error."""


class Connection:
    """One connection to a server whose variables are resolved, held by one asyncio task."""

    def __init__(self, server: McpServer, start_timeout_s: float) -> None:
        self.client: Client | None = None
        """None before the connection is ready and after it is lost."""
        self.tools: dict[str, mcp_types.Tool] = {}
        """The tools of the latest list of the server, by their names there."""
        self.stale = False
        """Whether the tools have to be listed again before the next call."""
        self.error: Exception | None = None
        self.http = HttpError()
        """The last error over HTTP."""
        self.problems: dict[str, str] = {}
        """What is wrong with tools, by their names."""
        self._server = server
        self._kinds = ["stdio"] if server.command is not None else ["http", "sse"]
        """The transports to try in turn."""
        if server.type == "sse":
            self._kinds.reverse()
        self._start_timeout_s = start_timeout_s
        self._stderr = bytearray()
        self._listing = asyncio.Lock()
        self._ready, self._stop = asyncio.Event(), asyncio.Event()
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._live())

    @property
    def over(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._stop.is_set() or self._task.done()

    @property
    def forgotten(self) -> bool:
        """Whether the server answered that it does not know this client's session.

        The specification says 404; many servers send 400, and some of them the reason as a JSON-RPC
        error. Newer servers have no sessions.
        """
        if self.http.status not in (400, 404) or _is_modern(self.client):
            return False
        return not self.http.is_rpc or _NO_SESSION.search(self.http.text) is not None

    async def ready(self) -> bool:
        """Wait for the connection, and return whether it succeeded."""
        await self._ready.wait()
        return self.client is not None

    async def close(self) -> None:
        """End the connection and the process behind it; returns when both are gone."""
        self._stop.set()
        if not self._ready.is_set():
            self._scope.cancel()
        await asyncio.wait([self._task])

    async def current(self, name: str) -> tuple[Client, mcp_types.Tool | None]:
        """Return the client, and the tool as the server lists it now (None if it does not).

        Raises:
            ConnectionError: The connection is lost.
        """
        async with self._listing:
            if self.client is None:
                raise ConnectionError
            if self.stale:
                self.stale = False  # before the request: the list may change meanwhile
                try:
                    self.tools = await _list_tools(self.client)
                except BaseException:
                    self.stale = True
                    raise
            return self.client, self.tools.get(name)

    def last_words(self) -> str:
        """Return the errors at the end of the process's stderr, else its last line, else ""."""
        printed = self._stderr.decode(errors="replace").splitlines()
        lines = [line for line in printed if line.strip()]
        errors = [line for line in lines if "error" in line.lower() and not line[0].isspace()]
        return _line(" ".join(errors or lines[-1:]), _STDERR_CHARS)

    async def _live(self) -> None:
        try:
            with self._scope:
                self._scope.deadline = anyio.current_time() + self._start_timeout_s
                first = None
                for kind in self._kinds:
                    try:
                        await self._serve(kind)
                        break
                    except Exception as error:  # noqa: BLE001 - shown to the next caller
                        first = first or (_innermost(error), self.http)
                        if self._ready.is_set() or self.http.status not in _OTHER_TRANSPORT:
                            break
                if first:
                    self.error, self.http = first
        finally:
            self.client = None
            self._ready.set()

    async def _serve(self, kind: str) -> None:
        """Hold a connection over one kind of transport until it is to end."""
        async with self._open(kind) as client:
            self.tools = await _list_tools(client)
            self._scope.deadline = math.inf
            self.client = client
            self._ready.set()
            await self._stop.wait()
            self._scope.deadline = anyio.current_time() + _CLOSE_TIMEOUT_S

    @asynccontextmanager
    async def _open(self, kind: str) -> AsyncIterator[Client]:
        async with AsyncExitStack() as stack:
            transport = mended(await self._transport(kind, stack), self.problems.__setitem__)
            client = Client(transport, cache=None, message_handler=self._on_message)
            await stack.enter_async_context(client)
            client.session.validate_tool_result = self._check  # type: ignore[method-assign]
            tools = client.server_capabilities.tools
            if _is_modern(client) and tools is not None and tools.list_changed:
                # Older servers send changes unasked. If this fails, a failing call shows them.
                with suppress(MCPError, RuntimeError):
                    await stack.enter_async_context(client.listen(tools_list_changed=True))
            yield client

    async def _transport(
        self, kind: str, stack: AsyncExitStack
    ) -> AbstractAsyncContextManager[Any]:
        server = self._server
        if kind == "stdio":
            parameters = StdioServerParameters(
                command=server.command or "", args=list(server.args), env=server.env, cwd=server.cwd
            )
            return stdio_client(parameters, stack.enter_context(_stderr_into(self._stderr)))
        http = httpx2.AsyncClient(
            headers={**ACCEPT_NONE, **server.headers},
            timeout=None,
            event_hooks={"response": [partial(self._on_response, kind), _refuse_compressed]},
        )
        if kind == "sse":
            return sse_client(server.url or "", httpx_client_factory=lambda *_, **__: http)
        http = await stack.enter_async_context(http)
        return streamable_http_client(server.url or "", http_client=http)

    async def _check(self, name: str, result: mcp_types.CallToolResult) -> None:
        """Refuse a result that breaks its schema, as far as that can be found in bounded time.

        A result without the structured part that its tool promises still has its text.
        """
        schema = self.tools[name].output_schema if name in self.tools else None
        content = result.structured_content
        if schema is not None and content is not None and is_bounded(schema, content):
            broken = violation(schema, content)
            if broken is not None:
                raise RuntimeError(f"the result breaks the schema that {name} declares: {broken}")

    async def _on_message(self, message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self.stale = True

    async def _on_response(self, kind: str, response: httpx2.Response) -> None:
        """Keep the status and the words of an error.

        Over streamable HTTP only POST matters, because servers may refuse the rest. Over SSE the
        SDK sends nothing more after a failed POST, so that the connection has to end.
        """
        failed, posted = response.status_code >= 400, response.request.method == "POST"
        if (posted or kind == "sse") and (failed or not self._ready.is_set()):
            self.http = await _read_error(response) if failed else HttpError()
            if failed and posted and kind == "sse":
                self._stop.set() if self._ready.is_set() else self._scope.cancel()


async def _refuse_compressed(response: httpx2.Response) -> None:
    """Refuse a compressed answer, which could stand for any number of bytes."""
    coding = response.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        reason = f"the server compressed its answer ({coding!r}), though it was asked not to"
        raise httpx2.DecodingError(reason, request=response.request)


async def _read_error(response: httpx2.Response) -> HttpError:
    """Return an error with what its body says, unless that may be long or is compressed."""
    status, length = response.status_code, response.headers.get("content-length", "")
    compressed = "content-encoding" in response.headers
    if compressed or not length.isdecimal() or int(length) > _ERROR_BYTES:
        return HttpError(status)
    text = (await response.aread()).decode("utf-8", "replace").strip()
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        error = json.loads(text)["error"]
        if isinstance(error["message"], str):
            return HttpError(status, error_text(error["message"], error.get("data")), is_rpc=True)
    return HttpError(status, "" if text.startswith("<") else _line(text))


def error_text(message: str, data: Any = None) -> str:
    """Return the message of a JSON-RPC error with its data, on one line of bounded length."""
    if data in (None, "", {}, []):
        return _line(message)
    told = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return _line(message if told in message else f"{message}: {told}")


def _line(text: str, chars: int = _ERROR_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[:chars]} ..."


def _innermost(error: Exception) -> Exception:
    """Return the first error of a group of errors, or the error itself."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def is_closed(error: Exception) -> bool:
    """Return whether an error means that the connection has ended."""
    if isinstance(error, MCPError):
        return error.message == _CLOSED
    return isinstance(error, ConnectionError)


def _is_modern(client: Client | None) -> bool:
    return client is not None and client.protocol_version in MODERN_PROTOCOL_VERSIONS


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


@contextmanager
def _stderr_into(tail: bytearray) -> Iterator[TextIO]:
    """Yield a stream for the stderr of a process, whose last bytes go into `tail`.

    A thread drains the pipe. Nothing is written to a file, because it may contain secrets.
    """

    def drain() -> None:
        with os.fdopen(read_end, "rb", buffering=0) as stream:
            while chunk := stream.read(4096):
                tail.extend(chunk)
                del tail[:-_STDERR_BYTES]

    read_end, write_end = os.pipe()
    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    try:
        with os.fdopen(write_end, "w") as stream:
            yield stream
    finally:
        thread.join(0.2)  # a grandchild that lives on may hold the pipe open
