"""Keeps what an MCP server was given in confidence out of errors, observations and logs.

Errors hide every value that was configured. Observations hide only what is a secret by its name
(`GITHUB_TOKEN`, `--api-key`, `Authorization` ...): a folder that was passed in a variable has to be
readable in results.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from toolmaster.tools.mcp.servers import McpServer

_SECRET_NAME = re.compile(
    r"secret|passw|credential|authorization|cookie|token(?!iz|s)|(?:api|access|private).?key"
    r"|(?<![a-z])(?:keys?|auth|bearer|dsn|pass|pat)(?![a-z])|_pwd(?![a-z])",
    re.IGNORECASE,
)
_NAMED = re.compile(r"-*([\w-]+?)\s*[=:]\s*(.+)", re.DOTALL)
_PARAMETER = re.compile(r"[?&;#\s]([\w.-]+)=([^&;#\s]+)")
_IN_JSON = re.compile(r'"([\w.-]+)\\*"\s*:\s*\\*"([^"\\]+)')
_USER = re.compile(r"//[^/?#\s:@]*:([^/?#\s]+)@|https?://([^/?#\s:@]+)@")
"""A password in an address, or a user without one, who is a token on the web."""
_ADDRESS = re.compile(r"https?://\S+")
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
    """Replaces the values that one server was given by their names in brackets.

    Args:
        server: the server as it was written.
        resolved: the same with its variables replaced.
    """

    def __init__(self, server: McpServer, resolved: McpServer) -> None:
        named = [(name, os.environ.get(name, "")) for name in server.variables()]
        named += [*resolved.env.items(), *resolved.headers.items()]
        secrets = [*_secret_arguments(resolved.args), *_inside(resolved.url or "")]
        self._values: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        for name, value in named:
            self._values |= _spellings(name, value)
            inside = [value] if _SECRET_NAME.search(name) else [v for _, v in _inside(value)]
            secrets += [(name, secret) for secret in inside]
        for name, secret in secrets:
            self._secrets |= _spellings(name, secret)
        self._values |= self._secrets
        for address in _ADDRESS.findall(" ".join([resolved.url or "", *resolved.args])):
            self._values[address] = _replace(_bare(address), self._secrets)
        written = [server.command or server.url or "", *server.args]
        self.shown = shlex.join(self.error(_ADDRESS.sub(_bare_match, part)) for part in written)
        """What was run, as it may be shown."""

    def error(self, text: str) -> str:
        """The text without any configured value."""
        return _replace(text, self._values)

    def observation(self, text: str) -> str:
        """The text without secrets."""
        return _replace(text, self._secrets)


@contextmanager
def redacted_logs(redactors: Sequence[Redactor]) -> Iterator[None]:
    """Keep the SDK's log records to one line each, without any configured value."""

    def clean(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        for redactor in redactors:
            text = redactor.error(text)
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


def _secret_arguments(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of the secrets in arguments, those of `--name value` too."""
    for before, arg in zip(("", *args), args, strict=False):
        if before.startswith("-") and "=" not in before and _SECRET_NAME.search(before):
            yield before, arg
        yield from _inside(arg)


def _inside(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of the secrets in a text.

    They stand in an address before its host or in its query, in JSON, or as `--name=value` and
    `Name: value`, of which a value may be another (`--env=TOKEN=value`).
    """
    for found in _USER.finditer(text):
        yield "password", found[1] or found[2]
    named: list[tuple[str, str]] = [*_PARAMETER.findall(text), *_IN_JSON.findall(text)]
    while match := _NAMED.fullmatch(text):
        named.append((match[1], match[2]))
        text = match[2]
    yield from ((name, value) for name, value in named if _SECRET_NAME.search(name))


def _spellings(name: str, value: str) -> dict[str, str]:
    """The value, what follows an authorization scheme in it, and both in addresses and JSON."""
    parts = {value, value.partition(" ")[2] if name.lower().endswith("authorization") else ""}
    parts |= {form(part) for part in parts for form in (unquote, unquote_plus, _quoted)}
    parts |= {json.dumps(part)[1:-1] for part in parts}
    return {part: f"[{name}]" for part in parts if len(part) >= _SHORTEST}


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _bare(url: str) -> str:
    """The address without user, password, query, and long path segments, which may be keys."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "..."
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{re.sub(r'[^/]{20,}', '...', parts.path)}"


def _bare_match(match: re.Match[str]) -> str:
    return _bare(match[0])


def _replace(text: str, values: dict[str, str]) -> str:
    """All values at once, the longest first."""
    if not values:
        return text
    pattern = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.sub(pattern, lambda match: values[match[0]], text)
