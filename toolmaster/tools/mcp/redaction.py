"""Hides the secrets of MCP servers in observations, errors and logs.

Errors and logs hide every configured value. Observations hide only secrets, which are recognised by
their names (`GITHUB_TOKEN`, `--api-key`, `Authorization` ...): a folder that was passed in a
variable must stay readable in results.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from toolmaster.system.redaction import Redactor, is_secret_name, secrets_in
from toolmaster.tools.mcp.servers import McpServer

_PATH = re.compile(r"https?://[^/?#\s]+([/?]\S*)")
_LONG = re.compile(r"(?<=[/=])[^/?&#=]{20,}")
"""A part of the path or query of an address, long enough to be a key."""
_LOGGERS = (
    "mcp.client.stdio",
    "mcp.client.streamable_http",
    "mcp.client.sse",
    "mcp.client.session",
    "mcp.shared.jsonrpc_dispatcher",
    "httpx2",
)


def secrets_of(server: McpServer, resolved: McpServer) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the secrets in the settings of a server.

    Args:
        server: The settings as written.
        resolved: The same with variables replaced.
    """
    for name, value in given_to(server, resolved):
        if is_secret_name(name):
            yield name, value
        else:
            yield from ((name, secret) for _, secret in secrets_in(value))
    for before, arg in zip(("", *resolved.args), resolved.args, strict=False):
        flag = before.startswith("-") and "=" not in before and not arg.startswith("-")
        if flag and is_secret_name(before):
            yield before.lstrip("-"), arg
    for text in (*resolved.args, resolved.url or ""):
        yield from secrets_in(text)
        yield from (("path", part) for path in _PATH.findall(text) for part in _LONG.findall(path))


def given_to(server: McpServer, resolved: McpServer) -> list[tuple[str, str]]:
    """Return the names and values of all variables and headers in the settings of a server."""
    named = [(name, os.environ.get(name, "")) for name in server.variables()]
    return [*named, *resolved.env.items(), *resolved.headers.items()]


@contextmanager
def redacted_logs(redactors: Sequence[Redactor]) -> Iterator[None]:
    """Reduce the SDK's log records to one line each, without what the redactors hide."""

    def clean(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        for redactor in redactors:
            text = redactor.text(text)
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
