"""Operations: names, arguments, bodies, effects, and what is left out with a reason."""

import re

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.openapi.operations import TOOL_DESCRIPTION_CHARS
from toolmaster.tools.openapi.schemas import FILE
from toolmaster.types import Effect


def test_parameters_become_arguments(arguments):
    found = arguments(
        {"name": "q", "in": "query", "schema": {"type": "string"}, "description": "what"},
        {"name": "tags[]", "in": "query", "required": True, "schema": {"type": "array"}},
        {"name": "X-Trace", "in": "header", "schema": {"type": "integer", "default": 3}},
        {"name": "sid", "in": "cookie", "schema": {"enum": ["a", "b"]}, "example": "a"},
        {"name": "when", "in": "query", "schema": {"type": "string"}, "example": "2024-01-02"},
        {"name": "free", "in": "query"},
    )
    assert found == {
        "type": "object",
        "properties": {
            "q": {"description": "what", "type": "string"},
            "tags": {"type": "array"},
            "X-Trace": {"type": "integer", "default": 3},
            "sid": {"enum": ["a", "b"]},
            "when": {"examples": ["2024-01-02"], "type": "string"},
            "free": {"type": "string"},
        },
        "required": ["tags"],
        "additionalProperties": False,
    }


def test_swagger_2_parameters(arguments):
    found = arguments(
        {"name": "n", "in": "query", "type": "integer", "minimum": 0, "exclusiveMinimum": True},
        {"$ref": "#/parameters/Ids"},
        version="2.0",
        parameters={
            "Ids": {
                "name": "ids",
                "in": "query",
                "type": "array",
                "items": {"type": "string", "enum": ["a"]},
                "collectionFormat": "pipes",
                "description": "some",
            }
        },
    )
    assert found["properties"] == {
        "n": {"type": "integer", "exclusiveMinimum": 0},
        "ids": {"description": "some", "type": "array", "items": {"type": "string", "enum": ["a"]}},
    }


def test_the_operations_own_parameters_win(load_paths):
    path = {
        "parameters": [
            {"name": "id", "in": "path", "schema": {"type": "string"}},
            {"name": "n", "in": "query", "schema": {"type": "string"}},
        ],
        "get": {"parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}]},
    }
    schema = load_paths({"/a/{id}": path}).operations[0].schema
    assert schema["properties"] == {"id": {"type": "string"}, "n": {"type": "integer"}}
    assert schema["required"] == ["id"]


def test_one_name_in_several_places(arguments):
    found = arguments(
        {"name": "id", "in": "query", "schema": {}}, {"name": "id", "in": "header", "schema": {}}
    )
    assert list(found["properties"]) == ["id", "id_header"]


def test_headers_of_the_client_are_no_arguments(arguments):
    names = ["Accept", "authorization", "Content-Type", "Host", "Cookie", "X-Own"]
    found = arguments(*({"name": n, "in": "header", "schema": {}} for n in names))
    assert list(found["properties"]) == ["X-Own"]


def test_parameters_with_content(arguments):
    content = {"application/json": {"schema": {"type": "object"}}}
    found = arguments({"name": "where", "in": "query", "content": content})
    assert found["properties"]["where"] == {"type": "object"}


def test_the_path_says_which_path_parameters_there_are(load_paths):
    parameters = [{"name": "gone", "in": "path", "required": True, "schema": {}}]
    document = load_paths({"/a/{id}?v=1&p={page}": {"get": {"parameters": parameters}}})
    assert document.operations[0].schema["required"] == ["id", "p"]


@pytest.mark.parametrize(
    ("content", "media_type", "schema"),
    [
        ({"application/json": {"schema": {"type": "array"}}}, "application/json", "array"),
        ({"text/xml": {}, "application/vnd.x+json; v=1": {}}, "application/vnd.x+json; v=1", None),
        (
            {"multipart/form-data": {}, "application/x-www-form-urlencoded": {}},
            "application/x-www-form-urlencoded",
            None,
        ),
        ({"application/xml": {"schema": {"type": "object"}}}, "application/xml", "string"),
        ({"*/*": {"schema": {"type": "object"}}}, "application/json", "object"),
        ({"text/*": {}}, "text/plain", "string"),
        ({"image/*": {}}, "application/octet-stream", "string"),
        ({"application/octet-stream": {}}, "application/octet-stream", "string"),
    ],
)
def test_bodies(load_paths, content, media_type, schema):
    operation = {"requestBody": {"content": content, "required": True, "description": "It"}}
    found = load_paths({"/a": {"post": operation}}).operations[0]
    assert found.parameters["body"]["mediaType"] == media_type
    body = found.schema["properties"]["body"]
    assert body.get("type") == schema
    assert body["description"].startswith("It")
    assert found.schema["required"] == ["body"]


def test_swagger_2_body_and_form(load_paths):
    body = {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/P"}}
    fields = [
        {"name": "file", "in": "formData", "type": "file", "required": True},
        {"name": "note", "in": "formData", "type": "string", "description": "why"},
    ]
    document = load_paths(
        {
            "/a": {"post": {"parameters": [body], "consumes": ["application/json"]}},
            "/b": {"post": {"parameters": fields}},
        },
        "2.0",
        definitions={"P": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    )
    pet, form = document.operations
    assert pet.schema["properties"]["body"]["properties"] == {"n": {"type": "integer"}}
    assert pet.parameters["body"]["mediaType"] == "application/json"
    assert form.parameters["body"]["mediaType"] == "multipart/form-data"
    assert form.schema["properties"]["body"] == {
        "type": "object",
        "properties": {
            "file": {"type": "string", "description": FILE},
            "note": {"type": ["string", "null"], "description": "why"},
        },
        "required": ["file"],
    }


def test_a_parameter_called_body(load_paths):
    operation = {
        "parameters": [{"name": "body", "in": "query", "schema": {}}],
        "requestBody": {"content": {"application/json": {}}},
    }
    found = load_paths({"/a": {"post": operation}}).operations[0]
    assert list(found.schema["properties"]) == ["body", "body_request"]
    assert found.parameters["body_request"]["in"] == "body"


@pytest.mark.parametrize(
    ("operation_id", "method", "path", "name"),
    [
        ("getPet", "get", "/pets/{id}", "getPet"),
        ("pets/list all", "get", "/pets", "pets_list_all"),
        (None, "get", "/pets/{petId}/toys", "get_pets_petId_toys"),
        ("", "delete", "/", "delete"),
        ("ぺット", "put", "/a-b/c.d", "put_a-b_c_d"),
        (7, "post", "/x", "post_x"),
        (None, "get", "/very/" + "long/" * 20 + "tail/{id}", "get_" + "long_" * 10 + "tail_id"),
    ],
)
def test_names(load_paths, operation_id, method, path, name):
    document = load_paths({path: {method: {"operationId": operation_id}}})
    assert document.operations[0].name == name


def test_names_stay_unique_and_valid(load_paths):
    document = load_paths({f"/{n}": {"get": {"operationId": "x" * 200}} for n in range(120)})
    names = {operation.name for operation in document.operations}
    assert len(names) == 120
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)


def test_names_of_arguments(arguments):
    names = ["filter[status]", "$top", "a.b", "[]"]
    found = arguments(*({"name": n, "in": "query", "schema": {}} for n in names))
    assert list(found["properties"]) == ["filter_status", "top", "a.b", "query"]


def test_methods_tell_the_effect(load_paths):
    methods = ["get", "head", "options", "post", "put", "patch", "delete"]
    document = load_paths({"/a": {method: {} for method in methods}})
    assert [op.effect for op in document.operations] == [
        *[Effect.READ] * 3,
        Effect.UNKNOWN,
        Effect.DESTRUCTIVE,
        Effect.WRITE,
        Effect.DESTRUCTIVE,
    ]
    assert [op.name for op in document.operations] == [f"{method}_a" for method in methods]


CREATED = {"responses": {"201": {"description": "Created"}}}


@pytest.mark.parametrize(
    ("path", "operation", "effect"),
    [
        ("/pets", {}, Effect.WRITE),  # its items are at /pets/{id}
        ("/pets/", {}, Effect.WRITE),
        ("/owners", CREATED, Effect.WRITE),
        ("/pets/{id}/notes", CREATED, Effect.WRITE),
        ("/owners", {}, Effect.UNKNOWN),
        ("/search", {"responses": {"200": {}}}, Effect.UNKNOWN),
        ("/pets/{id}", CREATED, Effect.UNKNOWN),
        ("/pets/{id}/sell", {"responses": {"200": {}}}, Effect.UNKNOWN),
        ("/pets/purge", CREATED, Effect.UNKNOWN),
        ("/pets", {"operationId": "deletePets"}, Effect.UNKNOWN),
    ],
)
def test_a_post_is_a_write_only_if_it_plainly_creates(load_paths, path, operation, effect):
    document = load_paths({path: {"post": operation}, "/pets/{name}": {"get": {}}})
    [post] = [one for one in document.operations if one.method == "POST"]
    assert post.effect is effect


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("X-HTTP-Method-Override", "header"),
        ("x-method-override", "header"),
        ("X-HTTP-Method", "header"),
        ("_method", "query"),
        ("$httpMethod", "query"),
    ],
)
def test_with_another_method_in_a_parameter_the_effect_is_unknown(load_paths, method, name, place):
    parameters = [{"name": name, "in": place, "schema": {"type": "string"}}]
    document = load_paths({"/a": {method: {**CREATED, "parameters": parameters}}})
    assert document.operations[0].effect is Effect.UNKNOWN


def test_so_it_is_with_another_method_in_the_body(load_paths):
    form = {"schema": {"properties": {"_method": {}, "paymentMethod": {}}}}
    body = {"requestBody": {"content": {"application/x-www-form-urlencoded": form}}}
    other = {
        "requestBody": {
            "content": {"application/json": {"schema": {"properties": {"paymentMethod": {}}}}}
        }
    }
    document = load_paths({"/a": {"post": {**CREATED, **body}}, "/b": {"post": CREATED | other}})
    assert [one.effect for one in document.operations] == [Effect.UNKNOWN, Effect.WRITE]


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({"summary": "List.", "description": "All of them."}, "List. All of them."),
        ({"summary": "List pets", "description": "List pets by page."}, "List pets by page."),
        ({"summary": "List pets"}, "List pets."),
        ({"description": "a\n b"}, "a b"),
        ({}, "GET /a"),
        ({"summary": "Old", "deprecated": True}, "Deprecated. Old."),
    ],
)
def test_descriptions(load_paths, operation, text):
    assert load_paths({"/a": {"get": operation}}).operations[0].description == text


def test_long_descriptions_are_trimmed(load_paths):
    operation = load_paths({"/a": {"get": {"description": "word " * 900}}}).operations[0]
    assert len(operation.description) <= TOOL_DESCRIPTION_CHARS


@pytest.mark.parametrize(
    ("paths", "place", "reason"),
    [
        ({"a": {"get": {}}}, "GET a", "a path begins with /"),
        ({"/a": []}, "/a", "the path item must be an object"),
        ({"/a": {"$ref": "b.yaml"}}, "/a", "$ref 'b.yaml' is in another document"),
        ({"/a": {"$ref": "#/paths/~1a"}}, "/a", "leads in a circle"),
        ({"/a": {"get": "x"}}, "GET /a", "the operation must be an object"),
        ({"/a": {"trace": {}}}, "TRACE /a", "'trace' is not a method"),
        ({"/a": {"Get": {}, "x-b": 1, "summary": "s"}}, "GET /a", "'Get' is not a method"),
        (
            {"/a": {"get": {"parameters": [{"name": "x", "in": "hedder", "required": True}]}}},
            "GET /a",
            "parameter 'x' is in 'hedder', which is unknown",
        ),
        (
            {"/a": {"get": {"parameters": [{"in": "query", "required": True}]}}},
            "GET /a",
            "parameter None is in 'query', which is unknown",
        ),
        ({"/a": {"post": {"requestBody": {"$ref": "#/no"}}}}, "POST /a", "'#/no' names nothing"),
        (
            {"/a": {"post": {"servers": [{"url": "https://files.example"}]}}},
            "POST /a",
            "its server https://files.example is not the service's own host",
        ),
    ],
)
def test_operations_left_out_have_a_reason(load_paths, caplog, paths, place, reason):
    servers = [{"url": "https://api.example/v1"}]
    document = load_paths({**paths, "/ok": {"get": {}}}, servers=servers)
    assert [op.path for op in document.operations] == ["/ok"]
    assert list(document.left_out) == [place]
    assert reason in document.left_out[place]
    assert f"1 operations, 1 left out: {place}: {document.left_out[place]}" in caplog.text


def test_nothing_left_is_an_error(load_paths):
    with pytest.raises(InputError, match=r"api.json: no operation under /paths: none .*; TRACE"):
        load_paths({"/a": {"trace": {}}})
    with pytest.raises(InputError, match=r"api.json: no operation under /paths$"):
        load_paths({})
