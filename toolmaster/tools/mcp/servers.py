"""Reads the JSON files in which MCP clients list their servers.

    {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "PACKAGE"], "env": {"TOKEN": "${TOKEN}"}},
        "search": {"url": "https://host/mcp", "headers": {"Authorization": "Bearer ${KEY}"}}}}

VS Code calls the key `servers`, other clients have other names for `url` and `type`; comments and
commas at the end are allowed. `resolve` replaces `${VAR}`, `${VAR:-default}` and `${env:VAR}` just
before a server is started, so that no settings object holds a secret of the environment.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from toolmaster.errors import InputError, first_problem
from toolmaster.system.nesting import read_json
from toolmaster.tools.schemas import as_object

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
_INPUT = re.compile(r"\$\{input:([^}]*)\}")
_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"({_TEXT})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"({_TEXT})|,(?=\s*[}}\]])")
_TYPES = {
    "stdio": "stdio",
    "local": "stdio",
    "http": "http",
    "https": "http",
    "streamablehttp": "http",
    "streaminghttp": "http",
    "remote": "http",
    "sse": "sse",
    "httpsse": "sse",
}
_NAMES = {
    "url": ("serverUrl", "httpUrl", "server_url", "http_url", "uri", "endpoint"),
    "type": ("transport", "transportType"),
    "env": ("environment",),
    "cwd": ("workingDirectory",),
}
"""Names that clients have for the same field."""


def _texts(value: Any) -> Any:
    """Write numbers and truth values as text, as a shell would."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _transport(value: Any) -> Any:
    """Return the name of a transport as this package writes it."""
    name = value.get("type") if isinstance(value, dict) else value
    return _TYPES.get(re.sub(r"[^a-z]", "", str(name).lower()), name)


_Texts = Annotated[dict[str, str], BeforeValidator(_texts)]


class McpServer(BaseModel):
    """One server: `command` starts it over stdio, or `url` names it over HTTP.

    Fields of other clients in the same file (`autoApprove`, `timeout` ...) are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    command: str | None = Field(None, min_length=1)
    """The executable."""
    args: Annotated[tuple[str, ...], BeforeValidator(_texts)] = Field((), repr=False)
    """Its arguments."""
    env: _Texts = Field({}, repr=False)
    """Environment variables of the process, besides the few that every server inherits (`PATH`,
    `HOME`, `USER` ...)."""
    cwd: str | None = None
    """The folder it runs in; None for the current one."""
    url: str | None = Field(None, repr=False)
    """The address of a server over streamable HTTP, or over the older HTTP with SSE."""
    headers: _Texts = Field({}, repr=False)
    """Headers of every request to `url`."""
    type: Annotated[Literal["stdio", "http", "sse"] | None, BeforeValidator(_transport)] = None
    """The transport over HTTP that is tried first; `command` or `url` tells the others."""
    disabled: bool = False
    """Whether `read_mcp_servers` leaves the server out."""

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("should be an object")
        data = {key: value for key, value in data.items() if value is not None}
        for field, names in _NAMES.items():
            for name in names:
                if name in data and field not in data:
                    data[field] = data.pop(name)
        if data.pop("enabled", True) is False:
            data["disabled"] = True
        for key in data.keys() - cls.model_fields.keys():
            if close := difflib.get_close_matches(key, cls.model_fields, n=1, cutoff=0.8):
                raise ValueError(f"unknown field {key!r} (did you mean {close[0]!r}?)")
        return data

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
    """Read a file that lists MCP servers.

    Args:
        path: The file, in the form that MCP clients share, or in that of VS Code.

    Returns:
        The servers by name, in the file's order, without those marked `disabled`.

    Raises:
        InputError: The file cannot be read or used; the message names server and field.

    Source: https://modelcontextprotocol.io/docs/develop/connect-local-servers
    """
    try:
        data = read_json(_without_comments(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    data = as_object(data)
    places = (("mcpServers", data), ("servers", data), ("servers", as_object(data.get("mcp"))))
    key, whole = next((one for one in places if isinstance(one[1].get(one[0]), dict)), ("", {}))
    if not key:
        raise InputError(
            f'{path}: should be {{"mcpServers": {{name: server, ...}}}}, or "servers" as in VS Code'
        )
    servers = {}
    for name, entry in whole[key].items():
        try:
            server = McpServer.model_validate(entry)
            if not server.disabled:
                server.resolve()
                servers[name] = server
        except ValidationError as error:
            problem = ": ".join(filter(None, first_problem(error))).replace("Value error, ", "")
            raise InputError(f"{path}: server {name!r}: {problem}") from None
        except InputError as error:
            raise InputError(f"{path}: server {name!r}: {error}") from None
    if not servers:
        raise InputError(f"{path}: {key!r} names no server that is not disabled")
    return servers


def _without_comments(text: str) -> str:
    """Return JSON without comments and without a comma after the last item; nothing else moves."""
    for pattern in (_COMMENT, _LAST_COMMA):
        text = pattern.sub(lambda found: found[1] or re.sub(r"[^\n]", " ", found[0]), text)
    return text


def _expand(value: Any) -> Any:
    """Replace the variables in all texts of a JSON value."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_expand, value))
    if not isinstance(value, str):
        return value
    if asked := _INPUT.search(value):
        raise InputError(
            f"{asked[0]} is asked for in a window of VS Code; write ${{NAME}} instead, and set the"
            " environment variable NAME"
        )
    return _VARIABLE.sub(_look_up, value)


def _look_up(match: re.Match[str]) -> str:
    folders = {"workspaceFolder": os.getcwd(), "userHome": str(Path.home())}  # as in VS Code
    found = os.environ.get(match[1], folders.get(match[1], match[2]))
    if found is None:
        raise InputError(f"the environment variable {match[1]} is not set")
    return found
