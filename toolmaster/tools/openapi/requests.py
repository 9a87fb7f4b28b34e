"""A tool call's arguments as the parts of one HTTP request.

Arguments come from a model: each goes where the document says and nowhere else. A path argument
cannot leave its segment, an argument cannot add a parameter, a header cannot add a line.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from toolmaster.tools.openapi.operation import Body, Operation, Parameter, body_kind
from toolmaster.tools.openapi.serialisation import (
    in_path,
    in_query,
    percent,
    percent_reserved,
    simple,
    text,
)
from toolmaster.tools.openapi.spec import as_object
from toolmaster.tools.tool import ToolRefusal

File = tuple[str | None, bytes, str]


@dataclass(slots=True)
class Parts:
    """What a request is made of.

    Args:
        target: path and query, percent-encoded.
        headers: as the document asks, with the body's media type.
        content: the body; None where there is none or it is in `files`.
        files: the fields of a multipart body: name, (file name, content, media type).
    """

    target: str
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytes | None = None
    files: list[tuple[str, File]] | None = None


def build(operation: Operation, arguments: dict[str, Any]) -> Parts:
    """Turn arguments into a request.

    Args:
        operation: what is called.
        arguments: values that fit `operation.arguments()`; null means left away.

    Raises:
        ToolRefusal: a value that cannot be sent as it is.
    """
    path, _, fixed = operation.path.partition("#")[0].partition("?")
    query = [part for part in fixed.split("&") if part and "{" not in part]
    headers: dict[bytes, bytes] = {}
    cookies: list[str] = []
    for parameter in operation.parameters:
        value = arguments.get(parameter.argument)
        if value is None and parameter.location != "path":
            continue
        value = text(value) if parameter.as_json else value
        if parameter.location == "path":
            path = path.replace("{" + parameter.name + "}", _segment(parameter, value))
        elif parameter.location == "query":
            encode = percent_reserved if parameter.allow_reserved else percent
            query += _pairs(parameter, value, encode)
        elif parameter.location == "cookie":
            cookies += _pairs(parameter, value, percent)
        else:
            headers[parameter.name.encode()] = _header(parameter, value)
    if cookies:
        headers[b"Cookie"] = "; ".join(cookies).encode()
    if operation.accept:
        headers[b"Accept"] = _accept(operation.accept)
    parts = Parts("?".join((path, "&".join(query))) if query else path, headers)
    if operation.body and arguments.get(operation.body.argument) is not None:
        _write_body(parts, operation.body, arguments[operation.body.argument])
    return parts


def _segment(parameter: Parameter, value: Any) -> str:
    """A path argument within its own segment."""
    what = f"path parameter {parameter.argument!r}"
    if value is None or value in ("", [], {}):
        raise ToolRefusal(f"{what} must not be empty")
    written = in_path(parameter.name, value, parameter.style, explode=parameter.explode)
    plain = unquote(unquote(written))
    if any(part.strip() in (".", "..") for part in re.split(r"[/\\]", plain)):
        raise ToolRefusal(f"{what}: '.' and '..' are not allowed as parts of a path")
    return written


def _pairs(parameter: Parameter, value: Any, encode: Any) -> list[str]:
    return in_query(parameter.name, value, parameter.style, encode, explode=parameter.explode)


def _header(parameter: Parameter, value: Any) -> bytes:
    written = simple(value, str, explode=parameter.explode)
    if not written.isprintable():
        raise ToolRefusal(f"header parameter {parameter.argument!r}: one line of text is allowed")
    return written.encode()


def _accept(media_types: tuple[str, ...]) -> bytes:
    """JSON where there is a choice."""
    as_json = any(body_kind(kind) == "json" for kind in media_types)
    wanted = "application/json, */*;q=0.5" if as_json else f"{media_types[0]}, */*;q=0.5"
    return wanted.encode("ascii", "ignore") if wanted.isprintable() else b"*/*"


def _write_body(parts: Parts, body: Body, value: Any) -> None:
    kind = body_kind(body.media_type)
    if kind == "multipart" and isinstance(value, dict):
        parts.files = [part for name, item in value.items() for part in _field(name, item, body)]
        return
    parts.headers[b"Content-Type"] = body.media_type.encode("ascii", "ignore")
    if kind == "form" and isinstance(value, dict):
        pairs = [pair for name, item in value.items() for pair in _form(name, item, body)]
        parts.content = "&".join(pairs).encode()
    elif kind == "json":
        parts.content = json.dumps(value, ensure_ascii=False).encode()
    else:
        parts.content = _bytes(value)


def _form(name: str, value: Any, body: Body) -> list[str]:
    encoding = as_object(body.encoding.get(name))
    style = encoding.get("style")
    if not isinstance(style, str):
        value = text(value) if isinstance(value, dict) else value
        return in_query(name, value, "form", percent, explode=True)
    explode = encoding.get("explode")
    explode = explode if isinstance(explode, bool) else style in ("form", "deepObject")
    return in_query(name, value, style, percent, explode=explode)


def _field(name: str, value: Any, body: Body) -> list[tuple[str, File]]:
    """One field of a multipart body, or one for each item of a list."""
    if isinstance(value, list):
        return [part for item in value for part in _field(name, item, body)]
    kind = as_object(body.encoding.get(name)).get("contentType")
    if isinstance(kind, str) and body_kind(kind) == "text" and isinstance(value, str):
        return [(name, (name, _bytes(value), kind.partition(",")[0]))]
    kind = "application/json" if isinstance(value, dict) else "text/plain"
    return [(name, (None, text(value).encode(), kind))]


def _bytes(value: Any) -> bytes:
    """Text as UTF-8; a `data:` URL with base64 (RFC 2397) as the bytes it carries."""
    written = text(value)
    if match := re.match(r"data:[^,]{0,200};base64,", written):
        try:
            return base64.b64decode(written[match.end() :], validate=True)
        except binascii.Error as error:
            raise ToolRefusal(f"not a valid data: URL: {error}") from None
    return written.encode("utf-8", "replace")
