"""Makes candidates with the oracle or known-good calls, which cost nothing, or a teacher model.

A candidate is a trajectory before the filter. All candidates are made in real sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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


class FreeTeacher:
    """Makes candidates with the oracle of a task set, or the known-good calls of its tasks.

    Args:
        tasks: The tasks to demonstrate.
        settings: Settings; without a `teacher` the oracle is used if there is one.
        protocol: The trajectory format.
        limits: Limits of each session.

    Raises:
        InputError: The set has neither, or the file of known-good calls cannot be used.
    """

    def __init__(
        self, tasks: Taskset, settings: DemonstrationSettings, protocol: Protocol, limits: Limits
    ) -> None:
        self._tasks, self._settings = tasks, settings
        self._protocol, self._limits = protocol, limits
        self._replays: Mapping[str, Replay] | None = None
        if settings.teacher is not None or tasks.oracle is None:
            self._replays = _known_calls(tasks, settings.teacher)

    async def run(self, places: Sequence[Place], finish: Finish) -> None:
        """Demonstrate tasks, several at the same time."""

        async def show(place: Place) -> None:
            task, _ = place
            finish(task.id, await self._show(task))

        await side_by_side(show, places, self._settings.sampling.slots)

    async def _show(self, task: Task) -> Trajectory | str:
        """Return a trajectory that solves a task or broke, or the reason why there is none."""
        if self._replays is None:
            trajectory: Trajectory | None = await self._tasks.oracle(
                task.id, self._protocol, self._limits, self._settings
            )
            if trajectory is not None:
                return trajectory
            replay, missing = own_replay(task), "the oracle gives no demonstration of it"
        else:
            replay, missing = self._replays.get(task.id), "it has no known-good calls"
        if replay is None:
            return missing
        request = RolloutRequest(task, approver=approver_for(task, writes=self._settings.writes))
        return await from_known_calls(request, replay, self._protocol, self._limits)


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


@dataclass(frozen=True, slots=True)
class ModelTeacher:
    """Makes candidates with a model that gets an instruction, and caches its turns."""

    model: str | Policy
    settings: DemonstrationSettings
    protocol: Protocol
    limits: Limits
    cache: ResponseCache
    budget: Budget

    async def run(self, places: Sequence[Place], finish: Finish) -> None:
        """Let the model do tasks, several at the same time.

        Raises:
            PermanentPolicyError: The model will answer nothing at all, or the budget is used up.
            Exception: Whatever `finish` raises.
        """
        settings = self.settings
        instruction = teacher_instruction(
            self.protocol, settings.behaviours, self.limits.trial_calls
        )
        opened = open_policy(
            self.model,
            settings.sampling,
            base_url=settings.base_url,
            endpoint=settings.endpoint,
            tool_calls=ToolCallFormat.TEXT,  # the format of the student
        )
        async with opened as policy:

            def request(place: Place) -> RolloutRequest:
                task, rollout = place
                name = f"{task.id}/{rollout}"
                cached = CachedPolicy(policy, instruction, self.cache, self.budget, name)
                approver = approver_for(task, writes=settings.writes)
                return RolloutRequest(task, rollout, policy=cached, approver=approver)

            await run_rollouts(
                map(request, places),
                policy,
                self.protocol,
                self.limits,
                concurrency=settings.sampling.slots,
                on_finish=lambda trajectory: finish(trajectory.task_id, trajectory),
            )


@dataclass(frozen=True, slots=True)
class CachedPolicy:
    """A policy for one rollout that takes turns from the cache, and asks for the others.

    The trajectory records the student's prompt. Only the requests to the endpoint have the
    teacher's instruction instead of the student's.

    Args:
        policy: Writes the turns that are not in the cache.
        instruction: How to work; see `prompt.teacher_instruction`.
        cache: Keeps the turns.
        budget: Counts their tokens. Once it is used up, the policy is asked for no turn.
        rollout: Task id and number of the rollout: other rollouts have turns of their own.
    """

    policy: Policy
    instruction: str
    cache: ResponseCache
    budget: Budget
    rollout: str

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.policy.name

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> _CachedConversation:
        """Begin a rollout with the student's prompt."""
        system, *others = prompt
        _, rest = find_form(system.content)  # for example, experience with the tools
        content = f"{self.instruction}\n\n{rest}" if rest else self.instruction
        return _CachedConversation(
            self, [Message(role="system", content=content), *others], list(tools)
        )


@dataclass(slots=True)
class _CachedConversation:
    """Plays turns from the cache; from the first one that is missing, it asks the policy."""

    cached: CachedPolicy
    messages: list[Message]
    tools: list[dict[str, Any]]
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    asked: Conversation | None = None

    async def complete(self) -> Completion:
        """Return the next turn."""
        so_far = [[message.role, message.content] for message in self.messages]
        key = key_of(self.cached.rollout, self.cached.name, so_far, self.tools)
        response = self.cached.cache.find(key) or await self._ask(key)
        self.prompt_tokens = self.prompt_tokens or response.prompt_tokens
        self.messages.append(Message(role="assistant", content=response.text))
        text = response.text.strip()
        return Completion(text, tokens=response.tokens, prompt_tokens=response.prompt_tokens)

    async def _ask(self, key: str) -> Response:
        used_up = self.cached.budget.exhausted()
        if used_up is not None:
            raise PermanentPolicyError(f"the teacher is asked nothing more: {used_up}")
        if self.asked is None:
            self.asked = self.cached.policy.conversation(self.messages, self.tools)
        written = await self.asked.complete()
        self.cached.budget.spend_tokens(written.prompt_tokens, written.tokens)
        response = Response(
            role=TEACHER,
            about=self.cached.rollout,
            text=written.text,
            prompt_tokens=written.prompt_tokens,
            tokens=written.tokens,
            key=key,
        )
        self.cached.cache.add(response)
        return response

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        """Add an observation, in a form that every endpoint accepts."""
        if self.asked is not None:
            self.asked.observe(observation, role)
        if role == "tool":
            observation = f"<tool_response>{observation}</tool_response>"
        self.messages.append(Message(role="user", content=observation))
        return []
