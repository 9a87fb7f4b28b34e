"""Figures of single trajectories, and their averages over the rollouts of each task.

Two kinds of rollouts are left out of every figure of success: one that broke through no fault of
the model (`Trajectory.error`), and one whose task has neither an answer nor a check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from toolmaster.evaluation.behaviour import (
    call_success,
    execution_errors,
    recovery,
    tool_recall,
    trial_calls,
    useful_trials,
)
from toolmaster.types import Trajectory

Number = Callable[[Trajectory], float | None]
"""A function from a trajectory to a number, or to None if it has none."""

SHARES: dict[str, Number] = {
    "needed tools used": tool_recall,
    "calls without error": call_success,
    "format kept": lambda t: float(t.format_ok),
    "mistakes recovered": recovery,
}
"""Figures of one rollout in [0, 1], besides those of its score."""
EFFORT: dict[str, Number] = {
    "calls": lambda t: len(t.calls()),
    "trial calls": trial_calls,
    "useful trial calls": useful_trials,
    "errors in execution": execution_errors,
    "tokens": lambda t: t.completion_tokens,
    "seconds": lambda t: t.seconds,
}
"""The cost of one rollout."""


class TaskKey(NamedTuple):
    """Identifies a task among all task sets; an id alone is unique in one set only."""

    taskset: str
    """Label of the task set; "" if unknown."""
    task_id: str


def key_of(trajectory: Trajectory) -> TaskKey:
    """Return the key of the task of a trajectory."""
    return TaskKey(trajectory.taskset, trajectory.task_id)


def is_scored(trajectory: Trajectory) -> bool:
    """Return whether a rollout counts towards success: it did not break and was scored."""
    return trajectory.error is None and trajectory.score is not None


def latest(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the last of several attempts at each rollout; the earlier ones broke."""
    return list({(key_of(t), t.rollout): t for t in trajectories}.values())


def numbers_by_task(
    trajectories: Iterable[Trajectory], number: Number
) -> dict[TaskKey, list[float]]:
    """Return a number of each rollout that has it and did not break, by task, sorted by task."""
    numbers: defaultdict[TaskKey, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        value = None if trajectory.error is not None else number(trajectory)
        if value is not None:
            numbers[key_of(trajectory)].append(value)
    return dict(sorted(numbers.items()))


def by_task(trajectories: Iterable[Trajectory], number: Number) -> dict[TaskKey, float]:
    """Return the means of `numbers_by_task`; a task whose rollouts have no number is missing."""
    numbers = numbers_by_task(trajectories, number)
    return {key: sum(values) / len(values) for key, values in numbers.items()}


def succeeded(trajectory: Trajectory) -> float | None:
    """Return whether a rollout succeeded, as a number; None if it was not scored."""
    return None if trajectory.score is None else float(trajectory.success)


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[TaskKey, float]:
    """Return the share of scored rollouts that succeeded, by task."""
    return by_task(trajectories, succeeded)
