"""Analyses of the ToolMaster paper (arXiv 2601.12762): success by calls, and classes of errors.

All by rule: no model judges anything here. See `familiarity` for the third one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from enum import StrEnum

from toolmaster.evaluation.intervals import Interval, mean_interval
from toolmaster.evaluation.metrics import is_scored, success_by_task
from toolmaster.types import Trajectory

MOST_CALLS = 8
"""Rollouts with this many calls or more are shown together."""


class ErrorClass(StrEnum):
    """Why a rollout failed; the paper's three classes."""

    INCOMPLETE_CHAIN = "incomplete tool chain"
    """A needed tool was never called, or nothing was answered."""
    EXECUTION_FAILURE = "execution failure"
    """A needed tool was called and never worked."""
    REASONING_ERROR = "reasoning error"
    """Every needed tool worked, and the outcome is wrong all the same."""


def success_by_calls(trajectories: Iterable[Trajectory]) -> dict[str, Interval]:
    """Success against the number of well-formed calls, of both phases.

    Args:
        trajectories: of one policy; rollouts that broke or were not scored are left out.

    Returns:
        Number of calls ("0", "1", ... and "8+") to the mean over the tasks that have such rollouts.
    """
    groups: defaultdict[int, list[Trajectory]] = defaultdict(list)
    for trajectory in filter(is_scored, trajectories):
        groups[min(len(trajectory.calls()), MOST_CALLS)].append(trajectory)
    return {
        f"{calls}+" if calls == MOST_CALLS else str(calls): mean_interval(
            [*success_by_task(group).values()]
        )
        for calls, group in sorted(groups.items())
    }


def error_class(trajectory: Trajectory) -> ErrorClass | None:
    """Say why a rollout failed.

    The first rule that holds: a needed tool was called and never worked (execution failure); one
    was never called, or there is no answer (incomplete tool chain); else a reasoning error. Where
    the task does not tell which tools are needed, every tool that was called counts as needed, and
    a rollout without calls as an incomplete chain.

    Returns:
        The class; None for a success, and for a rollout that broke or was not scored.
    """
    if trajectory.success or not is_scored(trajectory):
        return None
    steps = [(s.call.name, s.error) for s in trajectory.calls() if s.call is not None]
    called = {name for name, _ in steps}
    worked = {name for name, error in steps if error is None}
    chain = set(trajectory.needed) or called
    if (chain & called) - worked:
        return ErrorClass.EXECUTION_FAILURE
    if chain - called or not called or trajectory.answer is None:
        return ErrorClass.INCOMPLETE_CHAIN
    return ErrorClass.REASONING_ERROR


def error_classes(trajectories: Iterable[Trajectory]) -> dict[ErrorClass, int]:
    """How many rollouts failed for which reason."""
    found = Counter(map(error_class, trajectories))
    return {kind: found[kind] for kind in ErrorClass}
