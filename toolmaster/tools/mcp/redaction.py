"""Keeps the secrets that an MCP server was given out of observations, errors and logs.

A value is a secret by its name: `GITHUB_TOKEN`, `--api-key`, `Authorization` ... A folder that was
passed in a variable stays readable.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote, unquote

from toolmaster.tools.mcp.servers import McpServer

_CONFIDENTIAL = (
    r"[\w.-]*(?:secret|passw|credential|authorization|cookie|token(?!iz|s)"
    r"|(?:api|access|private).?key"
    r"|(?<![a-z])(?:keys?|auth|bearer|dsn|pass|pat)(?![a-z])|_pwd(?![a-z]))[\w.-]*"
)
_SECRET_NAME = re.compile(_CONFIDENTIAL, re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)
_NAMED = re.compile(
    rf"({_CONFIDENTIAL})[\"'\\]*\s*[=:]\s*[\"'\\]*(?:{_SCHEME.pattern})?([^\s\"\\&#;\0]+)",
    re.IGNORECASE,
)
"""`--name=value`, `Name: Bearer value`, `"name": "value"` or `name=value&`."""
_FLAG = re.compile(rf"(?:^|\0)-+({_CONFIDENTIAL})\0(?!-)([^\0]+)", re.IGNORECASE)
"""`--name` and `value` as two arguments."""
_USER = re.compile(r"//[^/?#\s:@]*:([^/?#\s]+)@|https?://([^/?#\s:@]+)@")
"""A password in an address, or a user without a password, which on the web is a token."""
_PATH = re.compile(r"https?://[^/?#\s\0]+([/?][^\s\0]*)")
_LONG = re.compile(r"(?<=[/=])[^/?&#=]{20,}")
"""A part of the path or query of an address, long enough to be a key."""
_SHORTEST = 4
"""Characters; a shorter value (`1`, `yes`) says nothing and would be found everywhere."""
_LOGGERS = (
    "mcp.client.stdio",
    "mcp.client.streamable_http",
    "mcp.client.session",
    "mcp.shared.jsonrpc_dispatcher",
    "httpx2",
)


class Redactor:
    """Replaces secrets in texts by their names in brackets.

    Args:
        secrets: Names and values.

    Example:
        >>> Redactor([("KEY", "abcd")])("cannot use abcd")
        'cannot use [KEY]'
    """

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._names: dict[str, str] = {}
        for name, value in secrets:
            forms = {value, unquote(value), quote(value, safe="")}
            forms |= {json.dumps(form)[1:-1] for form in forms}
            self._names |= {form: f"[{name}]" for form in forms if len(form) >= _SHORTEST}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        return self._pattern.sub(lambda found: self._names[found[0]], text)


def secrets_of(server: McpServer, resolved: McpServer) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the secrets that a server is given.

    Args:
        server: The server as it was written.
        resolved: The same with its variables replaced.
    """
    named = [(name, os.environ.get(name, "")) for name in server.variables()]
    for name, value in (*named, *resolved.env.items(), *resolved.headers.items()):
        if _SECRET_NAME.fullmatch(name):
            yield from ((name, value), (name, _SCHEME.sub("", value)))
        else:
            yield from ((name, secret) for _, secret in _inside(value))
    text = "\0".join([*resolved.args, resolved.url or ""])
    yield from _inside(text)
    yield from (("path", part) for path in _PATH.findall(text) for part in _LONG.findall(path))


def _inside(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the secrets in a text; NUL separates arguments."""
    yield from ((name.lstrip("-"), value) for name, value in _NAMED.findall(text))
    yield from _FLAG.findall(text)
    yield from (("password", password or user) for password, user in _USER.findall(text))


@contextmanager
def redacted_logs(redactors: Sequence[Redactor]) -> Iterator[None]:
    """Keep the SDK's log records to one line each, without secrets."""

    def clean(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        for redact in redactors:
            text = redact(text)
        record.msg, record.args = " ".join(text.split()), ()
        record.exc_info = record.exc_text = None
        return True

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(clean)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(clean)
