"""A live server over streamable HTTP: headers, addresses that do not answer, servers that go."""

import asyncio
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mcp_calls import call, refused, run

from toolmaster.errors import InputError
from toolmaster.tools.mcp import McpServer

TINY = str(Path(__file__).with_name("tiny_server.py"))


async def nothing(_tools):
    raise AssertionError("opened")


class TinyOverHttp:
    """The tiny server behind an address that stays the same when it is started again."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        self.host = self.address.split("/")[2]
        self._process = None

    def start(self, *args):
        number = self._socket.fileno()
        command = [sys.executable, TINY, str(number), *args]
        self._process = subprocess.Popen(command, pass_fds=[number])

    def stop(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        self.stop()
        self._socket.close()


@pytest.fixture
def tiny_http():
    server = TinyOverHttp()
    server.start()
    yield server
    server.close()


def test_tools_and_headers(tiny_http, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("WEB_TOKEN", "hush-hush")
    headers = {"X-Token": "${WEB_TOKEN}", "X-Language": "nb-NO"}

    async def use(tools):
        calls = [call(tools, "add", a=i, b=1) for i in range(20)]
        sums = await asyncio.gather(*calls)
        shown = [await call(tools, "header", name=name) for name in ("x-token", "x-language")]
        return sums, shown

    sums, shown = run(McpServer(url=tiny_http.address, headers=headers), use)
    assert sums == [str(i + 1) for i in range(20)]
    assert shown == ["[X-Token]", "nb-NO"]
    assert "hush-hush" not in caplog.text


def test_a_crash_is_told_and_the_next_call_connects_again(tiny_http):
    async def use(tools):
        crashed = await refused(tools, "crash")
        tiny_http.stop()
        tiny_http.start()
        return crashed, await call(tools, "add", a=1, b=2)

    crashed, after = run(McpServer(url=tiny_http.address), use)
    assert crashed == (
        f"MCP server 'web' ({tiny_http.host}): the connection was lost; the call may or may not"
        " have been done; the next call connects again"
    )
    assert after == "3"


@pytest.mark.parametrize("type_", [None, "sse", "http"])
def test_a_server_that_speaks_sse_only(tiny_http, type_):
    """It is found out from its refusal of a POST, also if the file names the wrong transport."""

    def restart():
        tiny_http.stop()
        tiny_http.start("sse")

    async def use(tools):
        before = await call(tools, "add", a=1, b=2), await call(tools, "header", name="x-a")
        lost = None
        if type_ == "sse":
            restart()
            lost = await refused(tools, "add", a=1, b=2)
        return before, lost, await call(tools, "add", a=2, b=2)

    restart()
    address = tiny_http.address.replace("/mcp", "/sse")
    server = McpServer(url=address, headers={"X-A": "b"}, type=type_)
    before, lost, after = run(server, use)
    assert (before, after) == (("3", "b"), "4")
    if lost is not None:
        assert "the connection was lost" in lost


def test_a_server_that_is_said_to_speak_sse_but_does_not(tiny_http):
    async def use(tools):
        return await call(tools, "add", a=1, b=2)

    assert run(McpServer(url=tiny_http.address, type="sse"), use) == "3"


TOOL = {"name": "go", "inputSchema": {"type": "object"}}
START = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "s", "version": "1"},
}


@contextmanager
def answering(reply):
    """A web server whose answers to a POST are `reply(message)`: status, body and headers."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(message["method"])
            self.answer(*reply(message))

        def do_GET(self):
            self.answer(405, b"", {})

        do_DELETE = do_GET  # noqa: N815

        def answer(self, status, body, headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp", seen
        server.shutdown()
        thread.join()


def failing(status, body, kind="application/json"):
    """An older server over HTTP, with sessions, each call of which fails in this way."""

    def reply(message):
        method, headers = message["method"], {"Content-Type": kind, "Mcp-Session-Id": "one"}
        result = {"initialize": START, "tools/list": {"tools": [TOOL]}}.get(method)
        if method == "server/discover":
            return 400, b"no", {"Content-Type": "text/plain"}
        if "id" not in message:
            return 202, b"", headers
        if result is None:
            return status, body.replace("ID", str(message["id"])).encode(), headers
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        return 200, answer.encode(), {**headers, "Content-Type": "application/json"}

    return answering(reply)


def no_server(status, body=b"", **headers):
    """A web server that is no MCP server, and answers everything alike."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answering(lambda _message: (status, body, named))


def rpc(code, message, **more):
    error = {"code": code, "message": message, **more}
    return json.dumps({"jsonrpc": "2.0", "id": "ID", "error": error})


@pytest.mark.parametrize("status", [400, 404, 422, 500])
@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (rpc(-32602, "Unknown city", data={"allowed": ["Oslo"]}), "application/json", "ONE"),
        (rpc(-32602, "Unknown city", data={"allowed": ["Oslo"]}), "text/plain", "ONE"),
        ('{"error": {"code": 7, "message": "Unknown city"}}', "application/json", "Unknown city"),
    ],
)
def test_an_http_error_that_carries_a_json_rpc_error_is_shown(status, body, kind, text):
    async def use(tools):
        return [await refused(tools, "go") for _ in range(2)]

    with failing(status, body, kind) as (address, seen):
        texts = run(McpServer(url=address), use)
    shown = text.replace("ONE", 'Unknown city: {"allowed": ["Oslo"]}')
    assert texts == [f"{shown}: HTTP status {status}"] * 2
    assert seen.count("initialize") == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, rpc(-32600, "Session not found"), "application/json"),
        (400, rpc(-32000, "Bad Request: No valid session ID provided"), "application/json"),
        (400, rpc(-32000, "Bad Request: Server not initialized"), "application/json"),
        (404, "gone", "text/plain"),
        (400, "", "text/plain"),
    ],
)
def test_an_http_error_that_tells_of_a_lost_session_connects_again(status, body, kind):
    async def use(tools):
        return [await refused(tools, "go") for _ in range(2)]

    with failing(status, body, kind) as (address, seen):
        texts = run(McpServer(url=address), use)
    assert all("the connection was lost" in text for text in texts)
    assert seen.count("initialize") == 2


def test_an_older_server_that_was_started_again_knows_no_session(tiny_http):
    def restart():
        tiny_http.stop()
        tiny_http.start("old")

    async def use(tools):
        assert await call(tools, "add", a=1, b=2) == "3"
        restart()
        return await refused(tools, "add", a=1, b=2), await call(tools, "add", a=1, b=2)

    restart()
    lost, after = run(McpServer(url=tiny_http.address), use)
    assert "the connection was lost" in lost
    assert after == "3"


def test_a_cancelled_call_leaves_the_connection_in_use(tiny_http):
    async def use(tools):
        hanging = asyncio.create_task(call(tools, "hang"))
        while '"started": 0' in await call(tools, "hangs"):
            pass
        hanging.cancel()
        while await call(tools, "hangs") != '{"started": 1, "cancelled": 1}':
            pass
        return await call(tools, "add", a=1, b=2)

    assert run(McpServer(url=tiny_http.address), use) == "3"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    with pytest.raises(InputError) as caught:
        run(McpServer(url=address), nothing)
    assert str(caught.value) == (
        f"MCP server 'web' ({address.split('/')[2]}): ConnectError: All connection attempts failed"
    )


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        with pytest.raises(InputError, match=r"listed no tools within 0\.5 s"):
            run(McpServer(url=address), nothing, start_timeout_s=0.5)


def test_compressed_answers_are_refused():
    """However small it is, a compressed answer may stand for gigabytes."""
    bomb = gzip.compress(gzip.compress(b" " * 10_000_000))
    headers = {"Content_Encoding": "gzip, gzip", "Content_Type": "application/json"}
    with no_server(200, bomb, **headers) as (address, _), pytest.raises(InputError) as caught:
        run(McpServer(url=address), nothing)
    assert "the server compressed its answer ('gzip, gzip')" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "HTTP status 401; give what it asks for in 'headers'"),
        (404, "HTTP status 404"),
        (500, "HTTP status 500"),
    ],
)
def test_an_address_that_is_no_server(status, text):
    with no_server(status) as (address, _), pytest.raises(InputError) as caught:
        run(McpServer(url=f"{address}?key=hush-hush"), nothing)
    assert (
        str(caught.value)
        == f"MCP server 'web' ({address.split('/')[2]}): the server answered with {text}"
    )


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (400, '{"error": {"code": 1, "message": "Unknown version", "data": {"to": 2}}}', "RPC"),
        (401, '{"error": "invalid_token"}', '{"error": "invalid_token"}; give what it asks for'),
        (503, "down until   noon", "down until noon"),
        (502, "<html>Bad Gateway</html>", ""),
        (500, "x" * 100_000, ""),
    ],
)
def test_what_an_http_error_says_at_the_start_is_shown(status, body, text):
    text = text.replace("RPC", 'Unknown version: {"to": 2}')
    answer = no_server(status, body.encode(), Content_Type="application/json")
    with answer as (address, _), pytest.raises(InputError) as caught:
        run(McpServer(url=address), nothing)
    said = str(caught.value).partition(f"HTTP status {status}")[2]
    assert said.startswith(f": {text}") if text else said == ""


def test_a_secret_in_the_address_of_a_server_with_sse_is_in_no_log(tiny_http, caplog):
    caplog.set_level("DEBUG")
    tiny_http.stop()
    tiny_http.start("sse")

    async def use(tools):
        return await call(tools, "header", name="x-token")

    address = tiny_http.address.replace("/mcp", "/sse?api_key=hush-hush")
    server = McpServer(url=address, headers={"X-Token": "very-secret"}, type="sse")
    assert run(server, use) == "[X-Token]"
    assert "hush-hush" not in caplog.text
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("host:1/mcp", "'web' (host:1): UnsupportedProtocol: Request URL is missing an 'http"),
        ("http://h:x/mcp", "'web' (h:x): InvalidURL: Invalid port"),
        ("http://me:secret@[h/mcp", "'web' ([h): "),
    ],
)
def test_a_malformed_address(url, text):
    with pytest.raises(InputError) as caught:
        run(McpServer(url=url), nothing)
    assert str(caught.value).startswith(f"MCP server {text}")
    assert "secret" not in str(caught.value)


def test_a_page_is_no_server():
    with no_server(200) as (address, _), pytest.raises(InputError, match="Unexpected content type"):
        run(McpServer(url=address), nothing)


def test_a_server_that_forgot_its_session(npm):
    """An older server keeps sessions; started again, it does not know ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = npm("mcp-server-everything", "streamableHttp")

    def start():
        command = [settings.command, *settings.args]
        env = {"PORT": str(port), "PATH": os.environ["PATH"]}
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        while "listening on port" not in process.stderr.readline():
            assert process.poll() is None
        return process

    async def use(tools):
        nonlocal process
        assert await call(tools, "echo", message="hello") == "Echo: hello"
        stop(process)
        process = start()
        return await refused(tools, "echo", message="a"), await call(tools, "echo", message="b")

    def stop(process):
        process.kill()
        process.communicate()

    process = start()
    try:
        lost, after = run(McpServer(url=f"http://127.0.0.1:{port}/mcp"), use)
    finally:
        stop(process)
    assert "the connection was lost" in lost
    assert after == "Echo: b"
