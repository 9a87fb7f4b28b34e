"""Text to JSON values: what YAML means, places in messages, and bounds."""

import json

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.openapi.parsing import parse_text


def parse(text):
    return parse_text(text.encode(), "api.yaml")


def test_yaml_scalars_mean_what_json_means():
    text = """
        no: no
        date: 2024-01-02
        time: 12:30
        200: {a: 1, b: -2.5, c: 1e3, d: 010, e: "7", f: '', g: ~, h: , i: .inf, j: 1_000}
        true: [true, False, null, yes, 0x1F, !!str 5]
    """
    assert parse(text) == {
        "no": "no",
        "date": "2024-01-02",
        "time": "12:30",
        "200": {"a": 1, "b": -2.5, "c": 1e3, "d": 10, "e": "7", "f": "", "g": None, "h": None}
        | {"i": ".inf", "j": "1_000"},
        "true": [True, False, None, "yes", "0x1F", "5"],
    }


def test_json_and_yaml_agree():
    content = {"openapi": "3.1.0", "paths": {"/a": {"get": {"x": [1, 2.5, None, True, "ö"]}}}}
    assert parse(json.dumps(content)) == parse("\ufeff" + json.dumps(content, indent=1)) == content
    assert parse("# yaml\n" + json.dumps(content)) == content


def test_aliases_are_shared():
    content = parse("a: &x {b: [1]}\nc: *x\nd: &y text\ne: *y\n")
    assert content == {"a": {"b": [1]}, "c": {"b": [1]}, "d": "text", "e": "text"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', "api.yaml: not valid JSON or YAML: .*line 1 column 9"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"a":' * 100_000, "maximum recursion depth"),
        ("a: [1\nb: 2", "line 2, column 2"),
        ("a: {b: *c}", "undefined alias .*line 1, column 8"),
        ("a: &x {b: *x}", "aliases without end"),
        ("a: &x {b: 1}\nc: {<<: *x}", "merged keys .<<. are not supported; write them out"),
        ("? [a]\n: 1", "unhashable key"),
        ("[" * 600 + "]" * 600, "recursion depth|nesting depth"),
        ("a: " + "[" * 200_000, "recursion depth|nesting depth"),
        ("a: !!timestamp 2001-01-01", "not JSON serializable"),
        ("just text", "an OpenAPI document is an object, got str"),
        ("", "an OpenAPI document is an object, got NoneType"),
        ("a: \x01", "api.yaml: not valid JSON or YAML: unacceptable character"),
    ],
)
def test_bad_text_names_the_place(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse(text)
    assert "\n" not in str(error.value)


def test_aliases_of_aliases_are_bounded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 30)]
    with pytest.raises(InputError, match="more than 5000000 values"):
        parse("\n".join(lines))
