"""Reads `mcpServers` files, the JSON form in which MCP clients list their servers.

    {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "PACKAGE"], "env": {"TOKEN": "${TOKEN}"}},
        "search": {"url": "https://host/mcp", "headers": {"Authorization": "Bearer ${KEY}"}}}}

`resolve` replaces `${VAR}`, `${VAR:-default}` and `${env:VAR}` just before a server is started, so
that no settings object holds a secret of the environment.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolmaster.errors import InputError, first_problem
from toolmaster.system.nesting import read_json

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")


class McpServer(BaseModel):
    """One server: `command` starts it over stdio, or `url` names it over streamable HTTP.

    Fields of other clients in the same file (`autoApprove`, `timeout` ...) are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    command: str | None = Field(None, min_length=1)
    """The executable."""
    args: tuple[str, ...] = Field((), repr=False)
    """Its arguments."""
    env: dict[str, str] = Field({}, repr=False)
    """Environment variables of the process, besides the few that every server inherits (`PATH`,
    `HOME`, `USER` ...)."""
    cwd: str | None = None
    """The folder it runs in; None for the current one."""
    url: str | None = Field(None, repr=False)
    """The address of a server over streamable HTTP."""
    headers: dict[str, str] = Field({}, repr=False)
    """Headers of every request to `url`."""
    type: Literal["stdio", "http", "streamable-http", "streamableHttp"] | None = None
    """Name of the transport, for other clients; here `command` or `url` decides."""
    disabled: bool = False
    """Whether `read_mcp_servers` leaves the server out."""

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("should be an object")
        for key in data.keys() - cls.model_fields.keys():
            if close := difflib.get_close_matches(key, cls.model_fields, n=1, cutoff=0.8):
                raise ValueError(f"unknown field {key!r} (did you mean {close[0]!r}?)")
        return {key: value for key, value in data.items() if value is not None}

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either 'command' (stdio) or 'url' (streamable HTTP)")
        return self

    def resolve(self) -> McpServer:
        """Return the same server with every variable replaced by its value from the environment.

        Raises:
            InputError: A variable without a default is not set.
        """
        return self.model_copy(update=_expand(self.model_dump()))

    def variables(self) -> set[str]:
        """Return the names of the environment variables that the server's settings use."""
        return {name for name, _ in _VARIABLE.findall(str(self.model_dump()))}


def read_mcp_servers(path: Path) -> dict[str, McpServer]:
    """Read an `mcpServers` JSON file.

    Args:
        path: The file, in the form that MCP clients share.

    Returns:
        The servers by name, in the file's order, without those marked `disabled`.

    Raises:
        InputError: The file cannot be read or used; the message names server and field.

    Source: https://modelcontextprotocol.io/docs/develop/connect-local-servers
    """
    try:
        data = read_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    entries = data.get("mcpServers") if isinstance(data, dict) else None
    if not isinstance(entries, dict):
        raise InputError(f'{path}: should be {{"mcpServers": {{name: server, ...}}}}')
    servers = {}
    for name, entry in entries.items():
        try:
            server = McpServer.model_validate(entry)
            if not server.disabled:
                server.resolve()
                servers[name] = server
        except (ValidationError, InputError) as error:
            words = first_problem(error) if isinstance(error, ValidationError) else (str(error),)
            problem = ": ".join(filter(None, words)).replace("Value error, ", "")
            raise InputError(f"{path}: server {name!r}: {problem}") from None
    if not servers:
        raise InputError(f"{path}: 'mcpServers' names no server that is not disabled")
    return servers


def _expand(value: Any) -> Any:
    """Replace the variables in all texts of a JSON value."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_expand, value))
    return _VARIABLE.sub(_look_up, value) if isinstance(value, str) else value


def _look_up(match: re.Match[str]) -> str:
    found = os.environ.get(match[1], match[2])
    if found is None:
        raise InputError(f"the environment variable {match[1]} is not set")
    return found
