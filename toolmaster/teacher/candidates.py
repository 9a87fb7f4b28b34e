"""Makes candidates with the oracle or known-good calls, which cost nothing, or a teacher model.

A candidate is a trajectory before the filter. All candidates are made in real sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError, PermanentPolicyError
from toolmaster.judges.response_cache import Response, ResponseCache, key_of
from toolmaster.limits import Budget, Limits
from toolmaster.policies.base import Completion, Conversation, Policy, ToolCallFormat
from toolmaster.policies.loading import open_policy
from toolmaster.protocols import Protocol, find_form
from toolmaster.rollouts import RolloutRequest, run_rollouts, side_by_side
from toolmaster.tasksets import Task, Taskset
from toolmaster.tasksets.replay import Replay, own_replay, replays_of
from toolmaster.teacher.guards import approver_for
from toolmaster.teacher.known_calls import from_known_calls
from toolmaster.teacher.prompt import teacher_instruction
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Message, Role, Trajectory

TEACHER = "teacher"
"""The role of a teacher model in the cache of responses."""
Place = tuple[Task, int]
"""A task, and the index of the rollout."""
Finish = Callable[[str, Trajectory | str], None]
"""Called with a task id and its trajectory, or the reason why there is none."""
Teacher = Callable[[Sequence[Place], Finish], Awaitable[object]]
"""Demonstrates tasks, several at the same time."""


def free_teacher(
    tasks: Taskset, settings: DemonstrationSettings, protocol: Protocol, limits: Limits
) -> Teacher:
    """Return a teacher that has the oracle of a task set, or the known-good calls of its tasks.

    Args:
        tasks: The tasks to demonstrate.
        settings: Settings; without a `teacher` the oracle is used if there is one.
        protocol: The trajectory format.
        limits: Limits of each session.

    Raises:
        InputError: The set has neither, or the file of known-good calls cannot be used.
    """
    replays: Mapping[str, Replay] | None = None
    if settings.teacher is not None or tasks.oracle is None:
        replays = _known_calls(tasks, settings.teacher)

    async def show(task: Task) -> Trajectory | str:
        """Return a trajectory that solves a task or broke, or the reason why there is none."""
        if replays is None:
            made: Trajectory | None = await tasks.oracle(task.id, protocol, limits, settings)
            if made is not None:
                return made
            replay, missing = own_replay(task), "the oracle gives no demonstration of it"
        else:
            replay, missing = replays.get(task.id), "it has no known-good calls"
        if replay is None:
            return missing
        request = RolloutRequest(task, approver=approver_for(task, writes=settings.writes))
        return await from_known_calls(request, replay, protocol, limits)

    async def run(places: Sequence[Place], finish: Finish) -> None:
        async def work(place: Place) -> None:
            task, _ = place
            finish(task.id, await show(task))

        await side_by_side(work, places, settings.sampling.slots)

    return run


def _known_calls(tasks: Taskset, teacher: str | None) -> Mapping[str, Replay]:
    """Return known-good calls by task id, from the file of `replay:FILE` or from the tasks."""
    file = (teacher or "").partition(":")[2]
    try:
        return replays_of(tasks, Path(file) if file else None)
    except InputError as error:
        if teacher is not None:
            raise
        raise InputError(
            f"{error}; the set has no oracle, so name a teacher, such as teacher=openai:NAME"
        ) from None


def model_teacher(
    model: str | Policy,
    settings: DemonstrationSettings,
    protocol: Protocol,
    limits: Limits,
    cache: ResponseCache,
    budget: Budget,
) -> Teacher:
    """Return a teacher that is a model with an instruction; its turns are cached.

    It raises `PermanentPolicyError` if the model will answer nothing at all, or if the budget is
    used up.
    """
    instruction = teacher_instruction(protocol, settings.behaviours, limits.trial_calls)

    async def run(places: Sequence[Place], finish: Finish) -> None:
        opened = open_policy(
            model,
            settings.sampling,
            base_url=settings.base_url,
            endpoint=settings.endpoint,
            tool_calls=ToolCallFormat.TEXT,  # the format of the student
        )
        async with opened as policy:

            def request(place: Place) -> RolloutRequest:
                task, rollout = place
                cached = CachedPolicy(policy, instruction, cache, budget, f"{task.id}/{rollout}")
                approver = approver_for(task, writes=settings.writes)
                return RolloutRequest(task, rollout, policy=cached, approver=approver)

            await run_rollouts(
                map(request, places),
                policy,
                protocol,
                limits,
                concurrency=settings.sampling.slots,
                on_finish=lambda trajectory: finish(trajectory.task_id, trajectory),
            )

    return run


class CachedPolicy:
    """A policy for one rollout that takes turns from the cache, and asks for the missing ones.

    The trajectory records the student's prompt. Only the requests to the endpoint have the
    teacher's instruction instead of the student's.

    Args:
        policy: Writes the turns that are not in the cache.
        instruction: How to work; see `prompt.teacher_instruction`.
        cache: Keeps the turns.
        budget: Counts their tokens. Once it is used up, the policy is asked for no turn.
        rollout: Task id and number of the rollout: other rollouts have turns of their own.
    """

    def __init__(
        self, policy: Policy, instruction: str, cache: ResponseCache, budget: Budget, rollout: str
    ) -> None:
        self.name = policy.name
        self._policy, self._instruction, self._cache = policy, instruction, cache
        self._budget, self._rollout = budget, rollout
        self.prompt_ids: list[int] = []
        self.prompt_tokens = 0
        self._asked: Conversation | None = None

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> CachedPolicy:
        """Begin the rollout with the student's prompt."""
        system, *others = prompt
        _, rest = find_form(system.content)  # for example, experience with the tools
        content = f"{self._instruction}\n\n{rest}" if rest else self._instruction
        self._messages = [Message(role="system", content=content), *others]
        self._tools = list(tools)
        return self

    async def complete(self) -> Completion:
        """Return the next turn."""
        so_far = [[message.role, message.content] for message in self._messages]
        key = key_of(self._rollout, self.name, so_far, self._tools)
        response = self._cache.find(key) or await self._ask(key)
        self.prompt_tokens = self.prompt_tokens or response.prompt_tokens
        self._messages.append(Message(role="assistant", content=response.text))
        text = response.text.strip()
        return Completion(text, tokens=response.tokens, prompt_tokens=response.prompt_tokens)

    async def _ask(self, key: str) -> Response:
        used_up = self._budget.exhausted()
        if used_up is not None:
            raise PermanentPolicyError(f"the teacher is asked nothing more: {used_up}")
        if self._asked is None:
            self._asked = self._policy.conversation(self._messages, self._tools)
        written = await self._asked.complete()
        self._budget.spend_tokens(written.prompt_tokens, written.tokens)
        response = Response(
            role=TEACHER,
            about=self._rollout,
            text=written.text,
            prompt_tokens=written.prompt_tokens,
            tokens=written.tokens,
            key=key,
        )
        self._cache.add(response)
        return response

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        """Add an observation, in a form that every endpoint accepts."""
        if self._asked is not None:
            self._asked.observe(observation, role)
        if role == "tool":
            observation = f"<tool_response>{observation}</tool_response>"
        self._messages.append(Message(role="user", content=observation))
        return []
