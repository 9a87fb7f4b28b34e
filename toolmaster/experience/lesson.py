"""`Lesson`: what is known about one tool, and how lessons are read from a trajectory.

A lesson is untrusted text from a model, a tool or an imported file. It is therefore stored as lines
of bounded length that cannot contain a tag of the protocol.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Container, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, ErrorKind, Phase, Record, Step, Trajectory

NAME_CHARS = 200
LESSON_CHARS = 240
OBSERVATION_CHARS = 600
ARGUMENTS_CHARS = 2000
SOURCE_CHARS = 2000
_TAGS = str.maketrans("<>", "\u2039\u203a")  # quotation marks that look alike
_CUT = re.compile(r" \[cut: \d+ of \d+ characters shown\]$")
_LIMITS = (
    *(ErrorKind.TIMEOUT, ErrorKind.BUDGET_EXHAUSTED),
    *(ErrorKind.NOT_EXECUTED, ErrorKind.NOT_PERMITTED),
)
_LIMIT = re.compile(r"error: (not run: |the call was run; its result )")
"""How a tool host answers in place of a tool."""
_PART = re.compile(r"(?<=[.,;!?])\s+")
_OF_LIMITS = re.compile(
    r"\b(time[ds]?[ -]?out|no answer|slow|hangs?|hung|\d+ ?(s|Mi?B)|seconds?"
    r"|cut|truncat\w*|characters|read_more|partial|incomplete|budget|used up|trials?"
    r"|(un)?permi\w+|(dis)?allowed|approv\w+|denied|refus\w+|not (be )?(run|executed|tried))\b",
    re.IGNORECASE,
)
"""Words about limits of the session, in a lesson on a tool that has met one."""
MAX_CONSECUTIVE_FAILURES = 2
"""A lesson is stale after this many failures in a row, or after one if it never helped."""


def one_line(text: str, limit: int) -> str:
    r"""Return the text as one line without control characters, invisible characters and tags.

    Args:
        text: any text.
        limit: the most characters to return; a longer line is cut and ends with "…".

    Example:
        >>> one_line("divide\nby 100", 40)
        'divide by 100'
    """
    head = text[: 4 * limit]  # enough, and fast for a text of megabytes
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in head)
    line = " ".join(visible.translate(_TAGS).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shown(observation: str) -> str:
    """Return an observation as a lesson stores it, without the session's note about a cut."""
    return one_line(_CUT.sub("…", observation), OBSERVATION_CHARS)


def utc_now() -> str:
    """Return the time in UTC, to the second, as a lesson stores it."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def is_limited(step: Step) -> bool:
    """Return whether a call was answered by a limit of the session, which shows nothing of a tool.

    Such limits are timeouts, budgets, permissions, trials that do not run a call, and the tool
    host's bounds.
    """
    return step.error in _LIMITS or _LIMIT.match(step.observation or "") is not None


def schema_hash(tool: Tool) -> str:
    """Return 16 hexadecimal digits that change with a tool's name, description or parameters."""
    canonical = json.dumps(tool.schema()["function"], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()[:16]


def _line(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: one_line(text, limit))


def _bounded(arguments: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(arguments, default=str))
    if size > ARGUMENTS_CHARS:
        raise ValueError(f"arguments of {size} characters; at most {ARGUMENTS_CHARS}")
    return arguments


Count = Annotated[int, Field(ge=0, lt=2**31)]


class Lesson(Record):
    """One lesson about one tool, and the trial call that showed it."""

    tool: Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]
    schema_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """See `schema_hash`. A lesson is about every tool with this name and schema."""
    text: Annotated[str, _line(LESSON_CHARS), Field(min_length=1)]
    arguments: Annotated[dict[str, Any], AfterValidator(_bounded)]
    """Arguments of the call that showed it."""
    observation: Annotated[str, _line(OBSERVATION_CHARS)]
    """Result of that call as one line; a long one is cut and ends with "…"."""
    error: ErrorKind | None = None
    repeatable: bool = False
    """Whether the call can be made again to check the lesson: it only reads, and nothing had been
    written before it."""
    source: Annotated[str, _line(SOURCE_CHARS)] = ""
    """The `Tool.source` where the lesson was last learned or checked, shown to users; "" if
    unknown, as in an exported lesson."""
    when: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """Time of the last trial that showed it, in UTC."""
    policy: Annotated[str, _line(NAME_CHARS)]
    """Name of the policy that wrote it."""
    who: Annotated[str, _line(NAME_CHARS)] = ""
    """The person who exported it first; "" for a lesson of one's own."""
    retrieved: Count = 0
    """Number of tasks whose prompt held it."""
    helped: Count = 0
    """Number of those tasks that called the tool and were judged successful."""
    awaits: Annotated[str, _line(NAME_CHARS)] = ""
    """Time and id of the last task that taught or used it, if that task has no verdict."""
    unchecked: Count = Field(0, exclude=True)
    """Not used; files of earlier versions have it."""
    failed: Count = 0
    """Number of failures in a row: the tool gave an error in execution, or the task was judged
    wrong."""
    stale: Annotated[str, _line(NAME_CHARS)] | None = None
    """Why it is no longer used; None while it is."""

    @property
    def key(self) -> tuple[str, str]:
        """Name and schema of the tool it is about."""
        return self.tool, self.schema_hash

    @property
    def id(self) -> str:
        """10 hexadecimal digits of its key and text, ignoring case and the last full stop."""
        key = [*self.key, self.text.casefold().rstrip(". ")]
        return hashlib.sha256(json.dumps(key).encode("utf-8", "replace")).hexdigest()[:10]

    def line(self) -> str:
        """Return the lesson as a line of the prompt."""
        return f"{one_line(self.tool, NAME_CHARS)}: {self.text}"

    def judge(self, right: bool, why: str = "judged wrong") -> None:
        """Count a verdict on a task that used it; failures make it stale.

        Args:
            right: whether the task succeeded.
            why: the reason to store if the lesson becomes stale.
        """
        self.awaits = ""
        if right:
            self.helped, self.failed = self.helped + 1, 0
            return
        self.failed += 1
        if self.failed >= MAX_CONSECUTIVE_FAILURES or not self.helped or not self.repeatable:
            self.stale = self.stale or one_line(why, NAME_CHARS)


def read_lessons(trajectory: Trajectory, tools: ToolSet) -> list[Lesson]:
    """Return one lesson for each tool that a trajectory tried and wrote about.

    A lesson stores one trial call of its tool: preferably a call that can be repeated, then one
    that succeeded, then the latest. Text about a tool that was not tried (copied from the prompt,
    or guessed) gives no lesson, and neither does text about a limit of the session that a call of
    the tool met: a timeout, a cut result, a budget, a missing permission.

    Args:
        trajectory: a trajectory, whose `experience` is read.
        tools: the tools of its task.
    """
    best: dict[str, tuple[bool, bool, Step]] = {}
    limited: set[str] = set()
    written = False  # after a write of the trial, which is then discarded, reads cannot be repeated
    for step in trajectory.calls(Phase.TRIAL):
        if step.call is None or step.call.name not in tools:
            continue
        if is_limited(step) or _CUT.search(step.observation or ""):
            limited.add(step.call.name)
        if is_limited(step) or step.error not in (None, ErrorKind.TOOL_ERROR):
            continue
        name, reads = step.call.name, tools[step.call.name].effect is Effect.READ
        ranked = (reads and not written, step.error is None, step)
        fits = len(json.dumps(step.call.arguments)) <= ARGUMENTS_CHARS
        if fits and (name not in best or ranked[:2] >= best[name][:2]):
            best[name] = ranked
        written = written or not reads
    lessons = []
    for name, text in texts_by_tool(trajectory.experience, tools.names(), limited).items():
        if name not in best:
            continue
        repeatable, _, step = best[name]
        with suppress(ValidationError):  # a name that is too long
            lesson = Lesson(
                tool=name,
                schema_hash=schema_hash(tools[name]),
                text=text,
                arguments=step.call.arguments if step.call is not None else {},
                observation=shown(step.observation or ""),
                error=step.error,
                repeatable=repeatable,
                source=tools[name].source,
                when=utc_now(),
                policy=trajectory.policy,
            )
            lessons.append(lesson)
    return lessons


def texts_by_tool(
    experience: str, names: Iterable[str], limited: Container[str] = ()
) -> dict[str, str]:
    """Return what an experience says about each tool; several lines about one tool are joined.

    Args:
        experience: one line per tool, each beginning with the tool's name.
        names: names of the tools; lines that begin with none of them are left out.
        limited: names of tools that met a limit of the session; what is said about limits is left
            out for them.

    Example:
        >>> texts_by_tool("- get_price: divide by 100", ["get_price"])
        {'get_price': 'divide by 100'}
    """
    longest_first = sorted(names, key=len, reverse=True)
    texts_of: dict[str, list[str]] = {}
    for line in experience.splitlines():
        bare = line.lstrip("-*•` \t")
        name = next((name for name in longest_first if bare.startswith(name)), "")
        rest = bare[len(name) :].lstrip("`")
        if not name or not (rest.startswith(":") or rest[:1].isspace()):
            continue
        said = rest.lstrip().removeprefix(":")
        if name in limited:
            kept = " ".join(part for part in _PART.split(said) if not _OF_LIMITS.search(part))
            said = kept.rstrip(",; ")
        text = one_line(said, LESSON_CHARS)
        if text and text not in texts_of.setdefault(name, []):
            texts_of[name].append(text)
    return {
        name: one_line("; ".join(texts), LESSON_CHARS) for name, texts in texts_of.items() if texts
    }
