"""`Collector`: makes candidates and selects demonstrations, round by round, until there are enough.

Its folder has these files, from which a stopped run continues:

candidates.jsonl    every trajectory, written as it ends
responses.jsonl     every response of an endpoint, written as it arrives
trajectories.jsonl  the selected demonstrations; rewritten at the end of every run
left_out.jsonl      the other tasks and candidates, each with the reason
tasks.jsonl         tasks without an own answer, with the answer on which all rollouts agreed
dataset.jsonl       the demonstrations for other trainers; see `dataset`

A run that is started again goes through the same rounds, and makes no candidate and pays for no
response twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from toolmaster.errors import InputError, PermanentPolicyError, PolicyError
from toolmaster.judges.response_cache import ResponseCache
from toolmaster.limits import Budget, Tokens
from toolmaster.progress import bar, console, tell_kept
from toolmaster.runs import append_trajectory, read_models, write_records
from toolmaster.tasksets import Task, Taskset
from toolmaster.teacher.candidates import TEACHER, Teacher
from toolmaster.teacher.dataset import write_dataset
from toolmaster.teacher.filters import mark_slips
from toolmaster.teacher.guards import warn_of_refusals
from toolmaster.teacher.judge import JUDGE
from toolmaster.teacher.selection import NOT_JUDGED, Selection
from toolmaster.types import StopReason, Trajectory

MAX_CONSECUTIVE_FAILURES = 500
"""Tasks in a row without a demonstration after which an oracle is given up."""
MAX_UNANSWERED = 8
"""Rollouts in a row that the endpoint did not answer after which the run stops."""
SPARE = 1.2
"""Factor by which a round has more tasks than the success rate so far requires."""


@dataclass(slots=True)
class Collector:
    """Collects the demonstrations of one call.

    Args:
        tasks: The tasks, tried in order.
        teacher: Makes the candidates.
        selection: Selects among them.
        cache: The responses of endpoints.
        budget: What the teacher and the judge may use.
        folder: Where the files are.

    Raises:
        InputError: A file in the folder is damaged.
    """

    tasks: Taskset
    teacher: Teacher
    selection: Selection
    cache: ResponseCache
    budget: Budget
    folder: Path
    _finished: dict[tuple[str, str, int], Trajectory] = field(init=False)
    """Finished candidates by task id, query and rollout: a changed query makes another task."""
    _tried: int = field(default=0, init=False)
    _broken: list[str] = field(default_factory=list, init=False)
    _unanswered: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        made = read_models(self.folder / "candidates.jsonl", Trajectory)
        self._finished = {(t.task_id, t.query, t.rollout): t for t in made if t.error is None}

    async def run(self) -> list[Trajectory]:
        """Collect until there are enough demonstrations, no more come, or the budget is used up.

        Raises:
            ConfigError: No tool of the tasks may run.
            InputError: An oracle or known-good calls give no demonstration.
            PolicyError: The teacher's endpoint does not answer.
        """
        selection, settings = self.selection, self.selection.settings
        ids = iter(self.tasks.ids)
        while batch := self._next(ids):
            if self._tried == 0:
                warn_of_refusals(batch, writes=settings.writes)
            try:
                await self._make(batch)
            except PermanentPolicyError:
                if self.budget.exhausted() is None:
                    raise
            made = [(task, [self._finished.get(key) for key in self._keys(task)]) for task in batch]
            await selection.add(
                [(task, [t for t in found if t is not None]) for task, found in made]
            )
            self._tried += len(batch)
            # a model costs money, so it gets one round
            patience = len(batch) if settings.is_model else MAX_CONSECUTIVE_FAILURES
            if selection.failures >= patience or self.budget.exhausted():
                break
        if self._tried:
            write_records(self.folder / "trajectories.jsonl", selection.kept)
            write_records(self.folder / "left_out.jsonl", selection.left_out)
            if selection.agreed:
                write_records(self.folder / "tasks.jsonl", selection.agreed)
            write_dataset(selection.kept, self.folder / "dataset.jsonl")
            self._report()
        failed = selection.failures >= MAX_CONSECUTIVE_FAILURES and not settings.is_model
        if failed and not selection.kept:
            raise InputError(
                f"none of {selection.failures} tasks gave a demonstration:"
                f" {self._reasons().most_common(1)[0][0]}; the limits, the protocol or the filter"
                " leave no way to succeed"
            )
        return selection.kept

    def _next(self, ids: Iterator[str]) -> list[Task]:
        """Return the tasks of the next round; none if no more are needed, or none are left."""
        settings, kept = self.selection.settings, len(self.selection.kept)
        count = None
        if settings.count is not None:
            count = math.ceil((settings.count - kept) / settings.rollouts)
            if not settings.is_model and kept and count:
                count = math.ceil(SPARE * count * self._tried / kept)
        return [self.tasks[task_id] for task_id in islice(ids, count)]

    def _keys(self, task: Task) -> list[tuple[str, str, int]]:
        return [(task.id, task.query, n) for n in range(self.selection.settings.rollouts)]

    async def _make(self, batch: Sequence[Task]) -> None:
        """Make the candidates of a round that are missing; each is written as it ends."""
        places = [(task, key) for task in batch for key in self._keys(task)]
        missing = [(task, key[-1]) for task, key in places if key not in self._finished]
        kept = len(places) - len(missing)
        tell_kept(kept, f"of {len(places)} rollouts", self.folder / "candidates.jsonl")
        if not missing:
            return
        with bar("demonstrate", len(places), kept) as running:

            def finish(task_id: str, made: Trajectory | str) -> None:
                running.advance()
                if isinstance(made, str):
                    self.selection.leave_out(task_id, made)
                else:
                    self._finish(made)

            await self.teacher(missing, finish)

    def _finish(self, trajectory: Trajectory) -> None:
        """Write a candidate; the next run repeats one that broke.

        Raises:
            PolicyError: The endpoint has stopped answering.
        """
        trajectory.taskset = self.tasks.label
        if self.selection.settings.is_model:
            mark_slips(trajectory)
        append_trajectory(self.folder / "candidates.jsonl", trajectory)
        if trajectory.error is None:
            self._finished[trajectory.task_id, trajectory.query, trajectory.rollout] = trajectory
        else:
            self._broken.append(trajectory.error)
        refused = trajectory.stop_reason is StopReason.POLICY_ERROR
        self._unanswered = self._unanswered + 1 if refused else 0
        if self._unanswered >= MAX_UNANSWERED:
            raise PolicyError(
                f"the last {self._unanswered} rollouts were not answered: {trajectory.error};"
                " finished rollouts are saved, and the same command continues from there"
            )

    def _reasons(self) -> Counter[str]:
        """Count the reasons for leaving out, without details except for failures of the judge."""
        reasons = [left_out.reason for left_out in self.selection.left_out]
        return Counter(r if r.startswith(NOT_JUDGED) else r.partition(":")[0] for r in reasons)

    def _report(self) -> None:
        """Print what was kept, why the rest was not, and what it cost."""
        lines = [f"{len(self.selection.kept)} demonstrations of {self.tasks.label}"]
        lines += [f"  {n} left out: {reason}" for reason, n in self._reasons().most_common()]
        if self._broken:
            lines.append(
                f"  {len(self._broken)} broke, and the same command repeats them; the first:"
                f" {self._broken[0]}"
            )
        if self.budget.exhausted():
            lines.append(f"  {self.budget.exhausted()}; a larger max_tokens goes on from there")
        teacher, judge = self.cache.spent(TEACHER), self.cache.spent(JUDGE)
        both, settings = teacher + judge, self.selection.settings
        if both != Tokens():
            money = "no prices given"
            if settings.prices is not None:
                cost = teacher.cost(settings.prices)
                cost += judge.cost(settings.judge_prices or settings.prices)
                money = f"{cost:,.4f}"
            lines.append(f"cost: {money} ({both.read:,} tokens read, {both.written:,} written)")
        console.print("\n".join(lines), markup=False, soft_wrap=True)
