"""Figures of one trajectory, by rules: its trials, calls, mistakes, and why it failed."""

from __future__ import annotations

from enum import StrEnum

from toolmaster.rewards.builtin import trial_findings
from toolmaster.types import FORMAT_ERRORS, ActionKind, ErrorKind, Phase, Step, Trajectory

NOT_MISTAKES = frozenset({ErrorKind.BUDGET_EXHAUSTED, ErrorKind.NOT_EXECUTED})
"""Refusals that a correct call can meet, so that there is nothing to recover from."""


class ErrorClass(StrEnum):
    """Why a rollout failed; the three classes of the ToolMaster paper (arXiv 2601.12762)."""

    INCOMPLETE_CHAIN = "incomplete tool chain"
    """A needed tool was never called, or there is no answer."""
    EXECUTION_FAILURE = "execution failure"
    """A needed tool was called and never worked."""
    REASONING_ERROR = "reasoning error"
    """Every needed tool worked, but the outcome is wrong."""


def error_class(trajectory: Trajectory) -> ErrorClass | None:
    """Return why a rollout failed; None if it succeeded, broke or was not scored.

    If the needed tools are unknown, every tool that was called counts as needed, and a rollout
    without calls is an incomplete chain.
    """
    if trajectory.error is not None or trajectory.score is None or trajectory.success:
        return None
    called, worked = _called(trajectory), _called(trajectory, worked=True)
    needed = set(trajectory.needed) or called
    if (needed & called) - worked:
        return ErrorClass.EXECUTION_FAILURE
    if needed - called or not called or trajectory.answer is None:
        return ErrorClass.INCOMPLETE_CHAIN
    return ErrorClass.REASONING_ERROR


def call_success(trajectory: Trajectory) -> float | None:
    """Return the share of well-formed calls that gave no error; None if there are no calls."""
    calls = trajectory.calls()
    return sum(step.error is None for step in calls) / len(calls) if calls else None


def tool_recall(trajectory: Trajectory) -> float | None:
    """Return the share of needed tools that were called with success; None if none is known."""
    needed = set(trajectory.needed)
    return len(_called(trajectory, worked=True) & needed) / len(needed) if needed else None


def _called(trajectory: Trajectory, *, worked: bool = False) -> set[str]:
    """Return the names of the tools that were called, or of those that gave no error."""
    calls = [s for s in trajectory.calls() if s.error is None or not worked]
    return {step.call.name for step in calls if step.call is not None}


def trial_calls(trajectory: Trajectory) -> int | None:
    """Return the number of calls in the trial phase; None if there is no trial phase."""
    if all(step.phase is not Phase.TRIAL for step in trajectory.steps):
        return None
    return len(trajectory.calls(Phase.TRIAL))


def useful_trials(trajectory: Trajectory) -> int | None:
    """Number of different observations and errors of each tool in the trial; None without one."""
    return None if trial_calls(trajectory) is None else len(trial_findings(trajectory))


def recovery(trajectory: Trajectory) -> float | None:
    """Return the share of mistakes that were corrected later; None if there are no mistakes.

    A mistake is any error but those in `NOT_MISTAKES`. A format error is corrected by any later
    well-formed turn, an unknown tool by any later successful call, and every other error by a later
    successful call of the same tool, in the same phase or the one after it.
    """
    steps = trajectory.steps
    corrected = [
        any(_corrects(later, step) for later in steps[index + 1 :])
        for index, step in enumerate(steps)
        if step.error is not None and step.error not in NOT_MISTAKES
    ]
    return sum(corrected) / len(corrected) if corrected else None


def _corrects(later: Step, failed: Step) -> bool:
    if failed.error in FORMAT_ERRORS:
        return later.action is not ActionKind.INVALID
    if later.call is None or later.error is not None:
        return False
    same = failed.call is not None and later.call.name == failed.call.name
    return same or failed.error is ErrorKind.UNKNOWN_TOOL


def execution_errors(trajectory: Trajectory) -> int:
    """Return the number of turns of the execution phase that gave an error."""
    return sum(s.phase is Phase.EXECUTION and s.error is not None for s in trajectory.steps)
