"""What an operation is: its tool's name and effect, its parameters, and its body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from toolmaster.tools.openapi.schemas import SchemaReader
from toolmaster.types import Effect


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as an argument of a tool and as a part of a request.

    Args:
        argument: the tool's name for it.
        name: the service's name for it.
        location: "path", "query", "header" or "cookie".
        required: whether a call must give it.
        style: OpenAPI's serialisation style.
        explode: whether each item is written by itself.
        as_json: the value is written as JSON, whatever its type.
        allow_reserved: reserved characters are not encoded.
    """

    argument: str
    name: str
    location: str
    required: bool
    style: str
    explode: bool
    as_json: bool = False
    allow_reserved: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The request body as an argument: its media type, and per field how a form writes it."""

    argument: str
    media_type: str
    encoding: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service, ready to become a tool.

    Args:
        name: the tool's name.
        description: the tool's description, within its budget.
        method: HTTP method, upper case.
        path: path template as the document has it.
        effect: what a call may do.
        parameters: everything but the body.
        body: the request body, if it takes one.
        server: the URL of an own server, absolute or relative; None for the document's.
        accept: media types that it answers with.
        example: the document's example of a successful response; None where it has none.
    """

    name: str
    description: str
    method: str
    path: str
    effect: Effect
    parameters: tuple[Parameter, ...]
    body: Body | None
    server: str | None
    accept: tuple[str, ...]
    example: Any = field(repr=False)
    _schema: dict[str, Any] = field(repr=False)
    _uses: tuple[str, ...] = field(repr=False)
    _reader: SchemaReader = field(repr=False)

    def arguments(self) -> dict[str, Any]:
        """The JSON Schema 2020-12 of the tool's arguments, self-contained."""
        return self._reader.close(self._schema, list(self._uses))


def body_kind(media_type: str) -> str:
    """How a media type is written: "json", "form", "multipart" or "text"."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return "form"
    if kind.startswith("multipart/"):
        return "multipart"
    return "json" if "json" in kind or kind in ("*/*", "application/*", "") else "text"
