"""Who writes demonstrations: the oracle and known-good calls, which cost nothing, or a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.policies.base import Policy, ToolCallFormat
from toolmaster.policies.loading import open_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts, side_by_side
from toolmaster.tasksets import Task, Taskset
from toolmaster.tasksets.replay import Replay, own_replay, replays_of
from toolmaster.teacher.filters import mark_slips
from toolmaster.teacher.guards import approver_for
from toolmaster.teacher.known_calls import from_known_calls
from toolmaster.teacher.model import Teacher
from toolmaster.teacher.paid import Paid
from toolmaster.teacher.prompt import teacher_instruction
from toolmaster.teacher.records import NOT_SHOWN
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.types import Trajectory

Place = tuple[Task, int]
"""A task, and the number of the rollout."""
Finish = Callable[[Trajectory], None]
"""Called with each trajectory as it ends."""
GiveUp = Callable[[Task, str], None]
"""Called with each task that gets no trajectory, and the reason."""


@dataclass(frozen=True, slots=True)
class ShowingTeacher:
    """The oracle of a task set, or the known-good calls of its tasks.

    Raises:
        InputError: the set has neither.
    """

    tasks: Taskset
    settings: DemonstrationSettings
    protocol: Protocol
    limits: Limits
    replays: Mapping[str, Replay] | None
    """Known-good calls by task id; None asks the oracle first, and then each task."""

    @classmethod
    def of(
        cls,
        tasks: Taskset,
        settings: DemonstrationSettings,
        protocol: Protocol,
        limits: Limits,
    ) -> ShowingTeacher:
        """Find out who can show these tasks.

        Raises:
            InputError: nobody, or a replay file that cannot be used.
        """
        _, _, file = (settings.teacher or "").partition(":")
        if settings.teacher is None and tasks.oracle is not None:
            return cls(tasks, settings, protocol, limits, None)
        try:
            replays = replays_of(tasks, Path(file) if file else None)
        except InputError as error:
            if settings.teacher is not None:
                raise
            raise InputError(
                f"{error}, and the set has no oracle; name a teacher, such as teacher=openai:NAME"
            ) from None
        return cls(tasks, settings, protocol, limits, replays)

    async def run(self, places: Sequence[Place], finish: Finish, give_up: GiveUp) -> None:
        """Show tasks, several side by side."""

        async def show(place: Place) -> None:
            task, _ = place
            made = await self._show(task)
            if isinstance(made, str):
                give_up(task, made)
            else:
                finish(made)

        await side_by_side(show, places, self.settings.sampling.slots)

    async def _show(self, task: Task) -> Trajectory | str:
        """A trajectory that solves a task, or one that broke; or why there is none."""
        if self.replays is None:
            shown: Trajectory | None = await self.tasks.oracle(
                task.id, self.protocol, self.limits, self.settings
            )
            if shown is not None:
                return shown
        replay = own_replay(task) if self.replays is None else self.replays.get(task.id)
        if replay is None:
            return NOT_SHOWN if self.replays is None else "it has no known-good calls"
        request = RolloutRequest(task, approver=approver_for(task, writes=self.settings.writes))
        return await from_known_calls(request, replay, self.protocol, self.limits)


@dataclass(frozen=True, slots=True)
class ModelTeacher:
    """A model, told how to work, whose answers are kept."""

    model: str | Policy
    settings: DemonstrationSettings
    protocol: Protocol
    limits: Limits
    paid: Paid

    @property
    def instruction(self) -> str:
        """What the model is told in place of the student's short form."""
        return teacher_instruction(self.protocol, self.settings.behaviours, self.limits.trial_calls)

    async def run(self, places: Sequence[Place], finish: Finish, _: GiveUp) -> None:
        """Let the model do tasks, several side by side.

        Raises:
            PermanentPolicyError: the model will answer nothing at all.
            Exception: whatever `finish` raises.
        """
        settings, instruction = self.settings, self.instruction

        def end(trajectory: Trajectory) -> None:
            mark_slips(trajectory)
            finish(trajectory)

        opened = open_policy(
            self.model,
            settings.sampling,
            base_url=settings.base_url,
            tool_calls=ToolCallFormat.TEXT,  # what the student writes
        )
        async with opened as policy:

            def request(place: Place) -> RolloutRequest:
                task, rollout = place
                teacher = Teacher(policy, instruction, self.paid, f"{task.id}/{rollout}")
                approver = approver_for(task, writes=settings.writes)
                return RolloutRequest(task, rollout, policy=teacher, approver=approver)

            await run_rollouts(
                map(request, places),
                policy,
                self.protocol,
                self.limits,
                concurrency=settings.sampling.slots,
                on_finish=end,
            )
