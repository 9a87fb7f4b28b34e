"""Nesting without end is a clear error, wherever it is read."""

import json

import pytest

from toolmaster.system.nesting import MAX_LEVELS, NestedError, is_deep, read_json, read_toml


def lists(levels):
    return "[" * levels + "]" * levels


def objects(levels):
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("text", [lists, objects])
@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 900, 5000, 200_000])
def test_deep_json_is_refused(text, levels):
    with pytest.raises(NestedError, match="nested deeper than 200 levels"):
        read_json(text(levels))


@pytest.mark.parametrize("text", [lists, objects])
def test_json_of_the_most_levels_is_read(text):
    value = read_json(text(MAX_LEVELS))
    assert value == json.loads(text(MAX_LEVELS))
    assert is_deep(value, MAX_LEVELS - 1)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + lists(5000),
        "a = " + "{a=" * 5000 + "1" + "}" * 5000,
        ".".join("a" * 5000) + " = 1",
        "[" + ".".join("a" * 5000) + "]",
        "a = " + lists(MAX_LEVELS),
    ],
)
def test_deep_toml_is_refused(text):
    with pytest.raises(NestedError):
        read_toml(text)


def test_wide_values_are_not_deep():
    assert not is_deep([{"a": [i, {"b": i}]} for i in range(10_000)], 4)
    assert not is_deep("[[[[", 0)
    assert is_deep([], 0)
    with pytest.raises(ValueError, match="Expecting value"):
        read_json("[")
