"""What one trajectory says about how its model went about it: trials, mistakes, calls, tools."""

from __future__ import annotations

import json
from typing import NamedTuple

from toolmaster.types import (
    FORMAT_ERRORS,
    ActionKind,
    ErrorKind,
    Phase,
    Step,
    ToolCall,
    Trajectory,
)

NOT_MISTAKES = frozenset({ErrorKind.BUDGET_EXHAUSTED, ErrorKind.NOT_EXECUTED})
"""Refusals that a correct call can meet; there is nothing in them to recover from."""


class Recoveries(NamedTuple):
    """How many mistakes a trajectory holds and how many of them were mended."""

    mistakes: int
    mended: int


def call_success(trajectory: Trajectory) -> float | None:
    """Share of the well-formed calls that were answered without an error; None without calls."""
    calls = trajectory.calls()
    return sum(step.error is None for step in calls) / len(calls) if calls else None


def tool_recall(trajectory: Trajectory) -> float | None:
    """Share of the needed tools that were called with success; None where none is known."""
    needed = set(trajectory.needed)
    worked = {s.call.name for s in trajectory.calls() if s.call is not None and s.error is None}
    return len(worked & needed) / len(needed) if needed else None


def useful_trials(trajectory: Trajectory) -> int:
    """How many trial calls told something new.

    A trial call is useful when it does not repeat an earlier trial call (same tool, same arguments)
    and either succeeds with an observation that this tool has not given before, or fails with an
    error kind that this tool has not shown before. A call refused for lack of budget never is.

    Args:
        trajectory: any trajectory; without a trial phase the count is 0.

    Returns:
        The count, at most the number of trial calls.
    """
    calls: set[tuple[str, str]] = set()
    news: set[tuple[str, str]] = set()
    useful = 0
    for step in trajectory.calls(Phase.TRIAL):
        if step.call is None or step.error is ErrorKind.BUDGET_EXHAUSTED:
            continue
        name = step.call.name
        call = (name, json.dumps(step.call.arguments, sort_keys=True))
        told = (name, f"ok {step.observation}" if step.error is None else f"error {step.error}")
        useful += call not in calls and told not in news
        calls.add(call)
        news.add(told)
    return useful


def recoveries(trajectory: Trajectory) -> Recoveries:
    """How many mistakes were made and how many of them were mended later in the same trajectory.

    A mistake is any error but `budget_exhausted` and `not_executed`. A format error is mended by
    any later well-formed turn, an unknown tool by any later successful call, every other error by a
    later successful call of the same tool. Later means the same phase or the one after it.

    Args:
        trajectory: any trajectory.

    Returns:
        The number of mistakes and how many of them were mended.
    """
    mistakes = mended = 0
    for index, step in enumerate(trajectory.steps):
        if step.error is None or step.error in NOT_MISTAKES:
            continue
        mistakes += 1
        mended += any(
            _mends(later, step.error, step.call) for later in trajectory.steps[index + 1 :]
        )
    return Recoveries(mistakes, mended)


def _mends(later: Step, error: ErrorKind, failed: ToolCall | None) -> bool:
    """Whether a later turn makes up for an error of an earlier one."""
    if error in FORMAT_ERRORS:
        return later.action is not ActionKind.INVALID
    if later.action is not ActionKind.CALL or later.call is None or later.error is not None:
        return False
    return error is ErrorKind.UNKNOWN_TOOL or (
        failed is not None and later.call.name == failed.name
    )


def execution_errors(trajectory: Trajectory) -> int:
    """Number of turns of the execution phase that were answered with an error."""
    return sum(s.phase is Phase.EXECUTION and s.error is not None for s in trajectory.steps)
