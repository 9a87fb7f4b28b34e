"""Rewards: functions of a finished trajectory, built in, one's own, or a judge's."""

from toolmaster.rewards.builtin import (
    BUILT_IN,
    PhaseReward,
    Reward,
    Rewarded,
    Rewards,
    find_reward,
)
from toolmaster.rewards.judge import JudgeReward, judge

__all__ = [
    "BUILT_IN",
    "JudgeReward",
    "PhaseReward",
    "Reward",
    "Rewarded",
    "Rewards",
    "find_reward",
    "judge",
]
