"""Rewards: small functions of a finished trajectory, weighted and summed by the recipe.

`format` and `correctness` are the paper's (arXiv 2601.12762, section on GRPO), by rule instead of
by judge. No reward rises by calling more or by calling nothing: cost is charged only to
trajectories that solved their task, so failing cheaply never beats failing honestly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolmaster.types import Trajectory


def format_reward(trajectory: Trajectory) -> float:
    """1 when it ended with an answer and every turn kept the format, else 0."""
    return float(trajectory.format_ok)


def correctness(trajectory: Trajectory) -> float:
    """1 when answer and end state are right, else 0."""
    return float(trajectory.success)


def call_cost(trajectory: Trajectory) -> float:
    """Minus the number of calls of a trajectory that succeeded; 0 for one that failed."""
    return -float(len(trajectory.calls())) if trajectory.success else 0.0


REWARDS: Mapping[str, Callable[[Trajectory], float]] = {
    "format": format_reward,
    "correctness": correctness,
    "call_cost": call_cost,
}


def total(trajectory: Trajectory, weights: Mapping[str, float]) -> float:
    """The weighted sum of the named rewards."""
    return sum(weight * REWARDS[name](trajectory) for name, weight in weights.items())
