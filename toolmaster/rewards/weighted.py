"""`Rewards`: a weighted sum of rewards, with costs that success always outweighs.

All costs together take at most half of what success is worth. So among rollouts of the same form an
honest failure never beats a success, whatever the weights are.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from toolmaster.errors import ConfigError, InputError, ToolmasterError
from toolmaster.rewards.builtin import (
    COSTS,
    MANNERS,
    PhaseReward,
    Reward,
    Rewarded,
    find_reward,
)
from toolmaster.tools.running import describe_error
from toolmaster.types import Trajectory

COST_SHARE = 0.5
"""The most that all costs together take, as a share of what success is worth."""
_UNSCORED = "; the task has neither an answer nor a check: take a reward that needs none of these"


class Rewards:
    """A weighted sum of rewards.

    Args:
        weights: reward, by name or as a function, to its weight; weight 0 leaves one out.
        judge: what the name "judge" stands for; None where there is none.

    Raises:
        ConfigError: no rewards, an unknown name, a weight below 0, or "judge" without one.
        InputError: a function that cannot be loaded.

    Example:
        >>> Rewards({"format": 0.2, "correctness": 1.0, "call_cost": 0.02}).left_out
        ''
    """

    def __init__(self, weights: Mapping[Any, float], judge: Reward | None = None) -> None:
        self._found: list[tuple[str, Reward, float]] = []
        for named, weight in weights.items():
            name = named if isinstance(named, str) else getattr(named, "__name__", repr(named))
            if not 0 <= weight < math.inf:
                raise ConfigError(f"the weight of a reward is 0 or more, {name!r} has {weight!r}")
            if weight:
                self._found.append((name, _function(named, judge), weight))
        if not self._found:
            raise ConfigError("GRPO needs at least one reward, such as correctness = 1.0")
        self.left_out = ""
        """Why the last rollout that was left out of its group was; "" as long as none was."""

    async def of(self, trajectory: Trajectory) -> Rewarded:
        """The reward of a trajectory.

        Returns:
            A `PhaseReward` where one of the rewards tells the phases apart, else a number; None
            where the rollout broke or one of the rewards is None.

        Raises:
            InputError: a reward failed, or returned something else.
        """
        if trajectory.error is not None:
            self.left_out = f"the rollout broke: {trajectory.error}"
            return None
        gains, costs, success = PhaseReward(), PhaseReward(), 0.0
        by_phase = False
        for name, reward, weight in self._found:
            value = await _value(name, reward, trajectory)
            if value is None:
                self.left_out = _reason(name, reward, trajectory)
                return None
            by_phase |= isinstance(value, PhaseReward)
            part = _weighted(name, value, weight)
            if name in COSTS:
                costs = _added(costs, part)
            else:
                gains = _added(gains, part)
                success += 0.0 if name in MANNERS else part.total
        most = COST_SHARE * max(success, 0.0)
        whole = _added(gains, PhaseReward(*(max(cost, -most) for cost in costs)))
        return whole if by_phase else whole.total

    async def check(self) -> None:
        """Let rewards that depend on others, such as a judge, make sure that they can work.

        Raises:
            PolicyError: one cannot.
        """
        for check in self._each("check"):
            await check()

    async def close(self) -> None:
        """Close the connections of rewards that have some, such as a judge."""
        for close in self._each("close"):
            await close()

    def numbers(self) -> dict[str, float]:
        """What rewards count, such as a judge's tokens and its cost."""
        counted: dict[str, float] = {}
        for numbers in self._each("numbers"):
            counted |= numbers()
        return counted

    def _each(self, method: str) -> list[Any]:
        """A method of all rewards that have it."""
        return [getattr(r, method) for _, r, _ in self._found if hasattr(r, method)]


def _function(named: Any, judge: Reward | None) -> Reward:
    if named != "judge":
        reward: Reward = find_reward(named) if isinstance(named, str) else named
        return reward
    if judge is None:
        raise ConfigError('the reward "judge" needs a model: set grpo.judge.model')
    return judge


async def _value(name: str, reward: Reward, trajectory: Trajectory) -> Any:
    try:
        value: Any = reward(trajectory)
        return await value if inspect.isawaitable(value) else value
    except ToolmasterError:
        raise
    except Exception as error:
        raise InputError(
            f"the reward {name!r} failed on task {trajectory.task_id!r}: {describe_error(error)}"
        ) from error


def _reason(name: str, reward: Reward, trajectory: Trajectory) -> str:
    fault = getattr(reward, "fault", None)
    if fault:
        return f"{name}: {fault}"
    hint = _UNSCORED if trajectory.score is None and name in ("correctness", "score") else ""
    return f"{name} is None for task {trajectory.task_id!r}{hint}"


def _weighted(name: str, value: Any, weight: float) -> PhaseReward:
    if isinstance(value, PhaseReward):
        return PhaseReward(weight * value.trial, weight * value.execution)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return PhaseReward(weight * value, weight * value)
    raise InputError(
        f"the reward {name!r} returned {value!r}; allowed are a number, a PhaseReward, or None to"
        " leave the rollout out"
    )


def _added(a: PhaseReward, b: PhaseReward) -> PhaseReward:
    return PhaseReward(a.trial + b.trial, a.execution + b.execution)
