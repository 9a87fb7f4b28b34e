"""Which trajectories are demonstrations, and the reason against each of the others.

Rules come first, then duplicates are removed, and only what is left is shown to a judge.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolmaster.answers import agreed, normal_form
from toolmaster.errors import PolicyError
from toolmaster.judges.json_endpoint import MalformedReplyError
from toolmaster.tasksets import Task
from toolmaster.teacher.filters import reason_against
from toolmaster.teacher.judge import Judge
from toolmaster.teacher.paid import key_of
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.tools import ToolSet
from toolmaster.types import Record, Trajectory

NOT_JUDGED = "not judged"
"""How the reason begins where the judge gave no verdict."""
DUPLICATE = "duplicate"
UNSETTLED = "no agreement on the answer of a task that nothing scores"
ENOUGH = "there are enough"
Solved = tuple[Task, list[Trajectory]]
"""A task and its finished rollouts."""


class Agreed(Record):
    """A task without an answer of its own, and the answer on which all rollouts agreed.

    It is a line of `tasks.jsonl`, which is a task set: `tasks.jsonl tools=SOURCE`.
    """

    id: str
    query: str
    answer: str


@dataclass(slots=True)
class Choice:
    """Chooses demonstrations, one batch of tasks after the other.

    Args:
        settings: the filter's; `count` bounds what is kept.
        judge: asked about what the rules let through; None for the rules alone.
    """

    settings: DemonstrationSettings
    judge: Judge | None = None
    kept: list[Trajectory] = field(default_factory=list)
    """The demonstrations."""
    left_out: list[tuple[Trajectory, str]] = field(default_factory=list)
    """The other trajectories, each with the reason against it."""
    agreed: list[Agreed] = field(default_factory=list)
    in_vain: int = 0
    """Number of tasks in a row, up to the latest one, without a demonstration."""
    _seen: set[str] = field(default_factory=set)

    async def add(self, batch: Sequence[Solved]) -> None:
        """Choose from further tasks, each of them once."""
        reasoned = await self._by_rule(batch, self._seen)
        passed = [trajectory for trajectory, reason in reasoned if reason is None]
        said = await asyncio.gather(*map(self._ask, passed))
        judged = dict(zip(map(id, passed), said, strict=True))
        chosen = set()
        for trajectory, rule in reasoned:
            reason = rule or judged[id(trajectory)]
            if reason is None and len(self.kept) == self.settings.count:
                reason = ENOUGH
            if reason is None:
                self.kept.append(trajectory)
                chosen.add(trajectory.task_id)
            else:
                self.left_out.append((trajectory, reason))
        for task, solutions in batch:
            self.in_vain = 0 if task.id in chosen else self.in_vain + 1
            answer = self._common_answer(task, solutions)
            if answer is not None:
                self.agreed.append(Agreed(id=task.id, query=task.query, answer=answer))

    async def awaiting_verdict(self, batch: Sequence[Solved]) -> int:
        """Count the trajectories that `add` would show to the judge for the first time.

        A task with fewer rollouts than wanted is still to be run: its answers may yet agree.
        """
        judge = self.judge
        if judge is None:
            return 0
        reasoned = await self._by_rule(batch, set(self._seen), to_come=True)
        return sum(reason is None and not judge.has_judged(t) for t, reason in reasoned)

    async def _by_rule(
        self, batch: Sequence[Solved], seen: set[str], *, to_come: bool = False
    ) -> list[tuple[Trajectory, str | None]]:
        """Each trajectory, scored as its task says now, and what speaks against it."""
        found = []
        for task, solutions in batch:
            answer = self._common_answer(task, solutions)
            scored = task if answer is None else replace(task, answer=answer)
            may_agree = to_come and len(solutions) < self.settings.rollouts
            unsettled = self._is_open(task) and answer is None and not may_agree
            for trajectory in solutions:
                if task.check is None:  # the answer alone decides
                    trajectory.score = await scored.score(trajectory, ToolSet(()))
                reason = reason_against(
                    trajectory, self.settings.behaviours, rules=self.settings.filter
                ) or (UNSETTLED if unsettled else None)
                if reason is None:
                    mark = fingerprint(trajectory)
                    reason = DUPLICATE if mark in seen else None
                    seen.add(mark)
                found.append((trajectory, reason))
        return found

    def _is_open(self, task: Task) -> bool:
        """Whether only other rollouts can tell what the answer of a task is."""
        return self.settings.rollouts > 1 and task.check is None and task.answer is None

    def _common_answer(self, task: Task, solutions: Sequence[Trajectory]) -> str | None:
        """The answer of all wanted rollouts of an open task; None where they differ."""
        if not self._is_open(task) or len(solutions) < self.settings.rollouts:
            return None
        return agreed([trajectory.answer for trajectory in solutions])

    async def _ask(self, trajectory: Trajectory) -> str | None:
        if self.judge is None:
            return None
        try:
            return await self.judge.reason_against(trajectory)
        except (PolicyError, MalformedReplyError) as error:
            return f"{NOT_JUDGED}: {error}"


def fingerprint(trajectory: Trajectory) -> str:
    """Return one text for all demonstrations that serve one request by the same calls and answer.

    Texts are compared without case, punctuation and spacing, numbers by value. Thoughts are not
    compared: other words around the same calls teach little.
    """
    calls = [
        [step.phase, step.call.name, _plain(step.call.arguments)]
        for step in trajectory.calls()
        if step.call is not None and not step.slip
    ]
    return key_of(_words(trajectory.query), calls, normal_form(trajectory.answer or ""))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    return normal_form(str(value)) if isinstance(value, int | float) else _words(str(value))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
