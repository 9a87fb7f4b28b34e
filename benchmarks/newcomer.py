"""A scripted newcomer that reads: a policy for silent scales that knows nothing hidden.

It sees the prompt and the observations, nothing else. Where the prompt's experience tells of the
tool, it acts on that at once; otherwise it tries the documented example and works out the factor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Completion
from toolmaster.types import Message, Role
from toolmaster.world.domain import number

Turns = Generator[str, str, None]
_EXAMPLE = re.compile(r"(?:Example: |; )(.+) -> (-?\d+(?:\.\d+)?)$")


@dataclass(slots=True)
class _Acting:
    turns: Turns
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    observation: str | None = None

    async def complete(self) -> Completion:
        try:
            if self.observation is None:
                return Completion(next(self.turns))
            return Completion(self.turns.send(self.observation))
        except StopIteration:
            raise PolicyError("the newcomer has nothing left to do") from None

    def observe(self, observation: str, role: Role = "tool") -> list[int]:  # noqa: ARG002
        self.observation = observation
        return []


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Answers one question about one number with one tool that has a documented example."""

    name: str = "newcomer"

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Acting:
        """Begin a rollout."""
        return _Acting(_turns(prompt[-1].content, tools))


def _turns(query: str, tools: Sequence[dict[str, Any]]) -> Turns:
    query, _, handed = query.partition("\n<experience>")
    fitting = [tool for tool in tools if _EXAMPLE.search(tool["function"]["description"])]
    tool = max(fitting or tools, key=lambda tool: _shared(query, tool))["function"]
    factor = _known(handed, tool["name"])
    experience = "none"
    if factor is None:
        given, expected = _example(tool["description"])
        observed = yield _call(tool, given, "What does its example give?")
        factor = _quotient(observed, expected)
        divide = f"divide the result by {show(factor)}" if factor != 1 else "as documented"
        experience = f"{tool['name']}: {divide}"
    yield f"<think>I know enough.</think><experience>{experience}</experience>"
    asked = [*re.findall(r'"([^"]+)"', query), *map(int, re.findall(r"\b\d+\b", query))]
    observed = yield _call(tool, asked, "Now for real.")
    try:
        answer = show(number(float(observed) / factor))
    except ValueError:
        answer = observed
    yield f"<think>{observed} / {show(factor)}.</think><answer>{answer}</answer>"


def show(value: float) -> str:
    """A number as tools show it."""
    return json.dumps(number(value))


def _shared(query: str, tool: dict[str, Any]) -> int:
    """How many words a question and a tool's name and description have in common."""
    function = tool["function"]
    described = f"{function['name']} {function['description'].split('Example')[0]}"
    return len(_words(query) & _words(described))


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z]{3,}", text.lower())}


def _known(handed: str, tool: str) -> float | None:
    """The factor that the prompt's experience tells of a tool; None where it tells nothing."""
    for line in handed.removesuffix("</experience>").splitlines():
        name, _, lesson = line.partition(": ")
        if name == tool and lesson == "as documented":
            return 1
        if name == tool and lesson.startswith("divide the result by "):
            return float(lesson.removeprefix("divide the result by "))
    return None


def _example(description: str) -> tuple[list[Any], float]:
    """The arguments of the documented example, and what it should give."""
    found = _EXAMPLE.search(description)
    if found is None:
        return [], 0.0
    return json.loads(f"[{found[1]}]"), float(found[2])


def _quotient(observed: str, expected: float) -> float:
    try:
        return float(observed) / expected
    except (ValueError, ZeroDivisionError):
        return 1.0


def _call(tool: dict[str, Any], values: Sequence[Any], thought: str) -> str:
    """A call with the first values that fit the parameters' types."""
    left = list(values)
    arguments = {}
    for name, schema in tool["parameters"]["properties"].items():
        wanted = str if schema["type"] == "string" else int | float
        value = next((v for v in left if isinstance(v, wanted)), None)
        if value is not None:
            left.remove(value)
            arguments[name] = value
    call = json.dumps({"name": tool["name"], "arguments": arguments}, ensure_ascii=False)
    return f"<think>{thought}</think><tool_call>{call}</tool_call>"
