"""Figures of single trajectories, and their averages over the rollouts of each task.

Tasks are the unit of uncertainty: the rollouts of one task are averaged first, and intervals are
over tasks. Two kinds of rollouts are left out of every figure of success: one that broke through no
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
"""A number of one trajectory; None where it has none."""

SHARES: dict[str, Number] = {
    "needed tools used": tool_recall,
    "calls without error": call_success,
    "format kept": lambda t: float(t.format_ok),
    "mistakes recovered": recovery,
}
"""Figures in [0, 1] of one rollout, beside those of its score."""
EFFORT: dict[str, Number] = {
    "calls": lambda t: len(t.calls()),
    "trial calls": trial_calls,
    "useful trial calls": useful_trials,
    "errors in execution": execution_errors,
    "tokens": lambda t: t.completion_tokens,
    "seconds": lambda t: t.seconds,
}
"""What one rollout took."""


class TaskKey(NamedTuple):
    """A task among those of all task sets: ids are unique in one set only."""

    taskset: str
    """Label of the task set; "" where unknown."""
    task_id: str


def key_of(trajectory: Trajectory) -> TaskKey:
    """The task of a trajectory, among those of all task sets."""
    return TaskKey(trajectory.taskset, trajectory.task_id)


def is_scored(trajectory: Trajectory) -> bool:
    """Whether a rollout says something about success: it did not break, and it was scored."""
    return trajectory.error is None and trajectory.score is not None


def latest(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Keep the last of several attempts at the same rollout of a task: the others broke."""
    return list({(key_of(t), t.rollout): t for t in trajectories}.values())


def by_task(trajectories: Iterable[Trajectory], number: Number) -> dict[TaskKey, float]:
    """Average a number over the rollouts of each task.

    Args:
        trajectories: any; rollouts that broke are left out.
        number: of one trajectory; None where it has none.

    Returns:
        Task to mean, sorted by task; a task whose rollouts have no number is missing.
    """
    numbers: defaultdict[TaskKey, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        found = None if trajectory.error is not None else number(trajectory)
        if found is not None:
            numbers[key_of(trajectory)].append(found)
    return {key: sum(n) / len(n) for key, n in sorted(numbers.items())}


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[TaskKey, float]:
    """Task to the share of its scored rollouts that succeeded; see `by_task`."""
    return by_task(trajectories, lambda t: None if t.score is None else float(t.score.success))
