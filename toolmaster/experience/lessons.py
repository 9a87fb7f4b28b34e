"""From a trajectory to what it taught: the lines of its experience, each with its evidence.

A line counts only where the trajectory tried that tool; what was copied from the prompt, guessed,
or said of one tool in the name of another has no trial to show and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

from toolmaster.experience.cards import LESSON_CHARS, OBSERVATION_CHARS, Evidence, one_line
from toolmaster.protocols import Protocol, parse
from toolmaster.tools import ToolSet
from toolmaster.types import ActionKind, Effect, ErrorKind, Phase, Step, Trajectory

_RUN = (None, ErrorKind.TOOL_ERROR, ErrorKind.TIMEOUT)
"""What is said of a call that reached the tool."""
_CUT = re.compile(r" \[cut: \d+ of \d+ characters shown\]$")
_BEFORE = "-*•` \t"


def lessons(trajectory: Trajectory, tools: ToolSet) -> dict[str, str]:
    """What the experience says of each tool.

    Args:
        trajectory: any trajectory; only a declared `<experience>` is read.
        tools: the tools there are; lines that begin with no tool's name are left out.

    Returns:
        Tool name to lesson, one bounded line each; several lines of one tool are joined.
    """
    declared = [s for s in trajectory.steps if s.action is ActionKind.EXPERIENCE]
    if not declared:
        return {}
    text = parse(declared[-1].text, Protocol.TRIAL).text
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, lesson = _split(line.lstrip(_BEFORE), tools.names())
        if lesson and lesson not in found.setdefault(name, []):
            found[name].append(lesson)
    return {name: one_line("; ".join(said), LESSON_CHARS) for name, said in found.items() if said}


def _split(line: str, names: Iterable[str]) -> tuple[str, str]:
    """The tool a line is about, and what it says; ("", "") for a line about none."""
    fitting = [name for name in names if line.startswith(name)]
    name = max(fitting, key=len, default="")
    rest = line[len(name) :].lstrip("`")
    if not name or not rest or not (rest[0] == ":" or rest[0].isspace()):
        return "", ""
    return name, one_line(rest.lstrip().removeprefix(":"), LESSON_CHARS)


def evidence(trajectory: Trajectory, tools: ToolSet, name: str) -> tuple[Evidence, ...]:
    """The trial calls that showed how a tool behaves.

    Args:
        trajectory: it may have tried the tool.
        tools: the tools there are.
        name: of the tool.

    Returns:
        The last error it gave, if any, and the last call that worked, if possible one before any
        write (what a trial wrote is gone with the trial). Empty where the tool was not tried.
    """
    worked: list[Evidence] = []
    refused: list[Evidence] = []
    written = False
    for step in trajectory.calls(Phase.TRIAL):
        call = step.call
        if call is None or step.error not in _RUN or call.name not in tools:
            continue
        reads = tools[call.name].effect is Effect.READ
        if call.name == name:
            seen = _evidence(step, repeatable=reads and not written)
            if seen is not None:
                (worked if step.error is None else refused).append(seen)
        written = written or not reads
    best = [e for e in worked if e.repeatable] or worked
    return tuple(refused[-1:] + best[-1:])


def _evidence(step: Step, *, repeatable: bool) -> Evidence | None:
    """A call as evidence; None where it is too long to keep."""
    assert step.call is not None  # noqa: S101 - the caller looked
    try:
        return Evidence(
            name=step.call.name,
            arguments=step.call.arguments,
            observation=shown(step.observation or ""),
            error=step.error,
            repeatable=repeatable,
        )
    except ValidationError:
        return None


def shown(observation: str) -> str:
    """An observation as evidence holds it, without the session's own note of a cut."""
    return one_line(_CUT.sub("…", observation), OBSERVATION_CHARS)
