"""Calls over real HTTP: what comes back, what is bounded, and where nothing is sent."""

import asyncio
import gzip
import json
import tracemalloc

import pytest
from turns import call

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools.openapi import load_document, open_openapi, service
from toolmaster.tools.tool import ToolRefusal
from toolmaster.types import ErrorKind

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
BYTES = "[application/octet-stream, {} bytes, not shown]"


@pytest.fixture
def use(load_paths, server):
    """A function: run `work(tools)` on the operations of these paths at the server."""

    def run(paths, work, version="3.0.3", base=None, more=None, **options):
        document = load_paths(paths, version, **(more or {}))

        async def inside():
            url = base or server.url
            async with open_openapi(document, base_url=url, **options) as tools:
                return await work(tools)

        return asyncio.run(inside())

    return run


@pytest.fixture
def get(use, server):
    """A function: the result of one GET that the server answers in this way."""

    def run(answer, method="get", **options):
        server.answers["/a"] = answer

        async def work(tools):
            return await tools["a"].execute(None, {})

        return use({"/a": {method: {"operationId": "a"}}}, work, **options)

    return run


def test_a_call_arrives_as_the_document_says(use):
    operation = {
        "operationId": "change",
        "parameters": [
            {"name": "id", "in": "path", "schema": {}},
            {"name": "q", "in": "query", "schema": {}},
            {"name": "X-H", "in": "header", "schema": {}},
        ],
        "requestBody": {"content": {"application/json": {}}},
    }

    async def work(tools):
        arguments = {"id": "a/b c", "q": ["1", "é"], "X-H": "h", "body": {"n": 1}}
        return await tools["change"].execute(None, arguments)

    seen = use({"/v/{id}": {"patch": operation}}, work)
    assert (seen["method"], seen["target"]) == ("PATCH", "/v/a%2Fb%20c?q=1&q=%C3%A9")
    assert (seen["headers"]["x-h"], seen["body"]) == ("h", '{"n": 1}')
    assert seen["headers"]["content-type"] == "application/json"


def test_base_paths_and_own_servers(use, server):
    paths = {
        "/a": {"get": {"operationId": "a"}},
        "/b": {"get": {"operationId": "b", "servers": [{"url": "/v2/"}]}},
    }

    async def work(tools):
        return [(await tools[n].execute(None, {}))["path"] for n in ("a", "b")]

    assert use(paths, work, base=f"{server.url}/v1/") == ["/v1/a", "/v2/b"]


@pytest.mark.parametrize(
    ("headers", "body", "result"),
    [
        (JSON, b'{"a": [1, null]}', {"a": [1, None]}),
        ({"Content-Type": "application/problem+json"}, b"[1]", [1]),
        (JSON, b'{"a": ', '{"a": '),
        (JSON, b"[" * 20_000, "[" * 20_000),
        (TEXT, "grüß".encode(), "grüß"),
        ({"Content-Type": "text/plain; charset=latin-1"}, "grüß".encode("latin-1"), "grüß"),
        ({"Content-Type": "text/plain; charset=no-such"}, b"x", "x"),
        ({}, b"plain", "plain"),
        ({"Content-Type": "image/png"}, b"\x89PNG\0", "[image/png, 5 bytes, not shown]"),
        ({}, b"\0\1", "[binary, 2 bytes, not shown]"),
        # text that is sent under another type
        ({"Content-Type": "application/octet-stream"}, b"a log\n\tline", "a log\n\tline"),
        ({"Content-Type": "binary/octet-stream"}, "grüß".encode(), "grüß"),
        ({"Content-Type": "application/x-sh"}, b"#!/bin/sh\n", "#!/bin/sh\n"),
        ({"Content-Type": "application/octet-stream; charset=hex"}, b"00", "00"),
        ({"Content-Type": "application/octet-stream"}, b"\x01\x02", BYTES.format(2)),
        ({"Content-Type": "application/octet-stream"}, b"gr\xfc", BYTES.format(3)),
        ({"Content-Type": "application/octet-stream"}, b"", "HTTP 200 OK"),
        (TEXT, b"", "HTTP 200 OK"),
        (
            {**TEXT, "Content-Encoding": "gzip"},
            gzip.compress(b"packed", mtime=0),
            "packed",
        ),
    ],
)
def test_what_comes_back(get, headers, body, result):
    assert get(lambda h: h.reply(200, headers, body)) == result


@pytest.mark.parametrize(
    ("status", "headers", "body", "text"),
    [
        (404, JSON, b'{"detail": "no pet 7"}', 'HTTP 404 Not Found: {"detail": "no pet 7"}'),
        (422, TEXT, b"name: required", "HTTP 422 Unprocessable"),
        (500, {"Content-Type": "text/html"}, b"<h1>\n\n  Oops</h1>", "<h1> Oops</h1>"),
        (503, {}, b"", "HTTP 503 Service Unavailable"),
        (304, {}, b"", "HTTP 304 Not Modified"),
        (799, {}, b"odd", "HTTP 799: odd"),
    ],
)
def test_errors_are_refusals_with_status_and_body(get, status, headers, body, text):
    with pytest.raises(ToolRefusal) as refusal:
        get(lambda h: h.reply(status, headers, body))
    assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("method", "status", "headers", "result"),
    [
        ("get", 201, {"Location": "/things/7"}, "HTTP 201 Created, Location: /things/7"),
        ("get", 204, {}, "HTTP 204 No Content"),
        ("head", 200, {"ETag": '"x"'}, 'HTTP 200 OK, ETag: "x", Content-Length: 5'),
    ],
)
def test_answers_without_a_body(get, method, status, headers, result):
    body = b"12345" if method == "head" else b""
    assert get(lambda h: h.reply(status, headers, body), method=method) == result


NEXT = '</a?page=2&key=hush-hush>; rel="next"'


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        (
            {**JSON, "Link": NEXT, "X-Total-Count": "57"},
            b'[1, "\xc3\xa9"]',
            '[1, "é"]\n[Link: </a?page=2&key=[KEY]>; rel="next"]\n[X-Total-Count: 57]',
        ),
        ({**JSON, "X-Next-Page": "3"}, b"[]", "[]\n[X-Next-Page: 3]"),
        ({**JSON, "x-next-cursor": "a", "Vary": "*"}, b"{}", "{}\n[X-Next-Cursor: a]"),
        ({**TEXT, "X-Pagination": '{"total": 9}'}, b"a", 'a\n[X-Pagination: {"total": 9}]'),
        ({**TEXT, "Content-Range": "items 0-1/9"}, b"a", "a\n[Content-Range: items 0-1/9]"),
        ({**JSON, "Retry-After": "120"}, b"{}", "{}\n[Retry-After: 120]"),
        ({**TEXT, "X-Next-Page": ""}, b"a", "a"),
        ({**TEXT, "X-WP-TotalPages": "3"}, b"a", "a\n[X-WP-TotalPages: 3]"),
        ({**TEXT, "X-Has-More": "true"}, b"a", "a\n[X-Has-More: true]"),
        ({**TEXT, "X-Page-Speed": "1", "X-Nextjs-Cache": "HIT", "X-Country": "NO"}, b"a", "a"),
        ({"X-Total": "0"}, b"", "HTTP 200 OK, X-Total: 0"),
    ],
)
def test_headers_that_tell_of_further_pages_follow_the_answer(
    get, monkeypatch, headers, body, text
):
    monkeypatch.setenv("KEY", "hush-hush")
    assert get(lambda h: h.reply(200, headers, body), auth={"query key": "KEY"}) == text


@pytest.mark.parametrize(
    ("status", "headers", "text"),
    [
        (429, {"Retry-After": "120"}, "HTTP 429 Too Many Requests, Retry-After: 120: slow"),
        (503, {"Retry-After": "9", "X-Total": "5"}, "Retry-After: 9, X-Total: 5: slow"),
        (401, {"WWW-Authenticate": "Bearer"}, "Unauthorized, WWW-Authenticate: Bearer: slow"),
    ],
)
def test_headers_that_say_what_to_do_are_in_an_error(get, status, headers, text):
    with pytest.raises(ToolRefusal) as refusal:
        get(lambda h: h.reply(status, headers, b"slow"))
    assert str(refusal.value).endswith(text)


def test_null_for_an_optional_parameter_counts_as_left_out(use, server):
    parameters = [
        {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
        {"name": "X-Kind", "in": "header", "schema": {"type": "string", "enum": ["a"]}},
        {"name": "state", "in": "query", "schema": {"type": "string", "nullable": True}},
    ]
    content = {"application/json": {"schema": {"type": "object"}}}
    operation = {"operationId": "a", "parameters": parameters, "requestBody": {"content": content}}

    async def work(tools):
        session = Session(Task("t", "q", lambda: tools), Protocol.DIRECT, Limits())
        nulls = {"limit": None, "X-Kind": None, "state": None, "body": None}
        return await session.step(call("a", q="x", **nulls)), await session.step(call("a", q=None))

    sent, refused = use({"/a": {"post": operation}}, work)
    assert sent.error is None
    [seen] = server.seen
    assert (seen["query"], seen["body"]) == ([("q", "x")], "")
    assert "x-kind" not in seen["headers"]
    assert refused.error is ErrorKind.INVALID_ARGUMENTS


def endless(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    for _ in range(100_000):
        handler.wfile.write(b"x" * 1000)  # fails once the client has hung up
    raise AssertionError("the client read all of it")


BOMB = gzip.compress(b" " * 200_000_000)
TWICE = gzip.compress(BOMB)
BINARY = {"Content-Type": "application/octet-stream"}
CUT = " [cut: the first 1000 bytes are shown]"


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (endless, "x" * 1000 + CUT),
        (lambda h: h.reply(200, {**TEXT, "Content-Encoding": "gzip"}, BOMB), " " * 1000 + CUT),
        (
            lambda h: h.reply(200, BINARY, b"\0" * 5000),
            "[application/octet-stream, more than 1000 bytes, not shown]",
        ),
    ],
)
def test_long_answers_are_cut(get, monkeypatch, answer, result):
    monkeypatch.setattr(service, "RESPONSE_BYTES", 1000)
    assert get(answer) == result


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("gzip, gzip", TWICE, "'gzip, gzip', though"),
        ("gzip, gzip, gzip", gzip.compress(TWICE), "allowed is one layer of gzip or deflate"),
        ("br", BOMB, "'br', though it was asked not to be"),
        ("gzip", b"not gzip", "compressed, but damaged"),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 500])
def test_layers_of_compression_are_not_decoded(get, coding, body, reason, status):
    headers = {**TEXT, "Content-Encoding": coding, "Location": "/a"}
    tracemalloc.start()
    with pytest.raises(ToolRefusal) as caught:
        get(lambda h: h.reply(status, headers, body))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert reason in str(caught.value)


def test_an_answer_is_asked_for_without_compression(get, server):
    assert get(lambda h: h.reply(200, TEXT, b"plain")) == "plain"
    assert server.seen[0]["headers"]["accept-encoding"] == "identity"


def test_the_body_of_a_redirect_is_bounded(get, server):
    headers = {"Location": "/b", "Content-Encoding": "gzip"}
    tracemalloc.start()
    assert "/b" in json.dumps(get(lambda h: h.reply(302, headers, BOMB)))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_long_error_bodies_are_cut(get):
    with pytest.raises(ToolRefusal) as refusal:
        get(lambda h: h.reply(400, TEXT, b"x" * 5000))
    assert 1000 < len(str(refusal.value)) < 1100


def test_redirects_on_the_same_host_are_followed(get, server):
    assert get(lambda h: h.reply(307, {"Location": "/b"}))["path"] == "/b"
    with pytest.raises(ToolRefusal, match="more than 5 redirects"):
        get(lambda h: h.reply(302, {"Location": "/a"}))


@pytest.mark.parametrize("where", ["{other}/x", "//127.0.0.2:{port}/x", "https://127.0.0.1/x"])
def test_redirects_to_other_hosts_are_not(get, server, make_server, where):
    other = make_server()
    location = where.format(other=other.url, port=server.server_port)
    with pytest.raises(ToolRefusal, match=r"redirect not followed: .* is another host"):
        get(lambda h: h.reply(302, {"Location": location}))
    assert other.seen == []
    assert len(server.seen) == 1


def test_cookies_are_not_kept(use, server):
    server.answers["/a"] = lambda h: h.reply(200, {"Set-Cookie": "sid=1; Path=/"})
    paths = {f"/{n}": {"get": {"operationId": n}} for n in "ab"}

    async def work(tools):
        await tools["a"].execute(None, {})
        return await tools["b"].execute(None, {})

    assert "cookie" not in use(paths, work)["headers"]


def test_a_call_without_an_answer_is_sent_once(get, server, make_server):
    def hang_up(handler):
        handler.close_connection = True

    with pytest.raises(ToolRefusal, match="no answer from the service: "):
        get(hang_up, method="post")
    assert len(server.seen) == 1
    dead = make_server()
    dead.shutdown()
    dead.server_close()
    with pytest.raises(ToolRefusal, match="no answer from the service: "):
        get(hang_up, base=dead.url)


def test_slow_services_time_out(load_paths, server):
    document = load_paths({"/a": {"get": {"operationId": "a"}}})

    connections = []

    async def silent(reader, writer):
        connections.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def inside():
        listener = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with listener, open_openapi(document, base_url=url, timeout_s=0.2) as tools:
            with pytest.raises(TimeoutError):  # of itself, without a session's limit
                await tools["a"].execute(None, {})
            session = Session(Task("t", "q", lambda: tools), Protocol.DIRECT, Limits())
            step = await session.step(call("a"))
        await asyncio.gather(*connections)  # the clients have gone: each one ends
        return step

    step = asyncio.run(inside())
    assert (step.error, step.observation) == (ErrorKind.TIMEOUT, "error: no answer within 0.2 s")


@pytest.mark.parametrize("base", ["ftp://h", "h.example", "http://u:p@h", "http://h/\n"])
def test_bad_base_urls(use, base):
    with pytest.raises(InputError, match=r"base_url .* allowed is http"):
        use({"/a": {"get": {}}}, None, base=base)


def test_a_base_url_is_needed_where_the_document_names_no_host_of_its_own(load_paths, server):
    content = {"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}
    elsewhere = {**content, "servers": [{"url": "https://other.example"}]}
    server.answers["/api.json"] = lambda h: h.reply(200, JSON, json.dumps(elsewhere).encode())
    for document in (load_paths(content["paths"]), load_document(f"{server.url}/api.json")):

        async def inside(document=document):
            async with open_openapi(document):
                pass

        with pytest.raises(InputError, match=r"api.json: names no server, or .*; give base_url"):
            asyncio.run(inside())


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"servers": [{"url": "/api/v1"}]}, "names the server '/api/v1', without a host"),
        ({"servers": [{"url": "/api/v1"}]}, "such as base_url=https://HOST/api/v1"),
        ({"servers": [{"url": "../v2/"}]}, "names the server '../v2/', without a host"),
        ({"servers": [{"url": "/"}]}, "names no server"),
        ({"servers": [{"url": "https://{region}.h.example"}]}, "names no server"),
    ],
)
def test_the_path_of_a_server_without_a_host_is_told(load_paths, content, hint):
    async def inside():
        async with open_openapi(load_paths({"/a": {"get": {}}}, **content)):
            pass

    with pytest.raises(InputError, match="give base_url") as error:
        asyncio.run(inside())
    assert hint in str(error.value)
