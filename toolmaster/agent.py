"""`Agent`: a model with one's own tools, for one task or many.

    agent = Agent("openai:NAME", tools=[get_price, "mcp.json"])
    print(agent.run("What does one Wool Rug cost?").answer)

An agent runs the same sessions as everything else. It adds what lasts beyond one session:
experience that is given to each task and learned from it, one budget for all tasks, and a file that
keeps every trajectory, also that of a session that was stopped in the middle.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from inspect import isroutine
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from typing import Protocol as Protocol_

from toolmaster.errors import InputError
from toolmaster.experience import Experience, Handing
from toolmaster.limits import AgentLimits, Limits
from toolmaster.permissions import Ask
from toolmaster.plain import plain
from toolmaster.policies.base import Policy, RoomySampling, Sampling
from toolmaster.policies.loading import open_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts, side_by_side
from toolmaster.runs import append_trajectory
from toolmaster.session import Budget, Guard
from toolmaster.tasksets import Task, as_tool_set
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.merging import merge
from toolmaster.tools.sources import open_sources
from toolmaster.types import Step, Trajectory


class Watcher(Protocol_):
    """Is told what happens, as it happens."""

    def begin(self, task: Task) -> None:
        """A task begins."""
        ...

    def step(self, task: Task, step: Step) -> None:
        """A turn of it, and its observation."""
        ...

    def end(self, trajectory: Trajectory) -> None:
        """It is over, or was stopped; its trajectory is kept."""
        ...


class _Opened(NamedTuple):
    """What an agent acts with."""

    tools: ToolSet
    policy: Policy


class Agent:
    """A model that does tasks with tools: it tries them safely first, then acts.

    Args:
        model: `openai:NAME`, a checkpoint folder or a model id of the Hub; or a `Policy`.
        tools: functions, objects, `Tool`s, tool sources in one line each (a Python file, an
            mcpServers file, an OpenAPI document or address; see `tools.sources`), or one `ToolSet`.
            Trials run as each tool says; execution is real.
        base_url: the endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`.
        sampling: how the model generates.
        protocol: how trajectories are laid out.
        limits: what each session allows.
        guard: asked before each call that would be real. None asks the user at the terminal before
            calls that are destructive or of unknown effect, and refuses them where there is none;
            `permissions.AllowAll()` permits every call.
        budget: what all tasks of this agent together may spend; None for no bounds.
        experience: what is given to each task and learned from it; None for none.
        keep: a JSON-lines file to which every trajectory is appended; None keeps none.
        watcher: is told what happens.

    Sources and models that are named are opened for each call of `run` or `arun`; inside
    `async with agent:` they stay open.

    Raises:
        InputError: there are no tools, or something that cannot be a tool.
    """

    def __init__(
        self,
        model: str | Policy,
        tools: Any,
        *,
        base_url: str | None = None,
        sampling: Sampling | None = None,
        protocol: Protocol | str = Protocol.TRIAL,
        limits: Limits | None = None,
        guard: Guard | None = None,
        budget: Budget | None = None,
        experience: Experience | None = None,
        keep: Path | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        given = tools if isinstance(tools, list | tuple) else [tools]
        self._sources = [tool for tool in given if isinstance(tool, str)]
        self._own = _tool_sets([tool for tool in given if not isinstance(tool, str)])
        if not self._sources and not any(part.tools for part in self._own):
            raise InputError("an agent needs tools, received none")
        self.model = model
        self.base_url = base_url
        self.sampling = sampling or RoomySampling()
        self.protocol = Protocol(protocol)
        self.limits = limits or AgentLimits()
        self.guard: Guard = guard or Ask()
        self.budget = budget
        self.experience = experience
        self.keep = keep
        self.watcher = watcher
        self._asked: Counter[str] = Counter()
        self._opened: _Opened | None = None
        self._stack = AsyncExitStack()

    def run(self, query: str) -> Trajectory:
        """Do one task; the form without `await` of `arun`."""
        return plain(self.arun(query))

    def run_all(self, queries: Iterable[str], *, concurrency: int = 8) -> list[Trajectory]:
        """Do many tasks; the form without `await` of `arun_all`."""
        return plain(self.arun_all(queries, concurrency=concurrency))

    async def arun(self, query: str) -> Trajectory:
        """Do one task.

        Args:
            query: what is to be done.

        Returns:
            Its trajectory: `answer`, `experience`, `steps`. What fails is recorded in it.

        Raises:
            InputError: the trajectory cannot be kept, or tools, model or experience not be used.
            PermanentPolicyError: the model will answer nothing at all; the trajectory is kept.
            asyncio.CancelledError: it was stopped; what there is of its trajectory is kept.
        """
        async with self._open() as opened:
            return await self._solve(query, opened)

    async def arun_all(self, queries: Iterable[str], *, concurrency: int = 8) -> list[Trajectory]:
        """Do many tasks, at most `concurrency` at a time; each profits from those before it.

        Args:
            queries: what is to be done; consumed lazily.
            concurrency: tasks in flight.

        Returns:
            Their trajectories, in order.

        Raises:
            ConfigError: `concurrency` is below 1.
            InputError: a trajectory cannot be kept, or tools, model or experience not be used.
            PermanentPolicyError: the model will answer nothing at all; the rest is stopped.
            asyncio.CancelledError: it was stopped; what there is of each trajectory is kept.
        """
        async with self._open() as opened:
            return await side_by_side(partial(self._solve, opened=opened), queries, concurrency)

    async def __aenter__(self) -> Agent:
        """Open tools and model once, for as long as the context lasts."""
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
        """The tools and the policy, as they are open already or opened for now."""
        if self._opened is not None:
            yield self._opened
            return
        async with AsyncExitStack() as stack:
            parts = [(_label(part), part) for part in self._own]
            if self._sources:
                sourced = await stack.enter_async_context(open_sources(self._sources))
                parts.append(("sources", sourced))
            tools = parts[0][1] if len(parts) == 1 else merge(parts)
            policy = await stack.enter_async_context(
                open_policy(self.model, self.sampling, base_url=self.base_url)
            )
            yield _Opened(tools, policy)

    async def _solve(self, query: str, opened: _Opened) -> Trajectory:
        query = query.encode("utf-8", "replace").decode()  # half surrogates could not be saved
        handing = Handing()
        if self.experience is not None:
            handing = await self.experience.hand(opened.tools)
        task = Task(
            id=f"solve/{hashlib.sha256(query.encode()).hexdigest()[:12]}",
            query=query,
            tools=lambda: opened.tools,
            experience=handing.text,
        )
        if self.watcher is not None:
            self.watcher.begin(task)
        [trajectory] = await run_rollouts(
            [self._request(task)],
            opened.policy,
            self.protocol,
            self.limits,
            concurrency=1,
            on_finish=self._record,
        )
        if self.experience is not None:
            await self.experience.learn(trajectory, opened.tools, handing)
        return trajectory

    def _request(self, task: Task) -> RolloutRequest:
        """The rollout of a task; the same query again is another rollout of the same task."""
        watcher = self.watcher
        rollout = self._asked[task.id]
        self._asked[task.id] += 1
        return RolloutRequest(
            task,
            rollout,
            guard=self.guard,
            budget=self.budget,
            on_step=None if watcher is None else partial(watcher.step, task),
            on_stop=self._record,
        )

    def _record(self, trajectory: Trajectory) -> None:
        """Keep a trajectory, whole or stopped; the watcher is told of it even where that fails."""
        try:
            if self.keep is not None:
                append_trajectory(self.keep, trajectory)
        finally:
            if self.watcher is not None:
                self.watcher.end(trajectory)


def _tool_sets(given: list[Any]) -> list[ToolSet]:
    """Functions together in one set, everything else in a set of its own."""
    functions = [item for item in given if isinstance(item, Tool) or isroutine(item)]
    sets = [as_tool_set(item) for item in given if item not in functions]
    return [*([as_tool_set(functions)] if functions else []), *sets]


def _label(part: ToolSet) -> str:
    return type(part.subject()).__name__ if part.object_of is not None else "tools"
