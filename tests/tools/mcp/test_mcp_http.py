"""A live server over streamable HTTP: headers, addresses that do not answer, servers that go."""

import asyncio
import gzip
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@contextmanager
def answering(status, body=b"", **headers):
    """A web server that is no MCP server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        server.shutdown()
        thread.join()


def test_compressed_answers_are_refused():
    """However small it is, a compressed answer may stand for gigabytes."""
    bomb = gzip.compress(gzip.compress(b" " * 10_000_000))
    headers = {"Content_Encoding": "gzip, gzip", "Content_Type": "application/json"}
    with answering(200, bomb, **headers) as address, pytest.raises(InputError) as caught:
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
    with answering(status) as address, pytest.raises(InputError) as caught:
        run(McpServer(url=f"{address}?key=hush-hush"), nothing)
    assert (
        str(caught.value)
        == f"MCP server 'web' ({address.split('/')[2]}): the server answered with {text}"
    )


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
    with answering(200) as address, pytest.raises(InputError, match="Unexpected content type"):
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
