"""How a value is written into a path, a query, a header or a cookie.

Source: OpenAPI 3.1.0, "Style Values" (https://spec.openapis.org/oas/v3.1.0#style-values), which
Swagger 2.0's collectionFormat is a part of, and RFC 6570. Objects within objects, which it leaves
open, are written by deepObject with one bracket a level.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

Encode = Callable[[str], str]

percent: Encode = partial(quote, safe="")
"""Everything but letters, digits and `_.-~` encoded."""
percent_reserved: Encode = partial(quote, safe=":/?@!$'()*,;[]")
"""As `percent`, but what may stand in a query without ending a value is kept."""

_DELIMITERS = {"spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}


def text(value: Any) -> str:
    """A scalar as text, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def simple(value: Any, encode: Encode, *, explode: bool, delimiter: str = ",") -> str:
    """Style `simple`: `a,b`; objects `k,v,k,v`, or exploded `k=v,k=v`."""
    if isinstance(value, list):
        return delimiter.join(encode(text(item)) for item in value)
    if isinstance(value, dict):
        between = "=" if explode else delimiter
        pairs = (encode(key) + between + encode(text(item)) for key, item in value.items())
        return delimiter.join(pairs)
    return encode(text(value))


def in_path(name: str, value: Any, style: str, *, explode: bool) -> str:
    """A path parameter, percent-encoded: styles simple, label (`.a`) and matrix (`;name=a`)."""
    if style == "label":
        return "." + simple(value, percent, explode=explode, delimiter="." if explode else ",")
    if style == "matrix":
        if explode and isinstance(value, list | dict):
            written = in_query(name, value, "form", percent, explode=True)
            return "".join(f";{part}" for part in written)
        return f";{percent(name)}={simple(value, percent, explode=False)}"
    return simple(value, percent, explode=explode)


def in_query(name: str, value: Any, style: str, encode: Encode, *, explode: bool) -> list[str]:
    """A query, cookie or form parameter as `key=value` parts, encoded."""
    key = percent(name)
    if isinstance(value, dict):
        if style == "deepObject":
            return _deep(key, value, encode)
        if explode:
            return [f"{percent(inner)}={encode(text(item))}" for inner, item in value.items()]
    elif isinstance(value, list) and style == "deepObject":
        return _deep(key, value, encode)
    elif isinstance(value, list) and explode:
        return [f"{key}={encode(text(item))}" for item in value]
    delimiter = _DELIMITERS.get(style, ",")
    return [f"{key}={simple(value, encode, explode=False, delimiter=delimiter)}"]


def _deep(key: str, value: Any, encode: Encode) -> list[str]:
    if isinstance(value, dict):
        inner = [(f"{key}[{percent(name)}]", item) for name, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{key}[]", item) for item in value]
    else:
        return [f"{key}={encode(text(value))}"]
    return [part for name, item in inner for part in _deep(name, item, encode)]
