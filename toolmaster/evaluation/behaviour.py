"""How the model worked in one trajectory: its trials, calls and mistakes, and why it failed.

Everything here follows from rules; no model judges anything.
"""

from __future__ import annotations

from enum import StrEnum

from toolmaster.rewards.builtin import trial_findings
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


class ErrorClass(StrEnum):
    """Why a rollout failed; the three classes of the ToolMaster paper (arXiv 2601.12762)."""

    INCOMPLETE_CHAIN = "incomplete tool chain"
    """A needed tool was never called, or there is no answer."""
    EXECUTION_FAILURE = "execution failure"
    """A needed tool was called and never worked."""
    REASONING_ERROR = "reasoning error"
    """Every needed tool worked, and the outcome is wrong all the same."""


def error_class(trajectory: Trajectory) -> ErrorClass | None:
    """Say why a rollout failed.

    The first rule that holds decides: a needed tool was called and never worked (execution
    failure); one was never called, or there is no answer (incomplete tool chain); otherwise a
    reasoning error. Where the task does not tell which tools are needed, every tool that was called
    counts as needed, and a rollout without calls is an incomplete chain.

    Returns:
        The class; None for a success, and for a rollout that broke or was not scored.
    """
    if trajectory.error is not None or trajectory.score is None or trajectory.success:
        return None
    called, worked = _called(trajectory), _called(trajectory, worked=True)
    chain = set(trajectory.needed) or called
    if (chain & called) - worked:
        return ErrorClass.EXECUTION_FAILURE
    if chain - called or not called or trajectory.answer is None:
        return ErrorClass.INCOMPLETE_CHAIN
    return ErrorClass.REASONING_ERROR


def call_success(trajectory: Trajectory) -> float | None:
    """Share of the well-formed calls that were answered without an error; None without calls."""
    calls = trajectory.calls()
    return sum(step.error is None for step in calls) / len(calls) if calls else None


def tool_recall(trajectory: Trajectory) -> float | None:
    """Share of the needed tools that were called with success; None where none is known."""
    needed = set(trajectory.needed)
    return len(_called(trajectory, worked=True) & needed) / len(needed) if needed else None


def _called(trajectory: Trajectory, *, worked: bool = False) -> set[str]:
    """Names of the tools that were called, or of those that answered without an error."""
    calls = [s for s in trajectory.calls() if s.error is None or not worked]
    return {step.call.name for step in calls if step.call is not None}


def trial_calls(trajectory: Trajectory) -> int | None:
    """Number of calls in the trial phase; None for a trajectory that has no trial phase."""
    if all(step.phase is not Phase.TRIAL for step in trajectory.steps):
        return None
    return len(trajectory.calls(Phase.TRIAL))


def useful_trials(trajectory: Trajectory) -> int | None:
    """Number of different observations and errors of each tool in the trial; None without one."""
    return None if trial_calls(trajectory) is None else len(trial_findings(trajectory))


def recovery(trajectory: Trajectory) -> float | None:
    """Share of the mistakes that were mended later in the same trajectory; None without mistakes.

    A mistake is any error but `budget_exhausted` and `not_executed`. A format error is mended by
    any later well-formed turn, an unknown tool by any later successful call, every other error by a
    later successful call of the same tool. Later means the same phase or the one after it.
    """
    steps = trajectory.steps
    mended = [
        any(_mends(later, step.error, step.call) for later in steps[index + 1 :])
        for index, step in enumerate(steps)
        if step.error is not None and step.error not in NOT_MISTAKES
    ]
    return sum(mended) / len(mended) if mended else None


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
