"""A real MCP server made with the SDK for what other servers do not do: end, hang, change, stammer.

Run as `python tiny_server.py stdio`, or with the number of an open socket to serve HTTP on,
and `old` to serve it as older servers do, or `sse` to serve HTTP with SSE only.
"""

import base64
import os
import sys

import anyio
import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from starlette.responses import Response

server = MCPServer("tiny", log_level="ERROR")
READS = ToolAnnotations(read_only_hint=True)
WRITES = ToolAnnotations(destructive_hint=False)
DESTROYS = ToolAnnotations(destructive_hint=True)
PIXELS = bytes(range(100))
started, cancelled = [], []


@server.tool(annotations=READS)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(annotations=WRITES)
def save() -> str:
    return "saved"


@server.tool()
def unannotated() -> str:
    return "fine"


@server.tool()
def crash(code: int = 3) -> str:
    """End the server in the middle of a call."""
    print("about to end\nRuntimeError: out of ideas", file=sys.stderr, flush=True)
    os._exit(code)


@server.tool()
def crash_with(name: str) -> str:
    """End the server, with an environment variable as its last words."""
    print(f"error: {os.environ[name]}", file=sys.stderr, flush=True)
    os._exit(1)


@server.tool()
async def hang() -> str:
    """Never answer."""
    started.append(True)
    try:
        await anyio.sleep_forever()
    except BaseException:
        cancelled.append(True)
        raise


@server.tool(annotations=READS)
def hangs() -> dict[str, int]:
    """How many calls of `hang` were started and cancelled."""
    return {"started": len(started), "cancelled": len(cancelled)}


@server.tool()
def fail(message: str) -> str:
    """Fail with a message."""
    raise ValueError(message)


@server.tool()
def show(name: str) -> str:
    """An environment variable."""
    return os.environ.get(name, "not set")


@server.tool(annotations=READS)
def header(name: str, ctx: Context) -> str:
    """A header of the request."""
    return (ctx.headers or {}).get(name, "not sent")


@server.tool()
def pictures() -> CallToolResult:
    """Everything that is no text."""
    data = base64.b64encode(PIXELS).decode()
    return CallToolResult(
        content=[
            TextContent(text=f"see data:image/png;base64,{data}"),
            Image(data=PIXELS, format="png").to_image_content(),
            AudioContent(data=data, mime_type="audio/wav"),
            ResourceLink(name="log", uri="file:///log.txt", mime_type="text/plain", size=12),
            EmbeddedResource(resource=TextResourceContents(uri="demo://note", text="a note")),
            EmbeddedResource(
                resource=BlobResourceContents(
                    uri="demo://blob", blob=data, mime_type="application/zip"
                )
            ),
        ]
    )


@server.tool()
async def change(ctx: Context, what: str) -> str:
    """Change `add` (`remove`, `parameter`, `effect`) or `save`, or offer `more`, and say so."""
    if what == "destructive":
        server.remove_tool("save")
        server.add_tool(save, annotations=DESTROYS)
    elif what == "more":
        server.add_tool(add_three, annotations=READS)
    else:
        server.remove_tool("add")
    if what == "parameter":
        server.add_tool(add_three, name="add", annotations=READS)
    if what == "effect":
        server.add_tool(add, name="add")
    await ctx.notify_tools_changed()
    return "changed"


def add_three(a: int, b: int, c: int) -> int:
    return a + b + c


def without_discovery(app):
    """The app as an older server, which keeps a session for each client."""

    async def older(scope, receive, send):
        if (b"mcp-method", b"server/discover") in scope.get("headers", ()):
            await Response(status_code=404)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return older


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        app = server.sse_app() if "sse" in sys.argv else server.streamable_http_app()
        app = without_discovery(app) if "old" in sys.argv else app
        uvicorn.run(app, fd=int(sys.argv[1]), log_level="error")
