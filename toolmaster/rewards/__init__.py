"""Rewards: functions of a finished trajectory, `(Trajectory) -> float | PhaseReward | None`.

A reward is built in, your own, or a judge (`rewards.judge`); `Rewards` is a weighted sum of them.
None leaves the rollout out of its group. A rollout that broke (`Trajectory.error`) is always left
out, because it says nothing about the model.
"""

from toolmaster.rewards.builtin import BUILT_IN, PhaseReward, Reward, Rewarded, find_reward
from toolmaster.rewards.weighted import Rewards

__all__ = ["BUILT_IN", "PhaseReward", "Reward", "Rewarded", "Rewards", "find_reward"]
