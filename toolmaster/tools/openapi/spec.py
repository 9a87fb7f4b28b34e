"""One parsed document: its version, its references, and what had to be left out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from toolmaster.errors import InputError


@dataclass(frozen=True, slots=True)
class Note:
    """Something the document says that could not be kept.

    Args:
        place: where, as a JSON pointer or `METHOD /path`.
        reason: why, in one line.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class UnusableError(Exception):
    """A part of the document that no tool can be made of; the text says why."""


@dataclass(slots=True)
class Spec:
    """A parsed document.

    Args:
        content: the document.
        source: its file or address, for messages.

    Raises:
        InputError: a version other than 2.0, 3.0 and 3.1, or no paths.
    """

    content: dict[str, Any]
    source: str
    version: str = field(init=False)
    """ "2.0", "3.0" or "3.1"."""
    relaxed: list[Note] = field(default_factory=list)
    """Constraints that were dropped; a wider schema leaves the judgement to the service."""

    def __post_init__(self) -> None:
        said = self.content.get("openapi", self.content.get("swagger"))
        self.version = ".".join(str(said).split(".")[:2])
        if self.version not in ("2.0", "3.0", "3.1"):
            said = "no version" if said is None else f"version {said!r}"
            raise InputError(
                f"{self.source}: {said} at /openapi or /swagger; supported are Swagger 2.0,"
                " OpenAPI 3.0 and 3.1"
            )
        if not isinstance(self.content.get("paths", {}), dict):
            raise InputError(f"{self.source}: /paths must be an object")

    def relax(self, place: str, reason: str) -> None:
        """Remember a constraint that is not kept."""
        self.relaxed.append(Note(place, reason))

    def lookup(self, reference: Any) -> Any:
        """The value that a `$ref` names.

        Raises:
            UnusableError: it names another document or nothing.

        Source: RFC 6901 in its URI fragment form.
        """
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnusableError(f"$ref {reference!r} is in another document; bundle them into one")
        value: Any = self.content
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise UnusableError(f"$ref {reference!r} names nothing")
        return value

    def resolve(self, value: Any) -> Any:
        """`value`, or what it refers to.

        Raises:
            UnusableError: the reference leads nowhere, elsewhere or in a circle.
        """
        first = value
        for _ in range(20):
            if not isinstance(value, dict) or "$ref" not in value:
                return value
            value = self.lookup(value["$ref"])
        raise UnusableError(f"$ref {first['$ref']!r} leads in a circle")


def as_object(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one: what is malformed says nothing."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def mapping(value: Any, place: str) -> dict[str, Any]:
    """`value` if it is an object.

    Raises:
        UnusableError: it is not.
    """
    if not isinstance(value, dict):
        raise UnusableError(f"{place} must be an object, got {type(value).__name__}")
    return value
