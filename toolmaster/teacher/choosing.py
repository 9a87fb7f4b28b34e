"""Which of a teacher's trajectories are demonstrations, and what speaks against the others.

Rules come first, the judge sees only what they let through, and of duplicates the first stays. The
choice is made from what is on disk, so it can be made again at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from toolmaster.answers import agreed
from toolmaster.errors import PolicyError
from toolmaster.json_endpoint import MalformedReplyError
from toolmaster.tasksets import Task
from toolmaster.teacher.duplicates import fingerprint
from toolmaster.teacher.filters import mark_slips, reason_against
from toolmaster.teacher.judge import Judge
from toolmaster.teacher.settings import Behaviours
from toolmaster.teacher.tasks import Wanted
from toolmaster.tools import ToolSet
from toolmaster.types import Trajectory

NOT_JUDGED = "not judged"
"""How the reason begins where the judge gave no verdict."""


@dataclass(slots=True)
class Choice:
    """What was chosen.

    Args:
        kept: the demonstrations.
        left_out: the others, each with the reason.
    """

    kept: list[Trajectory] = field(default_factory=list)
    left_out: list[tuple[Trajectory, str]] = field(default_factory=list)


async def choose(
    candidates: Sequence[Trajectory],
    behaviours: Behaviours,
    *,
    rules: bool,
    judge: Judge | None = None,
    unsettled: Collection[str] = (),
) -> Choice:
    """Apply the filter.

    Args:
        candidates: finished trajectories; their slips are marked here.
        behaviours: what the teacher was told to show.
        rules: see `filters.reason_against`.
        judge: asked about what the rules let through; None for the rules alone.
        unsettled: ids of proposed tasks whose solutions do not agree.
    """
    reasons = reasons_by_rule(candidates, behaviours, rules=rules, unsettled=unsettled)
    passed = [index for index, reason in enumerate(reasons) if reason is None]
    if judge is not None:
        said = await asyncio.gather(*(_ask(judge, candidates[index]) for index in passed))
        for index, reason in zip(passed, said, strict=True):
            reasons[index] = reason
    choice, seen = Choice(), set()
    for trajectory, reason in zip(candidates, reasons, strict=True):
        mark = fingerprint(trajectory)
        if reason is None and mark not in seen:
            seen.add(mark)
            choice.kept.append(trajectory)
        else:
            choice.left_out.append((trajectory, reason or "duplicate"))
    return choice


def reasons_by_rule(
    candidates: Sequence[Trajectory],
    behaviours: Behaviours,
    *,
    rules: bool,
    unsettled: Collection[str] = (),
) -> list[str | None]:
    """What speaks against each candidate before a judge is asked; see `choose`."""
    reasons: list[str | None] = []
    for trajectory in candidates:
        mark_slips(trajectory)
        reason = reason_against(trajectory, behaviours, rules=rules)
        if reason is None and trajectory.task_id in unsettled:
            reason = "no agreement on the answer of a proposed task"
        reasons.append(reason)
    return reasons


async def _ask(judge: Judge, trajectory: Trajectory) -> str | None:
    try:
        return await judge.reason_against(trajectory)
    except (PolicyError, MalformedReplyError) as error:
        return f"{NOT_JUDGED}: {error}"


async def settle(
    tasks: Sequence[Task], candidates: Sequence[Trajectory], rollouts: int, tools: ToolSet
) -> list[Wanted]:
    """Find the answers of proposed tasks, and score their solutions by them.

    Args:
        tasks: what was proposed.
        candidates: its solutions; those of an agreed task get their score here.
        rollouts: how many solutions must agree.
        tools: what the tasks are for.

    Returns:
        The tasks on which all solutions agree, with the answer.
    """
    settled = []
    for task in tasks:
        solutions = [t for t in candidates if t.task_id == task.id]
        answer = agreed([t.answer for t in solutions]) if len(solutions) == rollouts else None
        if answer is None:
            continue
        settled.append(Wanted(query=task.query, answer=answer, id=task.id))
        for trajectory in solutions:
            trajectory.score = await replace(task, answer=answer).score(trajectory, tools)
    return settled
