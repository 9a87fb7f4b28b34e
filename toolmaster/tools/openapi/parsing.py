"""Parses a document in JSON or YAML into JSON values."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.system.extras import require
from toolmaster.system.nesting import NestedError, is_deep

MAX_BYTES = 64 * 2**20
"""The largest size of a document; the largest in public collections has 47 MB."""
MAX_VALUES = 5_000_000
"""The most values of a YAML document; an alias counts each time it is used."""


def parse_file(path: Path) -> dict[str, Any]:
    """Return the content of a document in a file; see `parse_text`.

    Raises:
        InputError: It cannot be read or parsed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_text(data, str(path))


def parse_text(data: bytes, source: str) -> dict[str, Any]:
    """Return the content of a document.

    Args:
        data: JSON or YAML as UTF-8. Keys, dates and `no` are text in YAML too.
        source: The file or address, for messages.

    Raises:
        InputError: The text is not valid JSON or YAML, too large, too deeply nested, or no object.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{source}: larger than {MAX_BYTES >> 20} MiB, the limit of a document")
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            content = json.loads(text, parse_constant=_refuse)
        else:
            content = _read_yaml(text)
            if _count(content, {}) > MAX_VALUES:
                raise ValueError(f"more than {MAX_VALUES} values, or aliases without end")
            content = json.loads(json.dumps(content, allow_nan=False))
        if is_deep(content):
            raise NestedError
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{source}: not valid JSON or YAML: {reason}") from None
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise InputError(f"{source}: an OpenAPI document is an object, got {kind}")
    return content


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _count(value: Any, counts: dict[int, float]) -> float:
    """Return the number of values; infinity if one contains itself."""
    if isinstance(value, dict) and "<<" in value:
        raise ValueError("merged keys (<<) are not supported; write them out")
    if id(value) not in counts:
        counts[id(value)] = float("inf")
        inner = value.values() if isinstance(value, dict) else value
        inner = inner if isinstance(value, dict | list) else ()
        counts[id(value)] = 1 + sum(_count(item, counts) for item in inner)
    return counts[id(value)]


_SCALARS = (
    ("bool", [*"tTfF"], r"(true|True|TRUE|false|False|FALSE)$"),
    ("null", [*"nN~", ""], r"(null|Null|NULL|~|)$"),
    ("int", [*"-+0123456789"], r"[-+]?(0|[1-9][0-9]{0,400})$"),
    ("float", [*"-+.0123456789"], r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?$"),
)
"""The scalars of JSON as YAML writes them: https://spec.openapis.org/oas/v3.1.0#format."""


@cache
def _loader() -> Any:
    """Return a safe loader of YAML that knows the scalars of JSON and no others."""
    import yaml  # noqa: PLC0415 - an extra

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own form

    for tag, first, pattern in _SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    return Loader


def _read_yaml(text: str) -> Any:
    """Return the content of YAML with the scalars of JSON.

    Raises:
        ValueError: The text is not valid YAML.
    """
    require("openapi", "yaml")
    import yaml  # noqa: PLC0415 - an extra

    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
