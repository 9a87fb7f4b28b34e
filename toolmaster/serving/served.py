"""`ServedSession`: turns the tool calls of one client into turns of a session.

A client makes native tool calls and writes no tags. Its calls, including those of the reserved
tools `begin_execution` and `answer`, are written as turns of the protocol and go to a `Session`. So
limits, phases, errors and scoring are those of every other rollout.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.policies.tool_calls import untagged
from toolmaster.protocols import Protocol
from toolmaster.runs import append_trajectory
from toolmaster.serving.record import trajectory_of
from toolmaster.session import Session
from toolmaster.tags import with_experience
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, from_function
from toolmaster.types import Effect, Phase, Trajectory


def begin_execution(experience: str) -> str:
    """End the trial, and say what you learned: from here on calls are real.

    Args:
        experience: A line per tool, for example `fetch_cost: divide the result by 100`, or `none`.
    """
    return f"<think></think><experience>{untagged(experience)}</experience>"


def answer(text: str) -> str:
    """Answer the user. This ends the session."""
    return f"<think></think><answer>{untagged(text)}</answer>"


class ServedSession:
    """A session that takes calls, and runs them one at a time.

    Args:
        task: The task to run.
        protocol: The trajectory format; with `trial`, calls run on a fork until `begin_execution`.
        limits: Limits of the session.
        client: Name of the client, for the trajectory.
        show_verdict: Whether the result of the last call includes the score.
        file: The `trajectories.jsonl` to append the trajectory to, at the end of the session or
            when the client leaves; None writes no file.

    Raises:
        InputError: A tool of the task has the name of a reserved one.
    """

    def __init__(
        self,
        task: Task,
        protocol: Protocol,
        limits: Limits,
        *,
        client: str = "mcp client",
        show_verdict: bool = False,
        file: Path | None = None,
    ) -> None:
        self.session = Session(task, protocol, limits)
        functions = (begin_execution, answer) if protocol is Protocol.TRIAL else (answer,)
        self._reserved = {f.__name__: from_function(f, effect=Effect.WRITE) for f in functions}
        for name in self._reserved:
            if name in self.session.tools:
                raise InputError(f"task {task.id!r}: a tool is called {name!r}; rename it")
        self._client, self._show_verdict, self._file = client, show_verdict, file
        self._started = time.perf_counter()
        self._one_at_a_time = asyncio.Lock()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The task's tools and the reserved ones."""
        return (*self.session.tools.tools, *self._reserved.values())

    @property
    def instructions(self) -> str:
        """Instructions for the client: query, retrieved experience, rules of the session."""
        task, limits = self.session.task, self.session.limits
        lines = [with_experience(task.query, task.experience), ""]
        if self.session.protocol.first_phase is Phase.TRIAL:
            lines.append(
                "The tools may behave otherwise than they say. Calls are trials on a copy (at most"
                f" {limits.trial_calls}) until begin_execution; then they are real."
            )
        lines.append(f"Give the result with answer. You have {limits.max_turns} calls in all.")
        return "\n".join(lines)

    async def call(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Run a call, and return its result as text and whether it is an error."""
        async with self._one_at_a_time:
            if self.session.stop_reason is not None:
                return f"{await self._ended()}; connect again for another", True
            reserved = self._reserved.get(name)
            violation = reserved.violation(arguments) if reserved else None
            if violation is not None:
                return f"error: {violation}", True
            turn = reserved.execute(None, arguments) if reserved else as_turn(name, arguments)
            step = await self.session.step(turn)
            lines = [] if step.observation is None else [step.observation]
            if self.session.stop_reason is not None:
                await self.close()
                lines.append(await self._ended())
            return "\n".join(lines), step.error is not None

    async def trajectory(self) -> Trajectory:
        """Return the trajectory so far; it has an error if the session has not ended."""
        return await trajectory_of(self.session, self._client, time.perf_counter() - self._started)

    async def close(self) -> None:
        """Append the trajectory to the file, once, if it has any step."""
        file, self._file = self._file, None
        if file is not None and self.session.steps:
            append_trajectory(file, await self.trajectory())

    async def _ended(self) -> str:
        text = f"the session has ended: {self.session.stop_reason}"
        score = (await self.trajectory()).score if self._show_verdict else None
        return text if score is None else f"{text}\n{score.model_dump_json()}"


def as_turn(name: str, arguments: dict[str, Any]) -> str:
    """Return the call as the protocol writes it."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    # An argument may contain a tag of the protocol.
    return f"<think></think><tool_call>{call.replace('<', chr(92) + 'u003c')}</tool_call>"
