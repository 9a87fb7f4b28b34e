"""Builds one HTTP request from the arguments of a tool call.

Arguments come from a model, so each can only go where the document says: a path argument cannot
leave its segment, an argument cannot add a parameter, a header cannot add a line.

Source: OpenAPI 3.1.0, "Style Values" (https://spec.openapis.org/oas/v3.1.0#style-values). Objects
within objects, which it leaves open, are written by deepObject with one bracket per level.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import httpx

from toolmaster.tools.openapi.operations import BINARY, Operation, body_kind
from toolmaster.tools.schemas import as_object
from toolmaster.tools.tool import ToolRefusal

_DELIMITERS = {"spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}
File = tuple[str | None, bytes, str]
"""File name, content and media type of a field."""
_percent = partial(quote, safe="")


def build(
    client: httpx.AsyncClient, base: str, operation: Operation, arguments: dict[str, Any]
) -> httpx.Request:
    """Return the HTTP request of a tool call.

    Args:
        client: The client that sends the request.
        base: The URL to which the operation's path is appended.
        operation: The operation to call.
        arguments: Values that fit `operation.schema`; null leaves a parameter out.

    Raises:
        ToolRefusal: A value cannot be sent.
    """
    path, _, fixed = operation.path.partition("#")[0].partition("?")
    query = [part for part in fixed.split("&") if part and "{" not in part]
    headers: dict[str, str] = {}
    cookies: list[str] = []
    body: dict[str, Any] = {}
    for argument, parameter in operation.parameters.items():
        name, location, value = parameter["name"], parameter["in"], arguments.get(argument)
        if value is not None and "content" in parameter:
            value = _text(value)
        if location == "path":
            path = path.replace("{" + name + "}", _segment(argument, parameter, value))
        elif value is None:
            continue
        elif location == "body":
            body = _body(parameter, value)
            if "files" not in body:
                headers["Content-Type"] = parameter["mediaType"]
        elif location == "header":
            headers[name] = _joined(value, ",", _style(parameter)[1], encode=str)
            if not headers[name].isprintable():
                raise ToolRefusal(f"header parameter {argument!r}: one line of text is allowed")
        else:
            pairs = _pairs(name, value, *_style(parameter, "form"))
            (query if location == "query" else cookies).extend(pairs)
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    encoded = {key.encode("ascii", "ignore"): text.encode() for key, text in headers.items()}
    url = base + "?".join(filter(None, (path, "&".join(query))))
    return client.build_request(operation.method, url, headers=encoded, **body)


def _segment(argument: str, parameter: dict[str, Any], value: Any) -> str:
    """Return a path argument encoded for its segment of the path."""
    style, explode = _style(parameter)
    if style == "matrix":
        pairs = _pairs(parameter["name"], value, "form", explode)
        written = "".join(f";{pair}" for pair in pairs)
    elif style == "label":
        written = "." + _joined(value, "." if explode else ",", explode)
    else:
        written = _joined(value, ",", explode)
    if value in (None, "", [], {}) or not written.strip(","):
        raise ToolRefusal(f"path parameter {argument!r} must not be empty")
    plain = unquote(unquote(written))
    if any(part.strip() in (".", "..") for part in re.split(r"[/\\]", plain)):
        raise ToolRefusal(
            f"path parameter {argument!r}: '.' and '..' are not allowed as parts of a path"
        )
    return written


def _body(body: dict[str, Any], value: Any) -> dict[str, Any]:
    """Return the body as `content` or `files` of an httpx request."""
    kind = body_kind(body["mediaType"])
    if kind == "json":
        return {"content": json.dumps(value, ensure_ascii=False).encode()}
    if kind == "text" or not isinstance(value, dict):
        return {"content": _bytes(value)}
    fields = [(n, v, as_object(body["encoding"].get(n))) for n, v in value.items() if v is not None]
    if kind == "multipart":
        return {"files": [file for field in fields for file in _files(*field)]}
    return {"content": "&".join(pair for field in fields for pair in _form(*field)).encode()}


def _form(name: str, value: Any, encoding: dict[str, Any]) -> list[str]:
    """Return a field of a form; an object is written as JSON unless the document has a style."""
    value = [item for item in value if item is not None] if isinstance(value, list) else value
    value = _text(value) if isinstance(value, dict) and "style" not in encoding else value
    return _pairs(name, value, *_style(encoding, "form"))


def _files(name: str, value: Any, encoding: dict[str, Any]) -> list[tuple[str, File]]:
    """Return one field of a multipart body, or one for each item of a list."""
    if isinstance(value, list):
        return [file for item in value for file in _files(name, item, encoding)]
    if value is None:
        return []
    kind = encoding.get("contentType")
    if isinstance(kind, str) and body_kind(kind) == "text" and isinstance(value, str):
        kind = kind.partition(",")[0]
        if kind == BINARY and (said := re.match(r"data:([\w.+-]+/[\w.+-]+)[;,]", value)):
            kind = said[1]
        return [(name, (name, _bytes(value), kind))]
    kind = "application/json" if isinstance(value, dict) else "text/plain"
    return [(name, (None, _text(value).encode(), kind))]


def _bytes(value: Any) -> bytes:
    """Return text as UTF-8, or the decoded bytes of a `data:` URL with base64 (RFC 2397)."""
    written = _text(value)
    if match := re.match(r"data:[^,]{0,200};base64,", written):
        try:
            return base64.b64decode(written[match.end() :], validate=True)
        except binascii.Error as error:
            raise ToolRefusal(f"not a valid data: URL: {error}") from None
    return written.encode("utf-8", "replace")


def _text(value: Any) -> str:
    """Return a scalar as text, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _style(about: dict[str, Any], usual: str = "simple") -> tuple[str, bool]:
    """Return style and explode of a parameter object or an encoding object."""
    style, explode = about.get("style"), about.get("explode")
    style = style if isinstance(style, str) else usual
    return style, explode if isinstance(explode, bool) else style in ("form", "deepObject")


def _joined(value: Any, delimiter: str, explode: bool = False, encode: Any = _percent) -> str:
    """Return `a,b` for a list; for an object `k,v,k,v`, or `k=v,k=v` if it is exploded."""
    if isinstance(value, dict):
        between = "=" if explode else delimiter
        return delimiter.join(encode(k) + between + encode(_text(v)) for k, v in value.items())
    return delimiter.join(encode(_text(v)) for v in (value if isinstance(value, list) else [value]))


def _pairs(name: str, value: Any, style: str, explode: bool) -> list[str]:
    """Return a query, cookie or form parameter as encoded `key=value` parts."""
    key = _percent(name)
    if style == "deepObject":
        return _deep(key, value)
    if explode and isinstance(value, dict):
        return [f"{_percent(inner)}={_percent(_text(item))}" for inner, item in value.items()]
    if explode and isinstance(value, list):
        return [f"{key}={_percent(_text(item))}" for item in value]
    return [f"{key}={_joined(value, _DELIMITERS.get(style, ','))}"]


def _deep(key: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        inner = [(f"{key}[{_percent(name)}]", item) for name, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{key}[]", item) for item in value]
    else:
        return [f"{key}={_percent(_text(value))}"]
    return [part for name, item in inner for part in _deep(name, item)]
