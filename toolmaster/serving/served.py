"""One client's session: its calls become the turns that the protocol wants.

A client that speaks tools natively has no tags to write. Its calls, and the reserved tools
`begin_execution` and `answer`, are put into the words of the protocol and given to a `Session`, so
that limits, phases, errors and scoring are those of every other rollout.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.policies.spellings import untagged
from toolmaster.protocols import Protocol
from toolmaster.serving.record import trajectory_of
from toolmaster.session import Session
from toolmaster.tags import with_experience
from toolmaster.tasksets import Task
from toolmaster.tools import Tool
from toolmaster.types import Effect, Phase, Trajectory

BEGIN, ANSWER = "begin_execution", "answer"
"""Names of the reserved tools."""


def _reserved(name: str, parameter: str, description: str) -> Tool:
    parameters = {
        "type": "object",
        "properties": {parameter: {"type": "string"}},
        "required": [parameter],
        "additionalProperties": False,
    }
    return Tool(name, description, parameters, print, Effect.WRITE)  # a session never runs it


_BEGIN = _reserved(
    BEGIN,
    "experience",
    "End the trial: from here on calls are real. Say what you learned, a line per tool, for"
    " example `fetch_cost: divide the result by 100`, or `none`.",
)
_ANSWER = _reserved(ANSWER, "text", "Answer the user. This ends the session.")


class ServedSession:
    """A session that takes calls one at a time, whoever makes them at once.

    Args:
        task: what is to be done.
        protocol: with `trial`, calls run on a fork until `begin_execution`.
        limits: what the session allows.
        client: who acts, as far as it told.
        show_verdict: whether the answer to the last call tells the score.

    Raises:
        InputError: a tool of the task has the name of a reserved one.
    """

    def __init__(
        self,
        task: Task,
        protocol: Protocol,
        limits: Limits,
        *,
        client: str = "mcp client",
        show_verdict: bool = False,
    ) -> None:
        self.session = Session(task, protocol, limits)
        self.reserved = (_BEGIN, _ANSWER) if protocol is Protocol.TRIAL else (_ANSWER,)
        for tool in self.reserved:
            if tool.name in self.session.tools:
                raise InputError(f"task {task.id!r}: a tool is called {tool.name!r}; rename it")
        self._client = client
        self._show_verdict = show_verdict
        self._started = time.perf_counter()
        self._one_at_a_time = asyncio.Lock()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The task's tools and the reserved ones."""
        return (*self.session.tools.tools, *self.reserved)

    async def call(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Run a call.

        Returns:
            What came of it as text, and whether it is an error.
        """
        async with self._one_at_a_time:
            if self.session.stop_reason is not None:
                return f"{await self._ended()}; connect again for another", True
            reserved = next((tool for tool in self.reserved if tool.name == name), None)
            violation = reserved.violation(arguments) if reserved else None
            if violation is not None:
                return f"error: {violation}", True
            step = await self.session.step(_turn(name, arguments, reserved))
            lines = [] if step.observation is None else [step.observation]
            if self.session.stop_reason is not None:
                lines.append(await self._ended())
            return "\n".join(lines), step.error is not None

    async def trajectory(self) -> Trajectory:
        """The record so far; one that has not ended says so."""
        return await trajectory_of(self.session, self._client, time.perf_counter() - self._started)

    async def _ended(self) -> str:
        text = f"the session has ended: {self.session.stop_reason}"
        score = (await self.trajectory()).score if self._show_verdict else None
        return text if score is None else f"{text}\n{score.model_dump_json()}"


def instructions(task: Task, protocol: Protocol, limits: Limits) -> str:
    """What a client's model is told: the query, how the session goes, what is known already."""
    lines = [with_experience(task.query, task.experience), ""]
    if protocol.first_phase is Phase.TRIAL:
        lines.append(
            "The tools may behave otherwise than they say. Calls are trials on a copy (at most"
            f" {limits.trial_calls}) until {BEGIN}; then they are real."
        )
    lines.append(f"Give the result with {ANSWER}. You have {limits.max_turns} calls in all.")
    return "\n".join(lines)


def _turn(name: str, arguments: dict[str, Any], reserved: Tool | None) -> str:
    """The call as the protocol writes it."""
    if reserved is _BEGIN:
        return f"<think></think><experience>{untagged(arguments['experience'])}</experience>"
    if reserved is _ANSWER:
        return f"<think></think><answer>{untagged(arguments['text'])}</answer>"
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    # Text in an argument may look like a tag of the protocol.
    return f"<think></think><tool_call>{call.replace('<', chr(92) + 'u003c')}</tool_call>"
