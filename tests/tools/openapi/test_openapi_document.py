"""Loading: files, addresses, servers, and documents that are broken in every way."""

import json
import subprocess
import sys
import time

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolmaster.errors import InputError
from toolmaster.tools.openapi import document, load_document, parsing

PATHS = {"/a": {"get": {"operationId": "a"}}}
MINIMAL = {"openapi": "3.0.0", "info": {}, "paths": PATHS}
JSON = {"Content-Type": "application/json"}


def serve(content, status=200):
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda handler: handler.reply(status, JSON, text.encode())


def nothing(handler):
    handler.reply(404, {})


@pytest.fixture
def quiet(server):
    """A server with nothing in the usual places."""
    server.answers |= {f"/{p.partition('?')[0]}": nothing for p in document.USUAL_PLACES}
    server.answers["/"] = server.answers[""] = nothing
    return server


@pytest.mark.parametrize("version", ["2.0", "3.0.3", "3.1.0"])
def test_versions(load_paths, version):
    assert [op.name for op in load_paths(PATHS, version).operations] == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"paths": PATHS}, "version None at /openapi or /swagger"),
        ({"openapi": "4.0.0", "paths": PATHS}, "version '4.0.0' at /openapi"),
        ({"swagger": 1.2, "paths": PATHS}, "version 1.2 at /openapi or /swagger"),
        ({"openapi": "3.0.0", "paths": []}, "/paths must be an object"),
        ([], "an OpenAPI document is an object, got list"),
        ("{", "not valid JSON or YAML: Expecting property name"),
        ("a: b: c", "line 1, column 5"),
    ],
)
def test_unusable_documents(load, content, message):
    with pytest.raises(InputError) as error:
        load(content)
    assert "api.json: " in str(error.value)
    assert message in str(error.value)


def test_unreadable_files(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no.json: cannot be read: No such file"):
        load_document(tmp_path / "no.json")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_document(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"openapi: \xff")
    with pytest.raises(InputError, match=r"latin.yaml: not valid JSON or YAML: .*utf-8"):
        load_document(tmp_path / "latin.yaml")
    monkeypatch.setattr(parsing, "MAX_BYTES", 3)
    with pytest.raises(InputError, match="the limit of a document"):
        load_document(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("more", "server"),
    [
        ({}, None),
        ({"servers": [{"url": "https://h.example/v1/"}]}, "https://h.example/v1"),
        (
            {
                "servers": [
                    {
                        "url": "https://{region}.h.example/{base}",
                        "variables": {"region": {"default": "eu"}, "base": {"default": "v2"}},
                    }
                ]
            },
            "https://eu.h.example/v2",
        ),
        ({"servers": [{"url": "https://{region}.h.example"}]}, None),
        ({"servers": [{"url": "/v1"}]}, None),
        (
            {"servers": [{"url": "https://{r}.h.example"}, {"url": "https://h.example/v2"}]},
            "https://h.example/v2",
        ),
        (
            {
                "servers": [
                    {"url": "https://{r}.h.example", "variables": {"r": {"enum": ["a"]}}},
                    {"url": "/v1"},
                    {"url": "https://{r}.h.example", "variables": {"r": {"default": "b"}}},
                ]
            },
            "https://b.h.example",
        ),
        ({"servers": "x"}, None),
        ({"servers": [{"url": "ftp://h.example"}]}, None),
    ],
)
def test_servers(load_paths, more, server):
    assert load_paths(PATHS, **more).server == server


@pytest.mark.parametrize(
    ("more", "server"),
    [
        ({"host": "h.example", "basePath": "/v1"}, "https://h.example/v1"),
        ({"host": "h.example:8080", "schemes": ["http"]}, "http://h.example:8080"),
        ({"basePath": "/v1"}, None),
    ],
)
def test_swagger_2_servers(load_paths, more, server):
    assert load_paths(PATHS, "2.0", **more).server == server


def test_a_documents_own_address(server):
    server.answers["/docs/api.json"] = serve({**MINIMAL, "servers": [{"url": "../v1"}]})
    found = load_document(f"{server.url}/docs/api.json")
    assert (found.source, found.server) == (f"{server.url}/docs/api.json", f"{server.url}/v1")


@pytest.mark.parametrize("place", document.USUAL_PLACES)
def test_usual_places(quiet, place):
    quiet.answers[f"/{place.partition('?')[0]}"] = serve({**MINIMAL, "paths": PATHS})
    found = load_document(quiet.url)
    assert found.source.startswith(f"{quiet.url}/{place.partition('?')[0]}")
    assert found.server == quiet.url


def test_a_service_is_where_it_was_found(quiet):
    servers = [{"url": "http://localhost:9/v1"}]
    quiet.answers["/openapi.json"] = serve({**MINIMAL, "servers": servers})
    assert load_document(quiet.url).server == f"{quiet.url}/v1"


def test_addresses_without_a_document(quiet):
    with pytest.raises(InputError, match=r"no OpenAPI document there; looked at .*\(HTTP 404\)"):
        load_document(quiet.url)
    quiet.answers["/"] = serve("{", 200)
    with pytest.raises(InputError, match="not valid JSON or YAML"):
        load_document(f"{quiet.url}/")
    quiet.answers["/openapi.json"] = serve("", 401)
    with pytest.raises(InputError, match="it asks for credentials: give auth"):
        load_document(quiet.url)


def test_dead_services(make_server):
    server = make_server()
    server.shutdown()
    server.server_close()
    with pytest.raises(
        InputError, match="no answer from the service: All connection attempts"
    ) as error:
        load_document(server.url)
    assert "\n" not in str(error.value)


def test_redirects_stay_on_the_host(quiet, make_server):
    other = make_server()
    other.answers["/openapi.json"] = quiet.answers["/real.json"] = serve(MINIMAL)
    quiet.answers["/openapi.json"] = lambda h: h.reply(302, {"Location": "/real.json"})
    assert len(load_document(f"{quiet.url}/openapi.json").operations) == 1
    quiet.answers["/openapi.json"] = lambda h: h.reply(
        302, {"Location": f"{other.url}/openapi.json"}
    )
    with pytest.raises(InputError, match="is another host than the service's own; give that"):
        load_document(f"{quiet.url}/openapi.json")
    assert other.seen == []


@pytest.mark.parametrize(
    "url", ["http://me:p4ssw0rd@h.example", "http://h.example/?api_key=p4ssw0rd"]
)
def test_addresses_do_not_hold_secrets(url):
    with pytest.raises(InputError, match=r"h.example.*: the address holds a secret; give") as error:
        load_document(url)
    assert "p4ss" not in str(error.value)


def test_credentials_for_the_document(quiet, monkeypatch):
    monkeypatch.setenv("KEY", "s3cret")
    quiet.answers["/openapi.json"] = serve(MINIMAL)
    load_document(quiet.url, auth={"bearer": "KEY"})
    assert quiet.seen[-1]["headers"]["authorization"] == "Bearer s3cret"


def test_documents_from_addresses_are_bounded(quiet, monkeypatch):
    monkeypatch.setattr(document, "MAX_BYTES", 100)
    monkeypatch.setattr(parsing, "MAX_BYTES", 100)
    quiet.answers["/openapi.json"] = serve({**MINIMAL, "x": "y" * 200})
    with pytest.raises(InputError, match="the limit"):
        load_document(f"{quiet.url}/openapi.json")


def test_a_large_recursive_document_loads_in_bounded_time(load):
    properties = {f"p{i}": {"$ref": f"#/components/schemas/S{i}"} for i in range(0, 1000, 7)}
    description = "words " * 50
    schemas = {
        f"S{i}": {"type": "object", "description": description, "properties": properties}
        for i in range(1000)
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}
    paths = {f"/p{i}": {"post": {"requestBody": {"content": content}}} for i in range(300)}
    text = json.dumps({**MINIMAL, "paths": paths, "components": {"schemas": schemas}})
    assert len(text) > 5_000_000
    start = time.process_time()
    found = load(text)
    sizes = [len(json.dumps(operation.schema)) for operation in found.operations]
    assert time.process_time() - start < 20
    assert max(sizes) < 40_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("#/paths"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
FULL = {
    "servers": [{"url": "https://h.example/{v}", "variables": {"v": {"default": "1"}}}],
    "host": "h.example",
    "schemes": ["https"],
    "produces": ["application/json"],
    "components": {
        "securitySchemes": {"k": {"type": "apiKey", "in": "query", "name": "k"}},
        "schemas": {"A": {"properties": {"a": {"$ref": "#/components/schemas/A"}}}},
    },
    "paths": {
        "/a/{id}": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
            "post": {
                "operationId": "x",
                "description": "d",
                "servers": [{"url": "/v1"}],
                "parameters": [
                    {"name": "q", "in": "query", "style": "form", "explode": True, "schema": {}},
                    {"name": "b", "in": "body", "schema": {"type": "object"}},
                    {"name": "f", "in": "formData", "type": "array", "items": {"type": "file"}},
                ],
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {"properties": {"a": {"format": "binary", "enum": [1]}}},
                            "encoding": {"a": {"contentType": "image/png"}},
                        }
                    }
                },
                "responses": {"200": {"content": {"application/json": {}}}},
            },
        }
    },
}


def spots(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    for key, child in [*inner, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from spots(child, (*path, key))


SPOTS = [spot for spot in spots(FULL) if spot]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    version=st.sampled_from([{"swagger": "2.0"}, {"openapi": "3.0.1"}, {"openapi": "3.1.0"}]),
    changes=st.lists(st.tuples(st.sampled_from(SPOTS), VALUES), min_size=1, max_size=3),
)
def test_malformed_documents_never_crash(load, version, changes):
    content = json.loads(json.dumps({**version, **FULL}))
    for path, value in changes:
        at = content
        for key in path[:-1]:
            inside = isinstance(at, dict) and key in at
            inside = inside or (isinstance(at, list) and isinstance(key, int) and key < len(at))
            at = at[key] if inside else None
        if isinstance(at, dict) or (isinstance(at, list) and path[-1] in range(len(at))):
            at[path[-1]] = value
    try:
        found = load(content)
    except InputError:
        return
    for operation in found.operations:
        jsonschema_rs.validator_for(operation.schema, offline=True)


def test_tools_do_not_import_http_or_yaml():
    code = "import sys, toolmaster.tools; print({'httpx', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
