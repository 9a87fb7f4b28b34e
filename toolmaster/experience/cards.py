"""`Card`: what is known of one tool, and the calls that showed it.

Cards hold what models and tools once wrote, or a file that was imported: untrusted text. Whatever
enters one is made a single bounded line in which nothing can pass for a tag.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from toolmaster.tools import Tool
from toolmaster.types import ErrorKind, Record

NAME_CHARS = 200
LESSON_CHARS = 240
OBSERVATION_CHARS = 600
ARGUMENTS_CHARS = 2000
_TAGS = str.maketrans("<>", "\u2039\u203a")  # quotation marks that look alike


def one_line(text: str, limit: int) -> str:
    """Text as a card may hold it: one line, no control or invisible characters, no tags.

    Args:
        text: anything.
        limit: characters at most.
    """
    head = text[: 4 * limit]  # spaces may fall away, and no one waits for a megabyte
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in head)
    line = " ".join(visible.translate(_TAGS).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def schema_hash(tool: Tool) -> str:
    """16 hexadecimal digits that change with a tool's name, description or parameters."""
    canonical = json.dumps(tool.schema()["function"], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()[:16]


def _line(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: one_line(text, limit))


def _bounded(arguments: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(arguments, default=str))
    if size > ARGUMENTS_CHARS:
        raise ValueError(f"arguments of {size} characters; at most {ARGUMENTS_CHARS}")
    return arguments


Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]
Line = Annotated[str, _line(NAME_CHARS)]


class Evidence(Record):
    """One call of a trial and what it gave."""

    model_config = ConfigDict(frozen=True)

    name: Name
    arguments: Annotated[dict[str, Any], AfterValidator(_bounded)]
    observation: Annotated[str, _line(OBSERVATION_CHARS)]
    """As one line; cut where it is long."""
    error: ErrorKind | None = None
    repeatable: bool = False
    """Whether the same call shows the same again while the tool behaves the same: it only reads,
    and nothing had been written before it. Never so for what was imported."""


class Card(Record):
    """What one lesson about one tool is worth."""

    model_config = ConfigDict(frozen=True)

    tool: Name
    source: Annotated[str, Field(max_length=2000)]
    """Where the tool comes from; see `Tool.source`."""
    schema_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """See `schema_hash`: a tool with another one is another tool."""
    lesson: Annotated[str, _line(LESSON_CHARS), Field(min_length=1)]
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=2)] = ()
    """The error that told, where one did, and the last call that worked."""
    when: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """UTC, of the last trial that taught it."""
    policy: Line
    """Who learned it."""
    learned: Annotated[int, Field(ge=1, lt=2**31)] = 1
    """How many trials taught this same lesson."""
    handed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """On how many tasks it was handed out."""
    helped: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """How often it was handed, its tool was called for real without an error, and the task was
    answered: rightly, where there is a verdict."""
    unchecked: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """How often it was handed since it was last learned or checked."""
    failed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """How many tasks in a row failed with it: their tool gave an error for real, or their outcome
    was judged wrong. After one it is checked before it is handed again."""
    stale: Line | None = None
    """Why it is no longer handed; None while it is."""

    @property
    def id(self) -> str:
        """10 hexadecimal digits of tool, source, schema and lesson (but for case and stop)."""
        key = (self.source, self.tool, self.schema_hash, comparable(self.lesson))
        return hashlib.sha256(json.dumps(key).encode("utf-8", "replace")).hexdigest()[:10]

    @property
    def check(self) -> Evidence | None:
        """The call that shows whether it still holds; None where none can be made again."""
        return next((e for e in reversed(self.evidence) if e.repeatable), None)

    def line(self) -> str:
        """As it is handed to a policy."""
        return f"{one_line(self.tool, NAME_CHARS)}: {self.lesson}"


def comparable(lesson: str) -> str:
    """A lesson without what makes no difference."""
    return lesson.casefold().rstrip(". ")
