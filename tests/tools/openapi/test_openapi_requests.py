"""Arguments to requests: OpenAPI's own table of styles, bodies, and tricks that must not work."""

import json
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolmaster.tools.openapi.requests import build
from toolmaster.tools.tool import ToolRefusal

CLIENT = httpx.AsyncClient()
LIST = ["blue", "black", "brown"]
COLOUR = {"R": 100, "G": 200, "B": 150}


@pytest.fixture
def request_of(load_paths):
    """A function: the request of one operation called with these arguments."""

    def run(arguments, *parameters, path="/a", method="get", version="3.0.3", **operation):
        document = load_paths({path: {method: {**operation, "parameters": parameters}}}, version)
        return build(CLIENT, "http://h", document.operations[0], arguments)

    return run


def target(request):
    """Path and query."""
    return request.url.raw_path.decode()


# https://spec.openapis.org/oas/v3.1.0#style-examples, percent-encoded
@pytest.mark.parametrize(
    ("style", "explode", "text", "array", "mapping"),
    [
        ("matrix", False, ";c=blue", ";c=blue,black,brown", ";c=R,100,G,200,B,150"),
        ("matrix", True, ";c=blue", ";c=blue;c=black;c=brown", ";R=100;G=200;B=150"),
        ("label", False, ".blue", ".blue,black,brown", ".R,100,G,200,B,150"),
        ("label", True, ".blue", ".blue.black.brown", ".R=100.G=200.B=150"),
        ("simple", False, "blue", "blue,black,brown", "R,100,G,200,B,150"),
        ("simple", True, "blue", "blue,black,brown", "R=100,G=200,B=150"),
    ],
)
def test_path_styles(request_of, style, explode, text, array, mapping):
    parameter = {"name": "c", "in": "path", "style": style, "explode": explode, "schema": {}}
    for value, written in (("blue", text), (LIST, array), (COLOUR, mapping)):
        assert target(request_of({"c": value}, parameter, path="/x/{c}/y")) == f"/x/{written}/y"


@pytest.mark.parametrize(
    ("style", "explode", "array", "mapping"),
    [
        ("form", False, "c=blue,black,brown", "c=R,100,G,200,B,150"),
        ("form", True, "c=blue&c=black&c=brown", "R=100&G=200&B=150"),
        (None, None, "c=blue&c=black&c=brown", "R=100&G=200&B=150"),
        ("spaceDelimited", False, "c=blue%20black%20brown", "c=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", False, "c=blue%7Cblack%7Cbrown", "c=R%7C100%7CG%7C200%7CB%7C150"),
        ("deepObject", True, "c[]=blue&c[]=black&c[]=brown", "c[R]=100&c[G]=200&c[B]=150"),
    ],
)
def test_query_styles(request_of, style, explode, array, mapping):
    parameter = {"name": "c", "in": "query", "style": style, "explode": explode, "schema": {}}
    for value, written in ((LIST, array), (COLOUR, mapping)):
        assert target(request_of({"c": value}, parameter)) == f"/a?{written}"


@pytest.mark.parametrize(
    ("collection_format", "written"),
    [
        (None, "c=a,b%20c"),
        ("csv", "c=a,b%20c"),
        ("ssv", "c=a%20b%20c"),
        ("tsv", "c=a%09b%20c"),
        ("pipes", "c=a%7Cb%20c"),
        ("multi", "c=a&c=b%20c"),
    ],
)
def test_swagger_2_collections(request_of, collection_format, written):
    parameter = {"name": "c", "in": "query", "type": "array", "items": {"type": "string"}}
    parameter |= {"collectionFormat": collection_format} if collection_format else {}
    assert target(request_of({"c": ["a", "b c"]}, parameter, version="2.0")) == f"/a?{written}"


def test_scalars_headers_and_cookies(request_of):
    sent = request_of(
        {"b": True, "n": 1.5, "none": None, "X-H": ["a", 2], "s": "x;y"},
        {"name": "b", "in": "query", "schema": {}},
        {"name": "n", "in": "query", "schema": {}},
        {"name": "none", "in": "query", "schema": {}},
        {"name": "X-H", "in": "header", "schema": {}},
        {"name": "s", "in": "cookie", "schema": {}},
    )
    assert sent.url.raw_path == b"/a?b=true&n=1.5"
    assert (sent.headers["x-h"], sent.headers["cookie"]) == ("a,2", "s=x%3By")


def test_content_parameters_are_json(request_of):
    parameter = {"name": "w", "in": "query", "content": {"application/json": {}}}
    sent = request_of({"w": {"a": [1, "ö"]}}, parameter)
    assert json.loads(unquote(target(sent).removeprefix("/a?w="))) == {"a": [1, "ö"]}


def test_deep_objects_within_objects(request_of):
    parameter = {"name": "f", "in": "query", "style": "deepObject", "explode": True, "schema": {}}
    sent = request_of({"f": {"a": {"b": 1}, "c": [2, 3]}}, parameter)
    assert target(sent) == "/a?f[a][b]=1&f[c][]=2&f[c][]=3"


def test_fixed_query_and_fragment_of_the_path(request_of):
    parameter = {"name": "q", "in": "query", "schema": {}}
    assert target(request_of({"q": 1}, parameter, path="/a?v=2&q={q}#Action")) == "/a?v=2&q=1"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/b", "a%2Fb"),
        ("a/../b", None),
        ("..", None),
        (".", None),
        ("%2e%2e", None),
        ("a\\..\\b", None),
        (" ..", None),
        ("", None),
        (None, None),
        ([], None),
        ([""], None),
        (["", ""], None),
        ({"": ""}, None),
        (["a", ".."], "a,.."),
        ("https://evil.example/x", "https%3A%2F%2Fevil.example%2Fx"),
        ("//evil.example", "%2F%2Fevil.example"),
        ("@evil.example", "%40evil.example"),
        ("a?x=1#y", "a%3Fx%3D1%23y"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("{other}", "%7Bother%7D"),
        ("...", "..."),
        ("ö", "%C3%B6"),
        (7, "7"),
    ],
)
def test_path_arguments_stay_in_their_segment(request_of, value, written):
    parameters = [{"name": name, "in": "path", "schema": {}} for name in ("id", "other")]
    path, arguments = "/a/{id}/b/{other}", {"id": value, "other": "o"}
    if written is None:
        with pytest.raises(ToolRefusal, match="path parameter 'id'"):
            request_of(arguments, *parameters, path=path)
    else:
        assert target(request_of(arguments, *parameters, path=path)) == f"/a/{written}/b/o"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_text_leaves_its_segment_or_adds_a_parameter(request_of, value):
    parameters = [{"name": name, "in": where} for name, where in (("id", "path"), ("q", "query"))]
    try:
        sent = request_of({"id": value, "q": value}, *parameters, path="/a/{id}")
    except ToolRefusal:
        return
    path, _, query = target(sent).partition("?")
    for written in (path.removeprefix("/a/"), query.removeprefix("q=")):
        assert not set(written) & set("/\\?#&= \r\n")
        assert unquote(written) == value


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_headers_stay_one_line(request_of, value):
    with pytest.raises(ToolRefusal, match="header parameter 'X-H': one line"):
        request_of({"X-H": value}, {"name": "X-H", "in": "header", "schema": {}})


def body(request_of, media_type, value, **media):
    operation = {"requestBody": {"content": {media_type: media}}}
    return request_of({"body": value}, method="post", **operation)


@pytest.mark.parametrize(
    ("media_type", "value", "written"),
    [
        ("application/json", {"a": [1, None, "ö"]}, '{"a": [1, null, "ö"]}'),
        ("application/json", "text", '"text"'),
        ("application/merge-patch+json", {"a": None}, '{"a": null}'),
        ("text/xml", "<a>ö</a>", "<a>ö</a>"),
        ("text/plain", "data:text/plain;base64,aGk=", "hi"),
        ("application/x-www-form-urlencoded", {"a": "b c&d", "n": [1, 2]}, "a=b%20c%26d&n=1&n=2"),
        ("application/x-www-form-urlencoded", {"o": {"k": 1}, "n": None}, "o=%7B%22k%22%3A1%7D"),
    ],
)
def test_bodies(request_of, media_type, value, written):
    sent = body(request_of, media_type, value)
    assert sent.read().decode() == written
    assert sent.headers["content-type"] == media_type


def test_forms_follow_their_encoding(request_of):
    encoding = {"f": {"style": "deepObject", "explode": True}, "l": {"style": "form"}}
    encoding["l"]["explode"] = False
    kind = "application/x-www-form-urlencoded"
    sent = body(request_of, kind, {"f": {"a": {"b": 1}}, "l": [1, 2]}, encoding=encoding)
    assert sent.read() == b"f[a][b]=1&l=1,2"


FILE = {"type": "string", "format": "binary"}


@pytest.mark.parametrize(
    "schema",
    [
        FILE,
        {"type": "file"},
        {"type": "string", "contentMediaType": "application/octet-stream"},  # FastAPI
        {"anyOf": [FILE, {"type": "null"}]},
        {"allOf": [FILE]},
        {"type": "array", "items": FILE},
    ],
)
def test_files(request_of, schema):
    value = {"doc": "data:;base64,AAE=", "meta": {"a": 1}, "n": [1, 2], "none": None}
    sent = body(
        request_of, "multipart/form-data", value, schema={"properties": {"doc": schema, "n": {}}}
    )
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")
    fields = [part.partition(b"\r\n\r\n") for part in sent.read().split(b"\r\n--")]
    assert [content for _, _, content in fields[:-1]] == [b"\0\1", b'{"a":1}', b"1", b"2"]
    assert b'name="doc"; filename="doc"\r\nContent-Type: application/octet-str' in fields[0][0]
    assert b'name="meta"\r\nContent-Type: application/json' in fields[1][0]


@pytest.mark.parametrize("key", ["allOf", "anyOf"])
def test_files_in_the_parts_of_a_form(request_of, key):
    """A form may be composed, as that of older FastAPI is."""
    part = {"properties": {"docs": {"anyOf": [{"type": "array", "items": FILE}, {"type": "null"}]}}}
    schema = {key: [{key: [part]}, {"properties": {"note": {"type": "string"}}}]}
    value = {"docs": ["data:image/png;base64,AAE=", None, "plain"], "note": None}
    sent = body(request_of, "multipart/form-data", value, schema=schema)
    first, second, _ = sent.read().split(b"\r\n--")
    assert first.endswith(b'name="docs"; filename="docs"\r\nContent-Type: image/png\r\n\r\n\0\1')
    assert second.endswith(b"Content-Type: application/octet-stream\r\n\r\nplain")


def test_null_in_a_list_of_a_form_is_left_out(request_of):
    sent = body(request_of, "application/x-www-form-urlencoded", {"a": [1, None], "b": None})
    assert sent.read() == b"a=1"


def test_broken_data_urls_are_refused(request_of):
    with pytest.raises(ToolRefusal, match="not a valid data: URL"):
        body(request_of, "text/plain", "data:;base64,?")


def test_no_body_where_none_is_given(request_of):
    sent = body(request_of, "application/json", None)
    assert (sent.read(), "content-type" in sent.headers) == (b"", False)
