"""Checks arguments against JSON schemas, in a time that no schema can stretch.

References and combinations (`allOf`, `anyOf` ...) can make a short schema take 2**n steps, and the
validator holds Python's lock meanwhile, so that no deadline and no other thread could end it. So
the steps are counted before it is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from toolmaster.errors import InputError

MAX_SUBSCHEMAS = 10_000
"""The most subschemas of a schema, counted where they are used: one that is referred to twice
counts twice."""
_STEPS_PER_VALUE = 100
_MIN_STEPS, _MAX_STEPS = 1_000, 200_000
"""A schema may be applied this often to the values of one call, by their number."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_BY_NAME = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", *_BY_NAME[2:])
_INNER_VALUES = (
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "patternProperties",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_APPLIED = {*_SAME_VALUE, *_INNER_VALUES, *_BY_NAME, "propertyNames"}


def usable_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema, or a looser one if it cannot be used to validate arguments.

    A schema that is invalid, refers to another document (which is never fetched) or expands to more
    than `MAX_SUBSCHEMAS` keeps only the names and descriptions of its parameters; whoever runs the
    tool validates their values.
    """
    if _Checker.of(schema).validator is not None:
        return schema
    known = as_object(schema.get("properties"))
    texts = {k: v.get("description") if isinstance(v, dict) else None for k, v in known.items()}
    kept = {k: {"description": str(text)} if text else {} for k, text in texts.items()}
    return {"type": "object", "properties": kept}


def violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """Return how a JSON value violates a schema, in one line; None if it fits.

    A schema that is not usable (see `usable_parameters`) is violated by nothing.
    """
    return _Checker.of(schema).violation(value)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what is no JSON schema.

    Raises:
        InputError: it is none, or nothing can be checked against it in a bounded time.
    """
    try:
        jsonschema_rs.validator_for(dict(schema), offline=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON schema: {error}") from None
    if _Checker.of(schema).validator is None:
        raise InputError("it refers to another document, or expands without bounds")


def is_bounded(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a schema is usable, and a value can be checked in a bounded time."""
    return _Checker.of(schema).is_bounded(value)


def follow(document: Any, reference: str) -> Any:
    """Return the part of a document that a reference inside it names, such as `#/$defs/a`.

    Raises:
        LookupError: It names another document, or nothing in this one.

    Source: RFC 6901, section 6.
    """
    start, *parts = unquote(reference).split("/")
    if start != "#":
        raise LookupError(f"{reference!r} is not in this document")
    try:
        for part in parts:
            key = part.replace("~1", "/").replace("~0", "~")
            inner = dict(enumerate(document)) if isinstance(document, list) else document
            document = inner[int(key) if inner is not document else key]
    except (LookupError, TypeError, ValueError):
        raise LookupError(f"{reference!r} names nothing") from None
    return document


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


class _Checker:
    """A compiled schema; `validator` is None if the schema is not usable."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self.validator: jsonschema_rs.Validator | None = None
        try:
            validator = jsonschema_rs.validator_for(schema, offline=True)  # fetches nothing
            self._size, recursive = _size(schema)
        except (ValueError, TypeError, LookupError, RecursionError):
            return
        if self._size <= MAX_SUBSCHEMAS:
            self.validator = validator
        self._counted = recursive or self._size > _MIN_STEPS

    @staticmethod
    def of(schema: Mapping[str, Any]) -> _Checker:
        """Return the checker of a schema, compiled once."""
        try:
            return _checker(json.dumps(schema))
        except (ValueError, RecursionError):  # nested without end
            return _checker('{"$ref": "other"}')

    def is_bounded(self, value: Any) -> bool:
        if self.validator is None:
            return False
        return not self._counted or _is_bounded(self._schema, value, self._size)

    def violation(self, value: Any) -> str | None:
        if self.validator is None:
            return None
        if not self.is_bounded(value):
            return "the values are too many or nested too deeply to be checked; give fewer"
        error = next(self.validator.iter_errors(value), None)
        if error is None:
            return None
        where = ".".join(str(part) for part in error.instance_path)
        return f"{where}: {error.message}" if where else error.message


@lru_cache(maxsize=4096)
def _checker(schema: str) -> _Checker:
    return _Checker(json.loads(schema))


def _size(root: dict[str, Any]) -> tuple[int, bool]:
    """Return the number of subschemas with references followed, and whether any is in a circle.

    A LookupError says that a reference cannot be followed without a base address.
    """
    sizes: dict[int, int] = {}
    recursive = False

    def size(node: Any) -> int:
        nonlocal recursive
        if not isinstance(node, dict):
            return 0
        if id(node) in sizes:
            recursive = recursive or sizes[id(node)] == 0
            return sizes[id(node)]
        sizes[id(node)] = 0  # being counted
        inner = [each for key in _APPLIED & node.keys() for each in _schemas(key, node[key])]
        sizes[id(node)] = 1 + sum(map(size, [*inner, *_referred(root, node)]))
        return sizes[id(node)]

    return size(root), recursive


def _schemas(keyword: str, part: Any) -> list[Any]:
    """Return the schemas of a keyword that has one, a list of them, or some by name."""
    if isinstance(part, list):
        return part
    return list(part.values()) if keyword in _BY_NAME and isinstance(part, dict) else [part]


def _referred(root: dict[str, Any], schema: dict[str, Any]) -> list[Any]:
    """Return what the references of a schema name."""
    if schema is not root and isinstance(schema.get("$id"), str):
        raise LookupError(schema["$id"])  # references inside are relative to it
    return [follow(root, schema[key]) for key in _REFERENCES if isinstance(schema.get(key), str)]


def _is_bounded(root: dict[str, Any], value: Any, size: int) -> bool:
    """Return whether a schema is applied to the parts of a value in a bounded number of steps."""
    steps = _STEPS_PER_VALUE * sum(1 for _ in _values(value))
    left = min(max(_MIN_STEPS, 2 * size) + steps, _MAX_STEPS)
    todo: list[tuple[Any, Any]] = [(root, value)]
    while todo and len(todo) <= left:
        left -= 1
        todo += islice(_applied(root, *todo.pop()), left + 1)
    return not todo


def _applied(root: dict[str, Any], schema: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the subschemas that a schema applies, at most, each with the value it applies to."""
    if not isinstance(schema, dict):
        return
    yield from ((named, value) for named in _referred(root, schema))
    for key in _APPLIED & schema.keys():
        part = schema[key]
        if key in _SAME_VALUE:
            yield from ((each, value) for each in _schemas(key, part))
        elif key in _INNER_VALUES:
            yield from ((each, item) for each in _schemas(key, part) for item in _inner(value))
        elif isinstance(value, dict) and key == "properties":
            yield from ((part[name], value[name]) for name in part.keys() & value.keys())
        elif isinstance(value, dict):
            yield from ((part, name) for name in value)


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield from value.values() if isinstance(value, dict) else value


def _values(value: Any) -> Iterator[Any]:
    todo = [value]
    while todo:
        value = todo.pop()
        yield value
        todo += _inner(value)
