"""Collects demonstrations in rounds: run what is missing, choose, and go on while some are wanted.

The rounds follow from what came out of the tasks, so a run that was stopped goes through them again
without running anything twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from toolmaster.errors import InputError, PolicyError
from toolmaster.progress import bar, console
from toolmaster.session import Session
from toolmaster.tasksets import Task, Taskset
from toolmaster.teacher.choosing import NOT_JUDGED, Choice, Solved
from toolmaster.teacher.costs import Estimate, cost_of, rollout_tokens
from toolmaster.teacher.guards import warn_of_refusals
from toolmaster.teacher.judge import ROLE as JUDGE
from toolmaster.teacher.model import ROLE as TEACHER
from toolmaster.teacher.paid import Tokens
from toolmaster.teacher.records import Records
from toolmaster.teacher.teachers import ModelTeacher, Place, ShowingTeacher
from toolmaster.types import StopReason, Trajectory

MAX_UNANSWERED = 8
"""Rollouts in a row that the endpoint did not answer, after which the rest is not asked."""
MAX_IN_VAIN = 500
"""Tasks in a row without a demonstration after which an oracle is not asked for more."""
_SAMPLE = 5
"""Tasks whose prompts an estimate goes by."""
_SPARE = 1.2
"""Tasks tried for each demonstration wanted, as a multiple of what was needed so far."""


@dataclass(slots=True)
class Collecting:
    """Collects the demonstrations of one call.

    Args:
        tasks: taken in order.
        teacher: writes the trajectories.
        choice: chooses among them.
        records: of this call and earlier ones.
    """

    tasks: Taskset
    teacher: ShowingTeacher | ModelTeacher
    choice: Choice
    records: Records
    tried: int = 0
    gave_up: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unanswered: int = 0
    """Rollouts in a row that the endpoint did not answer."""

    async def run(self, confirm: Callable[[Estimate], bool] | None) -> list[Trajectory]:
        """Collect until there are enough, or nothing more comes.

        Raises:
            ConfigError: no tool of the tasks may be run.
            InputError: an oracle or known-good calls that give nothing.
            PolicyError: the teacher's endpoint does not answer.
        """
        ids = iter(self.tasks.ids)
        while batch := self._next(ids):
            if self.tried == 0:
                warn_of_refusals(batch, writes=self.choice.settings.writes)
            if not await self._confirmed(batch, confirm):
                break
            await self._run(batch)
            await self.choice.add(self._solved(batch))
            self.tried += len(batch)
            if self.choice.in_vain >= self._patience(batch):
                break
        if self.tried:
            self.records.write(self.choice)
            self._report()
        free = isinstance(self.teacher, ShowingTeacher)
        if free and not self.choice.kept and self.choice.in_vain >= MAX_IN_VAIN:
            raise InputError(
                f"none of {self.choice.in_vain} tasks gave a demonstration:"
                f" {self._reasons().most_common(1)[0][0]}; the limits, the protocol or the filter"
                " leave no way to succeed"
            )
        return self.choice.kept

    def _next(self, ids: Iterator[str]) -> list[Task]:
        """The tasks of the next round; none where enough is kept, or no tasks are left."""
        settings, kept = self.choice.settings, len(self.choice.kept)
        count = None
        if settings.count is not None:
            count = math.ceil((settings.count - kept) / settings.rollouts)
            if isinstance(self.teacher, ShowingTeacher) and kept and count:
                count = math.ceil(_SPARE * count * self.tried / kept)
        return [self.tasks[task_id] for task_id in islice(ids, count)]

    def _patience(self, batch: Sequence[Task]) -> int:
        """Tasks in a row that may be tried in vain; a model that costs money gets one round."""
        return MAX_IN_VAIN if isinstance(self.teacher, ShowingTeacher) else len(batch)

    # --- rollouts -------------------------------------------------------------------------------

    async def _run(self, batch: Sequence[Task]) -> None:
        """Run what is missing of a round; each trajectory is kept as it ends."""
        missing = self._missing(batch)
        if missing:
            total = len(batch) * self.choice.settings.rollouts
            with bar("demonstrate", total, total - len(missing)) as running:

                def finish(trajectory: Trajectory) -> None:
                    self._finish(trajectory)
                    running.advance()

                def give_up(task: Task, reason: str) -> None:
                    self.records.give_up(task, reason)
                    running.advance()

                await self.teacher.run(missing, finish, give_up)
        for task in batch:
            if task.id in self.records.given_up:
                self.gave_up.append(self.records.given_up[task.id])

    def _missing(self, batch: Sequence[Task]) -> list[Place]:
        """The rollouts of these tasks that are wanted and not finished."""
        return [
            (task, rollout)
            for task in batch
            if task.id not in self.records.given_up
            for rollout in range(self.choice.settings.rollouts)
            if self.records.find(task, rollout) is None
        ]

    def _solved(self, batch: Sequence[Task]) -> list[Solved]:
        return [(task, self.records.of(task, self.choice.settings.rollouts)) for task in batch]

    def _finish(self, trajectory: Trajectory) -> None:
        """Keep a trajectory; one that broke is run again the next time.

        Raises:
            PolicyError: the endpoint answers no longer.
        """
        trajectory.taskset = self.tasks.label
        self.records.add(trajectory)
        if trajectory.error is not None:
            self.broken.append(trajectory.error)
        refused = trajectory.stop_reason is StopReason.POLICY_ERROR
        self.unanswered = self.unanswered + 1 if refused else 0
        if self.unanswered >= MAX_UNANSWERED:
            raise PolicyError(
                f"the last {self.unanswered} rollouts were not answered: {trajectory.error}; what"
                " is finished is kept, and the same command goes on from there"
            )

    # --- costs ----------------------------------------------------------------------------------

    async def _confirmed(
        self, batch: Sequence[Task], confirm: Callable[[Estimate], bool] | None
    ) -> bool:
        """Whether a round may be run, after its cost was shown where it has one."""
        if confirm is None:
            return True
        expected = await self._estimate(batch)
        return not (expected.rollouts or expected.verdicts) or confirm(expected)

    async def _estimate(self, batch: Sequence[Task]) -> Estimate:
        settings, teacher = self.choice.settings, self.teacher
        rollouts, measured, each = 0, 0, Tokens()
        if isinstance(teacher, ModelTeacher):
            rollouts, measured = len(self._missing(batch)), len(self.records)
            if measured:
                each = Tokens(*(n // measured for n in self.records.paid.spent(TEACHER)))
            else:
                each = rollout_tokens([_prompt_chars(t, teacher) for t in batch[:_SAMPLE]])
        verdicts = 0
        if self.choice.judge is not None:
            verdicts = rollouts + await self.choice.awaiting_verdict(self._solved(batch))
        return Estimate(
            rollouts,
            each,
            settings.prices,
            verdicts=verdicts,
            judge_prices=settings.judge_prices or settings.prices,
            measured=measured,
        )

    def _spent(self) -> str:
        """Money and tokens so far, all calls in this folder together."""
        settings, paid = self.choice.settings, self.records.paid
        teacher, judge = paid.spent(TEACHER), paid.spent(JUDGE)
        cost = cost_of(
            (teacher, settings.prices), (judge, settings.judge_prices or settings.prices)
        )
        read, written = (a + b for a, b in zip(teacher, judge, strict=True))
        tokens = f"{read:,} tokens read, {written:,} written"
        return f"{tokens}; no prices given" if cost is None else f"{cost:,.4f} ({tokens})"

    # --- what came out --------------------------------------------------------------------------

    def _reasons(self) -> Counter[str]:
        """How many were left out for each kind of reason; a judge's silence is told as it was."""
        reasons = [*self.gave_up, *(reason for _, reason in self.choice.left_out)]
        return Counter(r if r.startswith(NOT_JUDGED) else r.partition(":")[0] for r in reasons)

    def _report(self) -> None:
        """Print what was kept, why the rest was not, and the real cost."""
        lines = [f"{len(self.choice.kept)} demonstrations of {self.tasks.label}"]
        lines += [f"  {n} left out: {reason}" for reason, n in self._reasons().most_common()]
        if self.broken:
            lines.append(
                f"  {len(self.broken)} broke, and the same command runs them again; the first:"
                f" {self.broken[0]}"
            )
        if any(self.records.paid.spent(TEACHER, JUDGE)):
            lines.append(f"cost: {self._spent()}")
        console.print("\n".join(lines), markup=False, soft_wrap=True)


def _prompt_chars(task: Task, teacher: ModelTeacher) -> int:
    """Characters of what a teacher reads before its first turn."""
    session = Session(task, teacher.protocol, teacher.limits)
    texts = [message.content for message in session.prompt()]
    return len(teacher.instruction) + len("".join(texts)) + len(str(session.tools.schemas()))
