"""Rewards: functions of a finished trajectory, `(Trajectory) -> float | PhaseReward | None`.

Built-in ones, one's own, or a judge's (`rewards.judge`), alone or as a weighted sum. None leaves
the rollout out of its group. One that broke (`Trajectory.error`) is always left out: it says
nothing about the model.
"""

from toolmaster.rewards.builtin import (
    BUILT_IN,
    PhaseReward,
    Reward,
    Rewarded,
    find_reward,
)
from toolmaster.rewards.weighted import Rewards

__all__ = [
    "BUILT_IN",
    "PhaseReward",
    "Reward",
    "Rewarded",
    "Rewards",
    "find_reward",
]
