"""`Agent`: a model with one's own tools, for one task or many.

An agent runs ordinary sessions and adds what lasts beyond one of them: experience, one budget for
all tasks, and a file of trajectories that also keeps a session that was stopped in the middle.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Protocol as Protocol_

from pydantic import BaseModel

from toolmaster.errors import ConfigError, InputError
from toolmaster.experience import Experience, Retrieved
from toolmaster.limits import AgentLimits, Budget, Limits
from toolmaster.policies.base import (
    EndpointSettings,
    Instructed,
    Policy,
    RoomySampling,
    Sampling,
)
from toolmaster.policies.loading import check_model, open_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts, side_by_side
from toolmaster.runs import append_trajectory
from toolmaster.system.plain import plain
from toolmaster.tasksets import Task, as_tool_set
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.functions import is_function
from toolmaster.tools.merging import merge
from toolmaster.tools.permissions import Approver, Ask
from toolmaster.tools.schemas import check_schema
from toolmaster.tools.sources import open_sources
from toolmaster.types import Effect, Message, Step, Trajectory


class Callbacks(Protocol_):
    """Functions that an agent calls while it works, for example to show progress."""

    def begin(self, task: Task) -> None:
        """Called when a task begins."""

    def step(self, task: Task, step: Step) -> None:
        """Called with each assistant turn and its observation."""

    def end(self, trajectory: Trajectory) -> None:
        """Called when a task has ended or was stopped, after its trajectory was written."""


AnswerType = type[BaseModel] | Mapping[str, Any]
"""A pydantic model or a JSON schema."""


_Opened = tuple[ToolSet, Policy]


class Agent:
    """A model that does tasks with tools: it tries them safely first, then acts.

    Args:
        model: `openai:NAME`, `VENDOR:NAME`, a checkpoint folder or a model id of the Hub; or a
            `Policy`.
        tools: functions, objects, `Tool`s, tool sources in one line each (see `tools.sources`), or
            one `ToolSet`. Trials run as each tool declares; execution is real.
        base_url: the endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`.
        endpoint: timeouts, headers and further fields of the requests to an endpoint.
        sampling: temperature and token limits of the model.
        protocol: the trajectory format, with or without a trial.
        limits: limits of each session.
        approver: decides which calls may run for real. None stands for `permissions.Ask()`, which
            asks before calls that are destructive or of unknown effect, and refuses them if there
            is no terminal; `permissions.AllowAll()` allows every call.
        budget: what all tasks of this agent together may spend; None sets no bounds.
        experience: the lessons that each task reads before it begins and adds to when it ends.
        instructions: the user's own instructions, shown to the model in its system message.
        keep: a JSON-lines file to which every trajectory is appended; None writes no file.
        callbacks: functions called when a task begins, takes a step and ends.

    Sources and models that are given by name are opened for each call of `run` or `arun`; inside
    `async with agent:` they stay open.

    Raises:
        ConfigError: the model is neither a name nor a policy, or the protocol or the experience is
            none.
        InputError: there are no tools, or an item of `tools` cannot be a tool.

    Example:
        >>> from toolmaster.policies.scripted import ScriptedPolicy
        >>> def get_price(item: str) -> int:
        ...     "Price of an item in dollars."
        ...     return 46
        >>> policy = ScriptedPolicy(["<think>t</think><answer>46</answer>"])
        >>> Agent(policy, [get_price], protocol="direct").run("What does a rug cost?").answer
        '46'
    """

    def __init__(
        self,
        model: str | Policy,
        tools: Any,
        *,
        base_url: str | None = None,
        endpoint: EndpointSettings | None = None,
        sampling: Sampling | None = None,
        protocol: Protocol | str = Protocol.TRIAL,
        limits: Limits | None = None,
        approver: Approver | None = None,
        budget: Budget | None = None,
        experience: Experience | None = None,
        instructions: str = "",
        keep: Path | None = None,
        callbacks: Callbacks | None = None,
    ) -> None:
        check_model(model)
        if experience is not None and not isinstance(experience, Experience):
            raise ConfigError(
                "experience is an Experience(ExperienceStore(file)), or None for no lessons;"
                f" received {experience!r}"
            )
        given = tools if isinstance(tools, list | tuple) else [tools]
        self._sources = [tool for tool in given if isinstance(tool, str)]
        self._own = _tool_sets([tool for tool in given if not isinstance(tool, str)])
        if not self._sources and not any(part.tools for part in self._own):
            raise InputError("an agent needs tools, received none")
        self.model = model
        self.base_url, self.endpoint = base_url, endpoint
        self.sampling = sampling or RoomySampling()
        self.protocol = Protocol.named(protocol)
        self.limits = limits or AgentLimits()
        self.approver: Approver = approver or Ask()
        self.budget = budget
        self.experience = experience
        self.instructions = instructions
        self.keep = keep
        self.callbacks = callbacks
        self._asked: Counter[str] = Counter()
        self._opened: _Opened | None = None
        self._stack = AsyncExitStack()

    def run(self, query: str, **options: Any) -> Trajectory:
        """Do one task; blocking version of `arun`."""
        return plain(self.arun(query, **options))

    def run_all(self, queries: Iterable[str], **options: Any) -> list[Trajectory]:
        """Do many tasks; blocking version of `arun_all`."""
        return plain(self.arun_all(queries, **options))

    async def arun(
        self, query: str, *, answer_type: AnswerType | None = None, after: Trajectory | None = None
    ) -> Trajectory:
        """Do one task.

        Args:
            query: the task, in words.
            answer_type: a pydantic model or a JSON schema that the answer must fit, as JSON text.
            after: an earlier trajectory of this agent, which the query follows up: the model sees
                its query and its answer.

        Returns:
            Its trajectory: `answer`, `experience`, `steps`. A failure is recorded in it.

        Raises:
            InputError: the trajectory cannot be written, or tools, model or experience cannot be
                used.
            PermanentPolicyError: the model cannot answer any request, for example because the key
                is wrong; the trajectory is written first.
            asyncio.CancelledError: the task was stopped; what it did is written first.
        """
        async with self._open() as opened:
            history = _conversation(after)
            return await self._solve(query, opened, self._new_run(), answer_type, history)

    async def arun_all(
        self,
        queries: Iterable[str],
        *,
        answer_type: AnswerType | None = None,
        concurrency: int = 8,
    ) -> list[Trajectory]:
        """Do many tasks; each one can use the experience of those that ended before it.

        Args:
            queries: the tasks, in words; consumed lazily.
            answer_type: as in `arun`.
            concurrency: the most tasks that run at the same time.

        Returns:
            Their trajectories, in the order of the queries.

        Raises:
            ConfigError: `concurrency` is below 1.
            Exception: as in `arun`; the other tasks are stopped.
        """
        async with self._open() as opened:
            work = partial(
                self._solve, opened=opened, experience=self._new_run(), answer_type=answer_type
            )
            return await side_by_side(work, queries, concurrency)

    async def __aenter__(self) -> Agent:
        """Open tools and model and keep them open until the context ends."""
        self._opened = await self._stack.enter_async_context(self._open())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened = None
        await self._stack.aclose()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[_Opened]:
        """Yield tools and policy, opened now unless they are open already."""
        if self._opened is not None:
            yield self._opened
            return
        async with AsyncExitStack() as stack:
            parts = [(_label(part), part) for part in self._own]
            if self._sources:
                sourced = await stack.enter_async_context(open_sources(self._sources))
                parts.append(("sources", sourced))
            tools = parts[0][1] if len(parts) == 1 else merge(parts)
            options = {"base_url": self.base_url, "endpoint": self.endpoint}
            async with open_policy(self.model, self.sampling, **options) as policy:
                yield tools, policy

    async def _solve(
        self,
        query: str,
        opened: _Opened,
        experience: Experience | None,
        answer_type: AnswerType | None = None,
        history: tuple[Message, ...] = (),
    ) -> Trajectory:
        tools, policy = opened
        query = query.encode("utf-8", "replace").decode()  # half surrogates could not be saved
        retrieved = Retrieved()
        if experience is not None:
            retrieved = await experience.retrieve(tools)
        task = Task(
            id=f"solve/{hashlib.sha256(query.encode()).hexdigest()[:12]}",
            query=query,
            tools=lambda: tools,
            experience=retrieved.text,
            instructions=self.instructions,
            history=history,
            answer_schema=_schema(answer_type),
        )
        callbacks = self.callbacks
        if callbacks is not None:
            callbacks.begin(task)
        request = RolloutRequest(
            task,
            self._asked[task.id],
            approver=self.approver,
            budget=self.budget,
            on_step=None if callbacks is None else partial(callbacks.step, task),
            on_stop=self._record,
        )
        self._asked[task.id] += 1  # a query that is repeated gets the next rollout index
        known = {lesson.tool for lesson in retrieved.lessons}
        protocol, limits = self._protocol(tools, policy, known), self._limits(policy)
        [trajectory] = await run_rollouts(
            [request], policy, protocol, limits, on_finish=self._record
        )
        if experience is not None:
            await experience.learn(trajectory, tools, retrieved)
        return trajectory

    def _new_run(self) -> Experience | None:
        """Return the experience for a new run, which checks lessons at their first use."""
        return None if self.experience is None else replace(self.experience)

    def _protocol(self, tools: ToolSet, policy: Policy, known: set[str]) -> Protocol:
        """Return the format of a task: without a trial if a trial could not tell anything new.

        That is so if it runs no tool, or if there are lessons and all tools that it would run and
        that do more than read have one; what reads can be tried for real at any time. A model that
        was trained for the trial keeps it, and ends it at once where it knows enough.
        """
        tried = [tool for tool in tools.tools if tools.is_tried(tool.name)]
        if known:
            tried = [t for t in tried if t.effect is not Effect.READ and t.name not in known]
        skipped = self.protocol is Protocol.TRIAL and _instructed(policy) and not tried
        return Protocol.DIRECT if skipped else self.protocol

    def _limits(self, policy: Policy) -> Limits:
        """Return the limits of a task; a model that was trained for small ones has these."""
        if isinstance(self.limits, AgentLimits) and not _instructed(policy):
            return self.limits.with_defaults(self.limits.small)
        return self.limits

    def _record(self, trajectory: Trajectory) -> None:
        """Write a trajectory, finished or not; the callback is called even if writing fails."""
        try:
            if self.keep is not None:
                append_trajectory(self.keep, trajectory)
        finally:
            if self.callbacks is not None:
                self.callbacks.end(trajectory)


def _instructed(policy: Policy) -> bool:
    return isinstance(policy, Instructed) and policy.instructed


def _conversation(after: Trajectory | None) -> tuple[Message, ...]:
    """Return the earlier messages of a follow-up: queries, and the answers to them."""
    if after is None:
        return ()
    earlier = tuple(message for message in after.prompt[:-1] if message.role != "system")
    answer = Message(role="assistant", content=after.answer or "I have no answer.")
    return (*earlier, Message(role="user", content=after.query), answer)


def _schema(answer_type: AnswerType | None) -> Mapping[str, Any] | None:
    if answer_type is None:
        return None
    if isinstance(answer_type, type) and issubclass(answer_type, BaseModel):
        return answer_type.model_json_schema()
    if isinstance(answer_type, Mapping):
        check_schema(answer_type)
        return answer_type
    raise InputError(
        f"answer_type is a pydantic model or a JSON schema as a dict; received {answer_type!r}"
    )


def _tool_sets(given: list[Any]) -> list[ToolSet]:
    """Return one tool set for all functions together and one for each other item."""
    functions = [item for item in given if isinstance(item, Tool) or is_function(item)]
    sets = [as_tool_set(item) for item in given if item not in functions]
    return [*([as_tool_set(functions)] if functions else []), *sets]


def _label(part: ToolSet) -> str:
    return type(part.subject()).__name__ if part.object_of is not None else "tools"
