"""Credentials: from the environment only, to one host only, and never shown."""

import asyncio
import base64
import json
import logging

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.openapi import load_document, open_openapi, service
from toolmaster.tools.openapi.credentials import Credentials
from toolmaster.tools.tool import ToolRefusal

SECRET = "p4ss&w/rd+%"
SCHEMES = {
    "Key": {"type": "apiKey", "in": "query", "name": "api key"},
    "Token": {"type": "http", "scheme": "bearer"},
    "OAuth": {"type": "oauth2", "flows": {}},
    "Login": {"type": "http", "scheme": "basic"},
    "Mutual": {"type": "mutualTLS"},
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("LOGIN", f"me:{SECRET}")
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("LINES", "a\nX: y")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.fixture
def call(load_paths, server):
    """A function: what the server saw of one call, or what the tool refused with."""

    def run(auth, arguments=None, parameters=(), path="/a"):
        operation = {"operationId": "a", "parameters": parameters}
        components = {"securitySchemes": SCHEMES}
        document = load_paths({path: {"get": operation}}, components=components)

        async def inside():
            async with open_openapi(document, base_url=server.url, auth=auth) as tools:
                return tools["a"].parameters, await tools["a"].execute(None, arguments or {})

        return asyncio.run(inside())

    return run


@pytest.mark.parametrize("kind", ["bearer", "Token", "OAuth"])
def test_bearer(call, server, kind):
    call({kind: "SECRET"})
    assert server.seen[0]["headers"]["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("kind", ["basic", "Login"])
def test_basic(call, server, kind):
    call({kind: "LOGIN"})
    encoded = server.seen[0]["headers"]["authorization"].removeprefix("Basic ")
    assert base64.b64decode(encoded).decode() == f"me:{SECRET}"


def test_keys_in_headers_queries_and_cookies(call, server):
    query = [{"name": "q", "in": "query", "schema": {}}]
    cookie = [{"name": "c", "in": "cookie", "schema": {}}]
    auth = {"header X-Key": "SECRET", "Key": "SECRET", "cookie sid": "SECRET"}
    call(auth, {"q": "a b,c", "c": "d"}, query + cookie)
    seen = server.seen[0]
    assert seen["headers"]["x-key"] == SECRET
    assert seen["query"] == [("q", "a b,c"), ("api key", SECRET)]
    assert seen["headers"]["cookie"].startswith("c=d; sid=p4ss")


def test_a_parameter_that_is_a_credential_is_hidden(call):
    parameters = [
        {"name": "X-Key", "in": "header", "required": True, "schema": {}},
        {"name": "q", "in": "query", "schema": {}},
    ]
    schema, _ = call({"header x-key": "SECRET"}, {}, parameters)
    assert (list(schema["properties"]), schema["required"]) == (["q"], [])


@pytest.mark.parametrize(
    "auth",
    [{"Key": "SECRET"}, {"bearer": "SECRET"}, {"basic": "LOGIN"}, {"cookie c": "SECRET"}],
)
def test_secrets_are_in_no_log_and_no_observation(call, server, caplog, auth):
    caplog.set_level(logging.DEBUG)
    schema, echoed = call(auth, {}, [{"name": "q", "in": "query", "schema": {}}])
    text = caplog.text + str(echoed) + str(schema)
    assert "GET" in caplog.text
    [variable] = auth.values()
    assert f"[{variable}]" in str(echoed)
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for shape in (SECRET, "p4ss%26w", encoded):
        assert shape not in text


def test_secrets_are_not_in_errors(call, server):
    server.answers["/a"] = lambda h: h.reply(403, {}, f"bad token {SECRET}".encode())
    with pytest.raises(ToolRefusal, match=r"HTTP 403 Forbidden: bad token \[SECRET\]"):
        call({"bearer": "SECRET"})


ESCAPED = [
    r"ab\/cd=",
    r"ab/cd\u003d",
    r"\u0061\u0062\u002F\u0063\u0064\u003D",
    "ab%2Fcd%3D",
]


@pytest.mark.parametrize("written", ESCAPED)
def test_secrets_in_escapes_of_json(call, server, monkeypatch, written):
    monkeypatch.setenv("SECRET", "ab/cd=")
    body = f'{{"k": ["x {written}"], "{written}": 1}}'.encode()
    json_type = {"Content-Type": "application/json"}
    server.answers["/a"] = lambda h: h.reply(200, json_type, body)
    _, value = call({"bearer": "SECRET"})
    assert value == {"k": ["x [SECRET]"], "[SECRET]": 1}
    server.answers["/a"] = lambda h: h.reply(403, json_type, body)
    with pytest.raises(ToolRefusal) as caught:
        call({"bearer": "SECRET"})
    assert str(caught.value).endswith('{"k": ["x [SECRET]"], "[SECRET]": 1}')


def test_secrets_in_json_inside_json(call, server, monkeypatch):
    monkeypatch.setenv("SECRET", 'a"b/cd')
    inside = json.dumps({"k": 'a"b/cd', "n": "\\"}).replace("/", r"\/")
    body = json.dumps([inside, None, 1.5]).encode()
    server.answers["/a"] = lambda h: h.reply(200, {"Content-Type": "application/json"}, body)
    _, value = call({"bearer": "SECRET"})
    assert value == [r'{"k": "[SECRET]", "n": "\\"}', None, 1.5]


def test_secrets_do_not_leak_at_a_cut(load_paths, server, monkeypatch):
    escaped = "".join(f"\\u{ord(character):04x}" for character in SECRET)
    body = f"{'x' * 240}{escaped}".encode()
    server.answers["/a"] = lambda h: h.reply(200, {}, body)
    document = load_paths({"/a": {"get": {"operationId": "a"}}})
    monkeypatch.setattr(service, "RESPONSE_BYTES", 300)

    async def inside():
        async with open_openapi(document, base_url=server.url, auth={"bearer": "SECRET"}) as tools:
            return await tools["a"].execute(None, {})

    shown = asyncio.run(inside())
    assert shown.startswith("xxx")
    assert r"\u0" not in shown


def test_secrets_are_not_shown_by_objects():
    assert SECRET not in repr(Credentials({"bearer": "SECRET"}))


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"bearer": "UNSET"}, "auth 'bearer': the environment variable 'UNSET' is not set"),
        ({"bearer": "EMPTY"}, "'EMPTY' is not set or empty; set it to the credential"),
        ({"header X": "LINES"}, "the value of 'LINES' cannot be sent; printable ASCII"),
        ({"Mutual": "SECRET"}, "auth 'Mutual' is unknown; allowed: 'bearer', .*'Key', 'Token'"),
        ({"header": "SECRET"}, "auth 'header' is unknown"),
    ],
)
def test_bad_credentials(call, server, auth, message):
    with pytest.raises(InputError, match=message) as error:
        call(auth)
    assert SECRET not in str(error.value)
    assert server.seen == []


def test_security_definitions_of_swagger_2(load_paths):
    definitions = {
        "k": {"type": "apiKey", "in": "header", "name": "X"},
        "b": {"type": "basic"},
        "broken": 3,
    }
    document = load_paths({"/a": {"get": {}}}, "2.0", securityDefinitions=definitions)
    assert document.security_schemes == {"k": ("header", "X"), "b": ("basic", "")}


def test_no_credentials_for_another_host(load_paths, server, make_server):
    other = make_server()
    server.answers["/a"] = lambda h: h.reply(302, {"Location": f"{other.url}/steal"})
    document = load_paths({"/a": {"get": {"operationId": "a"}}})

    async def inside():
        async with open_openapi(document, base_url=server.url, auth={"bearer": "SECRET"}) as tools:
            await tools["a"].execute(None, {})

    with pytest.raises(ToolRefusal, match=r"redirect not followed: .* is another host"):
        asyncio.run(inside())
    assert other.seen == []


def test_addresses_do_not_carry_credentials(server):
    url = server.url.replace("http://", "http://me:pw@")
    server.answers["/openapi.json"] = lambda h: h.reply(404, {})

    async def inside():
        async with open_openapi(
            load_document_from(server), base_url=url
        ) as tools:  # pragma: no cover - never entered
            return tools

    with pytest.raises(InputError, match="without a user"):
        asyncio.run(inside())


def load_document_from(server):
    content = b'{"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}'
    server.answers["/api.json"] = lambda h: h.reply(200, {}, content)
    return load_document(f"{server.url}/api.json")
