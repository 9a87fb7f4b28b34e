"""`differences`: compares the end state of a task's object with the expected one.

A path is made of names with dots between them: attributes of objects, keys of mappings and indexes
of lists, as in `stock.Wool Rug` or `orders.0.item`. Values are compared as JSON, so a tuple equals
a list and a dataclass equals an object with its fields; a set equals a list of its values in any
order. Numbers are equal by value, up to rounding; texts only if every character is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from pydantic_core import to_jsonable_python

from toolmaster.tasksets.answers import as_answer

ROUNDING = 1e-9
"""Relative difference up to which two numbers are equal."""
_MISSING = object()
_INDEX = re.compile(r"-?[0-9]{1,9}")
_SCALAR = (str, int, float, bool, list, type(None))


def differences(made: Any, expected: Mapping[str, Any]) -> list[str]:
    """Return the differences between an object and the expected values.

    Args:
        made: any object, mapping or list.
        expected: maps paths to the JSON values expected there.

    Returns:
        One line for each path with another value; empty if all values are right.

    Example:
        >>> differences({"stock": {"Wool Rug": 4}}, {"stock.Wool Rug": 3})
        ['stock.Wool Rug is 4']
    """
    values = {path: _at(made, path.split(".")) for path in expected}
    return [
        f"{path} is {'not there' if value is _MISSING else as_answer(_as_json(value))}"
        for path, value in values.items()
        if value is _MISSING or not _same(value, expected[path])
    ]


def _at(value: Any, names: Sequence[str]) -> Any:
    """Return the value at a path; a key may contain dots, and the longest existing key counts."""
    for end in range(len(names), 0, -1):
        member = _member(value, ".".join(names[:end]))
        if member is not _MISSING:
            return _at(member, names[end:])
    return value if not names else _MISSING


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        keys = {str(key): key for key in value}
        return value[keys[name]] if name in keys else _MISSING
    if isinstance(value, Sequence) and _INDEX.fullmatch(name):
        there = -len(value) <= int(name) < len(value) and not isinstance(value, str | bytes)
        return value[int(name)] if there else _MISSING
    member = getattr(value, name, _MISSING)
    return _MISSING if callable(member) else member


def _same(value: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        made = _fields(value)
        is_object = isinstance(value, Mapping) or not isinstance(_as_json(value), _SCALAR)
        same_keys = is_object and made.keys() == expected.keys()
        return same_keys and all(_same(made[key], item) for key, item in expected.items())
    if isinstance(expected, list):
        if isinstance(value, Set):
            return _same_set(value, expected)
        is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return is_list and len(value) == len(expected) and all(map(_same, value, expected))
    value = float(value) if isinstance(value, Decimal) else _as_json(value)
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return value == expected or math.isclose(value, expected, rel_tol=ROUNDING)
    return bool(value == expected)


def _same_set(value: Set[Any], expected: Sequence[Any]) -> bool:
    rest = list(value)
    for item in expected:
        place = next((i for i, one in enumerate(rest) if _same(one, item)), None)
        if place is None:
            return False
        del rest[place]
    return not rest


def _fields(value: Any) -> dict[str, Any]:
    """Return the items of a mapping, or the public fields of an object, by name."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {key: item for key, item in getattr(value, "__dict__", {}).items() if key[:1] != "_"}


def _as_json(value: Any) -> Any:
    """Return a value converted to JSON values."""
    return to_jsonable_python(value, fallback=lambda other: getattr(other, "__dict__", str(other)))
