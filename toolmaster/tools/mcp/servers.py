"""Which MCP servers to use: the `mcpServers` JSON file that MCP clients share.

    {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "PACKAGE"], "env": {"TOKEN": "${TOKEN}"}},
        "search": {"url": "https://host/mcp", "headers": {"Authorization": "Bearer ${KEY}"}}}}

Texts are kept as they are written; `${VAR}`, `${VAR:-default}` and `${env:VAR}` are replaced by
`resolve` just before a server is started, so that a secret taken from the environment stands in no
settings object.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolmaster.errors import InputError

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
_HTTP_TYPES = ("http", "streamable-http", "streamableHttp", "streamable_http")


class McpServer(BaseModel):
    """One server: `command` starts it over stdio, or `url` names it over streamable HTTP.

    Fields that other clients keep in the same file (`autoApprove`, `timeout` ...) are left alone.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    command: str | None = Field(None, min_length=1)
    """The executable."""
    args: tuple[str, ...] = Field((), repr=False)
    env: dict[str, str] = Field({}, repr=False)
    """Environment variables of the process, beside the few that are always passed (`PATH`, `HOME`,
    `USER` ...); nothing else of this program's environment reaches it."""
    cwd: str | None = None
    """The folder it runs in; None for the current one."""
    url: str | None = Field(None, repr=False)
    headers: dict[str, str] = Field({}, repr=False)
    """Headers of every request."""
    type: str | None = None
    """The transport by name; told by `command` or `url` when None."""
    disabled: bool = False
    """Skipped by `read_mcp_servers`."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("should be an object")
        for key in data.keys() - cls.model_fields.keys():
            close = difflib.get_close_matches(key, cls.model_fields, n=1, cutoff=0.8)
            if close:
                raise ValueError(f"unknown field {key!r} (did you mean {close[0]!r}?)")
        return {key: value for key, value in data.items() if value is not None}

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either 'command' (stdio) or 'url' (streamable HTTP)")
        allowed = ("stdio",) if self.command else _HTTP_TYPES
        if self.type not in (None, *allowed):
            raise ValueError(f"type {self.type!r} is not supported here; use {allowed[0]!r}")
        return self

    def resolve(self) -> McpServer:
        """The same server with every variable replaced by its value from the environment.

        Raises:
            InputError: a variable without a default is not set, or the URL is none.
        """
        changes: dict[str, Any] = {
            key: _expand(value, key)
            for key in ("command", "args", "env", "cwd", "url", "headers")
            if (value := getattr(self, key))
        }
        url = changes.get("url")
        if url is not None and not _is_http(url):
            raise InputError("url: should be an address like https://host/mcp")
        return self.model_copy(update=changes)

    def variables(self) -> set[str]:
        """Names of the environment variables that it takes."""
        texts = [self.command, *self.args, *self.env.values(), self.cwd, self.url]
        texts += self.headers.values()
        return {match[1] for text in texts if text for match in _VARIABLE.finditer(text)}


def read_mcp_servers(path: Path) -> dict[str, McpServer]:
    """Read an `mcpServers` JSON file.

    Args:
        path: the file, in the form that MCP clients share.

    Returns:
        The servers by name, in the file's order, without those marked `disabled`.

    Raises:
        InputError: the file cannot be read or used; says which server and which field.

    Source: https://modelcontextprotocol.io/docs/develop/connect-local-servers
    """
    entries = _load(path)
    servers = {}
    for name, entry in entries.items():
        try:
            server = McpServer.model_validate(entry)
            if not server.disabled:
                server.resolve()
                servers[name] = server
        except ValidationError as error:
            raise InputError(f"{path}: server {name!r}: {_explain(error)}") from None
        except InputError as error:
            raise InputError(f"{path}: server {name!r}: {error}") from None
    if not servers:
        raise InputError(f"{path}: every server in it is disabled")
    return servers


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_key_twice)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("mcpServers"), dict):
        raise InputError(f'{path}: should be {{"mcpServers": {{name: server, ...}}}}')
    if not data["mcpServers"]:
        raise InputError(f"{path}: 'mcpServers' names no server")
    entries: dict[str, Any] = data["mcpServers"]
    return entries


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return data


def _explain(error: ValidationError) -> str:
    """The first thing wrong, with its field and without its value, which may be a secret."""
    first = error.errors(include_url=False, include_input=True)[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"]
    message = first["msg"].removeprefix("Input ")
    return f"{where}: {message}, got {_json_type(first['input'])}"


def _json_type(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "an array"}
    return names.get(type(value), "an object")


def _expand(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_expand(item, f"{where}.{i}") for i, item in enumerate(value))

    def look_up(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise InputError(f"{where}: the environment variable {name} is not set")
        return found

    return _VARIABLE.sub(look_up, value)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
