"""Arguments to requests: OpenAPI's own table of styles, bodies, and tricks that must not work."""

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolmaster.tools.openapi.requests import build
from toolmaster.tools.tool import ToolRefusal

LIST = ["blue", "black", "brown"]
COLOUR = {"R": 100, "G": 200, "B": 150}


@pytest.fixture
def parts(load_paths):
    """A function: the request of one operation called with these arguments."""

    def run(arguments, *parameters, path="/a", method="get", version="3.0.3", **operation):
        document = load_paths({path: {method: {**operation, "parameters": parameters}}}, version)
        return build(document.operations[0], arguments)

    return run


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
def test_path_styles(parts, style, explode, text, array, mapping):
    parameter = {"name": "c", "in": "path", "style": style, "explode": explode, "schema": {}}
    for value, written in (("blue", text), (LIST, array), (COLOUR, mapping)):
        assert parts({"c": value}, parameter, path="/x/{c}/y").target == f"/x/{written}/y"


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
def test_query_styles(parts, style, explode, array, mapping):
    parameter = {"name": "c", "in": "query", "style": style, "explode": explode, "schema": {}}
    for value, written in ((LIST, array), (COLOUR, mapping)):
        assert parts({"c": value}, parameter).target == f"/a?{written}"


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
def test_swagger_2_collections(parts, collection_format, written):
    parameter = {"name": "c", "in": "query", "type": "array", "items": {"type": "string"}}
    parameter |= {"collectionFormat": collection_format} if collection_format else {}
    assert parts({"c": ["a", "b c"]}, parameter, version="2.0").target == f"/a?{written}"


def test_scalars_headers_and_cookies(parts):
    sent = parts(
        {"b": True, "n": 1.5, "none": None, "X-H": ["a", 2], "s": "x;y"},
        {"name": "b", "in": "query", "schema": {}},
        {"name": "n", "in": "query", "schema": {}},
        {"name": "none", "in": "query", "schema": {}},
        {"name": "X-H", "in": "header", "schema": {}},
        {"name": "s", "in": "cookie", "schema": {}},
    )
    assert sent.target == "/a?b=true&n=1.5"
    assert sent.headers == {b"X-H": b"a,2", b"Cookie": b"s=x%3By"}


def test_content_parameters_are_json(parts):
    parameter = {"name": "w", "in": "query", "content": {"application/json": {}}}
    sent = parts({"w": {"a": [1, "ö"]}}, parameter)
    assert json.loads(unquote(sent.target.removeprefix("/a?w="))) == {"a": [1, "ö"]}


def test_deep_objects_within_objects(parts):
    parameter = {"name": "f", "in": "query", "style": "deepObject", "explode": True, "schema": {}}
    sent = parts({"f": {"a": {"b": 1}, "c": [2, 3]}}, parameter)
    assert sent.target == "/a?f[a][b]=1&f[c][]=2&f[c][]=3"


def test_reserved_characters(parts):
    parameter = {"name": "q", "in": "query", "allowReserved": True, "schema": {}}
    assert parts({"q": "a/b?c&d#e=f g"}, parameter).target == "/a?q=a/b?c%26d%23e%3Df%20g"


def test_fixed_query_and_fragment_of_the_path(parts):
    parameter = {"name": "q", "in": "query", "schema": {}}
    assert parts({"q": 1}, parameter, path="/a?v=2&q={q}#Action").target == "/a?v=2&q=1"


def test_accept_prefers_json(parts):
    content = {"text/html": {}, "application/json": {}}
    sent = parts({}, responses={"200": {"content": content}})
    assert sent.headers[b"Accept"] == b"application/json, */*;q=0.5"
    sent = parts({}, responses={"200": {"content": {"text/csv": {}}}})
    assert sent.headers[b"Accept"] == b"text/csv, */*;q=0.5"


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
def test_path_arguments_stay_in_their_segment(parts, value, written):
    parameters = [{"name": name, "in": "path", "schema": {}} for name in ("id", "other")]
    path, arguments = "/a/{id}/b/{other}", {"id": value, "other": "o"}
    if written is None:
        with pytest.raises(ToolRefusal, match="path parameter 'id'"):
            parts(arguments, *parameters, path=path)
    else:
        assert parts(arguments, *parameters, path=path).target == f"/a/{written}/b/o"


@given(value=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_leaves_its_segment_or_adds_a_parameter(value):
    from toolmaster.tools.openapi.operation import Parameter  # noqa: PLC0415
    from toolmaster.tools.openapi.requests import _segment  # noqa: PLC0415
    from toolmaster.tools.openapi.serialisation import in_query, percent  # noqa: PLC0415

    parameter = Parameter("id", "id", "path", True, "simple", explode=False)
    try:
        written = _segment(parameter, value)
    except ToolRefusal:
        return
    assert not set(written) & set("/\\?#&= \r\n")
    assert unquote(written) == value
    [pair] = in_query("q", value, "form", percent, explode=True)
    assert not set(pair.removeprefix("q=")) & set("/\\?#&= \r\n")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_headers_stay_one_line(parts, value):
    with pytest.raises(ToolRefusal, match="header parameter 'X-H': one line"):
        parts({"X-H": value}, {"name": "X-H", "in": "header", "schema": {}})


def body(parts, media_type, value, **media):
    operation = {"requestBody": {"content": {media_type: media}}}
    return parts({"body": value}, method="post", **operation)


@pytest.mark.parametrize(
    ("media_type", "value", "written"),
    [
        ("application/json", {"a": [1, None, "ö"]}, '{"a": [1, null, "ö"]}'),
        ("application/json", "text", '"text"'),
        ("application/merge-patch+json", {"a": None}, '{"a": null}'),
        ("text/xml", "<a>ö</a>", "<a>ö</a>"),
        ("text/plain", "data:text/plain;base64,aGk=", "hi"),
        ("application/x-www-form-urlencoded", {"a": "b c&d", "n": [1, 2]}, "a=b%20c%26d&n=1&n=2"),
        ("application/x-www-form-urlencoded", {"o": {"k": 1}}, "o=%7B%22k%22%3A1%7D"),
    ],
)
def test_bodies(parts, media_type, value, written):
    sent = body(parts, media_type, value)
    assert sent.content.decode() == written
    assert sent.headers[b"Content-Type"] == media_type.encode()


def test_forms_follow_their_encoding(parts):
    encoding = {"f": {"style": "deepObject", "explode": True}, "l": {"style": "form"}}
    encoding["l"]["explode"] = False
    kind = "application/x-www-form-urlencoded"
    sent = body(parts, kind, {"f": {"a": {"b": 1}}, "l": [1, 2]}, encoding=encoding)
    assert sent.content == b"f[a][b]=1&l=1,2"


def test_multipart(parts):
    properties = {"doc": {"type": "string", "format": "binary"}, "meta": {}, "n": {}}
    value = {"doc": "data:;base64,AAE=", "meta": {"a": 1}, "n": [1, 2]}
    sent = body(parts, "multipart/form-data", value, schema={"properties": properties})
    assert sent.files == [
        ("doc", ("doc", b"\0\1", "application/octet-stream")),
        ("meta", (None, b'{"a":1}', "application/json")),
        ("n", (None, b"1", "text/plain")),
        ("n", (None, b"2", "text/plain")),
    ]
    assert (sent.content, b"Content-Type" in sent.headers) == (None, False)


def test_broken_data_urls_are_refused(parts):
    with pytest.raises(ToolRefusal, match="not a valid data: URL"):
        body(parts, "text/plain", "data:;base64,?")


def test_no_body_where_none_is_given(parts):
    sent = body(parts, "application/json", None)
    assert (sent.content, sent.files, sent.headers) == (None, None, {})
