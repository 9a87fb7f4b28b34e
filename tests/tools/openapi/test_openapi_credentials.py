"""Credentials: from the environment only, to one host only, and never shown."""

import asyncio
import base64
import json
import logging

import httpx
import pytest

from toolmaster.errors import InputError
from toolmaster.tools.openapi import open_openapi, service
from toolmaster.tools.openapi.credentials import origin
from toolmaster.tools.tool import ToolRefusal

SECRET = "p4ss&w/rd+%"
LOGIN = base64.b64encode(f"me:{SECRET}".encode()).decode()
SCHEMES = {
    "Key": {"type": "apiKey", "in": "query", "name": "api key"},
    "Token": {"type": "http", "scheme": "bearer"},
    "OAuth": {"type": "oauth2", "flows": {}},
    "Login": {"type": "http", "scheme": "basic"},
    "Mutual": {"type": "mutualTLS"},
}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://bücher.example", "http://xn--bcher-kva.example/a"),
        ("http://BÜCHER.example:80/x", "http://xn--bcher-kva.example"),
        ("https://faß.example", "https://xn--fa-hia.example"),
    ],
)
def test_a_host_is_the_same_however_it_is_written(given, sent):
    assert origin(given) == origin(sent) == origin(str(httpx.URL(given)))
    assert origin(given) != origin("http://bucher.example")


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


@pytest.mark.parametrize(
    ("kind", "variable", "authorization"),
    [
        *((kind, "SECRET", f"Bearer {SECRET}") for kind in ("bearer", "Token", "OAuth")),
        *((kind, "LOGIN", f"Basic {LOGIN}") for kind in ("basic", "Login")),
    ],
)
def test_authorization(call, server, kind, variable, authorization):
    call({kind: variable})
    assert server.seen[0]["headers"]["authorization"] == authorization


def test_keys_in_headers_queries_and_cookies(call, server):
    parameters = [{"name": n, "in": where} for n, where in (("q", "query"), ("c", "cookie"))]
    auth = {"header X-Key": "SECRET", "Key": "SECRET", "cookie sid": "SECRET"}
    call(auth, {"q": "a b,c", "c": "d"}, parameters)
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
    for shape in (SECRET, "p4ss%26w", LOGIN):
        assert shape not in text


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in SECRET)


@pytest.mark.parametrize("body", [SECRET, ESCAPED, json.dumps(json.dumps(SECRET))])
@pytest.mark.parametrize("status", [200, 403])
def test_secrets_are_in_no_answer(call, server, body, status):
    answer = f'{{"token": "{ESCAPED}", "text": ["{body}"]'.encode() + b"}" * (body != SECRET)
    kind = {"Content-Type": "application/json"}
    server.answers["/a"] = lambda h: h.reply(status, kind, answer)
    try:
        shown = str(call({"bearer": "SECRET"})[1])
    except ToolRefusal as refusal:
        shown = str(refusal)
    assert shown.count("[SECRET]") == 2
    assert not any(shape in shown for shape in (SECRET, ESCAPED))


def test_secrets_do_not_leak_at_a_cut(call, server, monkeypatch):
    monkeypatch.setattr(service, "RESPONSE_BYTES", 300)
    server.answers["/a"] = lambda h: h.reply(200, {}, f"{'x' * 240}{ESCAPED}".encode())
    _, shown = call({"bearer": "SECRET"})
    assert shown.startswith("xxx")
    assert r"\u0" not in shown


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
