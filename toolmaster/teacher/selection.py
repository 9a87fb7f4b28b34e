"""Selects demonstrations among candidates, with a reason against each of the others.

Rules come first, then duplicates are removed, and a judge reads only the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.judges.response_cache import key_of
from toolmaster.tasksets import Task
from toolmaster.tasksets.answers import agreed, normal_form
from toolmaster.teacher.filters import reason_against
from toolmaster.teacher.judge import DemonstrationJudge
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.tools import ToolSet
from toolmaster.types import Record, Trajectory

NOT_JUDGED = "not judged"
"""Beginning of the reason if the judge gave no verdict."""
DUPLICATE = "duplicate"
UNSETTLED = "no agreement on the answer of a task that nothing scores"
ENOUGH = "there are enough"
Solved = tuple[Task, list[Trajectory]]
"""A task and its finished rollouts."""


class Agreed(Record):
    """A task without an own answer, and the answer on which all rollouts agreed.

    It is a line of `tasks.jsonl`, which is a task set: `tasks.jsonl tools=SOURCE`.
    """

    id: str
    query: str
    answer: str


class LeftOut(Record):
    """A line of `left_out.jsonl`: a task or a candidate that gave no demonstration, and why."""

    task_id: str
    rollout: int
    reason: str


@dataclass(slots=True)
class Selection:
    """Selects demonstrations from one batch of tasks after the other.

    Args:
        settings: Settings of the filter; `count` bounds the number of demonstrations.
        judge: Judges candidates that pass the rules; None uses the rules alone.
    """

    settings: DemonstrationSettings
    judge: DemonstrationJudge | None = None
    kept: list[Trajectory] = field(default_factory=list)
    """The demonstrations."""
    left_out: list[LeftOut] = field(default_factory=list)
    agreed: list[Agreed] = field(default_factory=list)
    failures: int = 0
    """Number of tasks without a demonstration since the last one that gave one."""
    _seen: set[str] = field(default_factory=set)

    async def add(self, batch: Sequence[Solved]) -> None:
        """Select from further tasks, each of them once."""
        by_rule = await self._by_rule(batch)
        reasons = await asyncio.gather(*(self._reason(t, reason) for t, reason in by_rule))
        chosen = set()
        for (trajectory, _), reason in zip(by_rule, reasons, strict=True):
            full = len(self.kept) == self.settings.count
            if reason is not None or full:
                self.leave_out(trajectory.task_id, reason or ENOUGH, trajectory.rollout)
            else:
                self.kept.append(trajectory)
                chosen.add(trajectory.task_id)
        for task, solutions in batch:
            self.failures = 0 if task.id in chosen else self.failures + 1
            answer = self._common_answer(task, solutions)
            if answer is not None:
                self.agreed.append(Agreed(id=task.id, query=task.query, answer=answer))

    def leave_out(self, task_id: str, reason: str, rollout: int = 0) -> None:
        """Record why a task or a candidate gave no demonstration."""
        self.left_out.append(LeftOut(task_id=task_id, rollout=rollout, reason=reason))

    async def _by_rule(self, batch: Sequence[Solved]) -> list[tuple[Trajectory, str | None]]:
        """Return each trajectory, scored as its task says now, and the reason against it."""
        found = []
        for task, solutions in batch:
            answer = self._common_answer(task, solutions)
            scored = task if answer is None else replace(task, answer=answer)
            unsettled = self._is_open(task) and answer is None
            for trajectory in solutions:
                if task.check is None:  # the answer alone decides
                    trajectory.score = await scored.score(trajectory, ToolSet(()))
                rules = self.settings.filter and self.settings.is_model
                reason = reason_against(trajectory, self.settings.behaviours, rules=rules) or (
                    UNSETTLED if unsettled else None
                )
                if reason is None:
                    mark = fingerprint(trajectory)
                    reason = DUPLICATE if mark in self._seen else None
                    self._seen.add(mark)
                found.append((trajectory, reason))
        return found

    def _is_open(self, task: Task) -> bool:
        """Return whether the answer of a task can only come from agreement between rollouts."""
        return self.settings.rollouts > 1 and task.check is None and task.answer is None

    def _common_answer(self, task: Task, solutions: Sequence[Trajectory]) -> str | None:
        """Return the answer on which all rollouts of an open task agree; None if they differ."""
        if not self._is_open(task) or len(solutions) < self.settings.rollouts:
            return None
        return agreed([trajectory.answer for trajectory in solutions])

    async def _reason(self, trajectory: Trajectory, by_rule: str | None) -> str | None:
        """Return the reason against a candidate, by the rules or else by the judge."""
        if by_rule is not None or self.judge is None:
            return by_rule
        try:
            return await self.judge.reason_against(trajectory)
        except PolicyError as error:
            return f"{NOT_JUDGED}: {error}"


def fingerprint(trajectory: Trajectory) -> str:
    """Return a hash that is equal for demonstrations with the same query, calls and answer.

    Texts are compared without case, punctuation and spacing, numbers by value. Thoughts are not
    compared, because the same calls with other thoughts teach little.
    """
    calls = [
        [step.phase, step.call.name, _normal(step.call.arguments)]
        for step in trajectory.calls()
        if step.call is not None and not step.slip
    ]
    return key_of(_words(trajectory.query), calls, normal_form(trajectory.answer or ""))


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    return normal_form(str(value)) if isinstance(value, int | float) else _words(str(value))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
