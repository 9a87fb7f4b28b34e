"""Figures of single trajectories, and their averages over the rollouts of each task.

The unit is the task: the rollouts of one task are averaged first, and intervals are over tasks.
Two kinds of rollouts are left out of every figure of success: one that broke through no
fault of the model (`Trajectory.error`), and one whose task has neither an answer nor a check.
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


def by_task(trajectories: Iterable[Trajectory], number: Number) -> dict[TaskKey, float]:
    """Return the mean of a number over the rollouts of each task.

    Args:
        trajectories: any trajectories; rollouts that broke are left out.
        number: a function from a trajectory to the number, or to None.

    Returns:
        Maps tasks to means, sorted by task; a task whose rollouts have no number is missing.
    """
    numbers: defaultdict[TaskKey, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        value = None if trajectory.error is not None else number(trajectory)
        if value is not None:
            numbers[key_of(trajectory)].append(value)
    return {key: sum(n) / len(n) for key, n in sorted(numbers.items())}


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[TaskKey, float]:
    """Return the share of scored rollouts that succeeded, by task; see `by_task`."""
    return by_task(trajectories, lambda t: None if t.score is None else float(t.score.success))
