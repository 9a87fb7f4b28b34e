"""`Agent`: a policy with tools of one's own, for one task or many.

An agent runs the same sessions as everything else. What it adds is what lasts beyond one of them:
experience handed to each task and learned from it, one budget for all of them, and a file in which
every trajectory is kept, also that of a session that was stopped in the middle.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Protocol as Protocol_

from pydantic import Field

from toolmaster.errors import InputError
from toolmaster.experience import Experience, Handing
from toolmaster.limits import Limits
from toolmaster.policies.base import Policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts, side_by_side
from toolmaster.runs import append_trajectory
from toolmaster.session import Budget, Guard
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.types import Step, Trajectory


class AgentLimits(Limits):
    """What the session of an agent allows."""

    max_turns: int = Field(20, ge=1)
    """Assistant turns, of any kind."""


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


class Agent:
    """Does tasks with tools.

    Args:
        policy: who acts.
        tools: what it may call. Trials run as each tool says; execution is real.
        protocol: how trajectories are laid out.
        limits: what each session allows.
        guard: asked before each call that would be real; None permits all.
        budget: what all tasks of this agent together may spend; None for no bounds.
        experience: what is handed to each task and learned from it; None for none.
        keep: a JSON-lines file to which every trajectory is appended; None keeps none.
        watcher: is told what happens.

    Raises:
        InputError: there are no tools.
    """

    def __init__(
        self,
        policy: Policy,
        tools: ToolSet,
        *,
        protocol: Protocol = Protocol.TRIAL,
        limits: Limits | None = None,
        guard: Guard | None = None,
        budget: Budget | None = None,
        experience: Experience | None = None,
        keep: Path | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        if not tools.tools:
            raise InputError("an agent needs tools, got an empty set")
        self.policy = policy
        self.tools = tools
        self.protocol = protocol
        self.limits = limits or AgentLimits()
        self.guard = guard
        self.budget = budget
        self.experience = experience
        self.keep = keep
        self.watcher = watcher
        self._asked: Counter[str] = Counter()

    async def solve(self, query: str) -> Trajectory:
        """Do one task.

        Args:
            query: what is to be done.

        Returns:
            Its trajectory, with the answer where there is one. What fails is recorded in it.

        Raises:
            InputError: the trajectory cannot be kept, or the experience not be used.
            PermanentPolicyError: the policy will answer nothing at all; the trajectory is kept.
            asyncio.CancelledError: it was stopped; what there is of its trajectory is kept.
        """
        query = query.encode("utf-8", "replace").decode()  # half surrogates could not be saved
        handing = Handing()
        if self.experience is not None:
            handing = await self.experience.hand(self.tools)
        task = Task(
            id=f"solve/{hashlib.sha256(query.encode()).hexdigest()[:12]}",
            query=query,
            tools=lambda: self.tools,
            experience=handing.text,
        )
        if self.watcher is not None:
            self.watcher.begin(task)
        [trajectory] = await run_rollouts(
            [self._request(task)],
            self.policy,
            self.protocol,
            self.limits,
            concurrency=1,
            on_finish=self._record,
        )
        if self.experience is not None:
            await self.experience.learn(trajectory, self.tools, handing)
        return trajectory

    async def solve_all(self, queries: Iterable[str], *, concurrency: int = 8) -> list[Trajectory]:
        """Do many tasks, at most `concurrency` at a time; each profits from those before it.

        Args:
            queries: what is to be done; consumed lazily.
            concurrency: tasks in flight.

        Returns:
            Their trajectories, in order.

        Raises:
            ConfigError: `concurrency` is below 1.
            InputError: a trajectory cannot be kept, or the experience not be used.
            PermanentPolicyError: the policy will answer nothing at all; the rest is stopped.
            asyncio.CancelledError: it was stopped; what there is of each trajectory is kept.
        """
        return await side_by_side(self.solve, queries, concurrency)

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
