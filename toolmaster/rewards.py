"""Rewards: functions of a finished trajectory, `(Trajectory) -> float | None`.

None leaves the rollout out of its group: one that broke says nothing about the model. `format` and
`correctness` are those of the paper (arXiv 2601.12762, section on GRPO), by rule in place of a
judge. No reward rises by calling more or by calling nothing: the cost of calls is charged only to
rollouts that solved their task, and is bounded, so that an honest failure never beats a success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolmaster.protocols import well_formed
from toolmaster.types import Trajectory

MAX_CALL_COST = 0.5
"""The most that all calls of one rollout can cost together."""


def format_reward(trajectory: Trajectory) -> float:
    """1 when it ended with an answer and every turn is a thought and one block, else 0."""
    turns = all(well_formed(step.text) for step in trajectory.steps)
    return float(trajectory.format_ok and turns)


def correctness(trajectory: Trajectory) -> float:
    """1 when the task is done, else 0."""
    return float(trajectory.success)


def score(trajectory: Trajectory) -> float:
    """How well the task was done, from 0 to 1, by the task's own score."""
    return trajectory.score.value if trajectory.score is not None else 0.0


def call_cost(trajectory: Trajectory) -> float:
    """Minus the number of calls of a rollout that succeeded; 0 for one that failed."""
    return -float(len(trajectory.calls())) if trajectory.success else 0.0


REWARDS: Mapping[str, Callable[[Trajectory], float]] = {
    "format": format_reward,
    "correctness": correctness,
    "score": score,
    "call_cost": call_cost,
}


def total(trajectory: Trajectory, weights: Mapping[str, float]) -> float | None:
    """The weighted sum of the named rewards; None for a rollout that broke."""
    if trajectory.error is not None:
        return None
    parts = {name: weight * REWARDS[name](trajectory) for name, weight in weights.items()}
    if "call_cost" in parts:
        parts["call_cost"] = max(parts["call_cost"], -MAX_CALL_COST)
    return sum(parts.values())
