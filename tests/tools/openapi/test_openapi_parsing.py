"""Text to JSON values: what YAML means, places in messages, and bounds."""

import json

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.openapi import parsing
from toolmaster.tools.openapi.parsing import parse_text


def parse(text):
    return parse_text(text, "api.yaml")


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
        ('{"a": 1,}', "api.yaml: not valid JSON at line 1, column 9"),
        ('{"a": NaN}', "api.yaml: not valid JSON: NaN is no JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "api.yaml: not valid JSON: Exceeds the limit"),
        ('{"a":' * 100_000, "api.yaml: not valid JSON: maximum recursion depth"),
        ("a: [1\nb: 2", "api.yaml: not valid YAML at line 2, column 2"),
        ("a: {b: *c}", "alias *c has no complete anchor before at line 1, column 8"),
        ("a: &x {b: *x}", "alias *x has no complete anchor before"),
        ("a: &x {b: 1}\nc: {<<: *x}", "key '<<' is not supported at line 2"),
        ("? [a]\n: 1", "key ['a'] is not supported"),
        ("[" * 600 + "]" * 600, "nested more than 500 deep at line 1, column 501"),
        ("just text", "an OpenAPI document is an object, got str"),
        ("", "an OpenAPI document is an object, got NoneType"),
        ("a: \x01", "api.yaml: not usable as YAML"),
    ],
)
def test_bad_text_names_the_place(text, message):
    with pytest.raises(InputError) as error:
        parse(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_nesting_that_would_break_the_c_parser():
    with pytest.raises(InputError, match=r"nested|not valid"):
        parse("a: " + "[" * 200_000)


def test_aliases_of_aliases_are_bounded(monkeypatch):
    monkeypatch.setattr(parsing, "MAX_NODES", 100_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 30)]
    with pytest.raises(InputError, match="more than 100000 values at line 6"):
        parse("\n".join(lines))
